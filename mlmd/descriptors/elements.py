"""Properties of the chemical elements that features are averages of."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers

from mlmd.checks import input_file
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray

PROPERTIES = {
    "bulk_modulus_GPa": "GPa",
    "shear_modulus_GPa": "GPa",
    "cohesive_energy_eV": "eV",
    "atomic_radius_A": "A",
    "mass_u": "u",
    "electronegativity": "1",
    "ionic_radius_A": "A",
}
"""Columns of the table and their units. Sources are at the head of ``elements.csv``."""

_N_ELEMENTS = 119


@dataclass(frozen=True, eq=False)
class ElementTable:
    """Elemental properties by atomic number.

    The table of the package goes from hydrogen to plutonium without the noble gases, which are
    more than the 79 elements of Zheng et al. 2024. Without a value there are: moduli of Po, At,
    Fr, Ra, Ac, Pa, Np and Pu (bulk); cohesive energies of H, Pm, At, Fr and Pa; atomic radii of
    At and Fr; ionic radii of H, C and Au. Moduli are computed (JARVIS-DFT), those of Be, Cs, La
    and six other lanthanoids measured. The paper's own are other computed ones (Materials
    Project), which are not public as a table: see `elements_behind`.

    Attributes
    ----------
    columns : mapping of str to (119,) array
        Value of each property by atomic number, NaN where there is none.
    """

    columns: Mapping[str, FloatArray]

    @property
    def sha256(self) -> str:
        """Hash of all values."""
        digest = hashlib.sha256()
        for name, values in sorted(self.columns.items()):
            digest.update(name.encode() + np.nan_to_num(values, nan=-1.0).astype("<f8").tobytes())
        return digest.hexdigest()

    @classmethod
    def read(cls, path: str | Path | None = None) -> ElementTable:
        """Read a table in the format of ``elements.csv``; that of the package if not given.

        Raises
        ------
        InputError
            If the file cannot be read, lacks a column or has something that is no number.
        """
        file = Path(__file__).with_name("elements.csv") if path is None else Path(path)
        input_file(file, "one in the format of elements.csv", "element table")
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"element table {file} cannot be read ({error})") from error
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        columns = {name: np.full(_N_ELEMENTS, np.nan) for name in PROPERTIES}
        rows = csv.DictReader(lines)
        missing = [n for n in ("symbol", *PROPERTIES) if n not in (rows.fieldnames or ())]
        if missing:
            raise InputError(f"element table {file} has no column {', '.join(missing)}")
        for row in rows:
            for name, values in columns.items():
                values[_number(row["symbol"], str(file))] = _value(row, name, file)
        return cls(columns)

    def with_values(self, values: Mapping[str, Mapping[str, float]]) -> ElementTable:
        """Return a table in which some values are others.

        Parameters
        ----------
        values : mapping
            By property and chemical symbol, such as ``{"mass_u": {"Li": 6.0}}``.

        Raises
        ------
        InputError
            If a property or an element is unknown.
        """
        columns = {name: column.copy() for name, column in self.columns.items()}
        for name, by_symbol in values.items():
            if name not in columns:
                raise InputError(
                    f"no elemental property '{name}'; expected one of {', '.join(columns)}"
                )
            for symbol, value in by_symbol.items():
                columns[name][_number(symbol, f"values of {name}")] = value
        return ElementTable(columns)

    def of(self, name: str, numbers: IntArray) -> FloatArray:
        """Return a property of the elements of these atomic numbers, NaN where there is none."""
        values: FloatArray = self.columns[name][numbers]
        return values


@lru_cache(maxsize=1)
def package_elements() -> ElementTable:
    """Return the table of the package."""
    return ElementTable.read()


def _number(symbol: str, where: str) -> int:
    if symbol not in atomic_numbers or symbol == "X":
        raise InputError(f"{where}: unknown element {symbol!r}; expected a chemical symbol")
    return int(atomic_numbers[symbol])


def _value(row: Mapping[str, str | None], name: str, file: Path) -> float:
    text = (row[name] or "").strip()
    if not text:
        return math.nan
    try:
        return float(text)
    except ValueError as error:
        raise InputError(
            f"element table {file}, {row['symbol']}: {name} is {text!r}; expected a number"
        ) from error
