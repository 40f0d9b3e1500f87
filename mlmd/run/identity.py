"""When is it the same run? The same protocol, structure, calculator physics and seed."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

IDENTITY_VERSION = 1
"""Which rule says that two runs are the same; a recorded run keeps the one it was made by."""
KEPT_INFO = ("packing", "supercell", "vacancies")
"""Entries of ``Atoms.info`` that belong to the structure: how it was made."""
KEPT_ARRAYS = ("initial_magmoms", "initial_charges")
"""What calculators may start from (VASP, say) besides numbers and positions."""


def structure_text(atoms: Atoms) -> str:
    """Return the structure as extended XYZ: what a run starts from is what this text says.

    Numbers, positions, cell, periodicity; masses, momenta, initial magnetic moments and
    charges where set; nothing that a calculator left behind.
    """
    from ase import Atoms
    from ase.io import write

    clean = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if atoms.has("masses"):
        clean.set_masses(atoms.get_masses())
    if atoms.has("momenta") and atoms.get_momenta().any():
        clean.set_momenta(atoms.get_momenta())
    for name in KEPT_ARRAYS:
        if atoms.has(name) and atoms.get_array(name).any():
            clean.set_array(name, atoms.get_array(name), dtype=float)
    clean.info.update(how_made(atoms))
    buffer = io.StringIO()
    write(buffer, clean, format="extxyz")
    return buffer.getvalue()


def how_made(atoms: Atoms) -> dict[str, Any]:
    """Return how a structure was packed, repeated and thinned out, as plain data.

    Raises
    ------
    InputError
        If an entry of that name is not what `pack`, `supercell` or `with_vacancies` writes.
    """
    content: dict[str, Any] = {}
    for name in KEPT_INFO:
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
    return atoms


def digest(content: Any) -> str:
    """Return the SHA-256 of plain data, independent of the order of keys."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_text(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def checksum(content: bytes) -> str:
    """Return the checksum of a file's content, with the name of the algorithm."""
    return f"blake2b:{hashlib.blake2b(content, digest_size=32).hexdigest()}"


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
