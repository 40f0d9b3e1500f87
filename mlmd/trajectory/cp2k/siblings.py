"""What CP2K wrote beside a trajectory: tables by step."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from mlmd.trajectory.text.number_table import finite_numbers
from mlmd.trajectory.text.source import TextSource

if TYPE_CHECKING:
    from pathlib import Path

    from mlmd.arrays import FloatArray


POSITION_NAME = re.compile(r"(?P<project>.+)-pos-(?P<number>\d+)\.xyz")


class Siblings:
    """Files of one CP2K run, found by the name of its positions, ``PROJECT-pos-1.xyz``."""

    def __init__(self, source: TextSource) -> None:
        self.source = source
        found = POSITION_NAME.fullmatch(source.name)
        self.project = found.group("project") if found else "PROJECT"
        self.number = found.group("number") if found else "1"
        self.known = found is not None

    def path(self, name: str) -> Path | None:
        """Return the file of that name, plain or compressed, if it is there."""
        return self.source.beside(name) if self.known else None

    def xyz(self, kind: str) -> Path | None:
        """Return the file of velocities (``vel``) or forces (``frc``)."""
        return self.path(f"{self.project}-{kind}-{self.number}.xyz")

    def table(self, suffix: str, columns: tuple[int, ...]) -> StepTable | None:
        """Return columns of ``PROJECT-1.SUFFIX``, of which the first is the step."""
        path = self.path(f"{self.project}-{self.number}.{suffix}")
        return StepTable.read(path, columns) if path else None


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
