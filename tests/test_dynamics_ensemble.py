"""Do the thermostats sample the canonical ensemble? Checked with physical_validation.

Merz, Shirts, PLoS ONE 13, e0202764 (2018), doi:10.1371/journal.pone.0202764.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from ase import units
from physical_validation import ensemble, kinetic_energy
from physical_validation.data import (
    EnsembleData,
    ObservableData,
    SimulationData,
    SystemData,
    UnitData,
)
from systems import argon

from mlmd.dynamics.bussi import Bussi
from mlmd.dynamics.kinetics import temperature_of_energy_K
from mlmd.dynamics.nose_hoover import NoseHooverChain
from mlmd.numerics.autocorrelation import standard_error

pytestmark = pytest.mark.kernels

COLD_K, HOT_K = 120.0, 180.0
THERMOSTATS = ("nose_hoover", "bussi")
N_STEPS, SAMPLE_EVERY, EQUILIBRATION_STEPS = 24_000, 4, 1_000
# p = 0.0027, as three standard deviations of a normal distribution.
THREE_SIGMA_P = 0.0027
EV_IN_KJ_MOL = units.eV / (units.kJ / units.mol)
EV_UNITS = UnitData(
    kb=units.kB,
    energy_conversion=EV_IN_KJ_MOL,
    length_conversion=0.1,
    volume_conversion=1e-3,
    temperature_conversion=1.0,
    pressure_conversion=1.0,
    time_conversion=1e-3,
)


@dataclass(frozen=True)
class Samples:
    """Energies of one run, at equal intervals, in eV."""

    kinetic_eV: np.ndarray
    potential_eV: np.ndarray
    temperature_K: float
    n_atoms: int
    volume_A3: float


@cache
def samples(thermostat: str, temperature_K: float) -> Samples:
    """Argon for 192 ps, about 800 autocorrelation times of its potential energy."""
    atoms = argon(3, temperature_K=temperature_K, seed=5)
    settings = {"timestep_fs": 8.0, "temperature_K": temperature_K, "thermostat_time_fs": 150.0}
    rng = np.random.default_rng(17)
    Bussi(atoms, rng=rng, **settings).run(EQUILIBRATION_STEPS)
    if thermostat == "bussi":
        dynamics = Bussi(atoms, rng=rng, **settings)
    else:
        dynamics = NoseHooverChain(atoms, **settings)
    energies = []
    dynamics.attach(
        lambda: energies.append((dynamics.kinetic_energy_eV, dynamics.potential_energy_eV)),
        interval=SAMPLE_EVERY,
    )
    dynamics.run(N_STEPS)
    kinetic, potential = np.array(energies).T
    return Samples(kinetic, potential, temperature_K, len(atoms), atoms.get_volume())


def independent(series: np.ndarray) -> np.ndarray:
    """Every so many-th sample that the rest is uncorrelated."""
    correlated = standard_error(series)
    assert correlated.is_reliable
    return series[:: math.ceil(correlated.tau_samples)]


def simulation(run: Samples, *, kinetic=None, potential=None, removed=3) -> SimulationData:
    """What physical_validation wants to know; `removed` degrees of freedom of translation."""
    return SimulationData(
        units=EV_UNITS,
        ensemble=EnsembleData(
            "NVT", natoms=run.n_atoms, volume=run.volume_A3, temperature=run.temperature_K
        ),
        system=SystemData(
            natoms=run.n_atoms, nconstraints=0, ndof_reduction_tra=removed, ndof_reduction_rot=0
        ),
        observables=ObservableData(kinetic_energy=kinetic, potential_energy=potential),
    )


@pytest.mark.slow
@pytest.mark.parametrize("thermostat", THERMOSTATS)
@pytest.mark.parametrize("temperature_K", [COLD_K, HOT_K])
def test_mean_temperature_is_the_target_over_3n_minus_3(thermostat, temperature_K):
    run = samples(thermostat, temperature_K)
    mean = standard_error(
        [temperature_of_energy_K(kinetic, 3 * run.n_atoms - 3) for kinetic in run.kinetic_eV]
    )
    assert mean.stderr < 0.01 * temperature_K
    assert abs(mean.mean - temperature_K) < 3 * mean.stderr
    # Counted over 3N the same run is off by one part in N, which these data can tell.
    over_3n = mean.mean * (run.n_atoms - 1) / run.n_atoms
    assert abs(over_3n - temperature_K) > 3 * mean.stderr


@pytest.mark.slow
@pytest.mark.parametrize("thermostat", THERMOSTATS)
@pytest.mark.parametrize("temperature_K", [COLD_K, HOT_K])
def test_kinetic_energy_follows_its_distribution(thermostat, temperature_K):
    run = samples(thermostat, temperature_K)
    kinetic = independent(run.kinetic_eV)
    assert len(kinetic) > 300
    settings = {"verbosity": 0, "data_is_uncorrelated": True, "bootstrap_seed": 1}
    data = simulation(run, kinetic=kinetic)
    assert kinetic_energy.distribution(data, strict=True, **settings) > THREE_SIGMA_P
    of_mean, of_width = kinetic_energy.distribution(data, strict=False, **settings)
    assert of_mean < 3
    assert of_width < 3
    # The same samples are refused if the centre of mass is counted in.
    wrong = simulation(run, kinetic=kinetic, removed=0)
    of_mean, _ = kinetic_energy.distribution(wrong, strict=False, **settings)
    assert of_mean > 3


def distance_from_boltzmann(cold: Samples, hot: Samples, stretched: float = 1.0) -> float:
    """Standard deviations between ln(P_hot/P_cold)(U) and a line of the slope it must have."""
    middle = 0.5 * (cold.potential_eV.mean() + hot.potential_eV.mean())
    data = [
        simulation(run, potential=middle + stretched * (independent(run.potential_eV) - middle))
        for run in (cold, hot)
    ]
    (distance,) = ensemble.check(*data, verbosity=0, data_is_uncorrelated=True)
    return float(distance)


@pytest.mark.slow
@pytest.mark.parametrize("thermostat", THERMOSTATS)
def test_two_temperatures_have_the_ratio_of_boltzmann_weights(thermostat):
    cold, hot = samples(thermostat, COLD_K), samples(thermostat, HOT_K)
    assert distance_from_boltzmann(cold, hot) < 3
    # The check has teeth: energies in a wrong unit, or too widely spread by half, are seen.
    assert distance_from_boltzmann(cold, hot, stretched=1.5) > 3
