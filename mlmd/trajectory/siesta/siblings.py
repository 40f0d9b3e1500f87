"""What SIESTA wrote beside a trajectory: species, cell, energies.

Layouts from its own sources: Src/ioxv.F, Src/iomd.f, Src/write_struct.f.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from mlmd.trajectory.siesta.fdf import fdf_cell_A, fdf_masses_u, fdf_timestep_fs
from mlmd.trajectory.text.number_table import finite_numbers
from mlmd.trajectory.text.source import TextSource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlmd.arrays import FloatArray, IntArray


HEAVIEST = 118
OVERFLOW = re.compile(r"\*+|[+-]?(?:nan|inf\w*)", re.IGNORECASE)


@dataclass(frozen=True)
class Structure:
    """A cell, and atomic numbers and the numbers of the species where the file says them."""

    cell_A: FloatArray
    numbers: IntArray | None = None
    species: IntArray | None = None


def sibling(source: TextSource, suffix: str) -> Path | None:
    """Return ``LABEL.SUFFIX`` beside ``LABEL.MD``, plain or compressed, if it is there."""
    label = source.name.rpartition(".")[0] or source.name
    return source.beside(f"{label}.{suffix}")


def structure_beside(source: TextSource) -> Structure | None:
    """Return what ``.XV`` or ``.STRUCT_OUT`` say, or else the cell of the ``.fdf``.

    Raises
    ------
    InputError
        If ``.XV`` or ``.STRUCT_OUT`` is none.
    """
    for suffix, unit in (("XV", units.Bohr), ("STRUCT_OUT", 1.0)):
        path = sibling(source, suffix)
        if path is not None:
            return _read_structure(path, unit)
    path = sibling(source, "fdf")
    cell = fdf_cell_A(path) if path else None
    return None if cell is None else Structure(cell)


def _read_structure(path: Path, unit: float) -> Structure:
    """Read three vectors, a number of atoms, and rows that begin with species and number."""
    with TextSource(path) as source:
        rows = [finite_numbers(line.split()) for line in source.read_lines(3)]
        if len(rows) < 3 or any(len(row) < 3 for row in rows):
            raise source.error("no cell", "three cell vectors in the first three lines")
        cell = source.check_cell(np.array([row[:3] for row in rows]) * unit)
        n_atoms = source.count_of_atoms(source.read_line() or "")
        numbers, species = [], []
        for line in source.read_lines(n_atoms):
            words = line.split()
            number = words[1] if len(words) > 1 and re.fullmatch(r"\d{1,3}", words[1]) else "0"
            if not 1 <= int(number) <= HEAVIEST:
                raise source.unexpected(line, "species, atomic number of an element, position")
            numbers.append(int(number))
            species.append(int(words[0]) if re.fullmatch(r"\d{1,9}", words[0]) else 0)
        if len(numbers) < n_atoms:
            raise source.error(f"{len(numbers)} atoms", f"{n_atoms}")
    return Structure(cell, np.array(numbers), np.array(species))


@dataclass(frozen=True)
class StepEnergy:
    """A row of ``.MDE``; what its digits do not hold is None."""

    step: int | None
    energy_eV: float | None
    volume_A3: float | None


def energies_beside(source: TextSource) -> list[StepEnergy]:
    """Return the rows of ``.MDE``, or nothing if there is none."""
    path = sibling(source, "MDE")
    if path is None:
        return []
    with TextSource(path) as beside:
        return read_mde(beside)


def masses_beside_u(
    source: TextSource, species: Sequence[int] | Sequence[str]
) -> FloatArray | None:
    """Return the masses that the ``.fdf`` gives to atoms, NaN for those of natural mass.

    Parameters
    ----------
    source
        The trajectory.
    species
        Of each atom, its number or its label in the input.
    """
    path = sibling(source, "fdf")
    by_number, by_label = fdf_masses_u(path) if path else ({}, {})
    known = [
        by_label.get(one.lower()) if isinstance(one, str) else by_number.get(one) for one in species
    ]
    masses = np.array(known, dtype=float)
    return None if np.isnan(masses).all() else masses


def timestep_beside_fs(source: TextSource) -> float | None:
    """Return the time step of ``.fdf``, or None."""
    path = sibling(source, "fdf")
    return fdf_timestep_fs(path) if path else None


def read_mde(source: TextSource) -> list[StepEnergy]:
    """Read step, Kohn-Sham energy and volume of every step; a last row cut short is left out.

    Raises
    ------
    InputError
        If a row is none of numbers.
    """
    rows: list[StepEnergy] = []
    n_characters = 0
    for line in source:
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        # Before 2003 there was no volume; a cut row has less than that, or no end.
        values = [
            number[0] if (number := finite_numbers([word])) else None
            for word in words[1:]
            if OVERFLOW.fullmatch(word) or finite_numbers([word])
        ]
        good = len(values) == len(words) - 1 >= 3 and re.fullmatch(r"\d{1,9}|\*+", words[0])
        if source.at_end and (not good or len(line) < n_characters):
            break
        if not good:
            raise source.unexpected(line, "step, temperature, E_KS, E_tot, volume, pressure")
        n_characters = len(line)
        step = None if "*" in words[0] else int(words[0])
        rows.append(StepEnergy(step, values[1], values[3] if len(values) > 3 else None))
    return rows
