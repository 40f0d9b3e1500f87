r"""Langevin dynamics: every atom feels friction and noise, as in a solvent.

.. math:: \dot p = F - \gamma p + \sqrt{2 m \gamma k_B T}\,\xi(t)

Integrated as BAOAB (Leimkuhler, Matthews, J. Chem. Phys. 138, 174102 (2013),
doi:10.1063/1.4802990): half a kick, half a move, friction and noise as the exact solution over
the whole step

.. math:: p \leftarrow e^{-\gamma \Delta t} p
          + \sqrt{(1 - e^{-2 \gamma \Delta t})\,m k_B T}\;\xi,

half a move, half a kick. Positions of a harmonic oscillator of frequency :math:`\omega` have then
their exact distribution, momenta one that is narrower by :math:`(\omega \Delta t)^2 / 4`. The heat
that friction and noise give is summed up, so that K + U less it is conserved.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units

from mlmd.dynamics.kinetics import allowed
from mlmd.dynamics.restartable import RestartableDynamics

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.random import Generator


class Langevin(RestartableDynamics):
    """NVT dynamics by friction and noise.

    The noise has no net momentum where no atom is held, so that the centre of mass stays at rest.

    Parameters
    ----------
    atoms
        With a calculator and momenta.
    timestep_fs
        Time step in femtoseconds.
    temperature_K
        Target temperature in kelvin.
    friction_per_ps
        gamma: the velocity of a free atom is forgotten as exp(-gamma t), its diffusivity is
        kB T / (m gamma).
    rng
        Source of the noise; its state is part of :meth:`state`.
    """

    def __init__(
        self,
        atoms: Atoms,
        *,
        timestep_fs: float,
        temperature_K: float,
        friction_per_ps: float,
        rng: Generator,
    ) -> None:
        self._rng = rng
        self._given_eV = 0.0
        self._friction_per_fs = friction_per_ps / 1000.0
        super().__init__(atoms, timestep_fs=timestep_fs, temperature_K=temperature_K)

    @property
    def conserved_energy_eV(self) -> float:
        """Total energy less the heat that was given, in eV."""
        return self.kinetic_energy_eV + self.potential_energy_eV - self._given_eV

    def _move(self) -> None:
        """Move by half a step, let friction and noise act, move by the other half."""
        half = 0.5 * self.dt * self._inverse_masses
        self._positions += half * self._momenta
        self._exchange_heat()
        self._positions += half * self._momenta

    def _exchange_heat(self) -> None:
        """Solve friction and noise over a step, and book the heat."""
        decay = exp(-self._friction_per_fs * self.dt / units.fs)
        thermal = np.sqrt(self._kT * self.masses)
        noise = thermal * self._rng.standard_normal(self._momenta.shape)
        before = self._momenta
        self._momenta = decay * before + sqrt(1.0 - decay * decay) * allowed(
            noise, self.masses, self._held
        )
        gain = (self._momenta - before) * (self._momenta + before) * self._inverse_masses
        self._given_eV += 0.5 * float(gain.sum())

    def _thermostat_before(self) -> None:
        """Nothing: heat is exchanged in the middle of the step."""

    _thermostat_after = _thermostat_before

    def _thermostat_state(self) -> dict[str, Any]:
        return {"given_eV": self._given_eV, "rng": self._rng.bit_generator.state}

    def _restore_thermostat(self, state: Mapping[str, Any]) -> None:
        self._given_eV = float(state["given_eV"])
        self._rng.bit_generator.state = state["rng"]
