"""The beginning of ``pw.x`` output: the cell, the atoms and where they start."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from mlmd.trajectory.text.species_labels import atomic_numbers_of, masses_of

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.text.source import TextSource


# With a point, so that labels and indices are none; columns may touch at a minus sign.
NUMBER = re.compile(r"[-+]?\d+\.\d*(?:[EeDd][-+]?\d+)?")
LABEL_REMEDY = "an element, or a label that begins with one (Fe1, O_s)"


def numbers_in(source: TextSource, line: str, n: int, expected: str) -> list[float]:
    """Return the `n` numbers with a decimal point of a line just read.

    Raises
    ------
    InputError
        If there are fewer or more, or stars in their place.
    """
    numbers = [float(word.upper().replace("D", "E")) for word in NUMBER.findall(line)]
    stars = "*" in line.rpartition("=")[2]
    if len(numbers) != n or stars or not np.isfinite(numbers).all():
        raise source.unexpected(line, expected)
    return numbers


class Cut(Exception):
    """The text ends inside of something."""


def next_line(source: TextSource) -> str:
    """Return the next line that is not empty.

    Raises
    ------
    Cut
        If there is none, or it is the last of the file and may lack its end.
    """
    line = source.read_filled_line()
    if line is None or source.at_end:
        raise Cut
    return line


@dataclass
class EspressoHeader:
    """What a run of ``pw.x`` says before its first step; filled line by line."""

    alat_A: float | None = None
    n_atoms: int | None = None
    cell_A: FloatArray | None = None
    masses_u: dict[str, float] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    positions_A: FloatArray | None = None

    def read(self, source: TextSource, mark: str, line: str) -> None:
        """Read what begins at a line that holds `mark`.

        Raises
        ------
        InputError
            If it is not as ``pw.x`` prints it.
        Cut
            If the text ends in it.
        """
        if mark == "celldm(1)=":
            text = line.split("celldm(2)", maxsplit=1)[0].split("=", 1)[1]
            (alat,) = numbers_in(source, text, 1, "'celldm(1)= 10.2'")
            if alat <= 0:
                raise source.unexpected(line, "a lattice parameter above zero")
            self.alat_A = alat * units.Bohr
        elif mark == "number of atoms/cell":
            self.n_atoms = source.count_of_atoms(line.rpartition("=")[2])
        elif mark == "crystal axes:":
            rows = [self._vector(source, next_line(source), "an axis") for _ in range(3)]
            self.cell_A = source.check_cell(np.array(rows) * self._alat(source))
        elif mark == "atomic species   valence":
            self._read_masses(source)
        elif mark == "site n.":
            self._read_sites(source)

    def numbers(self, source: TextSource) -> IntArray:
        """Return the atomic numbers."""
        return atomic_numbers_of(source, self.labels, LABEL_REMEDY)

    def masses(self, source: TextSource) -> FloatArray | None:
        """Return the masses, where there is one for every label or labels are of isotopes."""
        known = [self.masses_u.get(label, 0.0) for label in self.labels]
        said = np.array(known) if min(known, default=0.0) > 0.0 else None
        return masses_of(source, self.labels, said)

    def _alat(self, source: TextSource) -> float:
        if self.alat_A is None:
            raise source.error("lengths in units of alat", "'celldm(1)=' before them")
        return self.alat_A

    def _vector(self, source: TextSource, line: str, what: str) -> list[float]:
        return numbers_in(source, line.rsplit("=", maxsplit=1)[-1], 3, f"{what} of three numbers")

    def _read_masses(self, source: TextSource) -> None:
        while len(words := (source.read_line() or "").split()) >= 4:
            try:
                self.masses_u[words[0]] = float(words[2])
            except ValueError:
                raise source.unexpected(" ".join(words), "species, valence, mass") from None

    def _read_sites(self, source: TextSource) -> None:
        if self.n_atoms is None:
            raise source.error("positions", "'number of atoms/cell' before them")
        labels, positions = [], []
        for _ in range(self.n_atoms):
            line = next_line(source)
            words = line.split()
            if "tau(" not in line or len(words) < 3:
                raise source.unexpected(line, "'1  Si  tau(  1) = ( 0.0 0.0 0.0 )'")
            labels.append(words[1])
            positions.append(self._vector(source, line, "a position"))
        self.labels = labels
        self.positions_A = np.array(positions) * self._alat(source)
