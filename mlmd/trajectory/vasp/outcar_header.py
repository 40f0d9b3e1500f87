"""What the head of an ``OUTCAR`` says: species, masses, counts and time step."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.text.source import TextSource


# The masses that are used are written with two decimals, those of the POTCAR with three.
ROUNDING_U = 0.0051


class OutcarHeader:
    """Gathers what is known from the lines before the first ionic step."""

    def __init__(self) -> None:
        self._symbols: list[str] = []
        self._titles: list[str] = []
        self._potcar_masses: list[float] = []
        self._used_masses: list[float] = []
        self._counts: list[int] = []
        self._ibrion: int | None = None
        self._potim_fs = 0.0

    def take(self, source: TextSource, line: str) -> None:
        """Look at one line."""
        if "=" not in line:
            return
        if "VRHFIN" in line:
            if found := re.search(r"VRHFIN\s*=\s*([A-Z][a-z]?)", line):
                self._symbols.append(found.group(1))
        elif "TITEL" in line:
            if found := re.search(r"TITEL\s*=\s*\S+\s+([A-Z][a-z]?)", line):
                self._titles.append(found.group(1))
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
        elif found := re.search(r"\bIBRION\s*=\s*(-?\d{1,4})\b", line):
            self._ibrion = int(found.group(1))
        elif found := re.search(r"\bPOTIM\s*=\s*(\d+\.\d*)", line):
            self._potim_fs = float(found.group(1))

    def numbers(self, source: TextSource) -> IntArray:
        """Return the atomic number of each atom.

        Raises
        ------
        InputError
            If species and counts are missing or do not fit together.
        """
        from ase.data import atomic_numbers

        known = [
            [symbol for symbol in symbols if symbol in atomic_numbers and symbol != "X"]
            for symbols in (self._symbols, self._titles)
        ]
        species = next((one for one in known if len(one) == len(self._counts)), None)
        if not self._counts or species is None:
            raise source.error(
                f"{len(self._counts)} numbers of ions and {len(self._symbols)} pseudopotentials "
                "before the first step",
                "as many of both",
            )
        return np.repeat([atomic_numbers[symbol] for symbol in species], self._counts)

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

    def time_fs(self, step: int) -> float | None:
        """Return the time of a step, counted from 1, if this is molecular dynamics."""
        if self._ibrion != 0 or self._potim_fs <= 0:
            return None
        return self._potim_fs * (step - 1)
