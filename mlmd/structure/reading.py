"""Structures from files, checked as they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.errors import InputError
from mlmd.structure.checks import check_structure

if TYPE_CHECKING:
    from ase import Atoms


def read_structure(path: str | Path) -> Atoms:
    """Read the last structure of a file in any format of ASE, and check it.

    Parameters
    ----------
    path : str or pathlib.Path
        A file, such as CIF, POSCAR, extxyz or ``.traj``.

    Raises
    ------
    InputError
        If there is no such file, ASE cannot read it, or `check_structure` refuses it.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"structure file {str(path)!r} {what}; expected a file that ASE can read")
    try:
        from ase.io import read

        atoms: Atoms | list[Atoms] = read(path, index=-1, do_not_split_by_at_sign=True)
    except Exception as error:  # each of ASE's readers has its own kinds
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"structure file {str(path)!r} cannot be read ({type(error).__name__}: {reason}); "
            "expected a format that ASE knows, such as CIF, POSCAR or extxyz"
        ) from error
    if isinstance(atoms, list):
        raise InputError(f"structure file {str(path)!r} holds no single last structure")
    try:
        check_structure(atoms)
    except InputError as error:
        raise InputError(f"structure file {str(path)!r}: {error}") from error
    return atoms
