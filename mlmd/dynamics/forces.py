"""Asking a calculator for forces, step after step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray


class ForceAsker:
    """Gets the forces of atoms of which nothing but the positions has changed.

    ASE's ``get_property`` finds out what has changed by comparing everything with the atoms that
    the calculator saw last, which takes longer than a step. Where those were ours, it is told.
    Every other case, and every calculator with a way of its own, is left to ``get_property``.
    """

    def __init__(self) -> None:
        self._seen: Atoms | None = None

    def __call__(self, atoms: Atoms) -> FloatArray:
        """Return the forces in eV/angstrom, as the calculator gives them."""
        calculator = atoms.calc
        if self._was_ours(calculator, atoms):
            calculator.atoms, calculator.results = None, {}
            calculator.calculate(atoms, ["forces"], ["positions"])
            forces = calculator.results.get("forces")
        else:
            forces = None
        if forces is None:
            forces = calculator.get_property("forces", atoms)
        self._seen = getattr(calculator, "atoms", None)
        return forces  # type: ignore[no-any-return]

    def _was_ours(self, calculator: Any, atoms: Atoms) -> bool:
        """Tell whether the calculator did these atoms last, in the same cell."""
        kind = type(calculator)
        return (
            self._seen is not None
            and getattr(kind, "get_property", None) is Calculator.get_property
            and kind.check_state is Calculator.check_state
            and kind.reset is Calculator.reset
            and calculator.atoms is self._seen
            and np.array_equal(atoms.cell.array, self._seen.cell.array)
        )


def energy_of_forces_eV(atoms: Atoms) -> float:
    """Return the potential energy that the forces are derivatives of, in eV.

    With smeared electrons that is the free energy, which a calculator may give beside its energy.
    """
    energy = float(atoms.get_potential_energy())
    return float(atoms.calc.results.get("free_energy", energy))
