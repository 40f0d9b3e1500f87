"""Input of SIESTA, as far as a trajectory needs it: time step and cell."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from mlmd.trajectory.text.number_table import finite_numbers
from mlmd.trajectory.text.source import TextSource, has_volume

if TYPE_CHECKING:
    from pathlib import Path

    from mlmd.arrays import FloatArray


TIMES_FS = {"fs": 1.0, "ps": 1e3, "s": 1e15}
LENGTHS_A = {"ang": 1.0, "bohr": units.Bohr, "nm": 10.0}
DYNAMICS = {"verlet", "nose", "parrinellorahman", "noseparrinellorahman", "anneal"}
# SIESTA's own, where the input says none.
DEFAULT_TIMESTEP_FS = 1.0


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


def fdf_masses_u(path: Path) -> tuple[dict[int, float], dict[str, float]]:
    """Return the masses that an fdf file gives, by the number of a species and by its label."""
    values = fdf_values(path)
    words, labels = values.get("%atomicmass", []), values.get("%chemicalspecieslabel", [])
    masses = {
        int(number): mass[0]
        for number, word in zip(words[::2], words[1::2], strict=False)
        if number.isdecimal() and (mass := finite_numbers([word])) and mass[0] > 0
    }
    by_label = {
        label: masses[int(number)]
        for number, label in zip(labels[::3], labels[2::3], strict=False)
        if number.isdecimal() and int(number) in masses
    }
    return masses, by_label


def fdf_timestep_fs(path: Path) -> float | None:
    """Return the time step of an fdf file, or None if it is not known or no dynamics is run."""
    values = fdf_values(path)
    if re.sub(r"[-_.]", "", "".join(values.get("mdtypeofrun", []))) not in DYNAMICS:
        return None
    words = values.get("mdlengthtimestep")
    if words is None:
        return None if "%include" in values else DEFAULT_TIMESTEP_FS
    if not words:  # the line was cut off
        return None
    number, unit = [*words, "fs"][:2]
    found = finite_numbers([number])
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
    length = finite_numbers(constant[:1])
    if scale is None or not length or "%supercell" in values:
        return None
    cell = np.eye(3)
    with suppress(AssertionError):
        if "%latticevectors" in values:
            numbers = finite_numbers(values["%latticevectors"])
            cell = np.reshape(numbers, (3, 3)) if len(numbers) == 9 else np.zeros((3, 3))
        elif "%latticeparameters" in values:
            numbers = finite_numbers(values["%latticeparameters"])
            cell = np.asarray(cellpar_to_cell(numbers)) if len(numbers) == 6 else np.zeros((3, 3))
        cell = cell * length[0] * scale
        if has_volume(cell):
            return cell
    return None
