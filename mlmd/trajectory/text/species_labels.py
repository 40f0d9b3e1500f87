"""Which atoms a file has: elements from the labels that programs give them, and isotopes.

A species is an element here, since atoms are told apart by their atomic numbers: isotopes of one
element that move beside each other are refused, whatever the format, by their masses. Where all
atoms of an element are of another mass than the natural one they are read with it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import texts
from mlmd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.text.source import TextSource


# An element, and then nothing or what is no letter.
LABEL = re.compile(r"([A-Za-z]{1,2})(?![A-Za-z])")
ISOTOPES_U = {"D": 2.014, "T": 3.016}
"""Masses of the isotopes of hydrogen that have symbols of their own."""
SAME_MASS_U = 0.5
"""Isotopes lie about 1 u apart; tables and roundings of one mass lie closer together."""


def atomic_number(label: str) -> int | None:
    """Return the atomic number of a label, or None if it names no element."""
    from ase.data import atomic_numbers

    found = LABEL.match(label)
    if found is None:
        return None
    symbol = found.group(1).capitalize()
    # "X" has number zero.
    return 1 if symbol in ISOTOPES_U else atomic_numbers.get(symbol) or None


def _isotope_u(label: str) -> float | None:
    """Return the mass of a label that names an isotope."""
    found = LABEL.match(label)
    return ISOTOPES_U.get(found.group(1).capitalize()) if found else None


def given_elements(elements: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the chemical symbols that a user gives for types 1, 2, ...

    Raises
    ------
    InputError
        If one is none.
    """
    if elements is None:
        return None
    symbols = texts("elements", elements)
    for symbol in symbols:
        number = atomic_number(symbol) if LABEL.fullmatch(symbol) else None
        if number is None or symbol != symbol.capitalize():
            raise InputError(
                f"elements are {', '.join(symbols)}; '{symbol}' is no element: expected chemical "
                "symbols in the order of the types, such as Li,O"
            )
    if not symbols:
        raise InputError("no elements are given; expected those of the types, such as Li,O")
    return symbols


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


def masses_of(
    source: TextSource, labels: Sequence[str], masses_u: FloatArray | None = None
) -> FloatArray | None:
    """Return masses that hold for labels of isotopes too; None for natural ones.

    Parameters
    ----------
    source
        The file.
    labels
        Of the atoms, each with an element.
    masses_u : (atoms,), optional
        Masses that the file says.

    Raises
    ------
    InputError
        If it says another mass of an isotope.
    """
    from ase.data import atomic_masses

    known = {label: _isotope_u(label) for label in dict.fromkeys(labels)}
    if not any(known.values()):
        return masses_u
    isotopes = np.array([known[label] or np.nan for label in labels])
    if masses_u is not None:
        wrong = np.abs(masses_u - isotopes) > SAME_MASS_U
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            raise InputError(
                f"{source.path}: '{labels[at]}' has a mass of {masses_u[at]:g} u; expected "
                f"{isotopes[at]:g} u of that isotope"
            )
        return masses_u
    natural = np.array([atomic_masses[atomic_number(label) or 0] for label in labels])
    return np.where(np.isnan(isotopes), natural, isotopes)


def check_given(where: str, numbers: IntArray, elements: Sequence[str] | None) -> None:
    """See that atoms are of the elements that the user gives, if any are given.

    Raises
    ------
    InputError
        If there is another.
    """
    from ase.data import chemical_symbols

    if elements is None:
        return
    known = {atomic_number(symbol) for symbol in elements}
    others = [chemical_symbols[number] for number in np.unique(numbers) if number not in known]
    if others:
        raise InputError(
            f"{where}: it has {', '.join(others)}, and the elements given are "
            f"{', '.join(elements)}; leave --elements (elements=) out, or give those of the file"
        )


def check_species(source: TextSource, numbers: IntArray, masses_u: FloatArray | None) -> None:
    """See that the elements of atoms are known, and each of them is of one isotope.

    Raises
    ------
    InputError
        If they are not; an element of another mass than the natural one is told.
    """
    unknown = int((numbers == 0).sum())
    if unknown:
        raise InputError(
            f"{source.path}: the element of {unknown} of its {len(numbers)} atoms is not known "
            "('X'); expected a file that says it, such as extended XYZ"
        )
    check_given(str(source.path), numbers, source.elements)
    for message in isotopes_of(str(source.path), numbers, masses_u):
        source.note("isotope", message)


def isotopes_of(where: str, numbers: IntArray, masses_u: FloatArray | None) -> list[str]:
    """Return what is to be said of each element whose mass is not the natural one.

    Raises
    ------
    InputError
        If there are two isotopes of an element.
    """
    from ase.data import atomic_masses, chemical_symbols

    said: list[str] = []
    for number in [] if masses_u is None else np.unique(numbers):
        assert masses_u is not None
        symbol, natural = chemical_symbols[number], float(atomic_masses[number])
        masses = masses_u[numbers == number]
        low, high = float(masses.min()), float(masses.max())
        if high - low > SAME_MASS_U:
            light = int((masses < (low + high) / 2).sum())
            raise InputError(
                f"{where}: atoms of {symbol} have masses of {low:g} u ({light} of them) and "
                f"{high:g} u ({len(masses) - light}); isotopes of an element are one species "
                f"here, whose motion would be mixed: write one label and mass for all {symbol} if "
                "they need not be told apart, or a file with one isotope"
            )
        if abs(low - natural) > SAME_MASS_U:
            said.append(
                f"{symbol} is read with its mass of {low:g} u (the natural one is {natural:.4g})"
            )
    return said
