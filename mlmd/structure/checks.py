"""Whether a structure can be simulated: said at once, not after hours of dynamics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError
from mlmd.periodic.contacts import OVERLAP_FRACTION, closest_contact, overlap_radii
from mlmd.structure.constraints import held_atoms

if TYPE_CHECKING:
    from ase import Atoms

_SMALLEST_VOLUME_PER_ATOM_A3 = 0.5  # metallic hydrogen at 500 GPa has 1.1
_SHORTEST_CELL_VECTOR_A = 0.5
_FULL_OCCUPANCY = 0.999


def check_structure(atoms: Atoms) -> None:
    """Check that a structure can be simulated as a bulk material or a slab.

    Parameters
    ----------
    atoms : ase.Atoms
        At least two atoms in a cell that is periodic in three directions, or in two.

    Raises
    ------
    InputError
        If there are fewer than two atoms, an unknown element, more than one direction that is
        not periodic, a cell without volume or left-handed, positions that are not finite, sites
        that are partly occupied or shared (in ``atoms.info["occupancy"]``, where ASE's CIF
        reader puts them), a constraint other than ``FixAtoms``, or atoms closer than 0.5 times
        the sum of their covalent radii, periodic images included.
    """
    if len(atoms) < 2:
        raise InputError(f"the structure has {len(atoms)} atoms; expected at least 2")
    _check_elements(atoms)
    _check_cell(atoms)
    if not np.isfinite(atoms.positions).all():
        bad = int(np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))[0])
        raise InputError(
            f"the position of {_name(atoms, bad)} is {atoms.positions[bad].tolist()}; "
            "expected finite numbers, check the file"
        )
    _check_occupancies(atoms)
    held_atoms(atoms)
    _check_overlaps(atoms)


def _name(atoms: Atoms, index: int) -> str:
    return f"atom {index} ({atoms.symbols[index]})"


def _check_elements(atoms: Atoms) -> None:
    unknown = np.flatnonzero(atoms.numbers < 1)
    if unknown.size:
        raise InputError(
            f"atom {unknown[0]} is of no known element (symbol {atoms.symbols[unknown[0]]!r}); "
            "expected chemical elements, rename or remove it"
        )


def _check_cell(atoms: Atoms) -> None:
    # A wire and a molecule conserve angular momentum too: other degrees of freedom.
    if np.count_nonzero(atoms.pbc) < 2:
        raise InputError(
            f"the structure is periodic as {atoms.pbc.tolist()}; expected all three directions "
            "(give it a cell and set atoms.pbc = True), or two for a slab"
        )
    if not all(atoms.pbc) and atoms.cell.rank < 3:
        axis = int(np.argmin(atoms.pbc))
        raise InputError(
            f"the slab has no cell vector along direction {axis}; give it one with vacuum: "
            f"atoms.center(vacuum=10, axis={axis})"
        )
    cell_A = atoms.cell.array
    if not np.isfinite(cell_A).all():
        raise InputError("the cell has numbers that are not finite; check the file")
    volume_A3 = float(np.linalg.det(cell_A))
    shortest_A = float(np.linalg.norm(cell_A, axis=1).min())
    too_small = abs(volume_A3) < _SMALLEST_VOLUME_PER_ATOM_A3 * len(atoms)
    if too_small or shortest_A < _SHORTEST_CELL_VECTOR_A:
        raise InputError(
            f"the cell has a volume of {abs(volume_A3):.4g} A3 for {len(atoms)} atoms and a "
            f"shortest vector of {shortest_A:.4g} A; expected a bulk cell in angstrom"
        )
    if volume_A3 < 0:
        raise InputError(
            f"the cell is left-handed (volume {volume_A3:.4g} A3); swap two cell vectors"
        )


def _check_occupancies(atoms: Atoms) -> None:
    sites = atoms.info.get("occupancy")
    if sites is None:
        return
    if isinstance(sites, Mapping):
        sites = sites.values()
    elif not isinstance(sites, Iterable):
        sites = [sites]
    for site in sites:
        species = site if isinstance(site, Mapping) else {"site": site}
        species = {symbol: float(x) for symbol, x in species.items() if float(x) != 0.0}
        total = math.fsum(species.values())
        if len(species) > 1 or not total >= _FULL_OCCUPANCY:
            shown = ", ".join(f"{symbol} {x:g}" for symbol, x in species.items())
            raise InputError(
                f"the structure has a partly occupied or shared site ({shown}); expected whole "
                "atoms, make an ordered structure first (atoms.info['occupancy'] tells)"
            )


def _check_overlaps(atoms: Atoms) -> None:
    contact = closest_contact(atoms, overlap_radii(atoms))
    if contact is None:
        return
    if contact.first == contact.second:
        pair = f"{_name(atoms, contact.first)} and its own periodic image"
    else:
        pair = f"{_name(atoms, contact.first)} and {_name(atoms, contact.second)}"
    raise InputError(
        f"{pair} overlap: {contact.distance_A:.3f} A apart, expected at least "
        f"{contact.limit_A:.3f} A ({OVERLAP_FRACTION} of the sum of covalent radii); remove one "
        "of them or check the cell"
    )
