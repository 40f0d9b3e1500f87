"""What the head of an ``OUTCAR`` says: species, masses, counts, time step, how often it prints."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mlmd.trajectory.text.source import TextSource
from mlmd.trajectory.vasp.header import element, element_of_title, read_vasp_header
from mlmd.trajectory.vasp.output_interval import OutputSettings

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray


# The masses that are used are written with two decimals, those of the POTCAR with three.
ROUNDING_U = 0.0051
# Lines that name the element of a pseudopotential, each with what reads its right side.
NAMES: dict[str, Callable[[str], int | None]] = {
    "VRHFIN": lambda text: element_of_title("VRHFIN " + text.partition("=")[2]),
    "TITEL": lambda text: element_of_title(text.partition("=")[2]),
    "POTCAR:": lambda text: element_of_title(text.partition(":")[2]),
}


class OutcarHeader:
    """Gathers what is known from the lines before the first ionic step."""

    def __init__(self) -> None:
        self.output = OutputSettings()
        self._elements: dict[str, list[int]] = {name: [] for name in NAMES}
        self._potcar_masses: list[float] = []
        self._used_masses: list[float] = []
        self._counts: list[int] = []
        self._ibrion: int | None = None
        self._potim_fs = 0.0

    def take(self, source: TextSource, line: str) -> None:
        """Look at one line."""
        name = next((name for name in NAMES if name in line), None)
        if line.startswith(" vasp."):
            self.output.take_version(line[6:])
        elif name is not None:
            if (number := NAMES[name](line)) is not None:
                self._elements[name].append(number)
        elif "POMASS" in line:
            if found := re.search(r"POMASS\s*=\s*(\d+\.\d*)\s*;", line):
                self._potcar_masses.append(float(found.group(1)))
            else:
                self._used_masses = [float(mass) for mass in re.findall(r"\d+\.\d\d", line)]
        elif "ions per type" in line:
            words = line.partition("=")[2].split()
            if not words or not all(re.fullmatch(r"\d{1,12}", word) for word in words):
                raise source.unexpected(line, "how many ions there are of each type")
            self._counts = [int(word) for word in words]
            source.check_atoms(sum(self._counts))
        elif "=" in line:
            self._take_setting(line)

    def _take_setting(self, line: str) -> None:
        if found := re.search(r"\bIBRION\s*=\s*(-?\d{1,4})\b", line):
            self._ibrion = int(found.group(1))
        elif found := re.search(r"\bPOTIM\s*=\s*(\d+\.?\d*)", line):
            self._potim_fs = float(found.group(1))
        elif found := re.search(r"\bML_OUTBLOCK\s*=\s*(\d{1,9})\b", line):
            self.output.ml_outblock = int(found.group(1))
        elif found := re.search(r"\bNBLOCK\s*=\s*(\d{1,9})\b", line):
            self.output.nblock = int(found.group(1))
        elif found := re.search(r"\bML_MODE\s*=\s*(\w{1,20})", line):
            self.output.mode = found.group(1).lower()
        elif found := re.search(r"\bML_ISTART\s*=\s*(\d)\b", line):
            self.output.istart = found.group(1)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said of the atoms."""
        return not self._counts

    def numbers(self, source: TextSource) -> IntArray:
        """Return the atomic number of each atom.

        Where the pseudopotentials are not named, a ``POSCAR`` or ``CONTCAR`` beside the file is
        asked, and then the user's elements.

        Raises
        ------
        InputError
            If species and counts are missing or do not fit together.
        """
        n = len(self._counts)
        given = [element(symbol) or 0 for symbol in source.elements or ()]
        for species in (*self._elements.values(), given):
            # The lines "POTCAR:" stand there once together, and once each with what it holds.
            half = len(species) // 2
            twice = len(species) == 2 * n and species[:half] == species[half:]
            once = species[:half] if twice else species
            if n and len(once) == n and all(once):
                return np.repeat(once, self._counts)
        if n and (numbers := self._numbers_beside(source)) is not None:
            return numbers
        named = max(len(names) for names in self._elements.values())
        raise source.error(
            f"{n} numbers of ions and {named} pseudopotentials before the first step",
            "as many of both, or else a POSCAR beside it, or --elements (elements=)",
        )

    def _numbers_beside(self, source: TextSource) -> IntArray | None:
        """Return the atoms of a ``POSCAR`` or ``CONTCAR`` beside the file, if they fit its own."""
        path = source.beside("POSCAR") or source.beside("CONTCAR")
        if path is None:
            return None
        with TextSource(path) as beside:
            numbers = read_vasp_header(beside).numbers
        if len(numbers) != sum(self._counts):
            return None
        kinds = np.repeat(np.arange(len(self._counts)), self._counts)
        return numbers if (np.diff(numbers)[np.diff(kinds) == 0] == 0).all() else None

    def masses_u(self) -> FloatArray | None:
        """Return the mass of each atom: the POTCAR's, unless the run uses others."""
        masses, used = np.array(self._potcar_masses), np.array(self._used_masses)
        if len(masses) != len(self._counts):
            masses = used
        elif len(used) == len(masses):
            masses = np.where(np.abs(used - masses) > ROUNDING_U, used, masses)
        if len(masses) != len(self._counts) or (masses <= 0).any():
            return None
        return np.repeat(masses, self._counts)

    @property
    def is_dynamics(self) -> bool:
        """Whether this is molecular dynamics with a time step."""
        return self._ibrion == 0 and self._potim_fs > 0

    def time_fs(self, step: int | None) -> float | None:
        """Return the time of a step, counted from 1, if this is molecular dynamics."""
        return self._potim_fs * (step - 1) if self.is_dynamics and step is not None else None
