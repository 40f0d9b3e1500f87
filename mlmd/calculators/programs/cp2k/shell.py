"""A CP2K that is kept running and told what to do: its shell mode, over pipes.

Each command is answered by lines that end with ``* READY``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from mlmd.calculators.programs.base import Step, is_near
from mlmd.calculators.programs.dialogue import Dialogue
from mlmd.errors import CalculatorError
from mlmd.numerics.voigt import symmetric_voigt

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray
    from mlmd.calculators.programs.process import Program

READY = b"* READY"
RULE = "*" * 40
"""Above and below what CP2K has in a box."""
LARGEST_STRAIN_PER_STEP = 0.01
LARGEST_STRAIN = 0.05
"""CP2K keeps the number of grid points of the first cell; beyond this it gets a new grid."""


class Environment:
    """CP2K's own state: where its wavefunctions and its grid come from."""

    def __init__(self, number: str, atoms: Atoms) -> None:
        self.number = number
        self._first_cell = atoms.cell.array.copy()
        self.went_to(atoms)

    def went_to(self, atoms: Atoms) -> None:
        """Remember the atoms that CP2K has wavefunctions of."""
        self._numbers, self._positions = atoms.numbers.copy(), atoms.positions.copy()
        self._cell = atoms.cell.array.copy()

    def goes_on_with(self, atoms: Atoms) -> bool:
        """Tell whether these atoms are a step from the last ones, in a cell like the first."""
        return (
            not self.jumped(atoms)
            and _strain(self._cell, atoms.cell.array) <= LARGEST_STRAIN_PER_STEP
            and _strain(self._first_cell, atoms.cell.array) <= LARGEST_STRAIN
        )

    def jumped(self, atoms: Atoms) -> bool:
        """Tell whether the wavefunctions are those of something else."""
        same = np.array_equal(self._numbers, atoms.numbers)
        return not same or not is_near(atoms.positions, self._positions)


class Cp2kShell(Dialogue):
    """One running CP2K.

    Attributes
    ----------
    version
        Year or number and release of CP2K, (2023, 1) say; (0, 0) where it does not tell.
    environment
        What it computes; None before :meth:`load` and after :meth:`release`.
    """

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.environment: Environment | None = None
        self.exchange(b"", READY)
        found = re.search(r"CP2K version (\d+)\.(\d+)", "\n".join(self.ask("INFO")))
        self.version = (int(found[1]), int(found[2])) if found else (0, 0)
        self.ask("UNITS_EV_A")

    def ask(self, command: str, more: Iterable[str] = ()) -> list[str]:
        """Send a command and the lines that belong to it; return the lines of the answer.

        Raises
        ------
        CalculatorError
            If CP2K has died, takes too long, or says that it cannot.
        """
        data = "".join(f"{line}\n" for line in (command, *more)).encode()
        answer = self.exchange(data, READY).decode("utf-8", errors="replace")
        lines = [line.strip() for line in answer.strip().splitlines()]
        for line in lines:
            if line.startswith("* ERROR"):
                raise CalculatorError(f"CP2K did not accept '{command}': {line[2:]}")
        return lines

    def load(self, project: str, atoms: Atoms) -> None:
        """Have it read ``PROJECT.inp``, the input for some atoms."""
        number = _numbers(self.ask(f"LOAD {project}.inp {project}.out"), 1)[0]
        self.environment = Environment(str(int(number)), atoms)

    def release(self) -> None:
        """Have it forget what it computes."""
        if self.environment is not None:
            self.ask(f"DESTROY {self.environment.number}")
        self.environment = None

    def compute(self, atoms: Atoms) -> Step:
        """Tell CP2K where the atoms are and read what it makes of them."""
        assert self.environment is not None  # see load
        number = self.environment.number
        self.ask(f"SET_CELL {number}", _rows(atoms.cell.array))
        positions = [str(atoms.positions.size), *_rows(atoms.positions), "*END"]
        self.ask(f"SET_POS {number}", positions)
        self.ask(f"EVAL_EF {number}")
        energy_eV = float(_numbers(self.ask(f"GET_E {number}"), 1)[0])
        # The number of values, one line per atom, and "* END".
        forces = _numbers(self.ask(f"GET_F {number}")[1:-1], atoms.positions.size)
        stress = _numbers(self.ask(f"GET_STRESS {number}"), 9).reshape(3, 3)
        self.environment.went_to(atoms)
        return Step(
            energy_eV=energy_eV,
            free_energy_eV=energy_eV,
            forces_eV_A=forces.reshape(-1, 3),
            # CP2K counts compression as positive. A method without a stress gives zeros, which
            # would pass for a measured one.
            stress_eV_A3=symmetric_voigt(-stress) if np.any(stress != 0.0) else None,
        )


def abort_message(output: str) -> str | None:
    """Return the text of the box in which CP2K says why it aborts; None where there is none."""
    before, mark, after = output.rpartition("[ABORT]")
    if not mark:
        return None
    # The text may begin above the mark, and has the figure's 10 columns at its left.
    box = f"{before.rpartition(RULE)[2]}{mark}{after.partition(RULE)[0]}".splitlines()
    words = [line[10:].rstrip(" *").strip() for line in box]
    # At its end is a place in the source.
    text = [word for word in words if word and re.fullmatch(r"\S+\.F:\d+", word) is None]
    return " ".join(text) or None


def _strain(before: FloatArray, after: FloatArray) -> float:
    return float(np.abs(np.linalg.solve(before, after) - np.eye(3)).max())


def _rows(vectors: FloatArray) -> list[str]:
    return [" ".join(f"{x:.18e}" for x in vector) for vector in vectors]


def _numbers(lines: list[str], count: int) -> FloatArray:
    """Return the numbers in an answer; CalculatorError unless as many as expected."""
    words = " ".join(lines).split()
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        values = np.array([])
    if len(values) != count:
        raise CalculatorError(f"CP2K answered '{' '.join(words)[:120]}'; expected {count} numbers")
    return values
