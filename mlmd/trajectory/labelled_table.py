"""Rows of a label and numbers: the atoms of a frame in XYZ files and LAMMPS dumps."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlmd.trajectory.text_source import TextSource

    FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class LabelledTable:
    """Labels and numbers, shape (rows, columns asked for)."""

    labels: list[str]
    numbers: FloatArray


def read_labelled_table(
    source: TextSource, n_rows: int, n_columns: int, label: int, columns: Sequence[int]
) -> LabelledTable | None:
    """Read rows of `n_columns` words, or None where the text ends before the last row's end.

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
    cut = len(lines) < n_rows or source.last_line_is_cut
    if cut:
        lines = lines[:-1]
    rows = [line.split() for line in lines]
    numbers = None
    if all(len(row) == n_columns for row in rows):
        with suppress(ValueError):
            numbers = np.loadtxt(lines, usecols=columns, comments=None, ndmin=2) if lines else None
    if lines and (numbers is None or not np.isfinite(numbers).all()):
        _complain(source, lines, first, n_columns, columns)
    if cut or numbers is None:
        return None
    return LabelledTable([row[label] for row in rows], numbers)


def _complain(
    source: TextSource, lines: list[str], first: int, n_columns: int, columns: Sequence[int]
) -> None:
    """Raise the error of the row that is wrong."""
    for number, line in enumerate(lines, first):
        words = line.split()
        good = len(words) == n_columns
        with suppress(ValueError):
            if good and np.isfinite([float(words[i]) for i in columns]).all():
                continue
        raise source.unexpected(
            line, f"{n_columns} columns of a label and finite numbers", line_number=number
        )
    raise source.error("a table that is none", f"{n_columns} columns", line_number=first)
