"""Tables of numbers in text, parsed in bulk and yet strictly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlmd.arrays import FloatArray


SPACE, NEWLINE = ord(" "), ord("\n")
# Read only where everything before it was.
SENTINEL = b" 7"


def finite_numbers(words: Iterable[str]) -> list[float]:
    """Return the numbers that words are, or nothing where one of them is no finite number."""
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return []
    return numbers if np.isfinite(numbers).all() else []


def finite_words(line: str) -> list[float]:
    """Return the numbers that the words of a line are, as :func:`finite_numbers`."""
    return finite_numbers(line.split())


def parse_table(text: bytes, n_rows: int, n_columns: int) -> FloatArray | None:
    """Return the table that `text` is, or None where it is not exactly that.

    Parameters
    ----------
    text
        Lines, each with its end.
    n_rows, n_columns
        How many lines there have to be and how many finite numbers in each.
    """
    characters = np.frombuffer(text, np.uint8)
    blank = characters <= SPACE
    begins = (blank[:-1] > blank[1:]).nonzero()[0]
    ends = (characters == NEWLINE).nonzero()[0]
    if len(ends) != n_rows or ends[0] == 0 or len(characters) != ends[-1] + 1:
        return None
    # Words that begin up to the end of each line; the first has no blank before it.
    words = begins.searchsorted(ends) + (not blank[0])
    if (words != n_columns * np.arange(1, n_rows + 1)).any():
        return None
    try:
        numbers = np.fromstring(text + SENTINEL, sep=" ")
    except (ValueError, DeprecationWarning):
        return None
    if len(numbers) != n_rows * n_columns + 1 or not np.isfinite(numbers).all():
        return None
    return numbers[:-1].reshape(n_rows, n_columns)
