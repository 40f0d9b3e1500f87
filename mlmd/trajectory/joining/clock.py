"""The time of each frame, also where a restarted run counts it anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import positive_number
from mlmd.errors import InputError, TimeUnknownError
from mlmd.findings import Finding

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.frame_block import FrameBlock
    from mlmd.trajectory.joining.restarts import Piece

# Times that are printed with few digits are that far from those that are meant.
SAME_INTERVAL = 1e-3
ROUNDED_FS = 0.01
# Of molecular dynamics, in fs: below are steps of electrons, above of coarse grains. What is
# outside was most likely given for something else.
MD_STEP_FS = (0.05, 20.0)
# So many frames tell which of their intervals is the odd one.
FEWEST_TO_TELL = 5


@dataclass(frozen=True)
class GivenTimes:
    """What the user says about the times of a trajectory.

    Attributes
    ----------
    frame_interval_fs
        Time between two frames of the file, in fs.
    md_step_fs
        Time of one of the steps that the file counts, in fs.
    needed
        Whether what is done depends on the times; frames are counted where they are not known.
    """

    frame_interval_fs: float | None = None
    md_step_fs: float | None = None
    needed: bool = True

    @classmethod
    def of(
        cls,
        frame_interval_fs: float | None,
        md_step_fs: float | None = None,
        timestep_fs: float | None = None,
        needed: bool = True,
    ) -> GivenTimes:
        """Check what was given; `timestep_fs` is the old name of `frame_interval_fs`."""
        names = ("frame_interval_fs", "md_step_fs", "timestep_fs")
        given = [
            None if value is None else positive_number(name, value, "fs")
            for name, value in zip(names, (frame_interval_fs, md_step_fs, timestep_fs), strict=True)
        ]
        interval, step, old = given
        if interval is not None and old is not None and interval != old:
            raise InputError(
                f"frame_interval_fs is {interval:g} and timestep_fs, its old name, {old:g}; give "
                "the time between frames once"
            )
        return cls(old if interval is None else interval, step, needed)


class Clock:
    """Lets the counts and times of the frames of one run go on, piece after piece.

    Parameters
    ----------
    given
        What the user says.
    """

    def __init__(self, given: GivenTimes) -> None:
        self._given = given
        self._step = _Count("step")
        self._time = _Count("time_fs")

    def continued(self, piece: Piece) -> Piece:
        """Return a piece with its steps and times counted on from those before.

        Raises
        ------
        TimeUnknownError
            If neither the file nor the user says the times.
        """
        given, block = self._given, piece.block
        if given.needed and given.md_step_fs is not None and block.step is None:
            raise TimeUnknownError(
                f"{piece.source} does not count its steps, so that md_step_fs says nothing; give "
                "the time between its frames with --frame-interval-fs (frame_interval_fs=)"
            )
        known = given.frame_interval_fs is not None or given.md_step_fs is not None
        if given.needed and not known and block.time_fs is None:
            counted = "" if block.step is None else ", or the MD step with --md-step-fs"
            raise TimeUnknownError(
                f"{piece.source} does not say the time between its frames; give it with "
                f"--frame-interval-fs (frame_interval_fs=){counted}"
            )
        step = self._step.continued(piece)
        time_fs = self._time.continued(piece)
        if given.needed and not known and time_fs is None:
            raise TimeUnknownError(
                f"{piece.source} counts its time anew, and one frame does not say the time "
                "between two; give it with --frame-interval-fs (frame_interval_fs=)"
            )
        counts = None if step is None else np.rint(step).astype(np.int64)
        return replace(piece, block=replace(block, step=counts, time_fs=time_fs))


class _Count:
    """One of the two ways in which frames are counted: by steps, or by their times."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: float | None = None
        self._spacing: float | None = None
        self._offset = 0.0

    def continued(self, piece: Piece) -> FloatArray | None:
        """Return the counts of a piece, going on from those before; None where unknown."""
        said = getattr(piece.block, self._name)
        if said is None:
            return None
        said = np.asarray(said, dtype=float)
        spacing = float(said[1] - said[0]) if len(said) > 1 else self._spacing
        if piece.begins and self._last is not None:
            repeated = None if piece.repeated is None else getattr(piece.repeated, self._name)
            end = self._last + self._offset
            if repeated is not None:
                self._offset = end - float(repeated[0])
            elif not piece.goes_on or said[0] <= self._last:
                # What lies between two runs is one interval: of the second, where it says one.
                if spacing is None:
                    return None
                self._offset = end + spacing - float(said[0])
        self._last = float(said[-1])
        self._spacing = float(said[-1] - said[-2]) if len(said) > 1 else spacing
        return np.asarray(said + self._offset)


class FrameTimes:
    """The times of the frames that are taken, from all that they and the user say of them.

    Parameters
    ----------
    given
        What the user says.
    source
        Name for messages.
    first
        Number of the first frame in the file.
    """

    def __init__(self, given: GivenTimes, source: str, first: int) -> None:
        self._given = given
        self._source = source
        self._first = first
        self._steps: list[FloatArray | None] = []
        self._times: list[FloatArray | None] = []
        self._n = 0
        self.findings: list[Finding] = []
        self.steps_between_frames: float | None = None

    def add(self, block: FrameBlock) -> None:
        """Take note of the next frames."""
        self._steps.append(None if block.step is None else block.step.astype(float))
        self._times.append(block.time_fs)
        self._n += len(block)

    def times_fs(self) -> FloatArray:
        """Return the time of each frame.

        Raises
        ------
        InputError
            If what the file and the user say contradicts each other.
        """
        given, index = self._given, self._first + np.arange(self._n, dtype=float)
        steps, said = _whole(self._steps), _whole(self._times)
        if not given.needed or not self._n:
            return index * (given.frame_interval_fs or 1.0) if said is None else said
        if given.md_step_fs is not None:
            assert steps is not None
            times = given.md_step_fs * steps
            self._say_interval(steps, given.md_step_fs)
        elif given.frame_interval_fs is not None:
            times = given.frame_interval_fs * self._intervals(steps, said, index)
        else:
            assert said is not None
            self._see_md_step(steps, said)
            return said
        self._compare(times, said)
        if given.md_step_fs is not None and given.frame_interval_fs is not None:
            whole = given.frame_interval_fs * index
            self._refuse_contradiction(times, whole, "md_step_fs and frame_interval_fs say")
        return times

    def _intervals(
        self, steps: FloatArray | None, said: FloatArray | None, index: FloatArray
    ) -> FloatArray:
        """Return the frames' numbers, in intervals that are those of the steps as well."""
        interval_fs = self._given.frame_interval_fs
        assert interval_fs is not None
        if steps is None or len(steps) < 2:
            return index
        apart = np.diff(steps)
        usual = self.steps_between_frames = float(np.median(apart))
        if odd_intervals(steps)[1:-1].any() or (len(apart) < FEWEST_TO_TELL and np.ptp(apart)):
            raise InputError(
                f"{self._source}: {uneven(steps, 'step', '', self._first)}: one frame_interval_fs "
                "does not hold for all; give the time step of the MD with --md-step-fs "
                "(md_step_fs=), and --pieces (Trajectory.read_pieces) to analyse each evenly "
                "spaced part, or take one of them (--start, --stop)"
            )
        if said is None:
            self._say_md_step(usual, interval_fs)
        return np.asarray(self._first + (steps - steps[0]) / usual)

    def _say_md_step(self, usual: float, interval_fs: float) -> None:
        """Say which MD step was implied; refuse one that is none."""
        md_step_fs = interval_fs / usual
        low, high = MD_STEP_FS
        if usual > 1 and not low <= md_step_fs <= high:
            likely = (
                "was the MD step given for the time between frames?"
                if md_step_fs < low
                else "is that the time between frames?"
            )
            raise InputError(
                f"{self._source}: its frames are {usual:g} steps apart, so that {interval_fs:g} fs "
                f"between them is an MD step of {md_step_fs:g} fs: {likely} Give one of the two "
                f"rightly: --frame-interval-fs, or --md-step-fs (md_step_fs=), which is taken as "
                f"it is given, also outside {low:g} to {high:g} fs"
            )
        text = (
            f"{self._source}: its frames are {usual:g} step(s) apart by its own count, so that "
            f"{interval_fs:g} fs between them is an MD step of {md_step_fs:g} fs"
            + ("" if usual > 1 else ", unless it counts frames")
        )
        numbers = {
            "md_step_fs": md_step_fs,
            "frame_interval_fs": interval_fs,
            "steps_between_frames": usual,
        }
        self.findings.append(Finding("md_step_implied", "note", text, numbers))

    def _say_interval(self, steps: FloatArray, md_step_fs: float) -> None:
        if len(steps) < 2:
            return
        usual = float(np.median(np.diff(steps)))
        text = (
            f"{self._source}: its frames are {usual:g} step(s) of {md_step_fs:g} fs apart by its "
            f"own count: {usual * md_step_fs:g} fs between frames"
        )
        numbers = {
            "md_step_fs": md_step_fs,
            "frame_interval_fs": usual * md_step_fs,
            "steps_between_frames": usual,
        }
        self.findings.append(Finding("frame_interval_implied", "note", text, numbers))

    def _see_md_step(self, steps: FloatArray | None, said: FloatArray) -> None:
        """Doubt times that do not go with the steps."""
        if steps is None or len(steps) < 2 or (np.diff(steps) <= 0).any():
            return
        each_fs = np.diff(said) / np.diff(steps)
        odd = np.abs(each_fs - each_fs[0]) > 10 * SAME_INTERVAL * abs(each_fs[0])
        if odd.any():
            at = int(np.argmax(odd)) + 1
            text = (
                f"{self._source}: its steps take {each_fs[0]:g} fs by the times it says, and "
                f"{each_fs[at - 1]:g} fs at frame {self._first + at} (step {steps[at]:g}); the "
                "times are taken"
            )
            self.findings.append(Finding("md_step_changes", "doubt", text))

    def _compare(self, times: FloatArray, said: FloatArray | None) -> None:
        if said is None:
            return
        name = "frame_interval_fs" if self._given.md_step_fs is None else "md_step_fs"
        self._refuse_contradiction(times, said, f"{name} and the file's own times say")

    def _refuse_contradiction(self, one: FloatArray, other: FloatArray, what: str) -> None:
        elapsed = one - one[0]
        wrong = np.abs(elapsed - (other - other[0])) > SAME_INTERVAL * np.abs(elapsed) + ROUNDED_FS
        if wrong.any():
            a, b, at = np.diff(one), np.diff(other), int(np.argmax(wrong)) - 1
            raise InputError(
                f"{self._source}: {what} {a[at]:g} and {b[at]:g} fs between frames "
                f"{self._first + at} and {self._first + at + 1}; leave the option out, or, if the "
                "file is wrong, set its times in Python: dataclasses.replace(Trajectory.read(file),"
                " time_fs=...)"
            )


def refuse_other_times(source: str, given: GivenTimes, times_fs: FloatArray, every: int) -> None:
    """Raise InputError where a file that says its times is given others.

    Parameters
    ----------
    source
        Name for messages.
    given
        What the user says.
    times_fs
        Of the frames that were taken, each `every`-th.
    """
    if given.md_step_fs is not None:
        raise InputError(f"{source} says its times; leave --md-step-fs (md_step_fs=) out")
    if given.frame_interval_fs is None or len(times_fs) < 2:
        return
    own_fs = float(times_fs[-1] - times_fs[0]) / (len(times_fs) - 1) / every
    if abs(own_fs - given.frame_interval_fs) > SAME_INTERVAL * own_fs + ROUNDED_FS:
        raise InputError(
            f"{source} says {own_fs:g} fs between its frames, and frame_interval_fs is "
            f"{given.frame_interval_fs:g}; leave --frame-interval-fs out"
        )


def _whole(parts: list[FloatArray | None]) -> FloatArray | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known and len(known) == len(parts) else None


def odd_intervals(counts: FloatArray) -> FloatArray:
    """Tell which intervals between counts are not the usual one."""
    apart = np.diff(counts)
    usual = np.median(apart)
    return np.asarray(np.abs(apart - usual) > SAME_INTERVAL * abs(usual))


def odd_ends(counts: FloatArray) -> slice:
    """Return the frames without a first and a last one that are off the others' interval.

    A run writes its first frame before, and its last one where it ends, whatever its interval is.
    """
    if len(counts) < FEWEST_TO_TELL:
        return slice(0, len(counts))
    odd = odd_intervals(counts)
    if odd[1:-1].any():
        return slice(0, len(counts))
    return slice(int(odd[0]), len(counts) - int(odd[-1]))


def uneven(counts: FloatArray, name: str, unit: str, first: int = 0) -> str:
    """Say where frames stop to be evenly spaced: counts are their steps, or their times."""
    apart = np.diff(counts)
    odd = np.abs(apart - apart[0]) > SAME_INTERVAL * abs(apart[0])
    at = int(np.argmax(odd))
    rest = apart[at:]
    after = (
        "after" if np.allclose(rest, rest[0], rtol=SAME_INTERVAL) else f"to frame {first + at + 1}"
    )
    return (
        f"its frames are not evenly spaced: {name}s {apart[0]:.10g}{unit} apart up to "
        f"{counts[at]:.10g}{unit} (frame {first + at}), {apart[at]:.10g}{unit} {after}"
    )
