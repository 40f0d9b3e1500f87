"""The grid of k-points from one spacing, the same definition for every DFT code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.checks import is_whole, positive_number
from mlmd.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray

MD_SPACING, ACCURATE_SPACING = 0.7, 0.35
"""Spacings of the option ``quality``, 1/angstrom: one point from 9 and from 18 angstrom on."""


def divisions(cell: ArrayLike, spacing_per_A: float) -> tuple[int, int, int]:
    r"""Return how often each reciprocal vector is divided so that no step exceeds the spacing.

    .. math::

        N_i = \max(1, \lceil |b_i| / k \rceil), \qquad a_i \cdot b_j = 2 \pi \delta_{ij}

    The factor 2 pi is in b: this is VASP's KSPACING (https://vasp.at/wiki/KSPACING) and CASTEP's
    spacing times 2 pi; pymatgen and QE tools often quote it without.

    The grid is a function of the cell alone. Where the cell changes in a run (a barostat) it
    can jump and the energy with it: give the grid itself there.

    Parameters
    ----------
    cell
        Lattice vectors as rows, (3, 3), angstrom.
    spacing_per_A
        Largest distance of neighbouring k-points along a reciprocal vector, 1/angstrom.

    Returns
    -------
    tuple of int
        Divisions along the three reciprocal vectors, each at least 1.

    Raises
    ------
    InputError
        If the spacing is no positive number or the cell spans no volume.
    """
    spacing = positive_number("kspacing_per_A", spacing_per_A, "1/angstrom")
    vectors: FloatArray = np.asarray(cell, dtype=float)
    if vectors.shape != (3, 3) or not abs(np.linalg.det(vectors)) > 0.0:
        raise InputError(
            "k-points from a spacing need a cell of three independent vectors; set atoms.cell"
        )
    lengths = np.linalg.norm(2.0 * np.pi * np.linalg.inv(vectors).T, axis=1)
    # Rounding must not add a point where the spacing divides the vector exactly.
    first, second, third = np.maximum(1, np.ceil(lengths / spacing - 1e-8)).astype(int).tolist()
    return first, second, third


def checked_grid(name: str, value: Any) -> tuple[int, int, int]:
    """Return a grid, which has to be three whole numbers of at least 1."""
    sequence = isinstance(value, list | tuple) and len(value) == 3
    if not sequence or not all(is_whole(n) and n >= 1 for n in value):
        raise InputError(f"{name} is {value!r}; expected three whole numbers of at least 1")
    return value[0], value[1], value[2]
