"""One run out of the pieces that restarts left: no frame twice."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.trajectory.frame_block import FrameBlock

logger = logging.getLogger(__name__)

# Of a cell vector: less than the last digit that any program writes.
SAME_PLACE = 1e-7


@dataclass(frozen=True)
class Piece:
    """Frames of one run.

    Attributes
    ----------
    block : FrameBlock
        The frames.
    source : str
        The file they are from.
    begins : bool
        Whether they are the first of a run that a restart, or another file, begins.
    repeated_time_fs : float or None
        Where the run began with a frame that the run before ended with, its time in this run.
    """

    block: FrameBlock
    source: str
    begins: bool
    repeated_time_fs: float | None = None


def without_repeats(files: Iterable[tuple[str, Iterator[FrameBlock]]]) -> Iterator[Piece]:
    """Join the frames of several files, and of restarts within a file.

    A run begins with each file and wherever the program's step number does not grow. Where it
    begins within the numbers of the run before it, both count the same steps, and those already
    seen are left out. Where the count begins anew (VASP), or there is none, the first frame is
    left out if it is the last one of the run before it.

    Parameters
    ----------
    files
        Name and blocks of each file, in the order of time.

    Raises
    ------
    InputError
        If the atoms are not the same in all.
    """
    joiner = _Joiner()
    for source, blocks in files:
        joiner.begins = True
        n_before = joiner.n_repeated
        for whole in blocks:
            joiner.check_atoms(whole, source)
            for block in _split(whole):
                if (piece := joiner.piece(block, source)) is not None:
                    yield piece
        if n_repeated := joiner.n_repeated - n_before:
            logger.warning(
                "%s: %d frame(s) repeat what was read before; left out", source, n_repeated
            )


class _Joiner:
    """What is remembered of the frames so far."""

    def __init__(self) -> None:
        self.begins = True
        self.n_repeated = 0
        self._last: FrameBlock | None = None
        self._first_step: int | None = None
        self._seen_step: int | None = None
        self._repeated_time_fs: float | None = None

    def check_atoms(self, block: FrameBlock, source: str) -> None:
        if self._last is not None and not np.array_equal(self._last.numbers, block.numbers):
            raise InputError(
                f"{source}: the atoms are not the same in every frame; expected the species and "
                "order of the first one throughout"
            )

    def piece(self, block: FrameBlock, source: str) -> Piece | None:
        """Return the frames of a block, whose steps grow, that were not there before."""
        first = None if block.step is None else int(block.step[0])
        if first is not None and self._seen_step is not None and first <= self._seen_step:
            self.begins = True
        kept = block
        if self.begins:
            if first is None or self._first_step is None or first <= self._first_step:
                self._first_step, self._seen_step = first, None
            elif self._seen_step is not None:
                assert block.step is not None
                kept = block.part(block.step > self._seen_step)
            if self._last is not None and len(kept) and _same_place(self._last, kept):
                if kept.time_fs is not None:
                    self._repeated_time_fs = float(kept.time_fs[0])
                kept = kept.part(slice(1, None))
        self.n_repeated += len(block) - len(kept)
        if not len(kept):
            return None
        piece = Piece(kept, source, self.begins and self._last is not None, self._repeated_time_fs)
        self.begins = False
        self._last = kept.part(slice(-1, None))
        self._repeated_time_fs = None
        if kept.step is not None:
            self._seen_step = int(kept.step[-1])
        return piece


def _split(block: FrameBlock) -> Iterator[FrameBlock]:
    """Give the parts of a block within which the step number grows."""
    if block.step is None:
        yield block
        return
    borders = [0, *(np.flatnonzero(np.diff(block.step) <= 0) + 1), len(block)]
    for begin, end in pairwise(borders):
        if end > begin:
            yield block.part(slice(begin, end)) if end - begin < len(block) else block


def _same_place(last: FrameBlock, block: FrameBlock) -> bool:
    """Whether the first frame of a block is the last one before, but for periodic images."""
    moved = block.positions_A[0] - last.positions_A[0]
    if not np.allclose(block.cell_A[0], last.cell_A[0], rtol=SAME_PLACE, atol=0.0):
        return False
    if np.linalg.det(block.cell_A[0]) != 0.0:
        moved = moved @ np.linalg.inv(block.cell_A[0])
        moved -= np.rint(moved)
    return bool(np.abs(moved).max() < SAME_PLACE)
