"""Tables of numbers in text, parsed in bulk and yet strictly."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from mlmd.arrays import FloatArray


SPACE, NEWLINE = ord(" "), ord("\n")
# Read only where everything before it was.
SENTINEL = b" 7"
# What a character is, as bits; and what it counts, where it is a digit.
BLANK, MINUS, DIGIT, POINT, END = 1, 2, 4, 8, 16
_KIND_OF = {" ": BLANK, "-": MINUS, ".": POINT, "\n": END, **dict.fromkeys("0123456789", DIGIT)}
KINDS = bytes(_KIND_OF.get(chr(character), 0) for character in range(256))
VALUES = bytes(character & 15 if KINDS[character] == DIGIT else 0 for character in range(256))
FIXED = re.compile(rb"( *-?\d+)\.(\d+)(?=[ \n])")
# Whole numbers of so many digits are exact in double precision, as are these powers of ten.
EXACT_DIGITS = 15


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
    fixed = _of_fixed_width(text, n_rows, n_columns)
    if fixed is not None:
        return fixed
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


def _of_fixed_width(text: bytes, n_rows: int, n_columns: int) -> FloatArray | None:
    """Return a table with all points below each other, as Fortran writes it; None of any other.

    Digits times powers of ten are summed as whole numbers and divided once, which rounds as parsing
    does: the same bits, in half the time.
    """
    width = len(text) // n_rows
    spans = tuple(found.span(part) for found in FIXED.finditer(text[:width]) for part in (1, 2))
    layout = _layout(n_rows, width, spans) if len(spans) == 2 * n_columns else None
    if layout is None or len(text) != n_rows * width:
        return None
    allowed, begun, place_values, units = layout
    both = np.frombuffer(text.translate(KINDS) + bytes(1), np.uint8)
    kinds, following = both[:-1], both[1:]
    # Of a number that has begun, digits go on up to the point.
    stray = ((kinds & begun) != 0) & (following != DIGIT)
    if ((kinds & allowed) == 0).any() or stray.any():
        return None
    digits = np.frombuffer(text.translate(VALUES), np.uint8).reshape(n_rows, width)
    numbers = digits.astype(float) @ place_values / units
    minus = kinds == MINUS
    if minus.any():
        numbers *= 1.0 - 2.0 * (minus.reshape(n_rows, width) @ (place_values > 0))
    return np.asarray(numbers)


@lru_cache(maxsize=8)
def _layout(
    n_rows: int, width: int, spans: tuple[tuple[int, int], ...]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], FloatArray, FloatArray] | None:
    """Return what may stand where, and what digits of each column count in each number.

    Parameters
    ----------
    n_rows, width
        Rows, and characters of each with its end.
    spans
        Of each number in turn: the columns before its point, with blanks and sign, and behind it.

    Returns
    -------
    allowed, begun : (rows x width,)
        Kinds that each character may be; those after which only a digit may follow.
    place_values : (width, numbers)
        Powers of ten.
    units : (numbers,)
        What to divide the sums by.
    """
    whole, behind = spans[::2], spans[1::2]
    begins, ends = [a for a, _ in whole], [b for _, b in behind]
    n_digits = max(b - a - 1 for a, b in zip(begins, ends, strict=True))
    if begins != [0, *ends[:-1]] or ends[-1] != width - 1 or n_digits > EXACT_DIGITS:
        return None
    allowed, begun = np.full(width, DIGIT, np.uint8), np.zeros(width, np.uint8)
    place_values = np.zeros((width, len(whole)))
    for i, ((begin, point), (_, end)) in enumerate(zip(whole, behind, strict=True)):
        allowed[begin : point - 1] = BLANK | MINUS | DIGIT
        begun[begin : point - 1] = MINUS | DIGIT
        allowed[point] = POINT
        place_values[begin:point, i] = 10.0 ** np.arange(end - begin - 2, end - point - 2, -1)
        place_values[point + 1 : end, i] = 10.0 ** np.arange(end - point - 2, -1, -1)
    allowed[begins[1:]] = BLANK
    allowed[-1] = END
    units = 10.0 ** np.array([end - begin for begin, end in behind])
    return np.tile(allowed, n_rows), np.tile(begun, n_rows), place_values, units
