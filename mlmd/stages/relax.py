"""Push packed atoms apart before they are set in motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError, SimulationError, StoppedError
from mlmd.stages.context import Progress, StageContext
from mlmd.stages.stage import Stage, require_positive

if TYPE_CHECKING:
    from ase import Atoms
    from ase.optimize import FIRE


@dataclass(frozen=True)
class RelaxResult:
    """What a relaxation found.

    Attributes
    ----------
    n_steps
        Steps taken.
    converged
        Whether the largest force came below the threshold.
    max_force_eV_A
        Largest force on an atom at the end.
    energy_before_eV, energy_after_eV
        Potential energies.
    """

    n_steps: int
    converged: bool
    max_force_eV_A: float
    energy_before_eV: float
    energy_after_eV: float


@dataclass(frozen=True, kw_only=True)
class Relax(Stage):
    """Move downhill at fixed cell (FIRE, doi:10.1103/PhysRevLett.97.170201).

    Meant to take close contacts out of a packed cell, not to find a minimum: reaching
    `max_steps` is no error, and the result says whether it converged.

    Attributes
    ----------
    max_force_eV_A
        Stop when no force is larger.
    max_steps
        Stop after this many steps.
    """

    max_force_eV_A: float = 0.5
    max_steps: int = 200

    def __post_init__(self) -> None:
        """Check the numbers."""
        super().__post_init__()
        require_positive(self, max_force_eV_A=self.max_force_eV_A, max_steps=self.max_steps)
        if not isinstance(self.max_steps, int):
            raise InputError(
                f"stage '{self.name}': max_steps is {self.max_steps!r}; expected a whole number"
            )

    def run(self, atoms: Atoms, context: StageContext) -> tuple[Atoms, RelaxResult]:
        """Relax and say how far it came."""
        from ase.optimize import FIRE

        atoms = atoms.copy()
        atoms.set_momenta(np.zeros((len(atoms), 3)))
        atoms.calc = context.calculator
        optimizer = FIRE(atoms, logfile=None)
        checkpoint = context.folder.load()
        if checkpoint is None:
            energy_before = float(atoms.get_potential_energy())
        else:
            energy_before = float(checkpoint["energy_before_eV"])
            _restore(optimizer, checkpoint)

        def save() -> None:
            context.folder.save({**_state(optimizer), "energy_before_eV": energy_before})

        def report(force: float) -> None:
            context.report(
                Progress(
                    stage=self.name,
                    step=optimizer.nsteps,
                    n_steps=self.max_steps,
                    run_step=context.steps_before,
                    run_n_steps=context.run_n_steps,
                    note=f"largest force {force:.2f} eV/A",
                )
            )

        def follow() -> None:
            step = optimizer.nsteps
            force = _max_force(atoms)
            if not np.isfinite(force):
                raise SimulationError(
                    f"stage '{self.name}': the calculator gave forces that are not finite at step "
                    f"{step}; pack at a lower density"
                )
            if context.stop.reason is not None:
                save()
                raise StoppedError(
                    f"{context.stop.reason}: stopped in stage '{self.name}' at step {step}, "
                    "checkpointed"
                )
            if context.checkpoint_is_due():
                save()
            if context.report_is_due():
                report(force)

        optimizer.attach(follow)
        optimizer.run(fmax=self.max_force_eV_A, steps=self.max_steps - optimizer.nsteps)
        save()
        force = _max_force(atoms)
        report(force)
        result = RelaxResult(
            n_steps=optimizer.nsteps,
            converged=force <= self.max_force_eV_A,
            max_force_eV_A=force,
            energy_before_eV=energy_before,
            energy_after_eV=float(atoms.get_potential_energy()),
        )
        atoms.calc = None
        return atoms, result


def _max_force(atoms: Atoms) -> float:
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


def _state(optimizer: FIRE) -> dict[str, Any]:
    """Return what FIRE needs to go on as if it had not been interrupted."""
    state: dict[str, Any] = {
        "nsteps": optimizer.nsteps,
        "cell": optimizer.atoms.cell.array.copy(),
        "positions": optimizer.atoms.get_positions(),
        "fire_dt": optimizer.dt,
        "fire_a": optimizer.a,
        "fire_n": optimizer.Nsteps,
    }
    if optimizer.vel is not None:
        state["fire_velocities"] = np.array(optimizer.vel)
    return state


def _restore(optimizer: FIRE, state: dict[str, Any]) -> None:
    optimizer.nsteps = state["nsteps"]
    optimizer.atoms.positions[:] = state["positions"]
    optimizer.dt, optimizer.a = state["fire_dt"], state["fire_a"]
    optimizer.Nsteps = state["fire_n"]
    optimizer.vel = state.get("fire_velocities")
