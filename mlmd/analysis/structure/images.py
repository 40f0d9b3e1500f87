"""Which periodic images of a pair can lie within a distance."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.floating[Any]]
    IntArray = NDArray[np.integer[Any]]


def cell_heights_A(cells_A: FloatArray) -> FloatArray:
    """Return the distances between opposite faces of cells (..., 3, 3), shape (..., 3)."""
    heights: FloatArray = 1.0 / np.linalg.norm(np.linalg.inv(cells_A), axis=-2)
    return heights


def pair_images(cells_A: FloatArray, r_max_A: float) -> IntArray:
    r"""Return the lattice translations that two atoms may need, shape (images, 3).

    With fractional differences rounded into :math:`[-1/2, 1/2]`, the distance between lattice
    planes leaves :math:`|n_k| \le r_\mathrm{max} / h_k + 1/2` along each axis, and the
    zero translation alone up to half the smallest height. Further ones are left out whose
    whole cell of differences is beyond `r_max_A`.

    Parameters
    ----------
    cells_A : (frames, 3, 3)
        The result holds for each of them.
    r_max_A
        Largest distance.
    """
    most = np.ceil(r_max_A / cell_heights_A(cells_A).min(axis=0) - 0.5 - 1e-12).astype(int)
    translations = _grid(most)
    corners = np.array(list(product((-0.5, 0.5), repeat=3)))
    reach = np.linalg.norm(corners @ cells_A, axis=-1).max(axis=-1)
    distance = np.linalg.norm(translations @ cells_A, axis=-1)
    needed = (distance - reach[:, None] <= r_max_A).any(axis=0)
    chosen: IntArray = translations[needed]
    return chosen


def self_images(cells_A: FloatArray, r_max_A: float) -> IntArray:
    """Return the non-zero lattice translations that may be shorter than a distance."""
    most = np.floor(r_max_A / cell_heights_A(cells_A).min(axis=0) + 1e-9).astype(int)
    translations = _grid(most)
    chosen: IntArray = translations[(translations != 0).any(axis=1)]
    return chosen


def _grid(most: IntArray) -> IntArray:
    """Return all integer triples from -most to most, shape (n, 3)."""
    axes = [np.arange(-n, n + 1) for n in most]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
