"""Energy of a structure at its minimum, with any calculator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import one_structure
from mlmd.errors import InputError, MlmdError, SimulationError

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator


@dataclass(frozen=True)
class RelaxedEnergy:
    """A structure after its relaxation.

    Attributes
    ----------
    formula
        Of the cell.
    energy_eV_atom, volume_A3_atom
        At the minimum; of a molecule, the volume of its box.
    max_force_eV_A, max_stress_GPa
        What is left; the latter None at fixed cell.
    n_steps
        Steps of FIRE.
    """

    formula: str
    energy_eV_atom: float
    volume_A3_atom: float
    max_force_eV_A: float
    max_stress_GPa: float | None
    n_steps: int


def relaxed_energy(
    atoms: Atoms,
    calculator: Calculator,
    what: str,
    *,
    max_force_eV_A: float = 0.01,
    max_stress_GPa: float | None = 0.05,
    max_steps: int = 1000,
) -> RelaxedEnergy:
    """Relax a copy of a structure and return its energy.

    Parameters
    ----------
    atoms
        Periodic in three directions.
    calculator
        With stress, unless `max_stress_GPa` is None.
    what
        Name for messages.
    max_force_eV_A, max_stress_GPa
        Converged where no force, no component of the stress is larger; None: cell as it is.
    max_steps
        Of FIRE.

    Raises
    ------
    InputError
        If the structure is not periodic, or the calculator cannot do it or has no stress.
    SimulationError
        If it does not converge.
    """
    from mlmd.calculators.evaluation import evaluate
    from mlmd.dynamics.relaxation import Relaxation

    one_structure(what, atoms)
    if len(atoms) == 0 or not atoms.pbc.all() or atoms.cell.rank < 3:
        raise InputError(f"{what} is not periodic in three directions; set its cell and pbc")
    if max_stress_GPa is not None and "stress" not in calculator.implemented_properties:
        raise InputError(
            f"{what} needs stress to relax its cell; the calculator "
            f"{type(calculator).__name__} gives none"
        )
    atoms = atoms.copy()
    atoms.calc = calculator
    try:
        evaluate(atoms, ("energy",))
    except MlmdError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"the calculator {type(calculator).__name__} cannot do {what}: "
            f"{type(error).__name__}: {reason}"
        ) from error
    relaxation = Relaxation(atoms, max_force_eV_A, max_stress_GPa)
    relaxation.run(max_steps)
    energy_eV = evaluate(atoms, ("energy",)).energy_eV
    assert energy_eV is not None  # it was asked for
    if not relaxation.converged or not np.isfinite(energy_eV):
        raise SimulationError(
            f"{what} did not relax in {max_steps} steps (largest force "
            f"{relaxation.max_force_eV_A:.3g} eV/A); start nearer to its minimum or raise max_steps"
        )
    return RelaxedEnergy(
        formula=atoms.get_chemical_formula(),
        energy_eV_atom=energy_eV / len(atoms),
        volume_A3_atom=float(atoms.get_volume()) / len(atoms),
        max_force_eV_A=relaxation.max_force_eV_A,
        max_stress_GPa=relaxation.max_stress_GPa,
        n_steps=relaxation.nsteps,
    )
