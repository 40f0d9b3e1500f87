r"""Stochastic velocity rescaling: canonical, and well behaved far from equilibrium.

.. math::

    \alpha^2 = c + (1 - c)\frac{\bar K}{N_f K}\Big(R_1^2 + \sum_{i=2}^{N_f} R_i^2\Big)
        + 2 R_1 \sqrt{c\,(1 - c)\frac{\bar K}{N_f K}}, \qquad c = e^{-\Delta t / \tau}

Bussi, Donadio, Parrinello, J. Chem. Phys. 126, 014101 (2007), doi:10.1063/1.2408420, Eq. (A7),
with N_f of :mod:`mlmd.dynamics.kinetics`. The energy that the thermostat takes out is summed up, so
that K + U less the energy given is conserved (their Eq. (15)).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import copysign, exp, sqrt
from typing import TYPE_CHECKING, Any

from mlmd.dynamics.restartable import RestartableDynamics

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.random import Generator


class Bussi(RestartableDynamics):
    """NVT dynamics by stochastic velocity rescaling.

    Parameters
    ----------
    atoms
        With a calculator and momenta that are not all zero.
    timestep_fs
        Time step in femtoseconds.
    temperature_K
        Target temperature in kelvin.
    thermostat_time_fs
        Relaxation time tau of the kinetic energy.
    rng
        Source of the noise; its state is part of :meth:`state`.
    """

    def __init__(
        self,
        atoms: Atoms,
        *,
        timestep_fs: float,
        temperature_K: float,
        rng: Generator,
        thermostat_time_fs: float = 100.0,
    ) -> None:
        self._rng = rng
        self._given_eV = 0.0
        self._thermostat_time_fs = thermostat_time_fs
        self._decay = exp(-timestep_fs / thermostat_time_fs)
        super().__init__(atoms, timestep_fs=timestep_fs, temperature_K=temperature_K)

    def divide_step(self, substeps: int) -> None:
        """Take each time step in this many parts; the thermostat acts in each."""
        super().divide_step(substeps)
        self._decay = exp(-self.timestep_fs / substeps / self._thermostat_time_fs)

    @property
    def conserved_energy_eV(self) -> float:
        """Total energy less what the thermostat has given, in eV."""
        return self.kinetic_energy_eV + self.potential_energy_eV - self._given_eV

    def _thermostat_before(self) -> None:
        """Nothing: the thermostat acts once a step, after Verlet."""

    def _thermostat_after(self) -> None:
        kinetic = self.kinetic_energy_eV
        freedom = self.degrees_of_freedom
        mixing = (1.0 - self._decay) * 0.5 * self._kT / kinetic
        first = float(self._rng.standard_normal())
        others = 2.0 * float(self._rng.standard_gamma(0.5 * (freedom - 1)))
        squared = (
            self._decay
            + mixing * (first * first + others)
            + 2.0 * first * sqrt(self._decay * mixing)
        )
        # Eq. (A8): the sign keeps the dynamics continuous where the rescaling is strong.
        sign = copysign(1.0, first + sqrt(self._decay / mixing))
        self._momenta *= sign * sqrt(squared)
        self._given_eV += (squared - 1.0) * kinetic

    def _thermostat_state(self) -> dict[str, Any]:
        return {"given_eV": self._given_eV, "rng": self._rng.bit_generator.state}

    def _restore_thermostat(self, state: Mapping[str, Any]) -> None:
        self._given_eV = float(state["given_eV"])
        self._rng.bit_generator.state = state["rng"]
