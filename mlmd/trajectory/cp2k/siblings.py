"""What CP2K wrote beside a trajectory: tables by step, and the cell of the input."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from mlmd.trajectory.text.number_table import finite_numbers
from mlmd.trajectory.text.source import TextSource

if TYPE_CHECKING:
    from pathlib import Path

    from mlmd.arrays import FloatArray


POSITION_NAME = re.compile(r"(?P<project>.+)-pos-(?P<number>\d+)\.xyz")
UNITS_A = {"ANGSTROM": 1.0, "BOHR": units.Bohr, "NM": 10.0, "PM": 0.01}
VARIABLE_CELL = re.compile(r"NPT|NPE|NPH|REFTRAJ|MSST|HYDROSTATIC|ISOKIN_NPT", re.IGNORECASE)


class Siblings:
    """Files of one CP2K run, found by the name of its positions, ``PROJECT-pos-1.xyz``."""

    def __init__(self, source: TextSource) -> None:
        self._source = source
        found = POSITION_NAME.fullmatch(source.name)
        self.project = found.group("project") if found else "PROJECT"
        self.number = found.group("number") if found else "1"
        self._known = found is not None

    def path(self, name: str) -> Path | None:
        """Return the file of that name, plain or compressed, if it is there."""
        return self._source.beside(name) if self._known else None

    def xyz(self, kind: str) -> Path | None:
        """Return the file of velocities (``vel``) or forces (``frc``)."""
        return self.path(f"{self.project}-{kind}-{self.number}.xyz")

    def table(self, suffix: str, columns: tuple[int, ...]) -> StepTable | None:
        """Return columns of ``PROJECT-1.SUFFIX``, of which the first is the step."""
        path = self.path(f"{self.project}-{self.number}.{suffix}")
        return StepTable.read(path, columns) if path else None

    def constant_cell_A(self) -> FloatArray | None:
        """Return the cell of the restart file or of the input, if it does not change."""
        for name in (f"{self.project}-{self.number}.restart", f"{self.project}.inp"):
            path = self.path(name)
            cell = input_cell_A(path) if path else None
            if cell is not None:
                return cell
        return None


class StepTable:
    """Rows of a file by their step; the last one where a restarted run repeats it."""

    def __init__(self, steps: FloatArray, rows: FloatArray) -> None:
        order = np.argsort(steps, kind="stable")
        self._steps, self._rows = steps[order], rows[order]

    @staticmethod
    def read(path: Path, columns: tuple[int, ...]) -> StepTable:
        """Read a table whose comments begin with ``#``; a last row cut short is left out.

        Raises
        ------
        InputError
            If a row is none of numbers.
        """
        rows: list[list[float]] = []
        with TextSource(path) as source:
            n_columns = 0
            for line in source:
                words = line.split()
                if not words or words[0].startswith("#"):
                    continue
                n_columns = n_columns or max(len(words), max(columns) + 1)
                row = finite_numbers(words[i] for i in columns if i < len(words))
                if not row or len(words) != n_columns:
                    if source.at_end:
                        break
                    raise source.unexpected(line, f"{n_columns} numbers")
                rows.append(row)
        table = np.array(rows).reshape(len(rows), len(columns))
        return StepTable(table[:, 0], table[:, 1:])

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._steps)

    @property
    def last_step(self) -> int:
        """The highest step; of no rows it is -1."""
        return int(self._steps[-1]) if len(self) else -1

    def constant_row(self) -> FloatArray | None:
        """Return the row that all are, if they are."""
        row: FloatArray = self._rows[0]
        return row if (self._rows == row).all() else None

    def row(self, step: int) -> FloatArray | None:
        """Return the row of a step, or None."""
        at = int(np.searchsorted(self._steps, step, side="right")) - 1
        if at < 0 or self._steps[at] != step:
            return None
        row: FloatArray = self._rows[at]
        return row


def input_cell_A(path: Path) -> FloatArray | None:
    """Return the cell that a CP2K input or restart file gives in plain numbers.

    None if it is of variable cell (then it is that of one moment), if it multiplies the cell,
    or uses variables and included files.
    """
    sections: list[str] = []
    vectors: dict[str, list[float]] = {}
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
            elif sections[-1:] == ["&MD"] and key == "ENSEMBLE":
                if VARIABLE_CELL.match("".join(words[1:2])):
                    return None
            elif sections[-2:] == ["&SUBSYS", "&CELL"]:
                if key == "MULTIPLE_UNIT_CELL" and words[1:] != ["1", "1", "1"]:
                    return None
                if key in ("A", "B", "C", "ABC", "ALPHA_BETA_GAMMA") and key not in vectors:
                    vectors[key] = _numbers(words[1:])
    return _cell_A(vectors)


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
