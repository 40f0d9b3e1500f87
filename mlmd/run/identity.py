"""When is it the same run? The same protocol, structure, calculator physics and seed."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError
from mlmd.structure.carried import (
    arrays_of,
    carried_arrays,
    carried_info,
    plain_arrays,
    restored_info,
)

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

IDENTITY_VERSION = 2
"""Which rule says that two runs are the same; a recorded run keeps the one it was made by.

Version 1 knew no info, tags, custom arrays and fixed atoms, took files named in options by their
names, and had the limits of guards in it.
"""
HOW_MADE = ("packing", "supercell", "vacancies", "started_from")
"""Entries of ``Atoms.info`` by which mlmd says how a structure was made."""
CARRIED = "carried"
"""Entry of the text for what extended XYZ itself would change or lose: see `_carried_text`."""
COLUMNS = ("tags", "initial_magmoms", "initial_charges")
"""Arrays that extended XYZ has columns for and that ASE knows."""


def structure_text(atoms: Atoms, version: int = IDENTITY_VERSION) -> str:
    """Return the structure as extended XYZ: what a run starts from is what this text says.

    Numbers, positions, cell, periodicity; masses, momenta, tags, initial magnetic moments and
    charges, custom arrays, info and fixed atoms where set; nothing that a calculator left behind.

    Parameters
    ----------
    atoms
        The structure.
    version
        Of the identity: 1 leaves out what that did.

    Raises
    ------
    InputError
        If info or an array cannot be kept; it names that.
    """
    from ase import Atoms
    from ase.constraints import FixAtoms
    from ase.io import write

    clean = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if atoms.has("masses"):
        clean.set_masses(atoms.get_masses())
    if atoms.has("momenta") and atoms.get_momenta().any():
        clean.set_momenta(atoms.get_momenta())
    arrays = carried_arrays(atoms)
    for name in COLUMNS[0 if version > 1 else 1 :]:
        if name in arrays:
            values = arrays.pop(name)
            clean.set_array(name, values, dtype=int if name == "tags" else float)
    clean.info.update(how_made(atoms))
    if version > 1:
        info = {key: value for key, value in carried_info(atoms).items() if key not in HOW_MADE}
        if info or arrays:
            clean.info[CARRIED] = _carried_text(info, arrays)
        clean.set_constraint([one for one in atoms.constraints if isinstance(one, FixAtoms)])
    buffer = io.StringIO()
    write(buffer, clean, format="extxyz")
    return buffer.getvalue()


def _carried_text(info: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> str:
    """Return info and custom arrays as ASE reads them back: every bit, under any name."""
    # ASE takes the text apart at backslashes once more than JSON does.
    return "_JSON " + json.dumps({"info": info, "arrays": plain_arrays(arrays)}).replace(
        "\\", "\\\\"
    )


def how_made(atoms: Atoms) -> dict[str, Any]:
    """Return how a structure was packed, repeated, thinned out or taken on, as plain data.

    Raises
    ------
    InputError
        If an entry of that name is not what mlmd writes there.
    """
    content: dict[str, Any] = {}
    for name in HOW_MADE:
        if name not in atoms.info:
            continue
        try:
            text = json.dumps(atoms.info[name], allow_nan=False)
        except (TypeError, ValueError) as error:
            text = str(error)
        if not text.startswith(("{", "[{")):
            raise InputError(
                f"atoms.info['{name}'] is not what mlmd writes there ({text}); remove it or give "
                "it another name"
            )
        content[name] = json.loads(text)
    return content


def structure_from_text(text: str) -> Atoms:
    """Return the structure of :func:`structure_text`."""
    from ase import Atoms
    from ase.io import read

    atoms = read(io.StringIO(text), format="extxyz", index=-1)
    assert isinstance(atoms, Atoms)
    atoms.calc = None
    carried = atoms.info.pop(CARRIED, {"info": {}, "arrays": {}})
    atoms.info.update(restored_info(carried["info"]))
    for name, values in arrays_of(carried["arrays"]).items():
        atoms.set_array(name, values)
    return atoms


def structure_differences(there: Atoms, given: Atoms) -> Iterator[str]:
    """Say where two structures of :func:`structure_from_text` differ, what is fewest first."""
    if len(there) != len(given) or (there.numbers != given.numbers).any():
        yield f"the structure is {there.symbols} there and {given.symbols} given"
        return
    yield from _differences(carried_info(there), carried_info(given), "atoms.info")
    columns = {**carried_arrays(there), **carried_arrays(given)}
    for name in (*columns, "masses", "momenta", "positions"):
        if not np.array_equal(there.arrays.get(name, ()), given.arrays.get(name, ())):
            yield f"atoms.arrays[{name!r}] differs"
    for what, one, other in (
        ("cell", there.cell.array, given.cell.array),
        ("periodicity", there.pbc, given.pbc),
        ("fixed atoms", _fixed(there), _fixed(given)),
    ):
        if not np.array_equal(one, other):
            yield f"the {what} differs"


def _fixed(atoms: Atoms) -> list[int]:
    return sorted({int(i) for one in atoms.constraints for i in one.get_indices()})


def digest(content: Any) -> str:
    """Return the SHA-256 of plain data, independent of the order of keys."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_text(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def identity_differences(there: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """Return in words where the identity of a run differs from what was given."""
    return list(_differences(json.loads(json.dumps(there)), json.loads(json.dumps(given))))


def _differences(there: Any, given: Any, path: str = "") -> Iterator[str]:
    if isinstance(there, dict) and isinstance(given, dict):
        for key in dict.fromkeys([*there, *given]):
            where = f"{path}.{key}" if path else str(key)
            yield from _differences(there.get(key), given.get(key), where)
    elif isinstance(there, list) and isinstance(given, list):
        names = [
            item.get("name", i) if isinstance(item, dict) else i for i, item in enumerate(there)
        ]
        if len(there) != len(given):
            yield f"{path} has {len(there)} entries there and {len(given)} given"
            return
        for name, one, other in zip(names, there, given, strict=True):
            yield from _differences(one, other, f"{path}[{name}]")
    elif there != given:
        yield f"{path} is {_short(there)} there and {_short(given)} given"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
