"""One door to every format."""

from __future__ import annotations

from pathlib import Path

from mlmd.errors import InputError
from mlmd.trajectory.trajectory import Trajectory


def read_trajectory(path: Path, timestep_fs: float | None, frames: slice) -> Trajectory:
    """Read a trajectory; see :meth:`mlmd.trajectory.Trajectory.read`."""
    if not path.is_file():
        raise InputError(f"no file {path}; expected a trajectory (.h5md, .traj, .extxyz, ...)")
    if frames.step is not None and frames.step < 1:
        raise InputError(f"every is {frames.step}; expected a whole number of at least 1")
    if path.suffix == ".h5md":
        from mlmd.trajectory.h5md_reader import read_h5md

        return read_h5md(path, frames)
    from mlmd.trajectory.ase_formats import read_with_ase

    return read_with_ase(path, timestep_fs, frames)
