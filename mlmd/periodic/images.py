"""Which periodic images of a pair can lie within a distance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.periodic.cell import cell_heights

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray


def pair_images(cells_A: FloatArray, r_max_A: float) -> IntArray:
    r"""Return the lattice translations that two atoms may need, shape (images, 3).

    With fractional differences rounded into :math:`[-1/2, 1/2]`, the distance between lattice
    planes leaves :math:`|n_k| \le r_\mathrm{max} / h_k + 1/2` along each axis, and the
    zero translation alone up to half the smallest height. Those are left out whose differences
    are all beyond `r_max_A`, by the bound :math:`d^T G d \ge \lambda \sum_k h_k^2 d_k^2` with
    the largest such :math:`\lambda` (1 in an orthorhombic cell, where the bound is exact).

    Parameters
    ----------
    cells_A : (frames, 3, 3)
        The result holds for each of them.
    r_max_A
        Largest distance.
    """
    heights = cell_heights(cells_A)
    most = np.ceil(r_max_A / heights.min(axis=0) - 0.5 - 1e-12).astype(int)
    translations = _grid(most)
    scaled = cells_A / heights[:, :, None]
    smallest = np.linalg.eigvalsh(scaled @ scaled.transpose(0, 2, 1))[:, 0]
    nearest = np.maximum(np.abs(translations) - 0.5, 0.0) ** 2 @ (heights**2).T * smallest
    needed = (nearest <= r_max_A**2 * (1 + 1e-9)).any(axis=1)
    chosen: IntArray = translations[needed]
    return chosen


def self_images(cells_A: FloatArray, r_max_A: float) -> IntArray:
    """Return the non-zero lattice translations that may be shorter than a distance."""
    most = np.floor(r_max_A / cell_heights(cells_A).min(axis=0) + 1e-9).astype(int)
    translations = _grid(most)
    chosen: IntArray = translations[(translations != 0).any(axis=1)]
    return chosen


def _grid(most: IntArray) -> IntArray:
    """Return all integer triples from -most to most, shape (n, 3)."""
    axes = [np.arange(-n, n + 1) for n in most]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
