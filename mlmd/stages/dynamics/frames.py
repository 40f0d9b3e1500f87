"""Taking a frame from a dynamics: positions and the scalars that go with them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ase import units

from mlmd.calculators.evaluation import evaluate
from mlmd.dynamics.kinetics import pressure_GPa
from mlmd.structure.constraints import held_atoms

if TYPE_CHECKING:
    from mlmd.dynamics.contract import Dynamics
    from mlmd.run.recorder import Recorder


class FrameTaker:
    """Records the present state of a dynamics; keeps T and P for whoever reports progress.

    The kinetic part of the pressure is that of the atoms that move, the virial what the calculator
    gives. Where a direction is not periodic there is no volume, and so no pressure.

    Parameters
    ----------
    dynamics
        What is recorded.
    recorder
        Where to. A frame that it already has is not recorded again.
    """

    def __init__(self, dynamics: Dynamics, recorder: Recorder) -> None:
        self._dynamics = dynamics
        self._recorder = recorder
        self._next_step = dynamics.nsteps if recorder.n_frames == 0 else dynamics.nsteps + 1
        atoms = dynamics.atoms
        self._n_moving = len(atoms) - int(held_atoms(atoms).sum())
        self.gives_stress = all(atoms.pbc) and "stress" in atoms.calc.implemented_properties
        self.temperature_K: float | None = None
        self.pressure_GPa: float | None = None

    def forget(self) -> None:
        """Start anew, after the dynamics went back to a state whose frame is recorded."""
        self._next_step = self._dynamics.nsteps + 1

    def __call__(self) -> None:
        """Record a frame."""
        dynamics, atoms = self._dynamics, self._dynamics.atoms
        if dynamics.nsteps < self._next_step:
            return
        self.temperature_K = dynamics.kinetic_temperature_K
        energy = dynamics.potential_energy_eV
        conserved = dynamics.conserved_energy_eV
        pressure = math.nan
        if self.gives_stress:
            stress = evaluate(atoms, ("stress",), unchanged=True).stress_eV_A3
            if stress is not None:  # it may say that it gives one and not have it
                per_atom_A3 = atoms.get_volume() / self._n_moving
                pressure = pressure_GPa(stress, self.temperature_K, per_atom_A3)
                self.pressure_GPa = pressure
        self._recorder.record(
            dynamics.nsteps,
            dynamics.nsteps * dynamics.timestep_fs,
            atoms,
            {
                "potential_energy": energy,
                "temperature": self.temperature_K,
                "pressure": pressure,
                "conserved_energy": conserved,
            },
            atoms.get_velocities() * units.fs if self._recorder.takes_velocities else None,
        )
