"""Geometry of a periodic cell: its heights, and the nearest images of all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, DTypeLike

    from mlmd.arrays import BoolArray, FloatArray


def cell_heights(cell: FloatArray) -> FloatArray:
    """Return the distances between opposite faces of cells (..., 3, 3), shape (..., 3).

    Vectors are rows.
    """
    heights: FloatArray = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=-2)
    return heights


def completed_cells(cells: FloatArray) -> tuple[FloatArray | None, BoolArray]:
    """Return cells (frames, 3, 3) with vectors where there are none, and which there were, (3,).

    What is added is normal to the others. None in place of the cells if vectors lie in a plane.
    """
    there = (cells != 0.0).any(axis=(0, 2))
    if there.all():
        return (None if (np.linalg.det(cells) == 0.0).any() else cells), there
    from ase.geometry import complete_cell

    if ((cells != 0.0).any(axis=2) != there).any():
        return None, there
    completed = np.array([complete_cell(cell) for cell in cells])
    return (None if (np.linalg.det(completed) == 0.0).any() else completed), there


def basis_changes(
    cells: FloatArray, fractional: FloatArray, cell_before: FloatArray, before: FloatArray
) -> Iterator[tuple[int, FloatArray]]:
    """Give the frames at which cells are another basis of the same lattice, and which.

    As where LAMMPS flips a box that is tilted too far. Cells that were turned together with their
    atoms are none: there the atoms stay where they are in fractions.

    Parameters
    ----------
    cells : (frames, 3, 3)
        Cell vectors as rows.
    fractional : (frames, atoms, 3)
        Positions in them.
    cell_before, before : (3, 3), (atoms, 3)
        Cell and positions in it of the frame before the first.

    Yields
    ------
    int, (3, 3)
        A frame, and the matrix of whole numbers, of determinant 1 or -1, that takes the vectors
        before to nearly those of the frame: they may be strained besides, by less than a half.
        Fractional coordinates before, times its inverse, are those in the new basis.
    """
    if (cells == cell_before).all():
        return
    matrices = np.rint(cells @ np.linalg.inv(np.concatenate([cell_before[None], cells[:-1]])))
    for frame in np.flatnonzero((matrices != np.eye(3)).any(axis=(1, 2))):
        matrix = matrices[frame]
        if not np.isclose(abs(np.linalg.det(matrix)), 1.0):
            continue
        last = before if frame == 0 else fractional[frame - 1]
        turned = fractional[frame] - last
        flipped = fractional[frame] - last @ np.linalg.inv(matrix)
        if np.abs(flipped - np.rint(flipped)).sum() < np.abs(turned - np.rint(turned)).sum():
            yield int(frame), matrix


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
