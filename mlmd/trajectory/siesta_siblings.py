"""What SIESTA wrote beside a trajectory: species, cell, energies; and the input's time step.

Layouts from its own sources: Src/ioxv.F, Src/iomd.f, Src/write_struct.f.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units

from mlmd.trajectory.text_source import TextSource

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    FloatArray = NDArray[np.floating[Any]]
    IntArray = NDArray[np.integer[Any]]

HEAVIEST = 118
TIMES_FS = {"fs": 1.0, "ps": 1e3, "s": 1e15}
LENGTHS_A = {"ang": 1.0, "bohr": units.Bohr, "nm": 10.0}
DYNAMICS = {"verlet", "nose", "parrinellorahman", "noseparrinellorahman", "anneal"}
DEFAULT_TIMESTEP_FS = 1.0
MDE_COLUMNS = 6


@dataclass(frozen=True)
class Structure:
    """A cell, and the atomic numbers where the file says them."""

    cell_A: FloatArray
    numbers: IntArray | None


def sibling(source: TextSource, suffix: str) -> Path | None:
    """Return ``LABEL.SUFFIX`` beside ``LABEL.MD``, plain or compressed, if it is there."""
    label = source.name.rpartition(".")[0] or source.name
    for compression in ("", ".gz", ".bz2", ".xz"):
        path = source.path.with_name(f"{label}.{suffix}{compression}")
        if path.is_file():
            return path
    return None


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
    return None if cell is None else Structure(cell, None)


def _read_structure(path: Path, unit: float) -> Structure:
    """Read three vectors, a number of atoms, and rows that begin with species and number."""
    with TextSource(path) as source:
        rows = [_floats(line) for line in source.read_lines(3)]
        if len(rows) < 3 or any(len(row) < 3 for row in rows):
            raise source.error("no cell", "three cell vectors in the first three lines")
        cell = np.array([row[:3] for row in rows]) * unit
        if not 1e-3 < abs(float(np.linalg.det(cell))) < np.inf:
            raise source.error("cell vectors without a volume", "three that span a cell")
        count = (source.read_line() or "").strip()
        if not re.fullmatch(r"\d{1,12}", count):
            raise source.unexpected(count, "a number of atoms")
        n_atoms = source.check_atoms(int(count))
        numbers = []
        for line in source.read_lines(n_atoms):
            words = line.split()
            number = words[1] if len(words) > 1 and re.fullmatch(r"\d{1,3}", words[1]) else "0"
            if not 1 <= int(number) <= HEAVIEST:
                raise source.unexpected(line, "species, atomic number of an element, position")
            numbers.append(int(number))
        if len(numbers) < n_atoms:
            raise source.error(f"{len(numbers)} atoms", f"{n_atoms}")
    return Structure(cell, np.array(numbers))


def _floats(line: str) -> list[float]:
    with suppress(ValueError):
        numbers = [float(word) for word in line.split()]
        if np.isfinite(numbers).all():
            return numbers
    return []


@dataclass(frozen=True)
class StepEnergy:
    """A row of ``.MDE``; the step is None where its six digits do not hold it."""

    step: int | None
    energy_eV: float
    volume_A3: float | None


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
        values = _floats(" ".join(words[1:]))
        good = len(values) >= 3 and re.fullmatch(r"\d{1,9}|\*+", words[0])
        if source.at_end and (not good or len(line) < n_characters):
            break
        if not good:
            raise source.unexpected(line, "step, temperature, E_KS, E_tot, volume, pressure")
        n_characters = len(line)
        step = None if "*" in words[0] else int(words[0])
        rows.append(StepEnergy(step, values[1], values[3] if len(values) > 3 else None))
    return rows


def fdf_values(path: Path) -> dict[str, list[str]]:
    """Return the words of each label of an fdf file, blocks under ``%label``; lower case.

    Labels are told apart neither by case nor by ``-``, ``_`` and ``.``; of one that comes twice
    the first counts. Files that it includes are not followed: ``%include`` is then a key.
    """
    values: dict[str, list[str]] = {}
    block: list[str] | None = None
    with TextSource(path) as source:
        for line in source:
            words = re.split(r"[#!;]", line.lower(), maxsplit=1)[0].replace("=", " ").split()
            if not words:
                continue
            key = re.sub(r"[-_.]", "", words[0])
            if key == "%endblock":
                block = None
            elif key == "%block" and len(words) > 1:
                block = values.setdefault("%" + re.sub(r"[-_.]", "", words[1]), [])
            elif block is not None:
                block += words
            else:
                values.setdefault(key, words[1:])
    return values


def fdf_timestep_fs(path: Path) -> float | None:
    """Return the time step of an fdf file, or None if it is not known or no dynamics is run."""
    values = fdf_values(path)
    if re.sub(r"[-_.]", "", "".join(values.get("mdtypeofrun", []))) not in DYNAMICS:
        return None
    words = values.get("mdlengthtimestep")
    if words is None:
        return None if "%include" in values else DEFAULT_TIMESTEP_FS
    number, unit = [*words, "fs"][:2]
    found = _floats(number)
    return found[0] * TIMES_FS[unit] if found and found[0] > 0 and unit in TIMES_FS else None


def fdf_varies_cell(path: Path) -> bool:
    """Return whether an fdf file asks for dynamics that changes the cell."""
    values = fdf_values(path)
    words = values.get("mdvariablecell", ["false"])
    kind = "".join(values.get("mdtypeofrun", []))
    return "parrinello" in kind or words == [] or words[0].strip(".") in ("t", "true", "yes", "y")


def fdf_cell_A(path: Path) -> FloatArray | None:
    """Return the cell of an fdf file, or None if it does not say it or repeats it."""
    from ase.geometry import cellpar_to_cell

    values = fdf_values(path)
    constant = values.get("latticeconstant", [])
    scale = LENGTHS_A.get(constant[1]) if len(constant) > 1 else None
    length = _floats(constant[0]) if constant else []
    if scale is None or not length or "%supercell" in values:
        return None
    cell = np.eye(3)
    with suppress(AssertionError):
        if "%latticevectors" in values:
            numbers = _floats(" ".join(values["%latticevectors"]))
            cell = np.reshape(numbers, (3, 3)) if len(numbers) == 9 else np.zeros((3, 3))
        elif "%latticeparameters" in values:
            numbers = _floats(" ".join(values["%latticeparameters"]))
            cell = np.asarray(cellpar_to_cell(numbers)) if len(numbers) == 6 else np.zeros((3, 3))
        cell = cell * length[0] * scale
        if 1e-3 < abs(float(np.linalg.det(cell))) < np.inf:
            return cell
    return None
