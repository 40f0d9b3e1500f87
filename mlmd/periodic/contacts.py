"""Atoms that are too close to each other, periodic images included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray

OVERLAP_FRACTION = 0.5
"""Two atoms overlap when closer than this fraction of the sum of their covalent radii."""


@dataclass(frozen=True)
class Contact:
    """Two atoms, the distance between them and the least distance allowed, in angstrom.

    The two indices are the same where an atom touches its own periodic image.
    """

    first: int
    second: int
    distance_A: float
    limit_A: float


def closest_contact(atoms: Atoms, radii_A: FloatArray) -> Contact | None:
    """Return the worst pair of atoms closer than the sum of their radii, or None.

    The worst pair has the smallest distance relative to that sum. Every periodic image in a
    periodic direction counts, for cells of any shape and however small.

    Parameters
    ----------
    atoms : ase.Atoms
        Structure with finite positions.
    radii_A : (atoms,)
        Radius of each atom in angstrom; two spheres may touch but not overlap.
    """
    from ase.neighborlist import primitive_neighbor_list  # brings in scipy

    first, second, distances_A = primitive_neighbor_list(
        "ijd", atoms.pbc, atoms.cell.array, atoms.positions, np.asarray(radii_A, dtype=float)
    )
    limits_A = radii_A[first] + radii_A[second]
    overlapping = np.flatnonzero(distances_A < limits_A)
    if overlapping.size == 0:
        return None
    worst = overlapping[np.argmin(distances_A[overlapping] / limits_A[overlapping])]
    return Contact(
        int(first[worst]), int(second[worst]), float(distances_A[worst]), float(limits_A[worst])
    )


def overlap_radii(atoms: Atoms) -> FloatArray:
    """Radius of each atom in angstrom within which no other atom of a sane structure lies.

    It is `OVERLAP_FRACTION` of the covalent radius (Cordero et al., Dalton Trans. 2008, 2832).
    """
    from ase.data import covalent_radii

    radii: FloatArray = OVERLAP_FRACTION * covalent_radii[atoms.numbers]
    return radii
