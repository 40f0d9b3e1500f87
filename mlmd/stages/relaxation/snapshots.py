"""The last snapshots of a recorded trajectory, at equal intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError
from mlmd.trajectory.h5md.reader import read_h5md, read_scalars
from mlmd.trajectory.trajectory import Trajectory

if TYPE_CHECKING:
    from pathlib import Path


TOLERANCE = 1e-3
"""How far from its time a frame may be, in intervals of snapshots."""


def last_snapshots(path: Path, n: int, every_ps: float) -> Trajectory:
    """Return the last `n` frames that are `every_ps` apart, counted back from the end.

    Raises
    ------
    InputError
        If the trajectory is too short, or was not recorded at those times; it says what there is.
    """
    if not path.exists():
        raise InputError(
            f"{path} does not exist; snapshots are taken from the trajectory of a stage of dynamics"
        )
    time_ps = read_scalars(path, trusted=True)["time_fs"] / 1000.0
    there = (
        f"{path} has {len(time_ps)} frames from {time_ps[0]:g} to {time_ps[-1]:g} ps"
        if len(time_ps)
        else f"{path} has no frames"
    )
    if len(time_ps) == 0 or (n - 1) * every_ps > time_ps[-1] - time_ps[0] + TOLERANCE * every_ps:
        raise InputError(
            f"{there}; {n} snapshots {every_ps:g} ps apart need {(n - 1) * every_ps:g} ps: take "
            "fewer, or closer to each other, or give that stage more time"
        )
    wanted_ps = time_ps[-1] - every_ps * np.arange(n)[::-1]
    frames = [int(np.abs(time_ps - wanted).argmin()) for wanted in wanted_ps]
    off = np.abs(time_ps[frames] - wanted_ps) > TOLERANCE * every_ps
    strides = set(np.diff(frames).tolist()) or {1}
    if off.any() or len(strides) > 1:
        missing = wanted_ps[off][0] if off.any() else wanted_ps[0]
        raise InputError(
            f"{there}, none of them at {missing:g} ps: give an every_ps that is a whole number of "
            "recording intervals"
        )
    taken = slice(frames[0], frames[-1] + 1, strides.pop())
    return Trajectory(**read_h5md(path, taken, trusted=True))
