"""Dynamics at constant energy: velocity Verlet and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlmd.dynamics.restartable import RestartableDynamics


class VelocityVerlet(RestartableDynamics):
    """NVE dynamics; the total energy is the conserved quantity.

    Parameters
    ----------
    atoms
        With a calculator and momenta.
    timestep_fs
        Time step in femtoseconds.
    temperature_K
        Of the momenta that the dynamics began with; it acts on nothing.
    """

    @property
    def conserved_energy_eV(self) -> float:
        """Kinetic and potential energy, in eV."""
        return self.kinetic_energy_eV + self.potential_energy_eV

    def _thermostat_before(self) -> None:
        """Nothing acts on the momenta."""

    _thermostat_after = _thermostat_before

    def _thermostat_state(self) -> dict[str, Any]:
        return {}

    def _restore_thermostat(self, state: Mapping[str, Any]) -> None:
        """Nothing to take back."""
