"""Rows of labels and numbers: the atoms of a frame in XYZ files and LAMMPS dumps."""

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
    source: TextSource,
    n_rows: int,
    n_columns: int,
    label: int,
    columns: Sequence[int],
    may_lack: Sequence[int] = (),
) -> LabelledTable | None:
    """Read rows of `n_columns` words, or None where the text ends before the last row's end.

    A last line of the file that has no end counts as missing: its last number may have lost
    digits.

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
    may_lack
        Which of them may hold stars or what is no finite number; it becomes NaN.

    Raises
    ------
    InputError
        If a row is not of that kind.
    """
    first = source.line_number + 1
    lines = source.read_lines(n_rows)
    cut = len(lines) < n_rows or source.is_cut
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
        needed = [column for column in columns if column not in may_lack]
        for number, line in enumerate(lines, first):
            if len(line.split()) != n_columns or len(_numbers(line, needed)) < len(needed):
                expected = f"{n_columns} columns: a label and finite numbers"
                raise source.unexpected(line, expected, line_number=number)
        if not may_lack:
            raise source.error("no table", "a label and finite numbers", line_number=first)
        numbers = np.array([[*map(_number_or_nan, (row[i] for i in columns))] for row in rows])
    return None if cut else LabelledTable([row[label] for row in rows], numbers)


def _numbers(line: str, columns: Sequence[int]) -> list[float]:
    words = line.split()
    return finite_numbers(words[i] for i in columns)


def _number_or_nan(word: str) -> float:
    return (finite_numbers([word]) or [float("nan")])[0]
