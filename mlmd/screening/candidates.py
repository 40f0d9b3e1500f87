"""Which crystals are worth a scan, as Maevskiy et al. choose them."""

from __future__ import annotations

import csv
import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.checks import input_file
from mlmd.errors import InputError
from mlmd.screening.ordering import orderings
from mlmd.structure.reading import read_structures

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

Named = tuple[str, "Atoms | InputError"]
TRANSITION_METALS = frozenset(
    (*range(21, 31), *range(39, 49), 57, *range(72, 81), 89, *range(104, 113))
)
"""By atomic number, as pymatgen counts them: zinc, cadmium, mercury, lanthanum, actinium too."""
BAND_GAP, HULL = "band_gap_eV", "hull_eV_atom"
_EXPECTED = f"a table (CSV) with the columns name and {BAND_GAP} or {HULL}"


@dataclass(frozen=True)
class Properties:
    """What a table says of crystals.

    Attributes
    ----------
    band_gap_eV, hull_eV_atom
        By name: band gaps, and energies above the hull per atom; without those it does not tell.
    """

    band_gap_eV: dict[str, float]
    hull_eV_atom: dict[str, float]

    @classmethod
    def read(cls, path: str | Path) -> Properties:
        """Read a table with the columns name, and band_gap_eV or hull_eV_atom or both.

        Raises
        ------
        InputError
            If it is no such table, a cell is neither empty nor a number, or a name stands twice.
        """
        place = input_file(path, _EXPECTED, "table")
        found: dict[str, dict[str, float]] = {BAND_GAP: {}, HULL: {}}
        try:
            with place.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path} cannot be read ({error}); expected {_EXPECTED}") from error
        columns = set(rows[0]) if rows else set()
        if "name" not in columns or not columns & set(found):
            there = ", ".join(sorted(map(str, columns))) or "none"
            raise InputError(f"{path} has the columns {there}; expected {_EXPECTED}")
        seen = Counter(row["name"] for row in rows)
        for row in rows:
            name = row["name"]
            if seen[name] > 1:
                raise InputError(f"{path} has {seen[name]} rows of {name!r}; expected one")
            for column, values in found.items():
                if text := (row.get(column) or "").strip():
                    values[name] = _number(text, f"{path}: {column} of {name}")
        return cls(found[BAND_GAP], found[HULL])


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{what} is {text!r}; expected a number, or an empty cell")
    return value


@dataclass(frozen=True)
class Selection:
    """Which crystals are candidates; those without the mobile element fail when they are scanned.

    Attributes
    ----------
    transition_metals
        Whether they may hold such.
    properties
        Where it tells, the two limits below hold.
    min_band_gap_eV, max_hull_eV_atom
        As in the paper: less is an electronic conductor, more comes apart.
    """

    transition_metals: bool = True
    properties: Properties | None = None
    min_band_gap_eV: float = 0.5
    max_hull_eV_atom: float = 0.05

    def reason(self, name: str, atoms: Atoms) -> str | None:
        """Return why a crystal is no candidate; None of one that is."""
        if not self.transition_metals and TRANSITION_METALS & set(atoms.numbers.tolist()):
            return "transition metals"
        if self.properties is None:
            return None
        gap_eV = _of(self.properties.band_gap_eV, name)
        if gap_eV is not None and gap_eV < self.min_band_gap_eV:
            return f"a band gap below {self.min_band_gap_eV:g} eV"
        hull_eV = _of(self.properties.hull_eV_atom, name)
        if hull_eV is not None and hull_eV > self.max_hull_eV_atom:
            return f"more than {self.max_hull_eV_atom:g} eV/atom above the hull"
        return None


def _of(values: dict[str, float], name: str) -> float | None:
    """Return what is said of a structure: by its name, or that of its file without the ending."""
    return values.get(name, values.get(Path(name).stem))


def candidates(structures: Iterable[Named], selection: Selection) -> Iterator[Named]:
    """Give those structures that are candidates, and those that could not be read.

    How many were left out, and why, is logged at the end.
    """
    n, why = 0, Counter[str]()
    for name, atoms in structures:
        n += 1
        reason = None if isinstance(atoms, InputError) else selection.reason(name, atoms)
        if reason is None:
            yield name, atoms
        else:
            why[reason] += 1
    if why:
        said = ", ".join(f"{count} with {reason}" for reason, count in why.most_common())
        logger.warning("%d of %d structures are no candidates: %s", why.total(), n, said)


def read_candidates(paths: Iterable[Path], n_orderings: int = 0) -> Iterator[Named]:
    """Give the structures of files one after another, as `read_structures` does.

    Parameters
    ----------
    paths
        Files of crystals.
    n_orderings
        If not zero, crystals of CIFs with partly occupied sites are given as so many ordered ones
        at most, named FILE#1, FILE#2 and on, see `orderings`.
    """
    for path in paths:
        ordered: list[Atoms] = []
        if n_orderings and path.suffix.lower() == ".cif":
            try:
                ordered = orderings(path, n_orderings)
            except InputError as error:
                yield str(path), error
                continue
        if ordered:
            yield from ((f"{path}#{i}", atoms) for i, atoms in enumerate(ordered, start=1))
        else:
            yield from read_structures(path)
