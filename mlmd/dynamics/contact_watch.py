"""Contacts of atoms on the way, looked at only when some pair can have come too close.

After a look no pair can touch before two atoms together have moved by the smallest gap that was
left. Few atoms are compared each with each; more are searched for in a tree, whose memory grows
with their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase.data import covalent_radii

from mlmd.periodic.cell import minimum_image, opened_cells
from mlmd.periodic.contacts import Contact
from mlmd.periodic.neighbourhood import Neighbourhood

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray

MOST_DENSE = 300
"""Atoms up to which all pairs are compared: beyond, the tree is faster, too."""
_FURTHEST_GAP_A = 1.0  # gaps wider than this are not searched for


class ContactWatch:
    """Knows the narrowest gap between two atoms, and when it has to be looked at again.

    Parameters
    ----------
    atoms
        Looked at wherever they are then.
    fraction
        Of the sum of two covalent radii, below which two atoms touch.
    """

    def __init__(self, atoms: Atoms, fraction: float) -> None:
        self._atoms = atoms
        self._radii_A: FloatArray = fraction * covalent_radii[atoms.numbers]
        self._limits_A: FloatArray | None = None
        if len(atoms) <= MOST_DENSE:
            limits_A = np.add.outer(self._radii_A, self._radii_A)
            np.fill_diagonal(limits_A, -np.inf)  # an atom may be as close to itself as it is
            self._limits_A = limits_A.astype(np.float32)
        self.forget()

    def forget(self) -> None:
        """Look anew the next time: the atoms were put elsewhere."""
        self._seen_A: FloatArray | None = None
        self._gap_A = 0.0

    def touching(self) -> Contact | None:
        """Return the pair that overlaps most, None while no pair can touch."""
        positions_A = self._atoms.positions
        if self._seen_A is not None:
            moved_A = positions_A - self._seen_A
            furthest_A = float(np.sqrt(np.einsum("ij,ij->i", moved_A, moved_A).max()))
            if 2.0 * furthest_A < self._gap_A:
                return None
        self._seen_A = positions_A.copy()
        narrowest = self._narrowest_of_all() if self._limits_A is not None else self._narrowest()
        self._gap_A = _FURTHEST_GAP_A
        if narrowest is not None:
            self._gap_A = narrowest.distance_A - narrowest.limit_A
        return None if self._gap_A > 0 else narrowest

    def _cell_A(self) -> FloatArray:
        """Return a cell without images along what is not periodic."""
        atoms = self._atoms
        cell_A: FloatArray = atoms.cell.array
        if all(atoms.pbc):
            return cell_A
        extent = np.ptp(atoms.positions @ np.linalg.inv(cell_A), axis=0)
        return opened_cells(cell_A, extent, atoms.pbc)

    def _narrowest_of_all(self) -> Contact:
        """Compare all pairs, by nearest image and in single precision."""
        assert self._limits_A is not None  # there are few atoms
        separation = minimum_image(self._atoms.positions, self._cell_A(), np.float32)
        distances_A = np.sqrt(np.einsum("kij,kij->ij", separation, separation))
        i, j = divmod(int(np.argmin(distances_A - self._limits_A)), len(self._atoms))
        return Contact(i, j, float(distances_A[i, j]), float(self._limits_A[i, j]))

    def _narrowest(self) -> Contact | None:
        """Search for near pairs; None where every gap is wider than is of interest."""
        reach_A = 2.0 * float(self._radii_A.max()) + _FURTHEST_GAP_A
        around = Neighbourhood(self._atoms.positions, self._cell_A(), reach_A)
        near = around.nearest_pairs(reach_A)
        limits_A = self._radii_A[near.first] + self._radii_A[near.second]
        gaps_A = np.where(near.first != near.second, near.distance_A - limits_A, np.inf)
        if not len(gaps_A) or not gaps_A.min() < _FURTHEST_GAP_A:
            return None
        at = int(np.argmin(gaps_A))
        return Contact(
            int(min(near.first[at], near.second[at])),
            int(max(near.first[at], near.second[at])),
            float(near.distance_A[at]),
            float(limits_A[at]),
        )
