"""A relaxation as a part of a run: checkpointed, stoppable, reported, not done twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.calculators.evaluation import evaluate
from mlmd.errors import SimulationError, StoppedError
from mlmd.stages.context import Progress, StageContext

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray
    from mlmd.dynamics.relaxation import Relaxation

FINISHED = "finished"
"""Entry of a checkpoint whose relaxation has ended; the numbers below are with it."""
NUMBERS = (
    "converged",
    "max_force_eV_A",
    "max_stress_GPa",
    "energy_before_eV",
    "energy_after_eV",
    "forces_eV_A",
    "stress_eV_A3",
)


@dataclass(frozen=True, eq=False)
class Relaxed:
    """How a relaxation ended.

    Attributes
    ----------
    n_steps
        Steps taken.
    converged
        Whether it came below its thresholds.
    max_force_eV_A, max_stress_GPa
        Largest force and component of the stress tensor; the latter None at fixed cell.
    energy_before_eV, energy_after_eV
        Potential energies of the cell.
    forces_eV_A : (atoms, 3)
        At the end.
    stress_eV_A3 : (6,), optional
        At the end, in ASE's order and sign; None at fixed cell.
    """

    n_steps: int
    converged: bool
    max_force_eV_A: float
    max_stress_GPa: float | None
    energy_before_eV: float
    energy_after_eV: float
    forces_eV_A: FloatArray
    stress_eV_A3: FloatArray | None


@dataclass(frozen=True)
class RelaxationLimits:
    """When a relaxation ends.

    Attributes
    ----------
    max_force_eV_A, max_stress_GPa
        Thresholds; without one for the stress the cell stays as it is.
    max_steps
        Steps after which it ends where it is.
    remedy
        What to do where forces are not finite.
    """

    max_force_eV_A: float
    max_steps: int
    max_stress_GPa: float | None = None
    remedy: str = "look at the structure"


def relax(atoms: Atoms, context: StageContext, name: str, limits: RelaxationLimits) -> Relaxed:
    """Relax in a folder, going on from its checkpoint where there is one.

    Parameters
    ----------
    atoms
        Changed in place; their calculator is gone afterwards.
    context
        Of the relaxation.
    name
        For progress and messages.
    limits
        When to end.

    Raises
    ------
    SimulationError
        If forces or stress are not finite.
    StoppedError
        If the stop token is set; a checkpoint is written then.
    """
    from mlmd.dynamics.relaxation import Relaxation

    atoms.set_momenta(np.zeros((len(atoms), 3)))
    atoms.calc = context.calculator
    relaxation = Relaxation(atoms, limits.max_force_eV_A, limits.max_stress_GPa)
    checkpoint = context.folder.load()
    if checkpoint is None:
        energy_before_eV = _energy_eV(atoms)
    else:
        relaxation.restore(checkpoint)
        energy_before_eV = float(checkpoint["energy_before_eV"])
    if checkpoint is None or not checkpoint.get(FINISHED):
        follow = _Follow(relaxation, context, name, limits, energy_before_eV)
        relaxation.run(limits.max_steps, follow)
        checkpoint = follow.finish()
    atoms.calc = None
    numbers: dict[str, Any] = {key: checkpoint.get(key) for key in NUMBERS}
    return Relaxed(n_steps=relaxation.nsteps, **numbers)


def _energy_eV(atoms: Atoms) -> float:
    energy = evaluate(atoms, ("energy",)).energy_eV
    assert energy is not None  # it was asked for
    return energy


class _Follow:
    """Looks at a relaxation after each step."""

    def __init__(
        self,
        relaxation: Relaxation,
        context: StageContext,
        name: str,
        limits: RelaxationLimits,
        energy_before_eV: float,
    ) -> None:
        self._relaxation, self._context = relaxation, context
        self._name, self._limits = name, limits
        self._energy_before_eV = energy_before_eV

    def __call__(self) -> None:
        """Look at the forces and the stop token; checkpoint and report where that is due."""
        relaxation, context = self._relaxation, self._context
        if not np.isfinite([relaxation.max_force_eV_A, relaxation.max_stress_GPa or 0.0]).all():
            raise SimulationError(
                f"stage '{self._name}': the calculator gave forces that are not finite at step "
                f"{relaxation.nsteps}; {self._limits.remedy}"
            )
        if context.stop.reason is not None:
            self._save()
            raise StoppedError(
                f"{context.stop.reason}: stopped in stage '{self._name}' at step "
                f"{relaxation.nsteps}, checkpointed"
            )
        if context.checkpoint_is_due():
            self._save()
        if context.report_is_due():
            self._report()

    def finish(self) -> dict[str, Any]:
        """Save the end with its numbers, and return that."""
        relaxation, atoms = self._relaxation, self._relaxation.atoms
        stress_GPa = relaxation.max_stress_GPa
        numbers: dict[str, Any] = {
            "converged": relaxation.converged,
            "max_force_eV_A": relaxation.max_force_eV_A,
            "max_stress_GPa": stress_GPa,
            "energy_after_eV": _energy_eV(atoms),
            "forces_eV_A": evaluate(atoms, ("forces",)).forces_eV_A,
        }
        if stress_GPa is not None:
            numbers["stress_eV_A3"] = evaluate(atoms, ("stress",)).stress_eV_A3
        self._save(**numbers, **{FINISHED: True})
        self._report()
        return {"energy_before_eV": self._energy_before_eV, **numbers}

    def _save(self, **more: Any) -> None:
        state = {**self._relaxation.state(), "energy_before_eV": self._energy_before_eV}
        self._context.folder.save({**state, **more})

    def _report(self) -> None:
        context, relaxation = self._context, self._relaxation
        context.report(
            Progress(
                stage=self._name,
                step=relaxation.nsteps,
                n_steps=self._limits.max_steps,
                run_step=context.steps_before,
                run_n_steps=context.run_n_steps,
                note=f"largest force {relaxation.max_force_eV_A:.2f} eV/A",
            )
        )
