"""What pages are made of: cells, tables, blocks to copy, lists of settings."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlmd.report.page.numbers import number, value_of, with_interval


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is read, and the number behind it with all its digits."""

    text: str
    raw: float | int | None = None


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
    """Return the cell of a number."""
    return Cell(number(value, digits), value)


def of_interval(value: float | None, interval: Sequence[float] | None) -> Cell:
    """Return the cell of a number with its interval."""
    return Cell(with_interval(value, interval), value)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[float | int | str | None]]) -> str:
    """Write rows as CSV with all digits; nothing where there is no number."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([value_of(value) for value in row] for row in rows)
    return buffer.getvalue()
