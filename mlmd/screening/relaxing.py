"""A crystal relaxed with the calculator that then scans it, cell and all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.calculators.evaluation import evaluate
from mlmd.dynamics.relaxation import Relaxation
from mlmd.errors import SimulationError

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

MAX_FORCE_EV_A = 0.02
MAX_STRESS_GPA = 0.2
MAX_STEPS = 500
VOLUME_RANGE = (0.6, 1.6)
"""Of the volume that it began with: a framework that leaves it has come apart."""


def relaxed(atoms: Atoms, calculator: Calculator) -> Atoms:
    """Return a crystal relaxed, its cell as well where the calculator knows the stress.

    Raises
    ------
    SimulationError
        If it comes apart or does not get there.
    """
    atoms = atoms.copy()
    atoms.calc = calculator
    stress = evaluate(atoms, ("stress", "forces")).stress_eV_A3
    relaxation = Relaxation(atoms, MAX_FORCE_EV_A, None if stress is None else MAX_STRESS_GPA)
    before_A3 = atoms.get_volume()

    def follow() -> None:
        ratio = atoms.get_volume() / before_A3
        if not (np.isfinite(relaxation.max_force_eV_A) and _within(ratio)):
            raise SimulationError(
                f"the crystal came apart while it was relaxed (step {relaxation.nsteps}, "
                f"{ratio:.2f} times its volume); expected a structure that the calculator knows, "
                "or scan it as it is (--no-relax)"
            )

    relaxation.run(MAX_STEPS, follow)
    if not relaxation.converged:
        raise SimulationError(
            f"the crystal has not relaxed in {MAX_STEPS} steps (largest force "
            f"{relaxation.max_force_eV_A:.2g} eV/A); relax it before, or scan it as it is "
            "(--no-relax)"
        )
    atoms.calc = None
    return atoms


def _within(ratio: float) -> bool:
    return VOLUME_RANGE[0] < ratio < VOLUME_RANGE[1]
