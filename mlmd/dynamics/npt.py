r"""Isothermal-isobaric dynamics with isotropic volume changes, by ASE's integrator.

Martyna, Tobias, Klein, J. Chem. Phys. 101, 4177 (1994), doi:10.1063/1.467468. ASE counts 3N
degrees of freedom and saves no state of thermostat and barostat; here the centre of mass is at
rest, so N_f = 3N - 3 = 3(N - 1), which ASE's classes give when told that there are N - 1 atoms:
the count enters them as 3N (thermostat) and as 1 + 3/N_f = 1 + 1/(N - 1) (barostat). The kinetic
part of the pressure is then N kB T / V on average, as everywhere in mlmd.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units
from ase.md.nose_hoover_chain import (
    IsotropicMTKBarostat,
    IsotropicMTKNPT,
    NoseHooverChainThermostat,
)

from mlmd.calculators.evaluation import evaluate
from mlmd.dynamics.kinetics import at_rest, degrees_of_freedom, temperature_of_energy_K
from mlmd.errors import InputError
from mlmd.structure.constraints import held_atoms

if TYPE_CHECKING:
    from ase import Atoms

ARRAYS = ("_q", "_p", "_cell0")
NUMBERS = ("_eps", "_p_eps", "_volume0")


class IsotropicNPT(IsotropicMTKNPT):
    """NPT dynamics that continues bit for bit.

    Parameters
    ----------
    atoms
        With a calculator that gives stress, momenta, and no held atoms, which a cell that changes
        would move.
    timestep_fs
        Time step in femtoseconds.
    temperature_K, pressure_GPa
        Targets.
    thermostat_time_fs, barostat_time_fs
        Relaxation times.
    """

    def __init__(
        self,
        atoms: Atoms,
        *,
        timestep_fs: float,
        temperature_K: float,
        pressure_GPa: float = 0.0,
        thermostat_time_fs: float = 100.0,
        barostat_time_fs: float = 1000.0,
    ) -> None:
        if "stress" not in atoms.calc.implemented_properties:
            raise InputError(
                f"NPT needs stress; the calculator {type(atoms.calc).__name__} gives none"
            )
        if held_atoms(atoms).any():
            raise InputError(
                "FixAtoms holds atoms in place; NPT changes the cell and moves them: take "
                "ensemble nvt or remove the constraint"
            )
        atoms.set_constraint()  # what is left changes nothing, but rounds
        atoms.set_momenta(at_rest(atoms.get_momenta(), atoms.get_masses()[:, None]))
        super().__init__(
            atoms,
            timestep=timestep_fs * units.fs,
            temperature_K=temperature_K,
            pressure_au=pressure_GPa * units.GPa,
            tdamp=thermostat_time_fs * units.fs,
            pdamp=barostat_time_fs * units.fs,
        )
        self.timestep_fs = timestep_fs
        self.substeps = 1
        self.temperature_K = temperature_K
        self.degrees_of_freedom = degrees_of_freedom(atoms)
        self._num_atoms_global = len(atoms) - 1
        self._thermostat = NoseHooverChainThermostat(
            num_atoms_global=self._num_atoms_global,
            masses=self.masses,
            temperature_K=temperature_K,
            tdamp=thermostat_time_fs * units.fs,
        )
        self._barostat = IsotropicMTKBarostat(
            num_atoms_global=self._num_atoms_global,
            temperature_K=temperature_K,
            pdamp=barostat_time_fs * units.fs,
        )

    def set_temperature(self, temperature_K: float) -> None:
        """Accept the temperature that it has; the chains' masses belong to it."""
        if temperature_K != self.temperature_K:
            raise InputError("the temperature of NPT dynamics cannot change on the way; use nvt")

    def ask_stress_every(self, steps: int) -> None:
        """Accept it: the stress is computed at every step."""

    def divide_step(self, substeps: int) -> None:
        """Take each time step in this many parts, so that steps and frames keep their times."""
        self.substeps = substeps
        self.dt = self.timestep_fs * units.fs / substeps

    def step(self) -> None:
        """Advance by one time step, in as many parts as recovery asks for."""
        for _ in range(self.substeps):
            super().step()

    @property
    def forces_eV_A(self) -> np.ndarray:
        """Forces at the present positions, in eV/angstrom."""
        # The stress is asked next: what gives it gives the forces along with it.
        forces = evaluate(self.atoms, ("stress", "forces")).forces_eV_A
        assert forces is not None  # they were asked for
        return forces

    @property
    def kinetic_temperature_K(self) -> float:
        """Instantaneous temperature over 3N - 3 degrees of freedom, in kelvin."""
        return temperature_of_energy_K(self.atoms.get_kinetic_energy(), self.degrees_of_freedom)

    @property
    def potential_energy_eV(self) -> float:
        """Potential energy at the present positions, the one the forces derive from, in eV."""
        energy = evaluate(self.atoms, ("energy",)).energy_of_forces_eV
        assert energy is not None  # it was asked for
        return energy

    @property
    def conserved_energy_eV(self) -> float:
        """Energy of the extended system, in eV."""
        return self.get_conserved_energy()

    def get_conserved_energy(self) -> float:
        """Return the energy of the extended system, in eV; ASE's asks for a free energy."""
        barostat = self._barostat
        return float(
            self.potential_energy_eV
            + self.atoms.get_kinetic_energy()
            + self._thermostat.get_thermostat_energy()
            + barostat.get_barostat_energy()
            + self._p_eps**2 / (2 * barostat.W)
            + self._pressure_au * self._get_volume()
        )

    def _get_forces(self) -> np.ndarray:
        """Return forces without net force, so that the centre of mass stays at rest."""
        self._update_atoms()
        forces = self.forces_eV_A
        forces -= self.masses / self.masses.sum() * forces.sum(axis=0)
        return forces

    def _get_pressure(self) -> Any:
        """Return the pressure, virial and kinetic part, in eV/angstrom^3."""
        self._update_atoms()
        stress = evaluate(self.atoms, ("stress",)).stress_eV_A3
        assert stress is not None  # the constructor has seen to it
        kinetic = float(np.sum(self._p**2 / self.masses))
        return float((kinetic / self._get_volume() - stress[:3].sum()) / 3)

    def state(self) -> dict[str, Any]:
        """Return all that a bitwise continuation needs."""
        return {
            "nsteps": self.nsteps,
            "substeps": self.substeps,
            "cell": self.atoms.cell.array.copy(),
            "positions": np.array(self._q),
            "momenta": np.array(self._p),
            **{name: np.array(getattr(self, name)) for name in ARRAYS},
            **{name: float(getattr(self, name)) for name in NUMBERS},
            "eta": self._thermostat._eta.copy(),
            "p_eta": self._thermostat._p_eta.copy(),
            "xi": self._barostat._xi.copy(),
            "p_xi": self._barostat._p_xi.copy(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state from :meth:`state`, in this process or another."""
        self.nsteps = int(state["nsteps"])
        self.divide_step(int(state["substeps"]))
        for name in ARRAYS:
            setattr(self, name, np.array(state[name]))
        for name in NUMBERS:
            setattr(self, name, float(state[name]))
        self._thermostat._eta = np.array(state["eta"])
        self._thermostat._p_eta = np.array(state["p_eta"])
        self._barostat._xi = np.array(state["xi"])
        self._barostat._p_xi = np.array(state["p_xi"])
        self._update_atoms()
