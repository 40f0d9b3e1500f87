"""A force environment in a running CP2K: what it knows of the atoms, and asking it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import CalculatorError
from mlmd.numerics.voigt import to_voigt

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray
    from mlmd.calculators.programs.cp2k.shell import Cp2kShell


LARGEST_JUMP_A = 1.0
"""Atoms that jump farther than this have nothing to do with the steps before."""
LARGEST_STRAIN_PER_STEP = 0.01
LARGEST_STRAIN = 0.05
"""CP2K keeps the number of grid points of the first cell; beyond this it gets a new grid."""


class Environment:
    """CP2K's own state: where its wavefunctions and its grid come from."""

    def __init__(self, number: int, atoms: Atoms) -> None:
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
        if not np.array_equal(self._numbers, atoms.numbers):
            return True
        moved = np.linalg.norm(atoms.positions - self._positions, axis=1)
        return bool(moved.max() > LARGEST_JUMP_A)


def _strain(before: FloatArray, after: FloatArray) -> float:
    return float(np.abs(np.linalg.solve(before, after) - np.eye(3)).max())


def exchange(shell: Cp2kShell, number: int, atoms: Atoms) -> dict[str, Any]:
    """Tell CP2K where the atoms are and read what it makes of them."""
    rows = [" ".join(f"{x:.18e}" for x in row) for row in atoms.positions]
    shell.ask(f"SET_CELL {number}", [" ".join(f"{x:.18e}" for x in row) for row in atoms.cell])
    shell.ask(f"SET_POS {number}", [str(atoms.positions.size), *rows, "*END"])
    shell.ask(f"EVAL_EF {number}")
    energy = float(numbers_in(shell.ask(f"GET_E {number}"), 1)[0])
    # The number of values, one line per atom, and "* END".
    forces = numbers_in(shell.ask(f"GET_F {number}")[1:-1], atoms.positions.size)
    stress = numbers_in(shell.ask(f"GET_STRESS {number}"), 9).reshape(3, 3)
    results = {"energy": energy, "free_energy": energy, "forces": forces.reshape(-1, 3)}
    # A method without a stress gives zeros, which would pass for a measured one.
    if np.any(stress != 0.0):
        symmetric = -0.5 * (stress + stress.T)  # CP2K: positive under compression
        results["stress"] = to_voigt(symmetric)
    return results


def numbers_in(lines: list[str], count: int) -> FloatArray:
    """Return the numbers in an answer; CalculatorError unless as many finite ones as expected."""
    words = " ".join(lines).split()
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        values = np.array([])
    if len(values) != count or not np.isfinite(values).all():
        raise CalculatorError(
            f"CP2K answered '{' '.join(words)[:120]}'; expected {count} finite numbers"
        )
    return values
