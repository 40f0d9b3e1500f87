"""What the head of a ``vasprun.xml`` says: atoms with their masses, and settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from mlmd.trajectory.text.source import MOST_ATOMS
from mlmd.trajectory.text.species_labels import SAME_MASS_U
from mlmd.trajectory.vasp.header import element, element_of_title
from mlmd.trajectory.vasp.output_interval import OutputSettings

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.text.source import TextSource


NUMBERS = frozenset({"IBRION", "POTIM", "PSTRESS", "ML_OUTBLOCK", "ML_ISTART"})
MASS, TITLE = 2, 4  # columns of a pseudopotential


class VasprunHead:
    """Gathers what is known before the first step."""

    def __init__(self, source: TextSource) -> None:
        self.output = OutputSettings()
        self.settings: dict[str, float] = {}
        self._source = source
        # Of each atom: the symbol of its element, its type, and the line that says so.
        self._symbols: list[str] = []
        self._types: list[int] = []
        self._lines: list[int] = []
        self._potentials: list[list[str]] = []

    @property
    def n_atoms(self) -> int:
        """How many atoms were named so far."""
        return len(self._symbols)

    @property
    def timestep_fs(self) -> float | None:
        """POTIM, where this is molecular dynamics."""
        timestep = self.settings.get("POTIM", 0.0)
        return timestep if self.settings.get("IBRION") == 0 and timestep > 0 else None

    def take_setting(self, name: str, number: float) -> None:
        """Take one of :data:`NUMBERS`; the parameters that VASP used come after what was asked."""
        self.settings[name] = number
        if name == "ML_OUTBLOCK" and number == int(number):
            self.output.ml_outblock = int(number)
        elif name == "ML_ISTART":
            self.output.istart = f"{number:.0f}"

    def take_row(self, array: str, row: list[str], line_number: int) -> None:
        """Take a row of a table of atoms or pseudopotentials.

        Raises
        ------
        InputError
            If it is none.
        """
        if array == "array:atoms" and len(row) == 2:
            if not re.fullmatch(r"\d{1,9}", row[1]):
                raise self._source.error(repr(row[1][:40]), "the type of an atom", line_number)
            self._symbols.append(row[0])
            self._types.append(int(row[1]))
            self._lines.append(line_number)
            if self.n_atoms > MOST_ATOMS:
                raise self._source.error(f"more than {MOST_ATOMS} atoms", "fewer", line_number)
        elif array == "array:atomtypes" and len(row) > MASS:
            self._potentials.append(row)

    def numbers(self) -> IntArray:
        """Return the atomic number of each atom.

        VASP writes the symbols of some elements wrong (``r`` of Zr, ``X`` of Xe): where one is that
        of no element, or the mass is not its but that of the title of the pseudopotential, the
        title says it.

        Raises
        ------
        InputError
            If neither names an element.
        """
        known: dict[tuple[str, int], int] = {}
        for symbol, kind, line in zip(self._symbols, self._types, self._lines, strict=True):
            if (symbol, kind) in known:
                continue
            number = self._element(symbol, kind)
            if number is None:
                self._source.line_number = line
                raise self._source.unexpected(symbol, f"symbols of elements ('{symbol}' is none)")
            known[symbol, kind] = number
        return np.array([known[one] for one in zip(self._symbols, self._types, strict=True)])

    def _element(self, symbol: str, kind: int) -> int | None:
        from ase.data import atomic_masses

        title = self._column(kind, TITLE)
        named, titled = element(symbol), element_of_title(title)
        if named is None or titled is None or named == titled:
            return named or titled
        try:
            mass = float(self._column(kind, MASS))
        except ValueError:
            return named
        fits = [abs(mass - atomic_masses[number]) <= SAME_MASS_U for number in (named, titled)]
        if fits != [False, True]:
            return named
        self._source.note_once(
            "species_by_title", f"'{symbol}' is read as the pseudopotential '{title}' says"
        )
        return titled

    def masses_u(self) -> FloatArray | None:
        """Return the mass of each atom, or None where not all are said."""
        try:
            masses = np.array([float(self._column(kind, MASS)) for kind in self._types])
        except ValueError:
            return None
        return masses if np.isfinite(masses).all() and (masses > 0).all() else None

    def _column(self, kind: int, column: int) -> str:
        row = self._potentials[kind - 1] if 0 < kind <= len(self._potentials) else []
        return row[column] if len(row) > column else ""
