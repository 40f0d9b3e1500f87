"""Elements from the labels that programs give to atoms: ``Fe1``, ``O_surf``, ``h``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmd.arrays import IntArray
    from mlmd.trajectory.text.source import TextSource


# An element, and then nothing or what is no letter.
LABEL = re.compile(r"([A-Za-z]{1,2})(?![A-Za-z])")
ISOTOPES = {"D": 1, "T": 1}


def atomic_number(label: str) -> int | None:
    """Return the atomic number of a label, or None if it names no element."""
    from ase.data import atomic_numbers

    found = LABEL.match(label)
    if found is None:
        return None
    symbol = found.group(1).capitalize()
    # "X" has number zero.
    return ISOTOPES.get(symbol) or atomic_numbers.get(symbol) or None


def atomic_numbers_of(source: TextSource, labels: Sequence[str], remedy: str) -> IntArray:
    """Return the atomic numbers of the labels of a frame just read.

    Raises
    ------
    InputError
        If one names no element; the message ends with `remedy`.
    """
    known = {label: atomic_number(label) for label in dict.fromkeys(labels)}
    for label, number in known.items():
        if number is None:
            raise source.unexpected(label, remedy)
    return np.array([known[label] for label in labels])
