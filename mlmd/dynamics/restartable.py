"""Velocity Verlet as an ASE ``MolecularDynamics`` that can stop and go on bit for bit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units
from ase.md.md import MolecularDynamics

from mlmd.calculators.evaluation import Evaluator, evaluate
from mlmd.dynamics.kinetics import allowed, degrees_of_freedom, temperature_of_energy_K
from mlmd.errors import InputError, SimulationUnstable
from mlmd.structure.constraints import held_atoms

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray


class RestartableDynamics(MolecularDynamics):
    """Velocity Verlet between two calls of a thermostat.

    The centre of mass stays at rest: its momentum is taken out once and its acceleration (the
    net force of a model in single precision, say) at each step. Where atoms are held in place
    (``FixAtoms``) it is not, and they stay where they are to the last bit. Observers attach as
    to any ASE dynamics.

    Parameters
    ----------
    atoms
        With a calculator, momenta set, and no constraint but ``FixAtoms``.
    timestep_fs
        Time step in femtoseconds.
    temperature_K
        Target temperature in kelvin.
    """

    def __init__(self, atoms: Atoms, *, timestep_fs: float, temperature_K: float) -> None:
        self._held = held_atoms(atoms)
        self._holds_any = bool(self._held.any())
        if len(atoms) < 2:
            raise InputError(f"dynamics needs at least two atoms; given {len(atoms)}")
        super().__init__(atoms, timestep_fs * units.fs)
        self.timestep_fs = timestep_fs
        self.substeps = 1
        self.degrees_of_freedom = degrees_of_freedom(atoms)
        self._inverse_masses = 1.0 / self.masses
        self._mass_fractions = self.masses / self.masses.sum()
        self._momenta: FloatArray = allowed(atoms.get_momenta(), self.masses, self._held)
        atoms.set_momenta(self._momenta, apply_constraint=False)
        self._positions: FloatArray = atoms.get_positions()
        self._cell: FloatArray = atoms.cell.array.copy()
        self._ask = Evaluator()
        self._stress_every: int | None = None
        self._forces: FloatArray | None = None
        self._potential_eV: float | None = None
        self._kinetic_eV: float | None = None  # of the present momenta; None: not yet known
        self.set_temperature(temperature_K)

    def set_temperature(self, temperature_K: float) -> None:
        """Set the target temperature in kelvin."""
        self.temperature_K = temperature_K
        self._kT = units.kB * temperature_K

    def ask_stress_every(self, steps: int) -> None:
        """Have the stress computed along with the forces at every so manyth step."""
        self._stress_every = steps

    @property
    def forces_eV_A(self) -> FloatArray:
        """Forces that move the atoms at the present positions, in eV/angstrom.

        Zero on held atoms; without net force where none is held.
        """
        if self._forces is None:
            self._forces = self._new_forces(self.nsteps)
        return self._forces

    @property
    def kinetic_energy_eV(self) -> float:
        """Kinetic energy in eV."""
        if self._kinetic_eV is None:
            self._kinetic_eV = 0.5 * float(
                np.vdot(self._momenta, self._momenta * self._inverse_masses)
            )
        return self._kinetic_eV

    @property
    def kinetic_temperature_K(self) -> float:
        """Instantaneous temperature over the degrees of freedom, in kelvin."""
        return temperature_of_energy_K(self.kinetic_energy_eV, self.degrees_of_freedom)

    @property
    def potential_energy_eV(self) -> float:
        """Potential energy at the present positions, the one the forces derive from, in eV."""
        if self._forces is None:
            self._forces = self._new_forces(self.nsteps)
        if self._potential_eV is None:
            self._potential_eV = evaluate(self.atoms, ("energy",)).energy_of_forces_eV
            assert self._potential_eV is not None  # it was asked for
        return self._potential_eV

    @property
    @abstractmethod
    def conserved_energy_eV(self) -> float:
        """The quantity that exact dynamics would conserve, in eV."""

    @abstractmethod
    def _thermostat_before(self) -> None:
        """Act on the momenta before the Verlet step."""

    @abstractmethod
    def _thermostat_after(self) -> None:
        """Act on the momenta after the Verlet step."""

    @abstractmethod
    def _thermostat_state(self) -> dict[str, Any]:
        """Return the thermostat's own variables."""

    @abstractmethod
    def _restore_thermostat(self, state: Mapping[str, Any]) -> None:
        """Take the thermostat's own variables back."""

    def irun(self, steps: int = 50) -> Iterator[bool]:
        """Run as a generator; what was changed on the atoms since the last run is respected."""
        self._adopt_changes()
        return super().irun(steps)  # type: ignore[no-any-return]

    def _adopt_changes(self) -> None:
        """Take over positions, cell and momenta that were set on the atoms from outside.

        Within a run the dynamics has its own, so that an observer may wrap the atoms.
        """
        atoms = self.atoms
        momenta = atoms.get_momenta()
        if not np.array_equal(momenta, self._momenta):
            self._momenta = allowed(momenta, self.masses, self._held)
            self._kinetic_eV = None
            atoms.set_momenta(self._momenta, apply_constraint=False)
        if not (
            np.array_equal(atoms.positions, self._positions)
            and np.array_equal(atoms.cell.array, self._cell)
        ):
            self._positions = atoms.get_positions()
            self._cell = atoms.cell.array.copy()
            self._forces = None

    def divide_step(self, substeps: int) -> None:
        """Take each time step in this many parts, so that steps and frames keep their times."""
        self.substeps = substeps
        self.dt = self.timestep_fs * units.fs / substeps

    def get_time(self) -> float:
        """Return the simulated time in ASE's units, however the steps were divided."""
        return float(self.nsteps * self.timestep_fs * units.fs)

    def step(self) -> None:
        """Advance by one time step.

        Raises
        ------
        SimulationUnstable
            If the forces are not finite, or so large that the thermostat overflows.
        """
        try:
            for _ in range(self.substeps):
                self._substep()
        except OverflowError as error:
            raise SimulationUnstable(
                f"the temperature ran away at step {self.nsteps}: the thermostat overflows"
            ) from error

    def _substep(self) -> None:
        half = 0.5 * self.dt
        forces = self.forces_eV_A
        self._thermostat_before()
        self._momenta += half * forces
        self._move()
        self.atoms.positions[:] = self._positions
        self._forces = self._new_forces(self.nsteps + 1)
        self._momenta += half * self._forces
        self._kinetic_eV = None
        self._thermostat_after()
        self._kinetic_eV = None
        self.atoms.arrays["momenta"][:] = self._momenta

    def _move(self) -> None:
        """Move the atoms by the momenta for one step."""
        self._positions += self.dt * self._momenta * self._inverse_masses

    def _new_forces(self, step: int) -> FloatArray:
        """Return the forces that move the atoms after a step, see `forces_eV_A`."""
        every = self._stress_every
        found = self._ask(self.atoms, stress=every is not None and step % every == 0)
        forces, energy = found.forces_eV_A, found.energy_of_forces_eV
        assert forces is not None  # they were asked for
        if not np.isfinite(np.vdot(forces, forces)):
            raise SimulationUnstable(
                f"the calculator gave forces that are not finite at step {self.nsteps}; "
                "atoms may have come too close: try a smaller timestep_fs or a Relax before"
            )
        if self._holds_any:
            forces[self._held] = 0.0
        else:
            forces -= self._mass_fractions * forces.sum(axis=0)
        self._potential_eV = energy
        if energy is not None and not isfinite(energy):
            raise SimulationUnstable(
                f"the calculator gave an energy of {energy} eV at step {self.nsteps}"
            )
        return forces

    def _refresh_properties(self) -> None:
        """Do nothing: a step ends with forces at the new positions (ASE would ask again)."""
        _ = self.forces_eV_A

    def todict(self) -> dict[str, Any]:
        """Describe the dynamics, as ASE's trajectories want it."""
        return {**super().todict(), "temperature_K": self.temperature_K}

    def state(self) -> dict[str, Any]:
        """Return all that a bitwise continuation needs: arrays, numbers and plain mappings."""
        return {
            "nsteps": self.nsteps,
            "substeps": self.substeps,
            "temperature_K": self.temperature_K,
            "cell": self.atoms.cell.array.copy(),
            "positions": self._positions.copy(),
            "momenta": self._momenta.copy(),
            "forces": self.forces_eV_A.copy(),
            "potential_energy": self.potential_energy_eV,
            **self._thermostat_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state from :meth:`state`, in this process or another.

        The forces are taken from the state, not computed again, so that a calculator with a
        memory of its own (wavefunctions, a neighbour list) has no say in them.
        """
        self.nsteps = int(state["nsteps"])
        self.divide_step(int(state["substeps"]))
        self.set_temperature(float(state["temperature_K"]))
        self._positions = np.array(state["positions"], dtype=np.float64)
        self._momenta = np.array(state["momenta"], dtype=np.float64)
        self._kinetic_eV = None
        self._forces = np.array(state["forces"], dtype=np.float64)
        self._potential_eV = state.get("potential_energy")
        self._cell = np.array(state["cell"], dtype=np.float64)
        self.atoms.set_cell(self._cell)
        self.atoms.positions[:] = self._positions
        self.atoms.set_momenta(self._momenta, apply_constraint=False)
        self._restore_thermostat(state)
