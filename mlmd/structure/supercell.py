"""Supercells of crystals: large enough in every direction with as few atoms as possible."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import one_structure, positive_number, whole_number
from mlmd.errors import InputError
from mlmd.periodic.cell import cell_heights
from mlmd.structure.constraints import held_atoms

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray, IntArray


_ABOUT = 1.5  # up to this times as many atoms as asked for
_MOST_ATOMS = 100_000


def supercell(
    atoms: Atoms, *, min_diameter_A: float | None = None, n_atoms: int | None = None
) -> Atoms:
    """Repeat a crystal until a sphere fits in, or until there are enough atoms.

    The sphere fits where all three heights of the cell, the distances between its opposite
    faces, reach its diameter. A cell that is repeated is the given one, or the one of the
    shortest lattice vectors (Minkowski-reduced) where that needs fewer atoms; atoms keep their
    places in space up to lattice vectors.

    Parameters
    ----------
    atoms : ase.Atoms
        A crystal, periodic in three directions; one atom is enough.
    min_diameter_A
        Diameter of the sphere in angstrom: the fewest atoms with room for it.
    n_atoms
        At least this many atoms and at most 1.5 times as many, where the cell can be divided
        so; of those the supercell that holds the largest sphere, of equal ones the smallest,
        then the least elongated. Give either this or `min_diameter_A`.

    Returns
    -------
    ase.Atoms
        With masses, charges and magnetic moments of the given atoms, but no momenta and no
        calculator. ``info["supercell"]`` holds the integer ``matrix`` that multiplies the
        given cell vectors (rows) and the diameter ``diameter_A`` of the largest sphere in it.

    Raises
    ------
    InputError
        If not one of the two sizes is given or it cannot be used, there are no atoms, the cell
        is not periodic in three directions or has no volume, atoms are held, or the
        supercell would have more than 100 000 atoms.

    Notes
    -----
    Supercells by other integer matrices, such as the cubic cell of a face-centred primitive
    one, are not tried: start from the conventional cell for those.
    """
    _check(atoms)
    if (min_diameter_A is None) == (n_atoms is None):
        raise InputError(
            f"min_diameter_A is {min_diameter_A} and n_atoms is {n_atoms}; expected one of them"
        )
    candidates = []
    for basis in _bases(atoms.cell.array):
        heights_A = cell_heights(basis @ atoms.cell.array)
        if min_diameter_A is not None:
            diameter_A = positive_number("min_diameter_A", min_diameter_A, "A")
            repeats = np.maximum(np.ceil(diameter_A / heights_A - 1e-9), 1.0)
            _check_size(len(atoms) * float(repeats.prod()))
        else:
            wanted = whole_number("n_atoms", n_atoms, least=1)
            _check_size(wanted)
            fewest = math.ceil(wanted / len(atoms))
            most = max(fewest, math.floor(_ABOUT * wanted / len(atoms)))
            repeats = _largest_sphere(heights_A, fewest, most)
        inscribed_A = float((repeats * heights_A).min())
        count, sphere = int(repeats.prod()), -round(inscribed_A, 6)
        rank = (count, sphere) if n_atoms is None else (sphere, count)
        candidates.append((rank, repeats.astype(int), basis, inscribed_A))
    _, repeats, basis, inscribed_A = min(candidates, key=lambda candidate: candidate[0])

    result: Atoms = atoms.copy()
    result.arrays.pop("momenta", None)
    result.set_constraint()  # what is left changes nothing
    if not np.array_equal(basis, np.eye(3, dtype=int)):
        result.set_cell(basis @ atoms.cell.array, scale_atoms=False)
        result.wrap()
    result = result.repeat(tuple(repeats.tolist()))
    matrix = (repeats[:, None] * basis).tolist()
    result.info["supercell"] = {"matrix": matrix, "diameter_A": inscribed_A}
    return result


def _check(atoms: Atoms) -> None:
    one_structure("atoms", atoms)
    if len(atoms) == 0 or not all(atoms.pbc):
        raise InputError(
            f"the structure has {len(atoms)} atoms and is periodic as {atoms.pbc.tolist()}; "
            "expected a crystal, periodic in three directions"
        )
    lengths_A = np.linalg.norm(atoms.cell.array, axis=1)
    volume_A3 = abs(float(np.linalg.det(atoms.cell.array)))
    if not (np.isfinite(volume_A3) and volume_A3 > 1e-6 * lengths_A.prod()):
        raise InputError(
            f"the cell {atoms.cell.array.tolist()} has no volume; expected three independent "
            "vectors in angstrom"
        )
    if held_atoms(atoms).any():
        raise InputError(
            "FixAtoms holds atoms of the structure, which would not mean the same in a supercell; "
            "remove it with atoms.set_constraint()"
        )


def _check_size(n_atoms: float) -> None:
    if n_atoms > _MOST_ATOMS:
        raise InputError(
            f"the supercell would have {n_atoms:.3g} atoms; expected at most {_MOST_ATOMS}, "
            "check the unit"
        )


def _bases(cell_A: FloatArray) -> list[IntArray]:
    """Integer matrices to the cells that are repeated: the given one first."""
    from ase.geometry import minkowski_reduce

    _, reduced = minkowski_reduce(cell_A)
    reduced = np.rint(reduced).astype(int)
    if np.linalg.det(reduced) < 0:  # keep the handedness
        reduced = -reduced
    return [np.eye(3, dtype=int), reduced]


def _largest_sphere(heights_A: FloatArray, fewest: int, most: int) -> FloatArray:
    """Repeats of `fewest` to `most` cells: largest smallest height, fewest, least longest."""
    h1, h2, h3 = heights_A.tolist()
    best, chosen = (math.inf, 0, math.inf), (1, 1, fewest)
    for first in range(1, most + 1):
        for second in range(1, most // first + 1):
            if -min(first * h1, second * h2) > best[0] + 1e-6:
                continue
            area = first * second
            # More along the third direction pays only while that is the smallest height.
            enough = math.ceil(min(first * h1, second * h2) / h3 - 1e-9)
            third = max(math.ceil(fewest / area), min(enough, most // area))
            if area * third > most:
                continue
            lengths_A = (first * h1, second * h2, third * h3)
            rank = (-round(min(lengths_A), 6), area * third, round(max(lengths_A), 6))
            if rank < best:
                best, chosen = rank, (first, second, third)
    return np.array(chosen, dtype=float)
