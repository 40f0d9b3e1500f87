"""Undoing periodic wrapping once all frames are seen, and telling where that is not possible."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from mlmd.checks import choice
from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.periodic.cell import basis_changes, completed_cells
from mlmd.trajectory.joining.folding import AMBIGUOUS_FRACTION, Evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.arrays import BoolArray, FloatArray, IntArray


LongSteps = Literal["refuse", "warn", "accept"]
"""What to do where unwrapping is not certain; ``accept`` is for what needs no unwrapping."""

logger = logging.getLogger(__name__)

# Frames that are unwrapped at once, so that what lies on disk stays there.
_FRAMES_AT_ONCE = 1000
MOST_CROSSINGS = int(np.iinfo(np.int16).max)


@dataclass
class _Segment:
    """Frames of one run between two changes of the basis, or all of them.

    ``link`` is what crossed, by nearest images, on the way from the segment before, and
    ``longest_link`` what is left of these steps; ``to_basis`` turns numbers of cell vectors there
    into those here. ``crossed`` is what crossed since, if the positions are folded.
    """

    is_joint: bool
    link: FloatArray
    longest_link: FloatArray
    frame: int
    to_basis: FloatArray
    crossed: FloatArray


@dataclass
class _Run:
    """What is known of a run while its frames come."""

    evidence: Evidence
    said: bool | None
    periodic: BoolArray
    segments: list[_Segment]


@dataclass(frozen=True)
class _Decided:
    """Which cell vectors a segment is folded along, and what crossed before it (None: nothing)."""

    folded: BoolArray
    offset: IntArray | None


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
        self._run: _Run | None = None
        self._n_segments = 0
        self._decided: list[_Decided] = []
        self._before: tuple[FloatArray, BoolArray] | None = None
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
        if not there.all():
            fractional[..., ~there] = 0.0
        if self._last is None:
            self._last, self._last_cell = fractional[0], cells[0]
        flips = dict(basis_changes(cells, fractional, self._last_cell, self._last))
        begins_run = self._run is None or continues
        if begins_run:
            self._close()
            self._run = _Run(Evidence(positions_A.shape[1]), wrapped, np.array(pbc) & there, [])
        starts = sorted({*flips, *([0] if begins_run else [])})
        self._go_on(fractional[: starts[0] if starts else n], kept, 0)
        for start, stop in pairwise([*starts, n]):
            self._begin(fractional[start], flips.get(start), begins_run and start == 0)
            self._go_on(fractional[start:stop], kept, start)
        self._last_cell = cells[-1]
        return kept

    def _begin(self, first: FloatArray, basis: FloatArray | None, is_joint: bool) -> None:
        """Begin a segment with its first frame: of a run, or of the same one in another basis."""
        assert self._last is not None
        assert self._run is not None
        to_basis = np.eye(3) if basis is None else np.rint(np.linalg.inv(basis))
        step = first - self._last @ to_basis
        link = np.rint(step)
        if not is_joint:
            self._run.evidence.changed_basis = True
            self._run.evidence.add_steps(step[None], link[None], self.n_frames)
        self._run.segments.append(
            _Segment(
                is_joint, link, np.abs(step - link), self.n_frames, to_basis, np.zeros_like(link)
            )
        )
        self._n_segments += 1
        self._last = first

    def _go_on(self, fractional: FloatArray, kept: dict[str, NDArray[Any]], start: int) -> None:
        """Take frames of the segment that is open."""
        if not len(fractional):
            return
        assert self._last is not None
        assert self._run is not None
        segment, evidence = self._run.segments[-1], self._run.evidence
        steps = np.diff(fractional, axis=0, prepend=self._last[None])
        crossings = np.rint(steps)
        evidence.add_positions(fractional)
        evidence.add_steps(steps, crossings, self.n_frames)
        part = slice(start, start + len(fractional))
        kept["segment"][part] = self._n_segments - 1
        if crossings.any() or segment.crossed.any():
            crossed = np.cumsum(crossings, axis=0) + segment.crossed
            if not np.abs(crossed).max() <= MOST_CROSSINGS:  # also where it is no number
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
        self._close()
        positions_A, cells_A = arrays["positions_A"], arrays["cell_A"]
        crossed, segments = arrays.pop("crossed"), arrays.pop("segment")
        borders = np.flatnonzero(np.diff(segments)) + 1
        for begin, end in pairwise([0, *borders, len(segments)]):
            for start in range(begin, end, _FRAMES_AT_ONCE):
                part = slice(start, min(start + _FRAMES_AT_ONCE, end))
                decided = self._decided[int(segments[start])]
                moved = crossed[part] * decided.folded
                if decided.offset is not None:
                    moved = moved + decided.offset
                if moved.any():
                    positions_A[part] -= moved @ cells_A[part]

    def _close(self) -> None:
        """Decide of a run, all of which is seen, what its atoms crossed before each segment."""
        if self._run is None:
            return
        run, self._run = self._run, None
        folded = self._folded(run)
        for segment in run.segments:
            offset = np.zeros_like(segment.link)
            if self._before is not None:
                reached, was_folded = self._before
                crosses = run.periodic | was_folded | folded if segment.is_joint else folded
                offset = np.rint(reached @ segment.to_basis) + segment.link * crosses
                left = segment.longest_link * crosses
                if segment.is_joint and left.max(initial=0.0) > AMBIGUOUS_FRACTION:
                    self._doubt(*_longest(left), segment.frame)
            self._decided.append(
                _Decided(folded, offset.astype(np.int32) if offset.any() else None)
            )
            self._before = offset + segment.crossed * folded, folded

    def _folded(self, run: _Run) -> BoolArray:
        """Return along which cell vectors the positions of a run are folded."""
        evidence = run.evidence
        verdicts = evidence.verdicts(run.periodic, run.said)
        for axis, verdict in enumerate(verdicts):
            if verdict.doubt and verdict.message:
                self._refuse_or_tell(f"{self.source}: {verdict.message}", evidence.longest[axis])
            elif verdict.doubt:
                frame, atom = evidence.at[axis]
                self._doubt(float(evidence.longest_image[axis]), int(atom), int(frame))
            elif verdict.code is not None:
                self._tell(verdict.code, "note", f"{self.source}: {verdict.message}")
        folded = np.array([verdict.folded for verdict in verdicts])
        if evidence.changed_basis:  # vectors have changed their places
            folded[:] = (folded & evidence.n_whole.any(axis=0)).any()
        self.folded_along_open |= folded & ~run.periodic
        return folded

    def _doubt(self, fraction: float, atom: int, frame: int) -> None:
        """Refuse or tell of a step that may have been taken for its image."""
        self._refuse_or_tell(
            f"{self.source}: an atom moves by {fraction:.2f} of a cell vector between two frames "
            f"(atom {atom}, to frame {frame}, both counted from 0)",
            fraction,
        )

    def _refuse_or_tell(self, message: str, fraction: float) -> None:
        if self.long_steps == "refuse":
            raise InputError(
                f"{message}, too far to be unwrapped with certainty (expected at most "
                f"{AMBIGUOUS_FRACTION}); write frames closer in time, or accept it with "
                "--long-steps warn (long_steps='warn')"
            )
        text = f"{message}; unwrapping needs frames closer in time to be certain"
        self._tell("long_steps", "doubt", text, {"longest_step": float(fraction)})

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


def _longest(fractions: FloatArray) -> tuple[float, int]:
    """Return the longest of steps (atoms, 3), and its atom."""
    return float(fractions.max()), int(np.argmax(fractions.max(axis=1)))
