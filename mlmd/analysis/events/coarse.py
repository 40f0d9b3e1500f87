"""Positions averaged over short windows: vibration gone, jumps left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.checks import check_finite
from mlmd.analysis.diffusion.cell_motion import without_cell_motion

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.trajectory import Trajectory


WINDOWS = 100
"""Windows that a run is cut into: fewer blur the time of an event, more keep the vibration."""

FEWEST_WINDOWS = 30
_CHUNK_BYTES = 32 * 2**20


@dataclass(frozen=True, eq=False)
class CoarsePath:
    """Mean positions of all atoms in equal windows of time.

    Attributes
    ----------
    time_ps : (windows,)
        Centres of the windows, from the first frame.
    positions_A : (windows, atoms, 3)
        Means, in the mean cell (a changing cell does not move atoms) without the drift.
    window_ps : float
        Time between windows.
    frames : (windows + 1,)
        First frame of each window, and the end.
    """

    time_ps: FloatArray
    positions_A: FloatArray
    window_ps: float
    frames: IntArray


def coarse_path(trajectory: Trajectory, reference: IntArray) -> CoarsePath:
    """Average the positions over about a hundred windows.

    Parameters
    ----------
    trajectory
        Unwrapped positions at even intervals.
    reference
        Atoms whose mass-weighted centre is held at rest.

    Raises
    ------
    InputError
        If frames are not evenly spaced or a position is not finite.
    """
    interval_ps = trajectory.uniform_interval_fs() / 1000.0
    width = max(1, len(trajectory) // WINDOWS)
    count = len(trajectory) // width
    frames = np.arange(count + 1) * width
    assert trajectory.masses_u is not None  # Trajectory fills them in
    weights = np.zeros(trajectory.n_atoms)
    weights[reference] = np.asarray(trajectory.masses_u, dtype=float)[reference]
    weights /= weights.sum()
    means = np.empty((count, trajectory.n_atoms, 3))
    step = max(1, _CHUNK_BYTES // (24 * trajectory.n_atoms))
    trajectory = without_cell_motion(trajectory)
    for window in range(count):
        total = np.zeros((trajectory.n_atoms, 3))
        for start in range(frames[window], frames[window + 1], step):
            part = slice(start, min(start + step, frames[window + 1]))
            total += trajectory.positions_A[part].sum(axis=0, dtype=np.float64)
        means[window] = total / width
    check_finite(means, trajectory)
    means -= np.einsum("wax,a->wx", means, weights)[:, None, :]
    time_ps = (frames[:-1] + (width - 1) / 2.0) * interval_ps
    return CoarsePath(time_ps, means, width * interval_ps, frames)
