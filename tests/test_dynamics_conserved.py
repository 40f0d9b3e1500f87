"""The conserved quantity of each thermostat: second order in the time step, and no drift."""

import numpy as np
import pytest
from ase import units
from systems import argon

from mlmd.dynamics.bussi import Bussi
from mlmd.dynamics.kinetics import draw_momenta
from mlmd.dynamics.nose_hoover import NoseHooverChain
from mlmd.numerics.student import independent_mean, student_factor

pytestmark = pytest.mark.kernels

TEMPERATURE_K = 140.0
TIMESTEPS_FS = (8.0, 4.0, 2.0)
RUN_PS = 6.0
N_RUNS = 6


def start(seed: int):
    """Fluid argon with the cutoff at 2 sigma, settled, with fresh momenta."""
    atoms = argon(3, temperature_K=TEMPERATURE_K, volume_per_atom_A3=95.0, seed=seed)
    rng = np.random.default_rng(seed)
    Bussi(
        atoms, timestep_fs=8.0, temperature_K=TEMPERATURE_K, thermostat_time_fs=100.0, rng=rng
    ).run(400)
    draw_momenta(atoms, TEMPERATURE_K, rng)
    return atoms


def slope(series: np.ndarray, interval_ps: float) -> float:
    """Slope of a straight line by least squares, per ps."""
    return float(np.polyfit(interval_ps * np.arange(len(series)), series, 1)[0])


@pytest.fixture(scope="module")
def runs():
    """H' and the first thermostat's position: {time step: [(H' in eV, eta), ...]}."""
    series = {timestep: [] for timestep in TIMESTEPS_FS}
    for seed in range(N_RUNS):
        atoms = start(seed)
        for timestep_fs in TIMESTEPS_FS:
            dynamics = NoseHooverChain(
                atoms.copy(),
                timestep_fs=timestep_fs,
                temperature_K=TEMPERATURE_K,
                thermostat_time_fs=200.0,
            )
            dynamics.atoms.calc = atoms.calc
            rows = []
            dynamics.attach(
                lambda d=dynamics, rows=rows: rows.append(
                    (d.conserved_energy_eV, d.state()["eta"][0])
                )
            )
            dynamics.run(round(1000 * RUN_PS / timestep_fs))
            series[timestep_fs].append(np.array(rows).T)
    return series


def fluctuation(series) -> float:
    """Root mean square over all runs of the deviation from each run's mean."""
    return float(np.sqrt(np.mean([values.var() for values in series])))


@pytest.mark.slow
def test_fluctuation_of_the_conserved_quantity_scales_as_the_square_of_the_time_step(runs):
    width = [fluctuation(h for h, _ in runs[timestep]) for timestep in TIMESTEPS_FS]
    # One part in 300 of kT at 2 fs, and four times less for each halving of the step.
    assert width[-1] < units.kB * TEMPERATURE_K / 300
    ratios = np.array(width[:-1]) / width[1:]
    assert (np.abs(ratios - 4.0) < 0.6).all(), ratios


@pytest.mark.slow
def test_heat_of_the_chain_needs_the_dynamics_own_degrees_of_freedom(runs):
    # With 3N instead of 3N - 3 in N_f kT eta the sum is not conserved at any time step.
    kT = units.kB * TEMPERATURE_K
    width = [fluctuation(h + 3 * kT * eta for h, eta in runs[step]) for step in TIMESTEPS_FS]
    ratios = np.array(width[:-1]) / width[1:]
    assert (ratios < 1.5).all(), ratios
    assert width[-1] > 100 * fluctuation(h for h, _ in runs[TIMESTEPS_FS[-1]])


@pytest.mark.slow
@pytest.mark.parametrize("timestep_fs", TIMESTEPS_FS)
def test_conserved_quantity_does_not_drift(runs, timestep_fs):
    # In one run H' also wanders (a thermostatted integrator has no exact shadow energy), so
    # the error of the drift is taken from the scatter between independent runs.
    drift = independent_mean([slope(h, timestep_fs / 1000) for h, _ in runs[timestep_fs]])
    error = student_factor(drift.n - 1, 0.95) * drift.stderr
    assert abs(drift.mean) < error
    # No more than this can hide in the error: 1 % of kT per atom in 100 ps.
    assert error < 0.01 * units.kB * TEMPERATURE_K * 27 / 100


def test_energy_is_conserved_without_a_thermostat():
    # A relaxation time of a second switches the chain off: velocity Verlet is left.
    widths = []
    for timestep_fs in (8.0, 4.0):
        atoms = start(1)
        dynamics = NoseHooverChain(
            atoms, timestep_fs=timestep_fs, temperature_K=TEMPERATURE_K, thermostat_time_fs=1e15
        )
        energy, kinetic = [], []
        dynamics.attach(lambda d=dynamics, e=energy: e.append(d.atoms.get_total_energy()))
        dynamics.attach(lambda d=dynamics, k=kinetic: k.append(d.kinetic_energy_eV))
        dynamics.run(round(4000 / timestep_fs))
        assert np.std(energy) < 0.01 * np.std(kinetic)
        widths.append(np.std(energy))
    assert widths[0] / widths[1] == pytest.approx(4.0, abs=0.6)


def test_bussi_books_the_energy_it_gives():
    # From 60 K to 180 K: K + U rises by far more than the book-keeping may be wrong.
    widths = []
    for timestep_fs in (8.0, 4.0):
        atoms = start(2)
        draw_momenta(atoms, 60.0, np.random.default_rng(0))
        dynamics = Bussi(
            atoms,
            timestep_fs=timestep_fs,
            temperature_K=180.0,
            thermostat_time_fs=200.0,
            rng=np.random.default_rng(1),
        )
        total, conserved = [], []
        dynamics.attach(lambda d=dynamics, t=total: t.append(d.atoms.get_total_energy()))
        dynamics.attach(lambda d=dynamics, c=conserved: c.append(d.conserved_energy_eV))
        dynamics.run(round(4000 / timestep_fs))
        assert total[-1] - total[0] > 0.2
        assert np.ptp(conserved) < 0.01 * np.ptp(total)
        widths.append(np.std(conserved))
    assert widths[0] / widths[1] > 2.5
