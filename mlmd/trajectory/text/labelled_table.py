"""Rows of a label and numbers: the atoms of a frame in XYZ files and LAMMPS dumps."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.trajectory.text.number_table import finite_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmd.arrays import FloatArray
    from mlmd.trajectory.text.source import TextSource


@dataclass(frozen=True)
class LabelledTable:
    """Labels and numbers, shape (rows, columns asked for)."""

    labels: list[str]
    numbers: FloatArray


def read_labelled_table(
    source: TextSource, n_rows: int, n_columns: int, label: int, columns: Sequence[int]
) -> LabelledTable | None:
    """Read rows of `n_columns` words, or None where the text ends before the last row's end.

    A last line of the file that has no end and is shorter than the one before it counts as
    missing, as in :meth:`TextSource.read_table`.

    Parameters
    ----------
    source
        Where to read.
    n_rows, n_columns
        Size of the table in the file.
    label
        Which column holds the label.
    columns
        Which columns hold the numbers wanted.

    Raises
    ------
    InputError
        If a row is not of that kind.
    """
    first = source.line_number + 1
    lines = source.read_lines(n_rows)
    cut = len(lines) < n_rows or source.ends_early(lines)
    if cut:
        lines = lines[:-1]
    if not lines:
        return None
    rows = [line.split() for line in lines]
    numbers = None
    if all(len(row) == n_columns for row in rows):
        with suppress(ValueError):
            numbers = np.loadtxt(lines, usecols=columns, comments=None, ndmin=2)
    if numbers is None or not np.isfinite(numbers).all():
        for number, line in enumerate(lines, first):
            if not _is_row(line, n_columns, columns):
                expected = f"{n_columns} columns: a label and finite numbers"
                raise source.unexpected(line, expected, line_number=number)
        raise source.error("no table", "a label and finite numbers", line_number=first)
    return None if cut else LabelledTable([row[label] for row in rows], numbers)


def _is_row(line: str, n_columns: int, columns: Sequence[int]) -> bool:
    words = line.split()
    return len(words) == n_columns and bool(finite_numbers(words[i] for i in columns))
