"""What the stages of dynamics do: integrate, record, checkpoint, and sum up."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmd.dynamics.guards import Guard, GuardLimits, Origin
from mlmd.stages.dynamics.loop import (
    UNCONVERGED_SCF,
    DynamicsLoop,
    unconverged_scf,
    unconverged_scf_at,
)
from mlmd.stages.dynamics.recovery import ANCHOR_STEPS, Recovery
from mlmd.stages.dynamics.settings import DynamicsSettings
from mlmd.structure.constraints import held_atoms

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.dynamics.contract import Dynamics
    from mlmd.stages.context import StageContext
    from mlmd.stages.dynamics.results import DynamicsResult

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MolecularDynamicsStage(DynamicsSettings):
    """Dynamics for a given time, recorded."""

    def prepare(self, atoms: Atoms, context: StageContext) -> None:
        """Set the momenta that the stage begins with."""
        from mlmd.dynamics.kinetics import draw_momenta

        draw_momenta(atoms, self.temperature_at_K(0), context.rng)

    def run(self, atoms: Atoms, context: StageContext) -> tuple[Atoms, DynamicsResult]:
        """Integrate, record, and sum up what was recorded."""
        from mlmd.stages.dynamics.results import dynamics_result

        atoms = atoms.copy()
        atoms.calc = context.calculator
        warn_of_long_steps(self, atoms)
        origin = self.origin(atoms)
        checkpoint = context.folder.load()
        earlier = 0 if checkpoint is None else int(checkpoint.get(UNCONVERGED_SCF, 0))
        offset = earlier - unconverged_scf(context)  # before the first force call
        if checkpoint is None:
            offset += unconverged_scf_at(context, atoms)
            self.prepare(atoms, context)
        dynamics = self.dynamics(atoms, context)
        if checkpoint is not None:
            dynamics.restore(checkpoint)
        guard = Guard(dynamics, GuardLimits.from_dict(self.guard), origin)
        every = self.steps_per_frame * math.ceil(ANCHOR_STEPS / self.steps_per_frame)
        recovery = Recovery.from_state(every, checkpoint)
        with context.folder.recorder(
            atoms,
            n_frames_planned=self.n_steps // self.steps_per_frame + 1,
            resume_from=checkpoint,
            velocities=self.record_velocities,
        ) as recorder:
            loop = DynamicsLoop(self, dynamics, guard, recorder, recovery, context, offset)
            loop.run()
        atoms.calc = None
        path = context.folder.trajectory_path
        return atoms, dynamics_result(
            path,
            recovery.trips,
            loop.n_unconverged_scf,
            n_held_atoms=int(held_atoms(atoms).sum()),
            friction_per_ps=self.friction_per_ps,
        )

    def origin(self, atoms: Atoms) -> Origin:
        """Return what a guard has to know of the structure that the stage is given."""
        thermostat_time_fs = self.thermostat_time_fs
        if self.ensemble == "nve":
            thermostat_time_fs = math.inf
        elif self.friction_per_ps is not None:
            thermostat_time_fs = 500.0 / self.friction_per_ps  # of the kinetic energy
        return Origin(
            volume_A3=float(atoms.get_volume()),
            kinetic_energy_eV=float(atoms.get_kinetic_energy()),
            target_at_K=self.temperature_at_K,
            thermostat_time_fs=thermostat_time_fs,
        )

    def dynamics(self, atoms: Atoms, context: StageContext) -> Dynamics:
        """Return the integrator with its thermostat and barostat."""
        from mlmd.dynamics.bussi import Bussi
        from mlmd.dynamics.langevin import Langevin
        from mlmd.dynamics.nose_hoover import NoseHooverChain
        from mlmd.dynamics.npt import IsotropicNPT
        from mlmd.dynamics.nve import VelocityVerlet

        settings: dict[str, Any] = {
            "timestep_fs": self.timestep_fs,
            "temperature_K": self.temperature_at_K(0),
        }
        if self.ensemble == "nve":
            return VelocityVerlet(atoms, **settings)
        if self.friction_per_ps is not None:
            friction = self.friction_per_ps
            return Langevin(atoms, friction_per_ps=friction, rng=context.rng, **settings)
        settings["thermostat_time_fs"] = self.thermostat_time_fs
        if self.ensemble == "npt":
            return IsotropicNPT(
                atoms,
                pressure_GPa=self.pressure_GPa,
                barostat_time_fs=self.barostat_time_fs,
                **settings,
            )
        if self.thermostat == "bussi":
            return Bussi(atoms, rng=context.rng, **settings)
        return NoseHooverChain(atoms, **settings)


def warn_of_long_steps(stage: MolecularDynamicsStage, atoms: Atoms) -> None:
    """Warn where the time step is known to be too long for what moves."""
    if stage.timestep_fs > 1.0 and "H" in atoms.symbols:
        logger.warning(
            "stage '%s': %g fs is too long a time step for hydrogen; 0.5 fs is usual",
            stage.name,
            stage.timestep_fs,
        )
    elif stage.timestep_fs > 1.0 and stage.temperature_K >= 4000:
        logger.warning(
            "stage '%s': %g fs is a coarse time step at %g K; 1 fs is safer",
            stage.name,
            stage.timestep_fs,
            stage.temperature_K,
        )
