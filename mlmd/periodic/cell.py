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


FAR_A = 200.0
"""No distance of interest is longer."""


def opened_cells(cells: FloatArray, extent: FloatArray, pbc: ArrayLike) -> FloatArray:
    """Return cells (..., 3, 3) whose images along what is not periodic are far from everything.

    `extent` is the largest difference of fractional coordinates, along each vector.
    """
    apart = FAR_A / cell_heights(cells).reshape(-1, 3).min(axis=0)
    opened: FloatArray = cells * np.where(pbc, 1.0, 2.0 * extent + apart)[:, None]
    return opened


def minimum_image(positions: FloatArray, cell: FloatArray, dtype: DTypeLike = float) -> FloatArray:
    """Return r_j - r_i by minimum image, shape (3, atoms, atoms), in the precision of `dtype`.

    Rounding fractional differences finds every image within half the smallest cell height,
    also in a skewed cell, since there no fractional component exceeds one half.
    """
    fractional = np.linalg.solve(cell.T, positions.T).astype(dtype, copy=False)
    difference: FloatArray = fractional[:, None, :] - fractional[:, :, None]
    difference -= np.rint(difference)
    cell = cell.astype(dtype, copy=False)
    if np.count_nonzero(cell - np.diag(np.diagonal(cell))) == 0:
        difference *= np.diagonal(cell)[:, None, None]
        return difference
    cartesian: FloatArray = np.einsum("kij,kl->lij", difference, cell)
    return cartesian
