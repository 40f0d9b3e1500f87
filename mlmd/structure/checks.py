"""Whether a structure can be simulated: said at once, not after hours of dynamics."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import chemical_symbols

from mlmd.checks import one_structure
from mlmd.errors import InputError
from mlmd.periodic.cell import cell_heights
from mlmd.periodic.contacts import OVERLAP_FRACTION, closest_contact, overlap_radii
from mlmd.structure.constraints import held_atoms

if TYPE_CHECKING:
    from ase import Atoms

_VOLUME_PER_ATOM_A3 = (0.5, 1e7)  # metallic hydrogen at 500 GPa has 1.1; a gas at 1 bar, 4e4
_SHORTEST_CELL_VECTOR_A = 0.5
_SMALLEST_HEIGHT_A = 0.01  # with more images within reach than can be looked at
_FARTHEST_A = 1e7  # farther out an atom has lost its place in the cell
_FULL_OCCUPANCY = (0.999, 1.1)  # what was refined exceeds 1 by its error


def check_structure(atoms: Atoms) -> None:
    """Check that a structure can be simulated as a bulk material or a slab.

    Parameters
    ----------
    atoms : ase.Atoms
        At least two atoms in a cell that is periodic in three directions, or in two.

    Raises
    ------
    InputError
        If it is no ase.Atoms, has fewer than two atoms, or `check_bulk` refuses it.
    """
    if len(one_structure("atoms", atoms)) == 1:
        raise InputError(
            "the structure has 1 atoms; expected at least 2, repeat it first "
            "(mlmd.structure.supercell, --supercell-n-atoms)"
        )
    check_bulk(atoms)


def check_bulk(atoms: Atoms) -> None:
    """Check that this is a bulk material of whole atoms, to be simulated or made larger.

    Parameters
    ----------
    atoms : ase.Atoms
        At least one atom in a cell that is periodic in three directions, or in two (a slab).

    Raises
    ------
    InputError
        If there are no atoms, an unknown element, more than one direction that is not periodic, a
        cell without volume or left-handed, positions, masses or momenta that no atom can have,
        sites that are partly occupied or shared (in ``atoms.info["occupancy"]``, where ASE's CIF
        reader puts them, or an array of that name), a constraint other than ``FixAtoms``, or atoms
        closer than 0.5 times the sum of their covalent radii, periodic images included.
    """
    if len(atoms) == 0:
        raise InputError("the structure has 0 atoms; expected at least 2")
    _check_elements(atoms)
    _check_cell(atoms)
    far_or_nan = ~(np.abs(atoms.positions) < _FARTHEST_A).all(axis=1)
    if far_or_nan.any():
        bad = int(np.flatnonzero(far_or_nan)[0])
        raise InputError(
            f"the position of {_name(atoms, bad)} is {atoms.positions[bad].tolist()}; "
            f"expected numbers below {_FARTHEST_A:g} A, check the file"
        )
    _check_motion(atoms)
    _check_occupancies(atoms)
    held_atoms(atoms)
    _check_overlaps(atoms)


def _name(atoms: Atoms, index: int) -> str:
    return f"atom {index} ({atoms.symbols[index]})"


def _check_elements(atoms: Atoms) -> None:
    unknown = np.flatnonzero((atoms.numbers < 1) | (atoms.numbers >= len(chemical_symbols)))
    if unknown.size:
        number = int(atoms.numbers[unknown[0]])
        said = f"number {number}" if number else "symbol 'X'"
        raise InputError(
            f"atom {unknown[0]} is of no known element ({said}); "
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
    if not (np.abs(cell_A) < _FARTHEST_A).all():
        raise InputError(
            f"the cell has numbers that are not finite, or beyond {_FARTHEST_A:g} A; check the file"
        )
    volume_A3 = float(np.linalg.det(cell_A))
    shortest_A = float(np.linalg.norm(cell_A, axis=1).min())
    smallest, largest = _VOLUME_PER_ATOM_A3
    is_bulk = smallest <= abs(volume_A3) / len(atoms) <= largest
    if not is_bulk or shortest_A < _SHORTEST_CELL_VECTOR_A:
        raise InputError(
            f"the cell has a volume of {abs(volume_A3):.4g} A3 for {len(atoms)} atoms and a "
            f"shortest vector of {shortest_A:.4g} A; expected a bulk cell in angstrom"
        )
    if volume_A3 < 0:
        raise InputError(
            f"the cell is left-handed (volume {volume_A3:.4g} A3); swap two cell vectors"
        )
    height_A = float(cell_heights(cell_A).min())
    if height_A < _SMALLEST_HEIGHT_A:
        raise InputError(
            f"the cell is so skewed that opposite faces are {height_A:.3g} A apart; check the "
            "file, or reduce the cell (ase.build.niggli_reduce)"
        )


def _check_occupancies(atoms: Atoms) -> None:
    for site in _sites(atoms):
        species = site if isinstance(site, Mapping) else {"site": site}
        parts = {symbol: _occupancy(symbol, value) for symbol, value in species.items()}
        total = math.fsum(parts.values())
        n_present = sum(part != 0.0 for part in parts.values())
        if n_present > 1 or not _FULL_OCCUPANCY[0] <= total <= _FULL_OCCUPANCY[1]:
            shown = ", ".join(
                f"{symbol} {part:g}" for symbol, part in parts.items() if part != 0.0 or total == 0
            )
            raise InputError(
                f"the structure has a partly occupied or shared site ({shown}); expected whole "
                "atoms, make an ordered structure first (atoms.info['occupancy'] tells)"
            )


def _check_motion(atoms: Atoms) -> None:
    """See that masses, and momenta where there are any, are numbers to move atoms with."""
    masses_u = atoms.get_masses()
    momenta = atoms.get_momenta()
    wrong = ~(np.isfinite(masses_u) & (masses_u > 0) & np.isfinite(momenta).all(axis=1))
    if wrong.any():
        bad = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"{_name(atoms, bad)} has the mass {masses_u[bad]:g} u and the momentum "
            f"{momenta[bad].tolist()}; expected a positive mass and finite numbers, check the file"
        )


def _sites(atoms: Atoms) -> Iterable[Any]:
    """Return what is said of each site: an occupancy, or those of the elements that share it."""
    said = atoms.info.get("occupancy")
    if isinstance(said, Mapping):
        yield from said.values()
    elif isinstance(said, list | tuple | np.ndarray):
        yield from np.ravel(np.array(said, dtype=object))
    elif said is not None:
        yield said
    for name in ("occupancy", "occupancies"):  # PDB; the simulators of microscopes
        if atoms.has(name) and atoms.get_array(name).any():  # zeros alone: never filled in
            yield from atoms.get_array(name)


def _occupancy(symbol: str, value: Any) -> float:
    """Return an occupancy as a number; CIF's "." is its default and "?" what is not known: 1."""
    if isinstance(value, str):
        if value.strip() in (".", "?"):
            return 1.0
        value = re.sub(r"\(\d+\)$", "", value.strip())  # its standard uncertainty
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"an occupancy ({symbol}) is {value!r}; expected a number from 0 to 1, or none"
        ) from error


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
