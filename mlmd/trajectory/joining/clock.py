"""The time of each frame, also where a restarted run counts it anew."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import positive_number
from mlmd.errors import TimeUnknownError

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.joining.restarts import Piece


logger = logging.getLogger(__name__)

SAME_INTERVAL = 1e-4


class Clock:
    """Gives the frames of one run their times, piece after piece.

    Parameters
    ----------
    timestep_fs
        Time between two frames, in fs, where it is given: it wins over what the files say.
    """

    def __init__(self, timestep_fs: float | None) -> None:
        self._given_fs = (
            None if timestep_fs is None else positive_number("timestep_fs", timestep_fs, "fs")
        )
        self._n = 0
        # As the file says them, and what to add to that.
        self._last_fs: float | None = None
        self._interval_fs: float | None = None
        self._offset_fs = 0.0
        self._warned = False

    def times_fs(self, piece: Piece) -> FloatArray:
        """Return the times of the frames of a piece.

        Raises
        ------
        TimeUnknownError
            If neither the file nor the user says them.
        """
        said = piece.block.time_fs
        first = self._n
        self._n += len(piece.block)
        if self._given_fs is not None:
            times = self._given_fs * np.arange(first, self._n, dtype=float)
            if said is not None:
                self._compare(said, piece.source)
            return times
        if said is None:
            raise TimeUnknownError(
                f"{piece.source} does not say the time between its frames; give it with "
                "--timestep-fs (timestep_fs=)"
            )
        if piece.begins:
            self._offset_fs = self._offset_of(said, piece)
        self._remember(said)
        return said + self._offset_fs

    def _offset_of(self, said: FloatArray, piece: Piece) -> float:
        """Return what to add to the times of a run that continues the one before."""
        first = float(said[0]) if piece.repeated_time_fs is None else piece.repeated_time_fs
        assert self._last_fs is not None
        if first > self._last_fs:
            return self._offset_fs
        end = self._last_fs + self._offset_fs
        if piece.repeated_time_fs is not None:
            return end - first
        interval = float(said[1] - said[0]) if len(said) > 1 else self._interval_fs
        if interval is None:
            raise TimeUnknownError(
                f"{piece.source} counts its time anew, and one frame does not say the time "
                "between two; give it with --timestep-fs (timestep_fs=)"
            )
        return end + interval - first

    def _remember(self, said: FloatArray) -> None:
        if len(said) > 1:
            self._interval_fs = float(said[-1] - said[-2])
        self._last_fs = float(said[-1])

    def _compare(self, said: FloatArray, source: str) -> None:
        assert self._given_fs is not None
        if len(said) < 2 or self._warned:
            return
        interval = float(said[1] - said[0])
        if abs(interval - self._given_fs) > SAME_INTERVAL * self._given_fs:
            self._warned = True
            logger.warning(
                "%s says %g fs between its frames; the given timestep_fs of %g is taken",
                source,
                interval,
                self._given_fs,
            )
