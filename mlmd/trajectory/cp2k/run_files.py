"""What CP2K's input, restart file or log say of a run: its constant cell, masses of its kinds.

They are the run's by their names or by the project that they name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from mlmd.errors import InputError
from mlmd.trajectory.cp2k.siblings import POSITION_NAME, Siblings
from mlmd.trajectory.text.number_table import finite_numbers
from mlmd.trajectory.text.source import TextSource
from mlmd.trajectory.text.species_labels import atomic_number, masses_of

if TYPE_CHECKING:
    from pathlib import Path

    from mlmd.arrays import FloatArray

UNITS_A = {"ANGSTROM": 1.0, "BOHR": units.Bohr, "NM": 10.0, "PM": 0.01}
VARIABLE_CELL = re.compile(r"NPT|NPE|NPH|REFTRAJ|MSST|HYDROSTATIC|ISOKIN_NPT", re.IGNORECASE)
INPUTS, LOGS = ("*.inp", "*.in", "*.restart"), ("*.out", "*.log", "*output*")
MASSES = ("MASS", "ATOMIC_MASS", "ATOMIC_WEIGHT", "WEIGHT")
MOST_FILES = 50
# A log says its cell and how it runs before the first step.
MOST_LOG_LINES = 50_000
LOG_VECTOR = re.compile(r"\s*CELL\| Vector ([abc]) \[(\w+)\]:?((?:\s*-?\d+\.\d+){3})")
LOG_PROJECT = re.compile(r"\s*GLOBAL\| Project name\s+(\S+)")
LOG_ENSEMBLE = re.compile(r"\s*MD(?:_PAR)?\| Ensemble [Tt]ype\s+(\S+)")
# The fewest digits that a log prints are three.
SAME_CELL_A = 2e-3


@dataclass
class RunFile:
    """What one file says of a run.

    Attributes
    ----------
    path
        The file.
    named
        Whether its name alone says of which run it is.
    project
        Name of the project that it says.
    varies
        Whether its ensemble changes the cell.
    cell_A : (3, 3), optional
        The cell, where it says it in plain numbers.
    masses_u
        Mass of each kind of atoms that is given one, by its name in upper case.
    """

    path: Path
    named: bool = False
    project: str | None = None
    varies: bool = False
    cell_A: FloatArray | None = None
    masses_u: dict[str, float] = field(default_factory=dict)


def inputs_beside(source: TextSource, siblings: Siblings) -> list[RunFile]:
    """Return what the inputs and restart files of a run say, those named by it first."""
    if not siblings.known:
        return []
    named = [
        path
        for name in (f"{siblings.project}-{siblings.number}.restart", f"{siblings.project}.inp")
        if (path := siblings.path(name)) is not None
    ]
    found = [replace(one, named=True) for one in map(read_input, named)]
    found = [one for one in found if one.project in (None, siblings.project)]
    for path in _files(source.path.parent, INPUTS):
        # Others write files of such names too.
        with suppress(InputError):
            one = read_input(path)
            if path not in named and (one.project or "PROJECT") == siblings.project:
                found.append(one)
    return found


def constant_cell_A(
    source: TextSource, siblings: Siblings, inputs: list[RunFile]
) -> FloatArray | None:
    """Return the cell that all files of a run say, if it does not change; None if none does.

    Raises
    ------
    InputError
        If two of them say different cells.
    """
    if not siblings.known:
        return None
    found = [*inputs, *_logs(source, siblings, inputs)]
    told = [one for one in found if one.cell_A is not None]
    if not told or any(one.varies for one in found):
        return None
    first = told[0]
    assert first.cell_A is not None
    for one in told[1:]:
        assert one.cell_A is not None
        if np.abs(one.cell_A - first.cell_A).max() > SAME_CELL_A:
            raise InputError(
                f"{source.path}: its cell is {_lengths(first.cell_A)} A by {first.path.name} and "
                f"{_lengths(one.cell_A)} A by {one.path.name} beside it; leave there what is of "
                "the same run"
            )
    if not first.named:
        source.note(
            "cell_assumed",
            f"its cell, {_lengths(first.cell_A)} A, is taken from {first.path.name} beside it",
        )
    return first.cell_A


def kind_masses_u(
    source: TextSource, labels: Sequence[str], inputs: list[RunFile]
) -> FloatArray | None:
    """Return the masses of atoms whose kinds are given some; None if none of them is."""
    from ase.data import atomic_masses

    given = {kind: mass for one in reversed(inputs) for kind, mass in one.masses_u.items()}
    by_label = masses_of(source, labels)
    if not given.keys() & {label.upper() for label in labels}:
        return by_label
    if by_label is None:
        by_label = atomic_masses[[atomic_number(label) or 0 for label in labels]]
    said = [
        given.get(label.upper(), mass)
        for label, mass in zip(labels, by_label.tolist(), strict=True)
    ]
    return masses_of(source, labels, np.array(said))


def _logs(source: TextSource, siblings: Siblings, inputs: list[RunFile]) -> Iterator[RunFile]:
    """Give what the logs of a run say; one without a project goes with the input of its name."""
    folder = source.path.parent
    ours = {siblings.project, *(one.path.stem for one in inputs)}
    others = {path.stem for path in _files(folder, INPUTS)} - ours
    runs = (POSITION_NAME.fullmatch(path.name) for path in _files(folder, ("*-pos-*.xyz",)))
    alone = {run["project"] for run in runs if run} <= {siblings.project}
    for path in _files(folder, LOGS):
        with suppress(InputError):
            one = read_log(path)
            if one.project is None:
                is_ours = path.stem in ours or (alone and path.stem not in others)
            else:
                is_ours = one.project == siblings.project
            if is_ours:
                yield one


def _files(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    paths = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    return [path for path in paths if path.is_file()][:MOST_FILES]


def _lengths(cell_A: FloatArray) -> str:
    return " x ".join(f"{length:.6g}" for length in np.linalg.norm(cell_A, axis=1))


def read_input(path: Path) -> RunFile:
    """Return what a CP2K input or restart file gives in plain numbers.

    There is no cell if it multiplies the cell, or uses variables and included files; that of a
    variable cell is of one moment.
    """
    found = RunFile(path)
    sections: list[str] = []
    vectors: dict[str, list[float]] = {}
    kind, scaled = "", False
    with TextSource(path) as source:
        for line in source:
            words = re.split(r"[!#]", line, maxsplit=1)[0].split()
            if not words:
                continue
            key = words[0].upper()
            if key.startswith("&END"):
                del sections[-1:]
            elif key.startswith("&"):
                sections.append(key)
                kind = "".join(words[1:2]).upper()
            elif sections[-1:] == ["&GLOBAL"] and key in ("PROJECT", "PROJECT_NAME"):
                found.project = "".join(words[1:2]).strip("\"'").rpartition("/")[2] or None
            elif sections[-1:] == ["&MD"] and key == "ENSEMBLE":
                found.varies = bool(VARIABLE_CELL.match("".join(words[1:2])))
            elif sections[-2:] == ["&SUBSYS", "&KIND"] and key in MASSES:
                if mass := finite_numbers(words[1:]):
                    found.masses_u[kind] = mass[0]
            elif sections[-2:] == ["&SUBSYS", "&CELL"]:
                scaled |= key == "MULTIPLE_UNIT_CELL" and words[1:] != ["1", "1", "1"]
                if key in ("A", "B", "C", "ABC", "ALPHA_BETA_GAMMA") and key not in vectors:
                    vectors[key] = _numbers(words[1:])
    found.cell_A = None if scaled else _cell_A(vectors)
    return found


def read_log(path: Path) -> RunFile:
    """Return what the output of CP2K says before its first step; no cell if it says two."""
    found = RunFile(path)
    vectors: dict[str, list[float]] = {}
    with TextSource(path) as source:
        for line in islice(source, MOST_LOG_LINES):
            if "|" not in line:
                continue
            if project := LOG_PROJECT.match(line):
                found.project = project[1].rpartition("/")[2]
            elif ensemble := LOG_ENSEMBLE.match(line):
                found.varies = bool(VARIABLE_CELL.match(ensemble[1]))
            elif vector := LOG_VECTOR.match(line):
                row = _numbers([f"[{vector[2]}]", *re.findall(r"-?\d+\.\d+", vector[3])])
                if vectors.setdefault(vector[1].upper(), row) != row:
                    return found
    found.cell_A = _cell_A(vectors)
    return found


def _numbers(words: list[str]) -> list[float]:
    """Return three numbers in angstrom (or degrees), or none."""
    scale = 1.0
    if words and (unit := re.fullmatch(r"\[(\w+)\]", words[0])):
        name = unit.group(1).upper()
        scale = UNITS_A.get(name, 1.0 if name == "DEG" else 0.0)
        words = words[1:]
    numbers = [number * scale for number in finite_numbers(words)]
    return numbers if len(numbers) == 3 and scale and np.isfinite(numbers).all() else []


def _cell_A(vectors: dict[str, list[float]]) -> FloatArray | None:
    from ase.geometry import cellpar_to_cell

    rows = [vectors.get(key, []) for key in "ABC"]
    if all(rows):
        cell = np.array(rows)
    else:
        lengths, angles = vectors.get("ABC", []), vectors.get("ALPHA_BETA_GAMMA", [90.0] * 3)
        if not lengths or not angles or min(lengths) <= 0 or not 0 < min(angles) <= max(angles):
            return None
        try:
            cell = np.asarray(cellpar_to_cell([*lengths, *angles]))
        except (AssertionError, ValueError):
            return None
    return cell if np.isfinite(cell).all() and abs(np.linalg.det(cell)) > 1e-6 else None
