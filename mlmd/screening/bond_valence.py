"""Bond-valence site energies by `bvlain`, through the percolation of this room: what costs nothing.

bvlain makes the map of the energies; on the same map its own percolation energies are found by
bisection to 0.01 eV, and these are exact.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from mlmd.errors import InputError, MissingExtraError
from mlmd.screening.landscape.percolation import PeriodicPercolation, periodic_percolation

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray

RESOLUTION_A, REACH_A, NEIGHBOURS = 0.2, 10.0, 100
"""Of the map, as bvlain has them if not told."""


def bond_valence_map(atoms: Atoms, ion: str = "Li1+") -> FloatArray:
    """Return bond-valence site energies of an ion in a cell, in eV, on bvlain's grid.

    Both ends of each axis are points of it: first and last are one and the same.

    Parameters
    ----------
    atoms : ase.Atoms
        A crystal whose oxidation states pymatgen can tell.
    ion
        The mobile ion with its charge.

    Raises
    ------
    MissingExtraError
        If bvlain is not installed.
    InputError
        If it cannot do the structure.
    """
    try:
        from bvlain import Lain
    except ImportError as error:
        raise MissingExtraError("bvlain", "bvlain") from error
    plain = atoms.copy()
    plain.info.clear()
    lain = Lain(verbose=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lain.read_atoms(plain)
            found: FloatArray = lain.bvse_distribution(
                mobile_ion=ion, r_cut=REACH_A, resolution=RESOLUTION_A, k=NEIGHBOURS
            )
    except Exception as error:  # of pymatgen's oxidation states, and of tables without the pair
        raise InputError(
            f"bvlain cannot do {atoms.symbols} ({type(error).__name__}: {error}); expected a "
            f"crystal with {ion} whose oxidation states can be told"
        ) from error
    return found


def bond_valence_percolation(atoms: Atoms, ion: str = "Li1+") -> PeriodicPercolation:
    """Return the energies, above the lowest, at which ways through the crystal open.

    See :func:`bond_valence_map`.
    """
    return periodic_percolation(bond_valence_map(atoms, ion))
