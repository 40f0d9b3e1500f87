"""What measurements need of a trajectory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError
from mlmd.periodic.cell import cell_heights, opened_cells

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.trajectory import Trajectory


# Frames that are looked at once, so that a mapped file is not read into memory as a whole.
_FRAMES_AT_ONCE = 1000


def check_trajectory(value: Any) -> None:
    """Raise InputError where what was given is no trajectory, but a file of one, a run, atoms."""
    from mlmd.trajectory.trajectory import Trajectory

    if isinstance(value, Trajectory):
        return
    what = f"a path ({str(value)!r})" if isinstance(value, str | Path) else type(value).__name__
    raise InputError(
        f"trajectory is {what}; expected mlmd.Trajectory: Trajectory.read(file), or "
        "Run.open(folder).trajectory(stage)"
    )


def check_finite(values: FloatArray, trajectory: Trajectory, what: str = "positions") -> None:
    """Raise InputError where what was made of a trajectory's positions is not a number."""
    if not np.isfinite(values).all():
        raise InputError(
            f"{what} of {trajectory.source} are not finite: the run blew up, or the file is "
            "damaged; analyse the frames before that"
        )


def check_bulk(trajectory: Trajectory, what: str) -> None:
    """Raise InputError where what is measured has no meaning without three periodic directions."""
    if not all(trajectory.pbc):
        raise InputError(
            f"{trajectory.source} is periodic as {list(trajectory.pbc)}; {what} takes all three "
            "directions"
        )


def checked_cells_A(trajectory: Trajectory) -> FloatArray:
    """Return the cell, shape (3, 3), or the cells of a trajectory in which they change.

    Raises
    ------
    InputError
        If it is no trajectory, there is no frame, a cell has no volume or a position is not
        finite.
    """
    check_trajectory(trajectory)
    if len(trajectory) == 0:
        raise InputError(f"{trajectory.source} has no frame; expected at least one")
    cells_A = np.asarray(trajectory.cell_A, dtype=float)
    if cells_A.ndim == 3 and (cells_A == cells_A[:1]).all():
        cells_A = cells_A[0]
    volumes_A3 = np.abs(np.linalg.det(cells_A))
    if not (np.isfinite(volumes_A3) & (volumes_A3 > 0)).all():
        raise InputError(
            f"{trajectory.source} has a cell without a volume; expected three vectors, as "
            "distances to periodic images are measured: write the cell into the file (Lattice= "
            "of extended XYZ)"
        )
    for start in range(0, len(trajectory), _FRAMES_AT_ONCE):
        check_finite(trajectory.positions_A[start : start + _FRAMES_AT_ONCE], trajectory)
    return cells_A


def half_height_A(trajectory: Trajectory, cells_A: FloatArray) -> float:
    """Return half the smallest height of cells along what is periodic, else along anything."""
    along = list(trajectory.pbc) if any(trajectory.pbc) else [True] * 3
    return float(cell_heights(cells_A)[..., along].min()) / 2.0


def cells_of_distances_A(trajectory: Trajectory) -> FloatArray:
    """Return checked cells to measure distances in, by whatever images they have.

    Along a direction that is not periodic they are so long that images there are far away.
    """
    cells_A = checked_cells_A(trajectory)
    if all(trajectory.pbc):
        return cells_A
    lowest, highest = np.full(3, np.inf), np.full(3, -np.inf)
    for start in range(0, len(trajectory), _FRAMES_AT_ONCE):
        part = slice(start, start + _FRAMES_AT_ONCE)
        inverse = np.linalg.inv(cells_A if cells_A.ndim == 2 else cells_A[part])
        fractional = trajectory.positions_A[part] @ inverse
        lowest = np.minimum(lowest, fractional.min(axis=(0, 1)))
        highest = np.maximum(highest, fractional.max(axis=(0, 1)))
    return opened_cells(cells_A, highest - lowest, trajectory.pbc)
