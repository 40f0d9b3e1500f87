"""Cells of a table as any program writes it: commas, semicolons or tabs, with or without a BOM."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SEPARATORS = (",", ";", "\t")
_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_COUNTED = re.compile(r"|index|Unnamed: \d+(\.\d+)*|level_\d+|\.\.\.\d+")
"""What pandas, and readr of R, call a column of row numbers that they have written or read."""
_COMMA = re.compile(r"\s*[-+]?\d+,\d+([eE][-+]?\d+)?\s*")
_POINT = re.compile(r"\s*[-+]?\d*\.\d+([eE][-+]?\d+)?\s*")


@dataclass(frozen=True)
class Cells:
    """A table as texts.

    Attributes
    ----------
    comment : str or None
        The line before the header, where that begins with ``#``; a program that took it for a row
        of cells is undone.
    columns : tuple of str
        Names of the columns; those of row numbers are left out.
    rows : tuple of tuple of str
        Cells of each row, as many as there are columns; a decimal comma is a point.
    lines : tuple of int
        Line of the file that each row ends on, for messages.
    """

    comment: str | None
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    @classmethod
    def read(cls, path: Path) -> Cells:
        """Read a file of CSV.

        Told by its bytes: the encoding (UTF-8, UTF-16 with a mark, else Windows-1252) and the
        separator, that which gives the header the most cells. Commas in numbers are decimal ones
        where the separator is none and no number of the table has a point. Empty rows and columns,
        which spreadsheets add, and columns of row numbers, which pandas adds, are left out.

        Raises
        ------
        InputError
            If it is no text, a row has more cells than the header, or two columns have one name.
        """
        comment, header, rows, separator = _records(path, _text(path))
        n = len(header)
        for line, row in rows:
            if any(cell.strip() for cell in row[n:]):
                raise InputError(f"{path}, line {line}: {len(row)} cells; the header has {n}")
        filled = [(line, [*row[:n], *[""] * (n - len(row))]) for line, row in rows]
        kept = [
            i
            for i, name in enumerate(header)
            if not _COUNTED.fullmatch(name) or (name == "" and i and any(r[i] for _, r in filled))
        ]
        columns = tuple(header[i] for i in kept)
        for name in columns:
            if columns.count(name) > 1:
                raise InputError(f"{path} has two columns named {name!r}; give each its own name")
        cells = [[row[i] for i in kept] for _, row in filled]
        if separator != "," and not any(_POINT.fullmatch(c) for row in cells for c in row):
            cells = [[c.replace(",", ".") if _COMMA.fullmatch(c) else c for c in r] for r in cells]
        return cls(comment, columns, tuple(map(tuple, cells)), tuple(line for line, _ in filled))


def _text(path: Path) -> str:
    data = path.read_bytes()
    encoding = next((name for bom, name in _BOMS.items() if data.startswith(bom)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")  # as spreadsheets on Windows write it
    if "\0" in text:
        raise InputError(f"{path} is no text; expected a table, saved as CSV")
    return text


def _records(
    path: Path, text: str
) -> tuple[str | None, list[str], list[tuple[int, list[str]]], str]:
    """Return comment, header, the rows that are not empty with their lines, and the separator."""
    best: tuple[str | None, list[str], list[tuple[int, list[str]]], str] = (None, [], [], ",")
    for separator in _SEPARATORS:
        try:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
        except csv.Error as error:
            raise InputError(f"{path} cannot be read as a table ({error})") from error
        if rows and re.fullmatch(r"sep=.?", "".join(rows[0][1])):  # which Excel wants and keeps
            del rows[0]
        comment = None
        if rows and rows[0][1][0].lstrip().startswith("#"):
            comment = _undone(rows.pop(0)[1])
        header = [] if not rows else _trimmed(rows[0][1])
        if len(header) > len(best[1]):
            best = comment, header, rows[1:], separator
    if not best[1]:
        raise InputError(f"{path} is empty; expected a table with a header")
    return best


def _undone(cells: Sequence[str]) -> str:
    """Return a line that was taken for a row: its commas were taken for separators."""
    return ",".join(cells).strip().rstrip(",; \t")


def _trimmed(header: Sequence[str]) -> list[str]:
    """Return the names without blanks, and without the empty ones at the end."""
    names = [name.strip() for name in header]
    while names and not names[-1]:
        names.pop()
    return names
