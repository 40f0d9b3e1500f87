"""Geometry of a periodic cell: its heights, and the nearest images of all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from mlmd.arrays import FloatArray


def cell_heights(cell: FloatArray) -> FloatArray:
    """Return the distances between opposite faces of cells (..., 3, 3), shape (..., 3).

    Vectors are rows.
    """
    heights: FloatArray = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=-2)
    return heights


def minimum_image(
    positions: FloatArray,
    cell: FloatArray,
    dtype: DTypeLike = float,
    pbc: ArrayLike = (True, True, True),
) -> FloatArray:
    """Return r_j - r_i by minimum image, shape (3, atoms, atoms), in the precision of `dtype`.

    There are no images along vectors that are not periodic by `pbc`. Rounding fractional
    differences finds every image within half the smallest cell height, also in a skewed cell,
    since there no fractional component exceeds one half.
    """
    fractional = np.linalg.solve(cell.T, positions.T).astype(dtype, copy=False)
    difference: FloatArray = fractional[:, None, :] - fractional[:, :, None]
    for axis in np.flatnonzero(pbc):
        difference[axis] -= np.rint(difference[axis])
    cell = cell.astype(dtype, copy=False)
    if np.count_nonzero(cell - np.diag(np.diagonal(cell))) == 0:
        difference *= np.diagonal(cell)[:, None, None]
        return difference
    cartesian: FloatArray = np.einsum("kij,kl->lij", difference, cell)
    return cartesian
