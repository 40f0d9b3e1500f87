"""What pages are made of: cells, tables, blocks to copy, lists of settings."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlmd.digits import number, r_squared_text, value_of, with_interval
from mlmd.plain import csv_text


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is read, and the number behind it with all its digits."""

    text: str
    raw: float | int | None = None


Value = Cell | float | int | str | None
"""What a cell is made of: numbers have three digits unless they come as cells."""


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is its name."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class CopyBlock:
    """Text with a button that copies it."""

    name: str
    title: str
    note: str
    text: str


@dataclass(frozen=True)
class Group:
    """Settings under one title, with a word about them."""

    title: str
    entries: tuple[tuple[str, str], ...]
    note: str = ""


def of(value: float | int | None, digits: int = 3) -> Cell:
    """Return the cell of a number; NaN and infinities are none."""
    known = value is not None and math.isfinite(value)
    return Cell(number(value, digits), value if known else None)


def of_r_squared(value: float | None) -> Cell:
    """Return the cell of a coefficient of determination."""
    known = value is not None and math.isfinite(value)
    return Cell(r_squared_text(value), value if known else None)


def of_interval(value: float | None, interval: Sequence[float | None] | None) -> Cell:
    """Return the cell of a number with its interval."""
    return Cell(with_interval(value, interval), value)


def of_diffusivity(
    D_cm2_s: float | None, interval: Sequence[float] | None, bound: float | None
) -> Cell:
    """Return the cell of D with its interval, or of the bound where motion is not diffusive."""
    if D_cm2_s is not None:
        return of_interval(D_cm2_s, interval)
    return Cell("not diffusive") if bound is None else Cell(f"< {number(bound)}", bound)


def make_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Value]], caption: str = ""
) -> Table:
    """Return a table, its cells made of texts and numbers where they are not cells already."""
    cells = tuple(tuple(_cell(value) for value in row) for row in rows)
    return Table(title, tuple(columns), cells, caption)


def _cell(value: Value) -> Cell:
    if isinstance(value, Cell):
        return value
    return Cell(value) if isinstance(value, str) else of(value)


def csv_block(
    title: str,
    note: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[float | int | str | None]],
) -> CopyBlock:
    """Return rows as CSV with all digits, to be copied; nothing where there is no number.

    The note goes on from "CSV, all digits". Rows may be short of their last columns.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = (csv_text(cell) if isinstance(cell, str) else value_of(cell) for cell in row)
        writer.writerow([*cells, *[""] * (len(columns) - len(row))])
    return CopyBlock(f"csv-{title.lower()}", title, f"CSV, all digits{note}", buffer.getvalue())


def entries(settings: Mapping[str, Any], between: str = ", ") -> tuple[tuple[str, str], ...]:
    """Return settings as texts, those that are not set left out; `between` is put in lists."""
    return tuple(
        (key.replace("_", " "), _text(value, between))
        for key, value in settings.items()
        if value is not None and value not in ({}, [])
    )


def _text(value: Any, between: str) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(one, between)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return between.join(_text(one, between) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
