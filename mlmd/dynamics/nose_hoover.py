r"""Nosé-Hoover chain dynamics for the N_f degrees of freedom of :mod:`mlmd.dynamics.kinetics`.

.. math::

    \dot p = F - p\,\frac{p_{\eta_1}}{Q_1}, \qquad
    \dot p_{\eta_1} = 2K - N_f k_B T - p_{\eta_1}\frac{p_{\eta_2}}{Q_2}, \qquad
    \dot p_{\eta_j} = \frac{p_{\eta_{j-1}}^2}{Q_{j-1}} - k_B T
        - p_{\eta_j}\frac{p_{\eta_{j+1}}}{Q_{j+1}}

    H' = K + U + \sum_j \frac{p_{\eta_j}^2}{2 Q_j} + N_f k_B T \eta_1
        + k_B T \sum_{j>1} \eta_j

Martyna, Klein, Tuckerman, J. Chem. Phys. 97, 2635 (1992), doi:10.1063/1.463940; integrated as
Martyna, Tuckerman, Tobias, Klein, Mol. Phys. 87, 1117 (1996), doi:10.1080/00268979600100761,
with the fourth-order weights of Yoshida (1990), doi:10.1016/0375-9601(90)90092-3. Plain floats,
not arrays: a chain is three numbers long.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units

from mlmd.dynamics.restartable import RestartableDynamics

if TYPE_CHECKING:
    from ase import Atoms

_OUTER = 1.0 / (2.0 - 2.0 ** (1.0 / 3.0))
YOSHIDA_WEIGHTS = (_OUTER, 1.0 - 2.0 * _OUTER, _OUTER)


class NoseHooverChain(RestartableDynamics):
    """NVT dynamics with a Nosé-Hoover chain.

    Parameters
    ----------
    atoms
        With a calculator and momenta.
    timestep_fs
        Time step in femtoseconds.
    temperature_K
        Target temperature in kelvin.
    thermostat_time_fs
        Relaxation time tau of the thermostat: Q_1 = N_f kB T tau^2, Q_j = kB T tau^2.
    chain_length
        Number of thermostats in the chain.
    """

    def __init__(
        self,
        atoms: Atoms,
        *,
        timestep_fs: float,
        temperature_K: float,
        thermostat_time_fs: float = 100.0,
        chain_length: int = 3,
    ) -> None:
        self._tau_squared = (thermostat_time_fs * units.fs) ** 2
        self._eta = [0.0] * chain_length
        self._eta_momenta = [0.0] * chain_length
        super().__init__(atoms, timestep_fs=timestep_fs, temperature_K=temperature_K)

    def set_temperature(self, temperature_K: float) -> None:
        """Set the target temperature in kelvin; the chain's masses follow it."""
        super().set_temperature(temperature_K)
        unit = self._kT * self._tau_squared
        self._chain_masses = [self.degrees_of_freedom * unit] + [unit] * (len(self._eta) - 1)

    @property
    def conserved_energy_eV(self) -> float:
        """Energy of the extended system, in eV."""
        chain = sum(
            p * p / (2.0 * mass)
            for p, mass in zip(self._eta_momenta, self._chain_masses, strict=True)
        )
        heat = self._kT * (self.degrees_of_freedom * self._eta[0] + sum(self._eta[1:]))
        return self.kinetic_energy_eV + self.potential_energy_eV + chain + heat

    def _thermostat_before(self) -> None:
        twice_kinetic = 2.0 * self.kinetic_energy_eV
        scale = 1.0
        for weight in YOSHIDA_WEIGHTS:
            factor = self._advance_chain(twice_kinetic, 0.5 * weight * self.dt)
            scale *= factor
            twice_kinetic *= factor * factor
        self._momenta *= scale

    _thermostat_after = _thermostat_before

    def _advance_chain(self, twice_kinetic: float, delta: float) -> float:
        """Advance the chain by `delta`; return the factor that scales the particles' momenta."""
        eta, momenta, masses = self._eta, self._eta_momenta, self._chain_masses
        last = len(eta) - 1
        self._kick_chain(range(last, -1, -1), twice_kinetic, delta)
        factor = exp(-delta * momenta[0] / masses[0])
        for j in range(last + 1):
            eta[j] += delta * momenta[j] / masses[j]
        twice_kinetic *= factor * factor
        self._kick_chain(range(last + 1), twice_kinetic, delta)
        return factor

    def _kick_chain(self, order: range, twice_kinetic: float, delta: float) -> None:
        """Advance the momenta of the thermostats, one after another, by half of `delta`."""
        momenta, masses, kT = self._eta_momenta, self._chain_masses, self._kT
        last = len(momenta) - 1
        for j in order:
            if j == 0:
                drive = twice_kinetic - self.degrees_of_freedom * kT
            else:
                drive = momenta[j - 1] * momenta[j - 1] / masses[j - 1] - kT
            friction = 1.0
            if j < last:
                friction = exp(-0.25 * delta * momenta[j + 1] / masses[j + 1])
            momenta[j] = (momenta[j] * friction + 0.5 * delta * drive) * friction

    def _thermostat_state(self) -> dict[str, Any]:
        return {"eta": np.array(self._eta), "eta_momenta": np.array(self._eta_momenta)}

    def _restore_thermostat(self, state: Mapping[str, Any]) -> None:
        self._eta = [float(value) for value in state["eta"]]
        self._eta_momenta = [float(value) for value in state["eta_momenta"]]
