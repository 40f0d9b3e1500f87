"""Whether the frames of a run follow each other, also where runs are joined."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.trajectory.joining.motion import BESIDE, Misfit, Recent, image_steps, misfit
from mlmd.trajectory.joining.seen import marked_atoms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.frame_block import FrameBlock
    from mlmd.trajectory.joining.restarts import Piece

logger = logging.getLogger(__name__)

OnMisfit = Literal["refuse", "warn", "cut"]
# Another file or a count that begins anew tells of it, or nothing but its length.
Doubt = Literal["told", "untold"]

# Of squared steps of a few atoms: what is looked at more closely.
SUSPICIOUS = 3.0
FEWEST_STEPS = 4
# Steps on each side that a suspicious one stands out of.
STANDS_OUT = 8
# Of the usual interval: more of it is a gap that the count or the times say.
SAID_GAP = 1.5


class Joints:
    """Looks at the steps between frames that stand out, and at those between two runs.

    Parameters
    ----------
    on_misfit
        ``"refuse"`` frames that do not follow each other, ``"warn"`` and join them, or ``"cut"``
        the trajectory there.
    first
        Number of the first frame that comes.
    """

    def __init__(self, on_misfit: OnMisfit, first: int) -> None:
        self.findings: list[Finding] = []
        self._on_misfit = on_misfit
        self._n = first
        self._recent = Recent()
        self._waiting: list[Piece] = []
        self._doubt: Doubt | None = None
        self._marked: IntArray = np.empty(0, dtype=int)
        self._species: list[IntArray] = []
        # Of the marked atoms in the last frames, with their cells.
        self._places = np.empty((0, 0, 3))
        self._cells = np.empty((0, 3, 3))
        self._last: FrameBlock | None = None
        self._previous = ""

    def judged(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Give the pieces again, those that do not follow marked as cut off.

        Raises
        ------
        InputError
            Where frames do not follow each other and that is to be refused.
        """
        for whole in pieces:
            for piece, doubt in self._parted(whole):
                if doubt is not None or sum(len(one.block) for one in self._waiting) > BESIDE:
                    yield from self._decided()
                if self._waiting or (doubt is not None and self._recent):
                    self._doubt = doubt or self._doubt
                    self._waiting.append(piece)
                else:
                    yield self._passed(piece)
        yield from self._decided()

    def _parted(self, piece: Piece) -> Iterator[tuple[Piece, Doubt | None]]:
        """Give a piece in parts that begin with a doubtful step, and why it is one."""
        doubts: dict[int, Doubt] = dict.fromkeys(self._standing_out(piece.block), "untold")
        if piece.begins:
            doubts[0] = "told"
        said = self._said_gaps(piece.block)
        self._last = piece.block
        # Where a longer time is said, a longer step is expected.
        borders = sorted({0, *(frame for frame in doubts if not said[frame])})
        for begin, end in pairwise([*borders, len(piece.block)]):
            part = piece
            if end - begin < len(piece.block):
                part = replace(piece, block=piece.block.part(slice(begin, end)))
            if begin:
                part = replace(part, begins=False, repeated=None)
            yield part, None if begin not in doubts or said[begin] else doubts[begin]

    def _standing_out(self, block: FrameBlock) -> list[int]:
        """Return frames whose step stands out of those beside, as a few atoms show."""
        if not len(self._marked):
            self._marked = marked_atoms(block.numbers)
            numbers = block.numbers[self._marked]
            self._species = [np.flatnonzero(numbers == one) for one in np.unique(numbers)]
            self._places = np.empty((0, len(self._marked), 3))
        n_before = len(self._places)
        self._places = np.concatenate([self._places, block.positions_A[:, self._marked]])
        self._cells = np.concatenate([self._cells, block.cell_A])
        places, cells = self._places, self._cells
        self._places, self._cells = places[-STANDS_OUT - 1 :], cells[-STANDS_OUT - 1 :]
        if len(places) < FEWEST_STEPS + 1:
            return []
        squares = (image_steps(places, cells, block.pbc) ** 2).sum(axis=2)
        size = np.stack([squares[:, atoms].mean(axis=1) for atoms in self._species], axis=1)
        found = (size > SUSPICIOUS * _largest_beside(size)).any(axis=1)
        frames = np.flatnonzero(found) + 1 - n_before
        return [int(frame) for frame in frames if frame >= 0]

    def _said_gaps(self, block: FrameBlock) -> NDArray[np.bool_]:
        """Tell before which frames the count or the times say that more time has passed."""
        gaps = np.zeros(len(block), dtype=bool)
        for name in ("step", "time_fs"):
            said = getattr(block, name)
            before = said if self._last is None else getattr(self._last, name)
            if said is None or before is None:
                continue
            before = said[:1] if self._last is None else before
            apart = np.diff(said, prepend=before[-1:]).astype(float)
            beside = [np.median(one) for one in (np.diff(before), apart[1:]) if len(one)]
            if beside:
                gaps |= apart > SAID_GAP * max(beside)
        return gaps

    def _decided(self) -> Iterator[Piece]:
        """Give the frames that have waited, after the step to them was looked at."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        blocks = [piece.block for piece in waiting]
        found = misfit(self._recent.blocks(), blocks, told=self._doubt == "told")
        if found is not None and self._misfits(found, waiting[0]):
            waiting[0] = replace(waiting[0], cut=True)
        for piece in waiting:
            yield self._passed(piece)

    def _passed(self, piece: Piece) -> Piece:
        if piece.cut:
            self._recent.clear()
        self._recent.add(piece.block)
        self._previous = piece.source
        self._n += len(piece.block)
        return piece

    def _misfits(self, found: Misfit, piece: Piece) -> bool:
        """Say that frames do not follow; return whether to cut there."""
        from ase.data import chemical_symbols

        symbol = chemical_symbols[found.species]
        before = "the one before"
        if piece.source != self._previous:
            before = f"the last of {self._previous}"
        text = (
            f"{piece.source}: frame {self._n} (counted from 0) does not follow {before}: "
            f"{symbol} moves by {found.moved_A:.2f} A (rms), and by {found.usual_A:.2f} A between "
            f"the frames around it (at most {found.largest_A:.2f})"
        )
        numbers = {
            "frame": float(self._n),
            "moved_A": found.moved_A,
            "usual_A": found.usual_A,
            "largest_A": found.largest_A,
        }
        if self._on_misfit == "refuse":
            raise InputError(
                f"{text}: frames are missing there, the files are in another order, or they are "
                "independent runs; give independent runs as such with --replicas, cut there with "
                "--pieces (Trajectory.read_pieces), or accept it with --long-steps warn "
                "(long_steps='warn')"
            )
        logger.warning("%s", text)
        severity: Literal["note", "doubt"] = "note" if self._on_misfit == "cut" else "doubt"
        self.findings.append(Finding("frames_do_not_follow", severity, text, numbers))
        return self._on_misfit == "cut"


def _largest_beside(size: FloatArray) -> FloatArray:
    """Return the largest of the sizes before and after each, shape (steps, species)."""
    largest = np.zeros_like(size)
    for apart in range(1, STANDS_OUT + 1):
        np.maximum(largest[apart:], size[:-apart], out=largest[apart:])
        np.maximum(largest[:-apart], size[apart:], out=largest[:-apart])
    return largest
