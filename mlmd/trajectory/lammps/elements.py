"""Elements of the types of a LAMMPS dump, which knows numbers only: given, or from files beside it.

LAMMPS's own data file (https://docs.lammps.org/read_data.html) says the mass of each type, and
most of them its element in a comment behind that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError
from mlmd.trajectory.text.number_table import finite_numbers
from mlmd.trajectory.text.source import TextSource
from mlmd.trajectory.text.species_labels import ISOTOPES_U, atomic_number

if TYPE_CHECKING:
    from pathlib import Path

DATA_FILES = ("*data*", "*.lmp", "*.lammps", "*.dat")
# Before it a data file has said how many types there are.
LONGEST_HEADER = 100
MOST_DATA_FILES = 50
# "Li", "Li+", "O_s"; names of force fields such as "CA" or "ca" are none of calcium.
SYMBOL = re.compile(r"\s*([A-Z][a-z]?)(?![A-Za-z])")
SECTION = re.compile(r"[A-Z][A-Za-z ]*$")
SAME_MASS_U = 0.1
"""Masses are written with one digit behind the point at least, and tables of them were revised."""
LJ_MASS = 1.0
REMEDY = (
    "the elements of its types: --elements Li,O,... (elements=), a data file of LAMMPS beside it "
    "whose masses tell them, or a column 'element' ('dump_modify ID element Li O ...')"
)


@dataclass(frozen=True)
class TypeElements:
    """Chemical symbols and masses of types, and who says so."""

    symbols: dict[int, str]
    masses_u: dict[int, float]
    said_by: str

    def of(self, types: Sequence[int]) -> str:
        """Return the symbols of types, for messages."""
        return ", ".join(self.symbols[type_] for type_ in types)

    def agrees(self, other: TypeElements, types: Sequence[int]) -> bool:
        """Whether another says the same of types; isotopes are told apart by their masses."""
        return all(
            atomic_number(self.symbols[type_]) == atomic_number(other.symbols[type_])
            for type_ in types
        )


def elements_of_types(
    source: TextSource, types: Sequence[int], n_atoms: int, masses_u: dict[int, float]
) -> TypeElements:
    """Return the elements of the types of a dump.

    Parameters
    ----------
    source
        The dump; what its user gives counts before what lies beside it.
    types
        Those that occur.
    n_atoms
        How many atoms it has: of a data file that has fewer it is no dump.
    masses_u
        Mass of each type where the dump has them.

    Raises
    ------
    InputError
        If nothing tells the elements, or two things tell them differently.
    """
    shown = ", ".join(str(type_) for type_ in types)
    found = [TypeElements(_symbols(masses_u, {}), masses_u, "the masses in the dump")]
    found += _beside(source.path, types, n_atoms)
    unclear = found[-1].said_by if found[1:] else ""
    found = [one for one in found if set(types) <= set(one.symbols)]
    if source.elements is not None:
        given = _given(source, types)
        for one in found:
            if not one.agrees(given, types):
                said = f"{given.of(types)}, as given; they are {one.of(types)} by {one.said_by}"
                if one.masses_u is masses_u:
                    raise source.error(f"types {shown} are {said}", "elements of these masses")
                source.note("elements_doubted", f"types {shown} are taken as {said}", "doubt")
        return given
    if not found:
        nor = f" and not told clearly by {unclear}" if unclear else ""
        raise source.error(
            f"atoms with types {shown}, which are no elements{nor} (nor is 'C' for all of them, "
            "which LAMMPS writes if nobody said otherwise)",
            REMEDY,
        )
    first = found[0]
    for one in found[1:]:
        if not one.agrees(first, types):
            raise source.error(
                f"types {shown} are {first.of(types)} by {first.said_by} and {one.of(types)} by "
                f"{one.said_by}",
                "one of them; say it by --elements (elements=)",
            )
    source.note(
        "elements_assumed",
        f"types {shown} are taken as {first.of(types)} by {first.said_by}; say others by "
        "--elements (elements=)",
    )
    return first


def _given(source: TextSource, types: Sequence[int]) -> TypeElements:
    given = source.elements or ()
    if not 1 <= min(types) <= max(types) <= len(given):
        raise source.error(
            f"types from {min(types)} to {max(types)}",
            f"those of the {len(given)} elements that are given ({', '.join(given)})",
        )
    return TypeElements({type_: given[type_ - 1] for type_ in types}, {}, "what is given")


def _beside(dump: Path, types: Sequence[int], n_atoms: int) -> Iterator[TypeElements]:
    """Give what each data file of such a system says."""
    paths = sorted({path for pattern in DATA_FILES for path in dump.parent.glob(pattern)})
    for path in paths[:MOST_DATA_FILES]:
        if path.is_file() and not path.samefile(dump):
            data = _read_data(path)
            if data is not None and data.n_types >= max(types) and data.n_atoms >= n_atoms:
                symbols = _symbols(data.masses_u, data.names)
                yield TypeElements(symbols, data.masses_u, f"{path.name} beside it")


@dataclass
class _DataFile:
    """What a data file says of its types."""

    n_atoms: int = 0
    n_types: int = 0
    masses_u: dict[int, float] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)


def _read_data(path: Path) -> _DataFile | None:
    """Read the header, the masses and the labels of types; None if it is no such file."""
    data, section = _DataFile(), ""
    labels: dict[str, int] = {}
    try:
        with TextSource(path) as source:
            source.read_line()  # a title
            for line in source:
                if not data.n_types and source.line_number > LONGEST_HEADER:
                    return None
                plain, _, comment = line.partition("#")
                words = plain.split()
                if SECTION.fullmatch(plain.strip()):
                    section = plain.strip()
                    if section == "Atoms" and data.masses_u:
                        break
                elif words[1:] == ["atoms"]:
                    data.n_atoms = int(words[0])
                elif words[1:] == ["atom", "types"]:
                    data.n_types = int(words[0])
                elif section == "Atom Type Labels" and len(words) == 2:
                    labels[words[1]] = int(words[0])
                    data.names[int(words[0])] = words[1]
                elif section == "Masses" and len(words) == 2:
                    type_ = labels.get(words[0]) or int(words[0])
                    data.masses_u[type_] = finite_numbers(words[1:])[0]
                    data.names.setdefault(type_, comment)
    except (InputError, ValueError, IndexError):
        return None
    return data if data.n_types and data.masses_u else None


def _symbols(masses_u: dict[int, float], names: dict[int, str]) -> dict[int, str]:
    """Return the symbols of the types whose names and masses do not say two elements."""
    symbols = {}
    for type_, mass in masses_u.items():
        found = SYMBOL.match(names.get(type_, ""))
        named = found[1] if found and atomic_number(found[1]) else None
        weighed = _symbol_of_mass(mass)
        agree = not named or not weighed or atomic_number(named) == atomic_number(weighed)
        if agree and (symbol := named or weighed):
            symbols[type_] = symbol
    return symbols


def _symbol_of_mass(mass_u: float) -> str | None:
    """Return the only element of that mass, or deuterium; none of 1, as in reduced units."""
    from ase.data import atomic_masses, chemical_symbols

    if abs(mass_u - ISOTOPES_U["D"]) < SAME_MASS_U:
        return "D"
    near = np.flatnonzero(np.abs(atomic_masses[1:] - mass_u) < SAME_MASS_U) + 1
    return chemical_symbols[near[0]] if len(near) == 1 and mass_u != LJ_MASS else None
