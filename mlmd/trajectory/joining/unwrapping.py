"""Undoing periodic wrapping once all frames are seen, and telling where that is not possible."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from mlmd.checks import choice
from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.periodic.cell import basis_changes, completed_cells
from mlmd.trajectory.joining.folding import AMBIGUOUS_FRACTION, Evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.arrays import BoolArray, FloatArray


LongSteps = Literal["refuse", "warn", "accept"]
"""What to do where unwrapping is not certain; ``accept`` is for what needs no unwrapping."""

logger = logging.getLogger(__name__)

# Frames that are unwrapped at once, so that what lies on disk stays there.
_FRAMES_AT_ONCE = 1000
MOST_CROSSINGS = int(np.iinfo(np.int16).max)


@dataclass
class _Segment:
    """Frames of one run between two changes of the basis, or all of them.

    ``link`` is what crossed, by nearest images, on the way from the segment before, whose numbers
    of cell vectors ``to_basis`` turns into those of this one. ``crossed`` is what crossed since,
    if the positions are folded.
    """

    evidence: Evidence
    said: bool | None
    periodic: BoolArray
    is_joint: bool
    link: FloatArray
    longest_link: FloatArray
    frame: int
    to_basis: FloatArray
    crossed: FloatArray


class _Link(NamedTuple):
    """How a segment begins: a run or not, and the cell vectors in terms of those before."""

    begins_run: bool
    basis: FloatArray


class Unwrapper:
    """Makes positions that cross cell borders without jumping.

    Frames come block after block. Beside them are kept the cell vectors that each atom crossed
    since its run began if positions are folded; whether they are, is decided for each run and
    each cell vector when all of it is seen, by the positions (:class:`Evidence`): folded ones lie
    within one cell, wherever its origin is, or jump by whole cell vectors where other steps are
    short. Each atom then moved by the nearest image of its step, in fractional coordinates. What
    the file says of it, or of what is periodic, decides only where the positions show nothing.
    Between two runs atoms may have been put back into the cell, whatever the format.

    Where the cell becomes another basis of the same lattice (LAMMPS flips a box that is tilted
    too far) positions go on in the new one.

    Parameters
    ----------
    source
        Name for messages.
    long_steps
        ``"refuse"`` or ``"warn"`` where an atom moves so far between two frames that its
        unwrapping is not certain, or ``"accept"`` for what is measured modulo the cell.

    Attributes
    ----------
    findings : list of Finding
        What there is to know, once :meth:`finish` was called.
    """

    def __init__(self, source: str, long_steps: LongSteps = "refuse") -> None:
        choice("long_steps", long_steps, get_args(LongSteps))
        self.source = source
        self.long_steps = long_steps
        self.n_frames = 0
        self.findings: list[Finding] = []
        self.folded_along_open: BoolArray = np.zeros(3, dtype=bool)
        self._segments: list[_Segment] = []
        self._last: FloatArray | None = None
        self._last_cell: FloatArray = np.eye(3)

    def add(
        self,
        positions_A: FloatArray,
        cells_A: FloatArray,
        wrapped: bool | None,
        continues: bool = False,
        pbc: tuple[bool, bool, bool] = (True, True, True),
    ) -> dict[str, NDArray[Any]]:
        """Take the next frames; return what is to be kept beside them for :meth:`finish`.

        Parameters
        ----------
        positions_A : (frames, atoms, 3)
            Positions in angstrom.
        cells_A : (frames, 3, 3)
            Cell vectors as rows, in angstrom.
        wrapped
            What the format says, as in :class:`mlmd.trajectory.frame_block.FrameBlock`.
        continues
            True for the first frames of a run that continues another.
        pbc
            Which cell vectors the file calls periodic.

        Returns
        -------
        dict
            ``crossed`` (frames, atoms, 3) and ``segment`` (frames,): whole numbers.

        Raises
        ------
        InputError
            If a periodic cell vector has no length, or vectors lie in a plane.
        """
        n = len(positions_A)
        kept: dict[str, NDArray[Any]] = {
            "crossed": np.zeros(positions_A.shape, np.int16),
            "segment": np.zeros(n, np.int32),
        }
        if not n:
            return kept
        cells, there = completed_cells(cells_A)
        if cells is None or (np.array(pbc) & ~there).any():
            if wrapped is not False:
                raise InputError(f"{self.source}: a cell without a volume; expected three vectors")
            if cells is None:
                cells, there = np.broadcast_to(np.eye(3), cells_A.shape), np.zeros(3, dtype=bool)
        fractional = positions_A @ np.linalg.inv(cells)
        if self._last is None:
            self._last, self._last_cell = fractional[0], cells[0]
        flips = dict(basis_changes(cells, fractional, self._last_cell, self._last))
        is_first = not self._segments or continues
        starts = sorted({*flips, *([0] if is_first else [])})
        self._go_on(fractional[: starts[0] if starts else n], kept, 0)
        for start, stop in pairwise([*starts, n]):
            how = _Link(is_first and start == 0, flips.get(start, np.eye(3)))
            self._begin(fractional[start], how, wrapped, np.array(pbc) & there, there)
            self._go_on(fractional[start:stop], kept, start)
        self._last_cell = cells[-1]
        return kept

    def _begin(
        self,
        first: FloatArray,
        how: _Link,
        said: bool | None,
        periodic: BoolArray,
        there: BoolArray,
    ) -> None:
        """Begin a segment with its first frame: of another run, or of the same in another basis."""
        assert self._last is not None
        to_basis = np.linalg.inv(how.basis)
        step = first - self._last @ to_basis
        crossed = np.where(there, np.rint(step), 0.0)
        evidence = Evidence(len(first)) if how.begins_run else self._segments[-1].evidence
        if not how.begins_run:
            evidence.changed_basis = True
            evidence.add_steps(step[None], crossed[None], self.n_frames)
        self._segments.append(
            _Segment(
                evidence=evidence,
                said=said,
                periodic=periodic,
                is_joint=how.begins_run,
                link=crossed,
                longest_link=np.abs(step - crossed),
                frame=self.n_frames,
                to_basis=np.rint(to_basis),
                crossed=np.zeros_like(crossed),
            )
        )
        self._last = first

    def _go_on(self, fractional: FloatArray, kept: dict[str, NDArray[Any]], start: int) -> None:
        """Take frames of the segment that is open."""
        if not len(fractional):
            return
        segment = self._segments[-1]
        assert self._last is not None
        steps = np.diff(fractional, axis=0, prepend=self._last[None])
        crossings = np.rint(steps)
        segment.evidence.add_positions(fractional)
        segment.evidence.add_steps(steps, crossings, self.n_frames)
        part = slice(start, start + len(fractional))
        kept["segment"][part] = len(self._segments) - 1
        if crossings.any() or segment.crossed.any():
            crossed = np.cumsum(crossings, axis=0) + segment.crossed
            if np.abs(crossed).max() > MOST_CROSSINGS:
                raise InputError(
                    f"{self.source}: an atom is {np.abs(crossed).max():.3g} cell vectors away; "
                    f"expected at most {MOST_CROSSINGS}: the file is damaged, or its cell is not "
                    "the one of its positions"
                )
            segment.crossed = crossed[-1]
            kept["crossed"][part] = crossed
        self._last = fractional[-1]
        self.n_frames += len(fractional)

    def finish(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Unwrap, in place, the positions that were kept, and take out what lay beside them.

        Parameters
        ----------
        arrays
            ``positions_A`` (frames, atoms, 3), ``cell_A`` (frames, 3, 3), and what :meth:`add`
            returned for these frames.

        Raises
        ------
        InputError
            If a step is too long and `long_steps` says to refuse it.
        """
        masks = self._decided()
        offsets = self._offsets(masks)
        positions_A, cells_A = arrays["positions_A"], arrays["cell_A"]
        crossed, segments = arrays.pop("crossed"), arrays.pop("segment")
        borders = np.flatnonzero(np.diff(segments)) + 1
        for begin, end in pairwise([0, *borders, len(segments)]):
            for start in range(begin, end, _FRAMES_AT_ONCE):
                part = slice(start, min(start + _FRAMES_AT_ONCE, end))
                number = int(segments[start])
                moved = crossed[part] * masks[number] + offsets[number]
                if moved.any():
                    positions_A[part] -= moved @ cells_A[part]

    def _decided(self) -> list[BoolArray]:
        """Return, for each segment, along which cell vectors its positions are folded."""
        known: dict[int, BoolArray] = {}
        masks: list[BoolArray] = []
        for segment in self._segments:
            evidence = segment.evidence
            if id(evidence) not in known:
                verdicts = evidence.verdicts(segment.periodic, segment.said)
                folded = np.array([verdict.folded for verdict in verdicts])
                if evidence.changed_basis:
                    folded[:] = (folded & evidence.n_whole.any(axis=0)).any()
                known[id(evidence)] = folded
                self.folded_along_open |= folded & ~segment.periodic
                for axis, verdict in enumerate(verdicts):
                    if verdict.doubt:
                        frame, atom = evidence.at[axis]
                        self._doubt(float(evidence.longest_image[axis]), int(frame), int(atom))
                    if verdict.code is not None:
                        self._tell(verdict.code, "note", f"{self.source}: {verdict.message}")
            masks.append(known[id(evidence)])
        for before, segment, mask in zip(masks, self._segments[1:], masks[1:], strict=False):
            links = segment.longest_link * (segment.periodic | mask | before)
            if segment.is_joint and links.max(initial=0.0) > AMBIGUOUS_FRACTION:
                atom = int(np.argmax(links.max(axis=1)))
                self._doubt(float(links.max()), segment.frame, atom)
        return masks

    def _offsets(self, masks: list[BoolArray]) -> list[FloatArray]:
        """Return the cell vectors that each atom crossed before each segment."""
        offsets: list[FloatArray] = []
        for number, (segment, mask) in enumerate(zip(self._segments, masks, strict=True)):
            if number == 0:
                offsets.append(np.zeros_like(segment.link))
                continue
            before, was_folded = self._segments[number - 1], masks[number - 1]
            crosses = segment.periodic | was_folded | mask if segment.is_joint else mask
            carried = (offsets[-1] + before.crossed * was_folded) @ segment.to_basis
            offsets.append(np.rint(carried) + segment.link * crosses)
        return offsets

    def _doubt(self, fraction: float, frame: int, atom: int) -> None:
        """Refuse or tell of a step that may have been taken for its image."""
        message = (
            f"{self.source}: an atom moves by {fraction:.2f} of a cell vector between two frames "
            f"(atom {atom}, to frame {frame}, both counted from 0)"
        )
        if self.long_steps == "refuse":
            raise InputError(
                f"{message}, too far to be unwrapped with certainty (expected at most "
                f"{AMBIGUOUS_FRACTION}); write frames closer in time, or accept it with "
                "--long-steps warn (long_steps='warn')"
            )
        text = f"{message}; unwrapping needs frames closer in time to be certain"
        self._tell("long_steps", "doubt", text, {"longest_step": fraction})

    def _tell(
        self,
        code: str,
        severity: Literal["note", "doubt"],
        message: str,
        numbers: dict[str, float | None] | None = None,
    ) -> None:
        if self.long_steps != "accept" and all(one.code != code for one in self.findings):
            logger.warning("%s", message)
            self.findings.append(Finding(code, severity, message, numbers or {}))
