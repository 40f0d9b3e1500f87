"""The header that VASP's XDATCAR and POSCAR share: scale, cell, species and their counts.

https://www.vasp.at/wiki/index.php/POSCAR
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.trajectory.text.number_table import finite_numbers
from mlmd.trajectory.text.species_labels import ISOTOPES_U, masses_of

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.text.source import TextSource


@dataclass(frozen=True)
class VaspHeader:
    """Cell vectors as rows, in angstrom; atomic numbers, and masses where isotopes are named."""

    cell_A: FloatArray
    numbers: IntArray
    masses_u: FloatArray | None = None


def read_vasp_header(source: TextSource, comment: str | None = None) -> VaspHeader:
    """Read a header: comment, scale, three cell vectors, species, counts.

    VASP 4 leaves the line of the species out; then the comment has to name them, as is the
    habit.

    Parameters
    ----------
    source
        The text.
    comment
        The first line, where it was read already.

    Raises
    ------
    InputError
        If a line is not what it has to be; the message names it.
    """
    if comment is None:
        comment = _line(source, "a comment")
    scale = _numbers(source, (1, 3), "a scaling factor, or three")
    vectors = np.array([_numbers(source, (3,), "a cell vector of three numbers") for _ in "abc"])
    with np.errstate(all="ignore"):  # numbers too large for a cell are refused as such
        cell = _scaled(source, vectors, scale)
    line = _line(source, "the species or how many atoms there are of each")
    words = line.split()
    if words and not words[0].isdigit():
        species = [_element(source, word, line) for word in words]
        masses = masses_of(source, words)
        line = _line(source, "how many atoms there are of each species")
        words = line.split()
    else:
        species, masses = _species_of_comment(source, comment, len(words)), None
    if not words or not all(re.fullmatch(r"\d{1,12}", word) for word in words):
        raise source.unexpected(line, "how many atoms there are of each species")
    if len(words) != len(species):
        raise source.unexpected(line, f"{len(species)} numbers of atoms, one of each species")
    counts = [int(word) for word in words]
    source.check_atoms(sum(counts))
    return VaspHeader(
        cell,
        np.repeat(np.array(species), counts),
        None if masses is None else np.repeat(masses, counts),
    )


def element(word: str) -> int | None:
    """Return the atomic number of a species as VASP writes it, ``Li``, ``Li_sv``, ``Li/4d5a``.

    None if it is no element; isotopes with symbols of their own are hydrogen.
    """
    from ase.data import atomic_numbers

    symbol = re.split("[_/]", word)[0]
    # "X" has number zero.
    return 1 if symbol in ISOTOPES_U else int(atomic_numbers.get(symbol, 0)) or None


def _element(source: TextSource, word: str, line: str) -> int:
    number = element(word)
    if number is None:
        raise source.unexpected(line, f"symbols of elements ('{word}' is none)")
    return number


def element_of_title(title: str) -> int | None:
    """Return the atomic number that the title of a pseudopotential names, or None.

    Titles are its kind, its element and a date: ``PAW_PBE Li_sv 10Sep2004``.
    """
    found = re.match(r"\s*\S+\s+([A-Z][a-z]?)(?![a-z])", title)
    return element(found.group(1)) if found else None


def _species_of_comment(source: TextSource, comment: str, n: int) -> list[int]:
    from ase.data import atomic_numbers

    words = [re.sub(r"\d+$", "", word) for word in comment.split()]
    if len(words) != n or not all(atomic_numbers.get(word, 0) for word in words):
        raise source.error(
            "no line of species (VASP 4)",
            f"the symbols of {n} elements in a line above this one: put it there",
        )
    return [int(atomic_numbers[word]) for word in words]


def _scaled(source: TextSource, vectors: FloatArray, scale: list[float]) -> FloatArray:
    volume = abs(float(np.linalg.det(vectors)))
    if volume == 0.0:
        raise source.error("cell vectors without a volume", "three that span a cell")
    factors = np.array(scale)
    if len(scale) == 1 and scale[0] < 0.0:
        # A negative scaling factor is the volume of the cell.
        factors = np.array([(-scale[0] / volume) ** (1 / 3)])
    if (factors <= 0.0).any():
        raise source.error(f"scaling factors {scale}", "positive ones, or minus the volume")
    return source.check_cell(
        vectors * factors, "a cell without a volume", "cell vectors in angstrom"
    )


def _numbers(source: TextSource, lengths: tuple[int, ...], expected: str) -> list[float]:
    line = _line(source, expected)
    numbers = finite_numbers(line.split())
    if len(numbers) not in lengths:
        raise source.unexpected(line, expected)
    return numbers


def _line(source: TextSource, expected: str) -> str:
    line = source.read_line()
    if line is None:
        raise source.error("it ends", expected)
    return line
