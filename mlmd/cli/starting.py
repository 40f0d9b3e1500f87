"""The structure that ``mlmd run`` starts from: packed, or a crystal repeated and thinned out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.checks import is_number
from mlmd.cli.options import assignments
from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms


def packed(
    composition: str,
    n_atoms: int,
    seed: int,
    density_g_cm3: float | None,
    volume_per_atom_A3: float | None,
) -> Atoms:
    """Pack a composition."""
    from mlmd.structure import pack

    return pack(
        composition,
        n_atoms,
        seed=seed,
        density_g_cm3=density_g_cm3,
        volume_per_atom_A3=volume_per_atom_A3,
    )


def crystal(
    structure: Path,
    format: str | None,
    diameter_A: float | None,
    n_atoms: int | None,
    vacancies: list[str],
    seed: int,
) -> Atoms:
    """Read a structure; repeat it and take atoms out where that is asked for."""
    from mlmd.structure import read_structure, supercell, with_vacancies

    amounts = _amounts(vacancies)
    if diameter_A is not None and n_atoms is not None:
        raise InputError("give either --supercell-diameter-A or --supercell-n-atoms")
    atoms = read_structure(structure, format)
    if diameter_A is not None or n_atoms is not None:
        atoms = supercell(atoms, min_diameter_A=diameter_A, n_atoms=n_atoms)
    for symbol, amount in amounts.items():
        if isinstance(amount, int):
            atoms = with_vacancies(atoms, symbol, n=amount, seed=seed)
        else:
            atoms = with_vacancies(atoms, symbol, fraction=amount, seed=seed)
    return atoms


def _amounts(vacancies: list[str]) -> dict[str, float]:
    """Read how many atoms of which elements are to be taken out."""
    amounts = assignments(vacancies, "--vacancies")
    for symbol, amount in amounts.items():
        if not is_number(amount):
            raise InputError(
                f"--vacancies {symbol}={amount} is not understood; expected a fraction such as "
                "Li=0.02 or a number of atoms such as Li=2"
            )
    return amounts
