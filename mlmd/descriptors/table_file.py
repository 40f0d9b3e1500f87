"""Tables of features as they come back from files: as written, from pandas, from a spreadsheet."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols, covalent_radii

from mlmd.bounds.memory import check_memory
from mlmd.checks import element, input_file
from mlmd.csv_cells import Cells
from mlmd.descriptors.composition import ElementalAverages
from mlmd.descriptors.conventions import CONVENTIONS, Convention, convention_of
from mlmd.descriptors.elements import package_elements
from mlmd.descriptors.features import UNITS, measure_composition
from mlmd.descriptors.snapshot import anion_of
from mlmd.errors import InputError, MissingExtraError
from mlmd.plain import text_of_csv
from mlmd.structure.composition import Composition

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from mlmd.arrays import FloatArray

SCHEMA = 1
HEAD = "# mlmd features "
NAME = "name"
ABOUT = ("formula", "temperature_K", "n_frames")
FRAMES = "frames"
SPREAD_SUFFIX = "_std"
_MEMORY_PER_BYTE = 60  # every cell of a table is a text of its own first
_MISSING = {"", "nan", "na", "null", "none"}
_ROUNDED = 2e-3
"""Of numbers that a spreadsheet shows, and so writes, with three digits."""


@dataclass(frozen=True, eq=False)
class TableFile:
    """What is in a file of features.

    Attributes
    ----------
    values, spread, about : pandas.DataFrame
        As of a `FeatureTable`.
    convention, mobile, elements_sha256 : str
        As of a `FeatureTable`; the last empty where it is not known.
    others : pandas.DataFrame of str
        All further columns, with the same index.
    lines : tuple of int
        Line of the file that each row ends on.
    has_head : bool
        Whether the first line was there that says the convention; else the columns told it.
    """

    values: pd.DataFrame
    spread: pd.DataFrame
    about: pd.DataFrame
    convention: str
    mobile: str
    elements_sha256: str
    others: pd.DataFrame
    lines: tuple[int, ...]
    has_head: bool

    @classmethod
    def read(
        cls, path: str | Path, convention: str | None = None, mobile: str | None = None
    ) -> TableFile:
        """Read what `FeatureTable.to_csv` wrote, also after other programs have written it anew.

        Pandas and spreadsheets lose or spoil the first line, add columns of row numbers and empty
        ones, and have separators of their own (`mlmd.csv_cells`). Without the first line the
        units are those of the columns' names, and the convention and mobile element those that
        the columns fit.

        Parameters
        ----------
        path : path
            The file.
        convention, mobile : str, optional
            Of a table without its first line, where its columns fit several.

        Raises
        ------
        InputError
            If there is no such file, it is no table of features of this schema, something in it
            is no number, or nothing tells its convention.
        """
        path, pandas = table_file(path, "a table of mlmd features -o FILE"), import_pandas()
        cells = Cells.read(path)
        head = None
        if cells.comment is not None:
            head = _read_head(cells.comment, path)
        columns = {name: [row[i] for row in cells.rows] for i, name in enumerate(cells.columns)}
        names = [name for name in UNITS if name in columns]
        if not names or (head is None and "formula" not in columns):
            raise InputError(
                f"{path} is no table of features; expected one of mlmd features -o FILE"
            )
        missing = [
            c for c in (*ABOUT, *([] if head is None else head["units"])) if c not in columns
        ]
        if missing:
            raise InputError(f"{path} has no column {', '.join(missing)}; make it anew")
        if not cells.rows:
            raise InputError(f"{path} has no rows; expected a structure in each, make it anew")
        labels = map(text_of_csv, columns.get(NAME, map(str, range(1, len(cells.rows) + 1))))
        index = pandas.Index(list(labels), name=NAME, dtype=object)

        def numbers(name: str) -> list[float]:
            return _numbers(path, name, columns[name], cells.lines)

        values = pandas.DataFrame({name: numbers(name) for name in names}, index)
        empty, spreads = [math.nan] * len(index), [f"{name}{SPREAD_SUFFIX}" for name in names]
        known = {
            n: numbers(s) if s in columns else empty for n, s in zip(names, spreads, strict=True)
        }
        n_frames = [0 if math.isnan(n) else int(n) for n in numbers("n_frames")]
        about = pandas.DataFrame(
            {
                "formula": [text_of_csv(text).strip() for text in columns["formula"]],
                "temperature_K": numbers("temperature_K"),
                "n_frames": n_frames,
                # Tables of before do not have it.
                FRAMES: list(map(text_of_csv, columns.get(FRAMES, [""] * len(index)))),
            },
            index,
        )
        ours = {NAME, *ABOUT, FRAMES, *names, *spreads}
        others = pandas.DataFrame(
            {n: c for n, c in columns.items() if n not in ours}, index, dtype=object
        )
        if head is None:
            convention, mobile = _told(path, values, about, convention, mobile)
        else:
            for what, given in (("convention", convention), ("mobile", mobile)):
                if given not in (None, head[what]):
                    raise InputError(
                        f"{path} says {what} {head[what]}, not {given}; leave out --{what}"
                    )
            convention, mobile = str(head["convention"]), str(head["mobile"])
        sha256 = "" if head is None else str(head.get("elements_sha256", ""))
        spread = pandas.DataFrame(known, index)
        return cls(
            values, spread, about, convention, mobile, sha256, others, cells.lines, head is not None
        )


def table_file(path: str | Path, expected: str) -> Path:
    """Return the path of a table that is there and not too large to be taken in.

    Raises
    ------
    InputError
        If it is not.
    """
    found = input_file(path, expected)
    check_memory(f"table {found}", found.stat().st_size * _MEMORY_PER_BYTE)
    return found


def import_pandas() -> Any:
    """Import pandas, which comes with the extra for models.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError("pandas", "model") from error
    return pandas


def number_in(path: Path, line: int, column: str, text: str) -> float:
    """Return the number of a cell, NaN where it is empty or says that there is none.

    Raises
    ------
    InputError
        If it is no number; the message names line and column.
    """
    if text.strip().lower() in _MISSING:
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"{path}, line {line}: {column} is {text[:40]!r}, which is no number"
        ) from None


def _numbers(path: Path, name: str, cells: Sequence[str], lines: Sequence[int]) -> list[float]:
    return [number_in(path, line, name, text) for line, text in zip(lines, cells, strict=True)]


def _read_head(line: str, path: Path) -> dict[str, Any] | None:
    """Return what the first line says; None where it is the comment of another program."""
    if not line.startswith(HEAD.strip()):
        return None
    try:
        head = json.loads(line[len(HEAD.strip()) :])
        schema, units = head["schema"], head["units"]
        complete = {"convention", "mobile"} <= head.keys() and isinstance(units, dict)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(
            f"{path}: its first line is damaged; make the table anew, or delete that line"
        ) from error
    if schema != SCHEMA or not complete:
        raise InputError(f"{path} has schema {schema}; this version of mlmd reads {SCHEMA}")
    for name, unit in units.items():
        if name in UNITS and unit != UNITS[name]:
            raise InputError(f"{path} has {name} in {unit}; expected {UNITS[name]}, make it anew")
    convention_of(head["convention"])
    checked: dict[str, Any] = head
    return checked


def _told(
    path: Path,
    values: pd.DataFrame,
    about: pd.DataFrame,
    convention: str | None,
    mobile: str | None,
) -> tuple[str, str]:
    """Return convention and mobile element of a table that has lost its first line.

    Raises
    ------
    InputError
        If its columns fit none, or several of which none was given.
    """
    try:
        shares = [Composition.parse(formula).fractions for formula in about["formula"]]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    everywhere = sorted(set.intersection(*(set(one) for one in shares)))
    mobiles = [one for one in everywhere if _fits_mobile(values, about["formula"], one)]
    mobile = _chosen(path, "mobile", mobile and element("mobile element", mobile), mobiles)
    found = [name for name in CONVENTIONS if _fits_convention(values, shares, mobile, name)]
    return _chosen(path, "convention", convention and convention_of(convention).name, found), mobile


def _chosen(path: Path, what: str, given: str | None, found: list[str]) -> str:
    of = {"mobile": "mobile element", "convention": "convention"}[what]
    lost = f"{path} has lost its first line, which said its {of}"
    if not found or (given and given not in found):
        fit = f"columns fit {' or '.join(found) or 'none'}"
        raise InputError(f"{lost}; its {fit}{f', not {given}' if given else ''}: make it anew")
    if given is None and len(found) > 1:
        raise InputError(
            f"{lost}; its columns fit {' and '.join(found)}: say which by --{what} ({what}=)"
        )
    return given or found[0]


def _same(one: FloatArray, other: FloatArray) -> bool:
    """Whether numbers are the same as far as both are known."""
    both = np.isfinite(one) & np.isfinite(other)
    return bool(np.allclose(one[both], other[both], rtol=_ROUNDED, atol=_ROUNDED / 10))


def _fits_mobile(values: pd.DataFrame, formulas: Sequence[str], mobile: str) -> bool:
    made = [measure_composition(ElementalAverages.of_formula(text, mobile)) for text in formulas]
    return all(
        _same(values[name].to_numpy(), np.array([one[name] for one in made]))
        for name in ("Li_percentage", "avg_m_with_Li", "avg_m_wiout_Li")
        if name in values
    )


def _fits_convention(
    values: pd.DataFrame, shares: Sequence[dict[str, float]], mobile: str, name: str
) -> bool:
    """Whether volumes per anion and, where radii are covalent, packing fractions fit."""
    if not {"AAV", "VPA", "PF"} <= set(values.columns):
        return True
    convention, AAV_A3 = CONVENTIONS[name], values["AAV"].to_numpy()
    of_anion = np.array([_anion_share(one, mobile, convention) for one in shares])
    if not _same(values["VPA"].to_numpy() * of_anion, AAV_A3):
        return False
    if convention.radii != "covalent":
        return True
    filled_A3 = [
        sum(x * 4 / 3 * math.pi * covalent_radii[atomic_numbers[s]] ** 3 for s, x in one.items())
        for one in shares
    ]
    return _same(values["PF"].to_numpy() * AAV_A3, np.array(filled_A3))


def _anion_share(shares: dict[str, float], mobile: str, convention: Convention) -> float:
    others = np.array([atomic_numbers[symbol] for symbol in shares if symbol != mobile])
    if not len(others):
        return math.nan
    return shares[chemical_symbols[anion_of(others, convention, package_elements())]]
