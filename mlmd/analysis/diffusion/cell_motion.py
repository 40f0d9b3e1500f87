"""The motion of the cell that is not diffusion, taken out of the positions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlmd.periodic.cell import basis_changes, completed_cells
from mlmd.trajectory.joining.growing import GrowingArray, spill_largest

if TYPE_CHECKING:
    from mlmd.trajectory.trajectory import Trajectory

_FRAMES_AT_ONCE = 500


def without_cell_motion(trajectory: Trajectory) -> Trajectory:
    r"""Return a trajectory as if its cell had stayed the first one; itself where it did.

    A barostat scales all coordinates; unwrapped ones the more, the farther an atom has gone, so
    that the cell's fluctuations add to the displacements [1]_ [2]_. What is left of a step is the
    change of the fractional coordinates :math:`\mathbf s`, in the mean of the two cells
    :math:`\mathbf h`:

    .. math:: \mathbf r'(t_n) = \mathbf s_0 \mathbf h_0 + \sum_{k=1}^{n}
        (\mathbf s_k - \mathbf s_{k-1}) \, \tfrac{1}{2} (\mathbf h_k + \mathbf h_{k-1})

    It is the integral of the velocities without the barostat's part. Atoms that go with the cell
    rest. Along vectors that are not periodic, which say nothing of the material, positions stay.

    Parameters
    ----------
    trajectory
        Unwrapped positions. Results larger than about 256 MB lie on disk.

    References
    ----------
    .. [1] S. von Bülow, J. T. Bullerjahn, G. Hummer, J. Chem. Phys. 153, 021101 (2020).
       DOI 10.1063/5.0008316
    .. [2] J. T. Bullerjahn, S. von Bülow, M. Heidari, J. Hénin, G. Hummer, J. Chem. Theory
       Comput. 19, 3406 (2023). DOI 10.1021/acs.jctc.3c00308
    """
    if trajectory.cell_A.ndim == 2 or len(trajectory) < 2:
        return trajectory
    if (trajectory.cell_A == trajectory.cell_A[0]).all():
        return replace(trajectory, cell_A=trajectory.cell_A[0])
    cells, there = completed_cells(np.asarray(trajectory.cell_A, dtype=float))
    if cells is None:
        return trajectory
    periodic = np.array(trajectory.pbc) & there
    still = GrowingArray((trajectory.n_atoms, 3), np.dtype(float))
    last_cell = cells[0]
    last = trajectory.positions_A[0].astype(float) @ np.linalg.inv(last_cell)
    reached = last @ last_cell
    for start in range(0, len(trajectory), _FRAMES_AT_ONCE):
        part = slice(start, start + _FRAMES_AT_ONCE)
        here = cells[part]
        fractional = trajectory.positions_A[part].astype(float) @ np.linalg.inv(here)
        steps = np.diff(fractional, axis=0, prepend=last[None])
        mean_cells = (here + np.concatenate([last_cell[None], here[:-1]])) / 2.0
        for frame, basis in basis_changes(here, fractional, last_cell, last):
            before = last if frame == 0 else fractional[frame - 1]
            cell_before = last_cell if frame == 0 else here[frame - 1]
            steps[frame] = fractional[frame] - before @ np.linalg.inv(basis)
            mean_cells[frame] = (here[frame] + basis @ cell_before) / 2.0
        moved = (steps * periodic) @ mean_cells
        if not periodic.all():
            ends = np.concatenate(
                [(last * ~periodic @ last_cell)[None], fractional * ~periodic @ here]
            )
            moved += np.diff(ends, axis=0)
        path = reached + np.cumsum(moved, axis=0)
        still.append(path)
        spill_largest({"positions_A": still})
        reached, last, last_cell = path[-1], fractional[-1], here[-1]
    return replace(trajectory, positions_A=still.finish(), cell_A=np.array(trajectory.cell_A[0]))
