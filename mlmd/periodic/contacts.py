"""Atoms that are too close to each other, periodic images included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.periodic.cell import opened_cells
from mlmd.periodic.neighbourhood import Neighbourhood

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

    The worst pair has the smallest distance relative to that sum (of atoms in a heap, where each is
    near hundreds, among those that are nearest to each other). Every periodic image in a
    periodic direction counts, for cells of any shape and however small.

    Parameters
    ----------
    atoms : ase.Atoms
        Structure with finite positions.
    radii_A : (atoms,)
        Radius of each atom in angstrom; two spheres may touch but not overlap.
    """
    radii_A = np.asarray(radii_A, dtype=float)
    reach_A = 2.0 * float(radii_A.max(initial=0.0))
    cell_A = atoms.cell.complete().array
    if not all(atoms.pbc):
        extent = np.ptp(atoms.positions @ np.linalg.inv(cell_A), axis=0)
        cell_A = opened_cells(cell_A, extent, atoms.pbc)
    pairs = Neighbourhood(atoms.positions, cell_A, reach_A).nearest_pairs(reach_A)
    limits_A = radii_A[pairs.first] + radii_A[pairs.second]
    overlapping = np.flatnonzero(pairs.distance_A < limits_A)
    if overlapping.size == 0:
        return None
    worst = overlapping[np.argmin(pairs.distance_A[overlapping] / limits_A[overlapping])]
    return Contact(
        int(pairs.first[worst]),
        int(pairs.second[worst]),
        float(pairs.distance_A[worst]),
        float(limits_A[worst]),
    )


def overlap_radii(atoms: Atoms) -> FloatArray:
    """Radius of each atom in angstrom within which no other atom of a sane structure lies.

    It is `OVERLAP_FRACTION` of the covalent radius (Cordero et al., Dalton Trans. 2008, 2832).
    """
    from ase.data import covalent_radii

    radii: FloatArray = OVERLAP_FRACTION * covalent_radii[atoms.numbers]
    return radii
