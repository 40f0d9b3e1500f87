"""Times of ``pw.x``, which prints them to a tenth or a hundredth of a femtosecond."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ase import units

from mlmd.trajectory.text.printed_times import PrintedTimes, roundest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmd.trajectory.frame_block import FrameBlock

# Rydberg atomic unit of time; vcsmd.f90 takes it as 2 x 0.0000242 ps where it prints.
RYDBERG_TIME_FS = 2.0 * units.AUT / units.fs
VCSMD_TIME_FS = 0.0484
HALF_DIGIT_AU = 0.5e-2
HALF_DIGIT_FS = 0.5e-4


class EspressoTimes:
    """From the times that are printed to those that are meant."""

    def __init__(self) -> None:
        self._times: PrintedTimes | None = None
        self._timestep_au: float | None = None
        self._half_digit_au = 0.0

    def set_timestep(self, au_and_fs: Sequence[float]) -> None:
        """Take the time step that a new run prints, in Rydberg atomic units and in fs."""
        au, fs = au_and_fs
        low = max(au - HALF_DIGIT_AU, (fs - HALF_DIGIT_FS) / RYDBERG_TIME_FS)
        high = min(au + HALF_DIGIT_AU, (fs + HALF_DIGIT_FS) / RYDBERG_TIME_FS)
        self._timestep_au = roundest(low, high) if 0 < low <= high else None

    def printed_fs(self, picoseconds: str, variable_cell: bool) -> float:
        """Return a time as it is printed, in fs; vc-md's own unit of time is set right."""
        unit = VCSMD_TIME_FS if variable_cell else RYDBERG_TIME_FS
        to_au = 1e3 / unit
        self._half_digit_au = 0.5 * 10.0 ** -len(picoseconds.partition(".")[2]) * to_au
        return float(picoseconds) * to_au * RYDBERG_TIME_FS

    def even(self, block: FrameBlock) -> FrameBlock:
        """Return the block with its times freed from rounding."""
        if self._times is None:
            self._times = PrintedTimes(self._half_digit_au, self._timestep_au)
        return self._times.even(block, RYDBERG_TIME_FS)
