"""From blocks of frames, as readers give them, to the arrays of trajectories."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.trajectory.joining.clock import (
    SAME_INTERVAL,
    Clock,
    FrameTimes,
    GivenTimes,
    odd_ends,
)
from mlmd.trajectory.joining.growing import GrowingArray, spill_largest
from mlmd.trajectory.joining.joints import Joints, OnMisfit
from mlmd.trajectory.joining.restarts import (
    BranchError,
    Files,
    Piece,
    branches_of,
    without_repeats,
)
from mlmd.trajectory.joining.speeds import Speeds, doubt_speed
from mlmd.trajectory.joining.unwrapping import LongSteps, Unwrapper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.arrays import BoolArray
    from mlmd.trajectory.frame_block import FrameBlock

    Opened = Callable[[], Files]

logger = logging.getLogger(__name__)

# Of any length, energy, force and stress in these units: what exceeds it was misread.
LARGEST = 1e12
OPTIONAL = ("velocities_A_fs", "forces_eV_A", "stresses_eV_A3", "energies_eV")


def join(
    opened: Opened,
    source: str,
    given: GivenTimes,
    frames: slice,
    long_steps: LongSteps = "refuse",
    pieces: bool = False,
) -> list[dict[str, Any]]:
    """Join the frames of the files of one run.

    Memory is bounded: what is not taken is dropped as it comes, and arrays larger than
    :data:`mlmd.trajectory.joining.growing.SPILL_BYTES` grow on disk.

    Parameters
    ----------
    opened
        Gives name and blocks of each file, in the order of time, each time it is called: files
        are read again to count their frames (for a start from the end), and where a later run
        leaves the end of an earlier one behind.
    source
        Name of the whole, for messages.
    given
        What the user says of the times.
    frames
        Which to take of all, as a slice of a sequence. Frames outside are not judged, and
        unwrapping begins with the first that is taken; those between every n-th are unwrapped.
    long_steps
        ``"refuse"`` or ``"warn"`` where unwrapping is not certain, or frames do not follow;
        ``"accept"`` for what needs neither unwrapping nor times.
    pieces
        Whether to cut where frames do not follow, or are not evenly spaced; else that is refused,
        or left to who measures.

    Returns
    -------
    list of dict
        What :class:`mlmd.Trajectory` is made of, by its names; one, or one for each piece.

    Raises
    ------
    InputError
        If the atoms change, times are not known or contradict each other, frames do not follow
        each other, a step is too long, or there is no frame.
    """
    if long_steps == "accept":
        given = replace(given, needed=False)
    branches: list[range] = []
    for _ in range(2):
        try:
            start, stop, every = _counted_from_first(opened, branches, frames)
            joining = _Joining(source, given, long_steps, pieces, start, every)
            return joining.arrays(opened(), branches, start, stop)
        except BranchError:
            branches = branches_of(opened())
    raise InputError(f"{source}: restarts go back and forth; join fewer of them at a time")


def _counted_from_first(
    opened: Opened, branches: list[range], frames: slice
) -> tuple[int, int | None, int]:
    """Return start, stop and every, none of them from the end."""
    start, stop = frames.start or 0, frames.stop
    if start < 0 or (stop is not None and stop < 0):
        n = sum(len(piece.block) for piece in without_repeats(opened(), branches, []))
        start, stop, _ = slice(start, stop).indices(n)
    return start, stop, frames.step or 1


class _Joining:
    """One way through all frames."""

    def __init__(
        self,
        source: str,
        given: GivenTimes,
        long_steps: LongSteps,
        pieces: bool,
        start: int,
        every: int,
    ) -> None:
        self._source = source
        self._given = given
        self._long_steps = long_steps
        self._pieces = pieces
        self._every = every
        self._n = start
        self._findings: list[Finding] = []
        accepted: OnMisfit = "refuse" if long_steps == "refuse" else "warn"
        self._joints = Joints("cut" if pieces else accepted, first=start)
        self._segments: list[_Segment] = []
        self._first: FrameBlock | None = None

    def arrays(
        self, files: Files, branches: list[range], start: int, stop: int | None
    ) -> list[dict[str, Any]]:
        """Return what the trajectories are made of."""
        clock = Clock(self._given)
        repeated: list[Finding] = []
        kept = without_repeats(files, branches, repeated)
        taken = self._within((clock.continued(piece) for piece in kept), start, stop)
        if self._given.needed:
            taken = self._joints.judged(taken)
        if self._pieces:
            taken = _cut_unevenly(taken, by_time=self._given == GivenTimes())
        for piece in taken:
            if piece.cut or not self._segments:
                self._segments.append(
                    _Segment(self._source, self._given, self._long_steps, self._n, self._every)
                )
            self._segments[-1].add(piece)
            self._n += len(piece.block)
        if self._first is None:
            raise InputError(f"{self._source} holds no whole frame; expected at least one")
        self._findings = [*repeated, *self._joints.findings]
        return self._finished()

    def _within(self, pieces: Iterable[Piece], start: int, stop: int | None) -> Iterator[Piece]:
        """Give the frames from `start` to `stop`; at least a piece without any, for its shape."""
        n, n_taken = 0, 0
        for piece in pieces:
            n_block = len(piece.block)
            begin, end = max(start - n, 0), n_block if stop is None else min(stop - n, n_block)
            if self._first is None:
                self._first = piece.block
            if begin < end:
                part = piece
                if (begin, end) != (0, n_block):
                    part = replace(piece, block=piece.block.part(slice(begin, end)))
                if begin > 0 or n_taken == 0:
                    part = replace(part, begins=False, repeated=None)
                _refuse_misread(part)
                yield part
                n_taken += end - begin
            n += n_block
            if stop is not None and n >= stop:
                break
        if n_taken == 0 and self._first is not None:
            yield Piece(self._first.part(slice(0, 0)), self._source)

    def _finished(self) -> list[dict[str, Any]]:
        """Return what was gathered; of pieces those of two frames or more."""
        assert self._first is not None
        first = self._first
        once = {"numbers": first.numbers, "masses_u": first.masses_u}
        long_enough = self._segments
        if self._pieces:
            long_enough = [one for one in self._segments if one.n_frames > 1]
            self._tell_pieces(long_enough)
        made, said = [], set()
        for i, segment in enumerate(long_enough):
            name = self._source
            if len(long_enough) > 1:
                name = f"{self._source}, piece {i + 1} of {len(long_enough)}"
            arrays, findings = segment.finish()
            findings = [*(self._findings if i == 0 else []), *findings]
            # What holds for all pieces is said with the first.
            new = [one for one in findings if (one.code, str(one.numbers)) not in said]
            said |= {(one.code, str(one.numbers)) for one in new}
            pbc = tuple((np.array(first.pbc) | segment.folded_along_open).tolist())
            made.append({"source": name, "findings": tuple(new), **once, "pbc": pbc, **arrays})
        apart = {one.steps_between_frames for one in long_enough}
        if self._given.frame_interval_fs is not None and len(apart) > 1:
            found = " and ".join(
                f"{one:g}" for one in sorted(one for one in apart if one is not None)
            )
            raise InputError(
                f"{self._source}: its pieces have frames {found} steps apart: one "
                "frame_interval_fs does not hold for all; give the time step of the MD with "
                "--md-step-fs (md_step_fs=)"
            )
        return made

    def _tell_pieces(self, long_enough: list[_Segment]) -> None:
        n = len(long_enough)
        if n == 0:
            raise InputError(
                f"{self._source}: no two of its frames follow each other; expected a piece that "
                "can be analysed"
            )
        n_left = sum(one.n_frames for one in self._segments if one.n_frames < 2)
        if len(self._segments) == 1:
            return
        where = ", ".join(f"{one.first} ({one.n_frames} frames)" for one in long_enough)
        left = f"; {n_left} single frame(s) are left out" if n_left else ""
        text = f"{self._source}: cut into {n} piece(s) that begin with frames {where}{left}"
        numbers = {"n_pieces": float(n), "n_frames_left_out": float(n_left)}
        self._findings.append(Finding("cut_into_pieces", "note", text, numbers))


class _Segment:
    """Frames that follow each other, as they come."""

    def __init__(
        self, source: str, given: GivenTimes, long_steps: LongSteps, first: int, every: int
    ) -> None:
        self.first = first
        self.n_frames = 0
        self._source = source
        self._given = given
        self._every = every
        self._columns = _Columns()
        self._times = FrameTimes(given, source, first)
        self._speeds = Speeds()
        self._unwrapper = Unwrapper(source, long_steps)
        self._unwrapper.n_frames = first
        self._long_steps = long_steps

    @property
    def steps_between_frames(self) -> float | None:
        """What the file counts from frame to frame."""
        return self._times.steps_between_frames

    def add(self, piece: Piece) -> None:
        """Take the next frames."""
        block = piece.block
        known = {name: array for name in OPTIONAL if (array := getattr(block, name)) is not None}
        continues = piece.begins and self.n_frames > 0
        beside = self._unwrapper.add(
            block.positions_A, block.cell_A, block.wrapped, continues, block.pbc
        )
        self._times.add(block)
        self._speeds.add(block)
        taken = slice(-self.n_frames % self._every, None, self._every)
        kept = {"positions_A": block.positions_A, "cell_A": block.cell_A, **known, **beside}
        self._columns.append(kept, taken)
        self.n_frames += len(block)

    @property
    def folded_along_open(self) -> BoolArray:
        """Along which cell vectors positions are folded that the file calls not periodic."""
        return self._unwrapper.folded_along_open

    def finish(self) -> tuple[dict[str, NDArray[Any]], list[Finding]]:
        """Return arrays by their names in a trajectory, and what there is to say of them."""
        all_times_fs = self._times.times_fs()
        findings = self._times.findings
        if self._given.needed:
            by_user = self._given != GivenTimes() and self._long_steps != "warn"
            fastest = self._speeds.fastest(all_times_fs)
            findings += doubt_speed(self._source, fastest, refuse=by_user)
        arrays = {"time_fs": all_times_fs[:: self._every], **self._columns.finish()}
        even = odd_ends(arrays["time_fs"]) if self._given.needed else slice(None)
        if len(arrays["time_fs"][even]) < len(arrays["time_fs"]):
            findings.append(_about_ends(self._source, arrays["time_fs"], even))
            arrays = {name: array[even] for name, array in arrays.items()}
        self._unwrapper.finish(arrays)
        findings += self._unwrapper.findings
        cells = arrays["cell_A"]
        if len(cells) and (cells == cells[0]).all():
            arrays["cell_A"] = np.array(cells[0])
        return arrays, findings


def _refuse_misread(piece: Piece) -> None:
    for name in ("cell_A", "positions_A", *OPTIONAL):
        array = getattr(piece.block, name)
        # Also no number that is none: NaN compares as false.
        if array is not None and not (np.abs(array) < LARGEST).all():
            raise InputError(
                f"{piece.source}: {name} is not finite, or not below {LARGEST:g}, in every frame"
            )


def _about_ends(source: str, times_fs: NDArray[Any], even: slice) -> Finding:
    """Say which frame at an end is left out."""
    ends = [("first", 0, 1)] * (even.start > 0) + [("last", -2, -1)] * (even.stop < len(times_fs))
    usual_fs = float(np.median(np.diff(times_fs)))
    told = " and ".join(
        f"the {which} frame is {times_fs[b] - times_fs[a]:g} fs from the one beside it"
        for which, a, b in ends
    )
    text = f"{source}: {told}, all others are {usual_fs:g} fs apart: left out"
    logger.warning("%s", text)
    return Finding("frame_off_interval", "note", text, {"frame_interval_fs": usual_fs})


def _cut_unevenly(pieces: Iterable[Piece], by_time: bool) -> Iterator[Piece]:
    """Mark pieces as cut where the count, or the time, from frame to frame changes."""
    last: float | None = None
    apart: float | None = None
    for whole in pieces:
        piece = whole
        said = piece.block.time_fs if by_time else piece.block.step
        if said is None or not len(said):
            yield piece
            continue
        counts = np.asarray(said, dtype=float)
        if piece.cut:
            last = apart = None
        begin = 0
        for at, count in enumerate(counts.tolist()):
            step = None if last is None else count - last
            if step is not None and apart is not None and abs(step - apart) > SAME_INTERVAL * apart:
                if at > begin:
                    yield _part(piece, begin, at)
                piece, begin, apart = replace(piece, cut=True), at, None
            elif step is not None:
                apart = step
            last = count
        yield _part(piece, begin, len(counts))


def _part(piece: Piece, begin: int, end: int) -> Piece:
    """Return some frames of a piece; only the first of them begin what it begins."""
    return replace(piece, block=piece.block.part(slice(begin, end)))


class _Columns:
    """The arrays of the trajectory as they grow; those that a frame lacks are left out."""

    def __init__(self) -> None:
        self._columns: dict[str, GrowingArray] | None = None

    def append(self, arrays: dict[str, NDArray[Any]], taken: slice) -> None:
        if self._columns is None:
            self._columns = {
                name: GrowingArray(array.shape[1:], array.dtype) for name, array in arrays.items()
            }
        for name in sorted(self._columns.keys() - arrays.keys()):
            logger.warning("%s is left out: not every frame has it", name)
            del self._columns[name]
        for name, column in self._columns.items():
            column.append(arrays[name][taken])
        spill_largest(self._columns)

    def finish(self) -> dict[str, NDArray[Any]]:
        return {name: column.finish() for name, column in (self._columns or {}).items()}
