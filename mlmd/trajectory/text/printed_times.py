"""The time step behind times that a program printed with few digits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.frame_block import FrameBlock


MOST_DIGITS = 8
# A time step read off the first frames may be wrong by its last digit, a thousandth of a per cent.
DRIFT = 1e-4


def roundest(low: float, high: float) -> float:
    """Return the number of the fewest decimals between two, which is what people type."""
    for digits in range(MOST_DIGITS):
        number = round((low + high) / 2, digits)
        if number > 0 and low <= number <= high:
            return number
    return (low + high) / 2


class PrintedTimes:
    """Times of steps, evenly spaced where rounding is all that makes them uneven.

    ``time = 0.484`` and ``0.968`` of steps 1 and 2 are those of a time step of 0.4838 as of
    0.484; taken as they stand, no two intervals of a trajectory would be the same.

    Parameters
    ----------
    half_width
        Half a unit of the last digit that is printed.
    timestep
        The time step, where it is known; times are then counted from step 0.
    """

    def __init__(self, half_width: float, timestep: float | None = None) -> None:
        self._half_width = half_width
        self._line = None if timestep is None else (0, 0.0, timestep)
        self._given_up = False

    def times(self, steps: IntArray, printed: FloatArray) -> FloatArray:
        """Return the times of the next frames, of which the program printed `printed`."""
        if self._line is None and not self._given_up:
            self._line = self._fit(steps, printed)
            self._given_up = self._line is None and len(np.unique(steps)) > 1
        if self._line is None:
            return printed
        step, time, timestep = self._line
        times = time + timestep * (steps - step)
        allowed = self._half_width * 2 + DRIFT * np.abs(times - time)
        return times if (np.abs(times - printed) <= allowed).all() else printed

    def even(self, block: FrameBlock, unit_fs: float = 1.0) -> FrameBlock:
        """Return a block with its times freed from rounding; they are printed in some unit."""
        if block.time_fs is None or block.step is None:
            return block
        return replace(block, time_fs=self.times(block.step, block.time_fs / unit_fs) * unit_fs)

    def _fit(self, steps: IntArray, printed: FloatArray) -> tuple[int, float, float] | None:
        """Return (step, time there, time step) of the line through all, or None."""
        for step, time, error in ((0, 0.0, 0.0), (int(steps[0]), float(printed[0]), 1.0)):
            count = (steps - step).astype(float)
            after = count > 0
            if not after.any() or (count < 0).any():
                continue
            half_width = self._half_width * (1.0 + error)
            elapsed = printed[after] - time
            low = float(((elapsed - half_width) / count[after]).max())
            high = float(((elapsed + half_width) / count[after]).min())
            here = np.abs(printed[~after] - time) <= half_width
            if high > 0 and low <= high and math.isfinite(low) and here.all():
                return step, time, roundest(low, high)
        return None
