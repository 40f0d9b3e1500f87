"""The cell that is scanned, and its symmetry.

The ion that moves takes its images with it: what stands still between them depends on the cell. In
a supercell the other mobile ions block the way that in the primitive cell is free.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.checks import shown
from mlmd.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray, IntArray

CELLS = ("primitive", "conventional", "given")
"""Names of cells; besides them 2x1x1 and the like, of the primitive one."""
_RECOGNISED_A = 0.01
"""Farther from their places by symmetry atoms are not where a cell is looked for."""
_EXACT_A = 1e-5
"""And where symmetry stands in for energies."""


@dataclass(frozen=True, eq=False)
class Crystal:
    """A cell, reduced, and the operations that leave the crystal as it is.

    Attributes
    ----------
    atoms : ase.Atoms
        Elements and places alone, in the Niggli-reduced basis of the chosen lattice.
    cell : str
        How the cell was chosen, one of `CELLS` or a supercell.
    rotations, translations : (n, 3, 3), (n, 3)
        In fractions of the cell, acting on columns.
    space_group : str
        By its international symbol.
    """

    atoms: Atoms
    cell: str
    rotations: IntArray
    translations: FloatArray
    space_group: str


def crystal_of(atoms: Atoms, cell: str = "primitive") -> Crystal:
    """Choose the cell of a structure and find its symmetry.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic in three directions.
    cell
        `primitive` and `conventional` are the standardised cells, with atoms put where the
        symmetry has them (found within 0.01 A); `given` is the lattice as it stands; 2x2x1 a
        supercell of the primitive one.

    Raises
    ------
    InputError
        If the structure is not periodic in three directions, the cell is none of these, or no
        symmetry is found.
    MissingExtraError
        If spglib is not installed.
    """
    if not all(atoms.pbc):
        raise InputError(
            f"the structure is periodic as {atoms.pbc.tolist()}; expected a crystal, periodic in "
            "all three directions"
        )
    repeats = _repeats(cell)
    chosen = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    if cell != "given":
        primitive = cell != "conventional"
        chosen = _spglib("standardize_cell", chosen, primitive, symprec=_RECOGNISED_A)
    result = _reduced(chosen)
    if repeats is not None:
        larger = result.repeat(repeats)
        result = _reduced((larger.cell.array, larger.get_scaled_positions(), larger.numbers))
    whole = (result.cell.array, result.get_scaled_positions(), result.numbers)
    dataset = _spglib("get_symmetry_dataset", whole, symprec=_EXACT_A)
    return Crystal(
        result, cell, dataset.rotations, dataset.translations, str(dataset.international)
    )


def _repeats(cell: str) -> tuple[int, int, int] | None:
    """Return the repeats of a supercell; None of another cell."""
    if cell in CELLS:
        return None
    found = (
        re.fullmatch(r"([1-9]\d?)x([1-9]\d?)x([1-9]\d?)", cell) if isinstance(cell, str) else None
    )
    if found is None:
        raise InputError(f"cell is {shown(cell)}; expected {', '.join(CELLS)} or such as 2x2x2")
    n1, n2, n3 = (int(n) for n in found.groups())
    return n1, n2, n3


def _reduced(cell: tuple[FloatArray, FloatArray, IntArray]) -> Atoms:
    """Return vectors, fractions and numbers as atoms in the Niggli-reduced basis."""
    from ase import Atoms

    vectors, fractions, numbers = cell
    atoms = Atoms(numbers, scaled_positions=fractions, cell=vectors, pbc=True)
    atoms.set_cell(_spglib("niggli_reduce", vectors))
    if np.linalg.det(atoms.cell.array) < 0:
        atoms.set_cell(-atoms.cell.array)
    atoms.wrap(eps=1e-9)
    return atoms


def _spglib(what: str, *given: Any, **settings: Any) -> Any:
    """Call a function of spglib, which fails by an exception or by None, as its version likes."""
    try:
        import spglib
    except ImportError as error:
        raise MissingExtraError("spglib", "screening") from error
    why: Any = "spglib found none"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of its own ways to fail
            found = getattr(spglib, what)(*given, **settings)
    except spglib.SpglibError as error:
        found, why = None, error
    if found is None:
        raise InputError(
            f"the symmetry of the structure was not found ({why}); expected atoms apart from each "
            "other, or give the cell as it is (--cell given)"
        )
    return found
