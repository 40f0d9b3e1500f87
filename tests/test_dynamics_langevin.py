"""Langevin dynamics against what is known of it: oscillators, free atoms, the heat it gives."""

from __future__ import annotations

from math import exp, sqrt

import numpy as np
import pytest
from ase import Atoms, units
from systems import ConstantForce, argon
from test_dynamics_fixed_atoms import Springs

from mlmd.dynamics.kinetics import draw_momenta
from mlmd.dynamics.langevin import Langevin

pytestmark = pytest.mark.kernels

TEMPERATURE_K = 400.0
kT = units.kB * TEMPERATURE_K
STIFFNESS_EV_A2 = 10.0


def langevin(atoms: Atoms, seed: int = 0, timestep_fs: float = 2.0, friction_per_ps: float = 10.0):
    return Langevin(
        atoms,
        timestep_fs=timestep_fs,
        temperature_K=TEMPERATURE_K,
        friction_per_ps=friction_per_ps,
        rng=np.random.default_rng(seed),
    )


def free_atoms(n: int, seed: int = 0) -> Atoms:
    """Argon without forces, with momenta of the temperature."""
    atoms = Atoms(f"Ar{n}", positions=np.zeros((n, 3)), cell=[50.0] * 3, pbc=True)
    atoms.calc = ConstantForce()
    draw_momenta(atoms, TEMPERATURE_K, np.random.default_rng(1000 + seed))
    return atoms


def test_velocity_of_a_free_atom_is_forgotten_as_exp_minus_gamma_t() -> None:
    """<v(0) v(t)> / <v^2> at gamma t = 1: 0.37, not 0.61 or 0.14 as with half or twice gamma."""
    n = 2000
    atoms = free_atoms(n)
    dynamics = langevin(atoms, timestep_fs=5.0, friction_per_ps=10.0)
    start = atoms.get_velocities()
    dynamics.run(20)  # 100 fs
    now = atoms.get_velocities()
    correlation = float((start * now).sum() / (start**2).sum())
    # A sample of 6000 components: its error is about (1 - c^2) / sqrt(6000).
    assert correlation == pytest.approx(exp(-1.0), abs=4 * (1 - exp(-2.0)) / sqrt(3 * n))
    # And they keep their width: the mean of 6000 squares with variance 2.
    width = float((now**2).mean()) * atoms.get_masses()[0] / kT
    assert width == pytest.approx(1.0, abs=4 * sqrt(2 / (3 * n)))


def test_free_atoms_diffuse_by_kT_over_m_gamma() -> None:
    """MSD = 6 D (t - (1 - exp(-gamma t)) / gamma), D = kT / m gamma (Ornstein and Uhlenbeck)."""
    n, friction_per_ps, duration_ps = 2000, 20.0, 0.5
    atoms = free_atoms(n, seed=1)
    dynamics = langevin(atoms, seed=1, timestep_fs=2.0, friction_per_ps=friction_per_ps)
    start = atoms.get_positions()
    dynamics.run(round(1000 * duration_ps / 2.0))
    squares = ((atoms.positions - start) ** 2).sum(axis=1)
    per_ps = kT / atoms.get_masses()[0] * (1000 * units.fs) ** 2  # kT/m in A^2/ps^2
    gamma_t = friction_per_ps * duration_ps
    expected = 6 * per_ps / friction_per_ps**2 * (gamma_t - 1 + exp(-gamma_t)) * (1 - 1 / n)
    # Of a Gaussian in three dimensions the square has a relative width of sqrt(2/3).
    assert squares.mean() == pytest.approx(expected, rel=4 * sqrt(2 / 3 / n))


def oscillators(n: int = 1000) -> Atoms:
    """Argon atoms on springs."""
    sites = np.zeros((n, 3))
    atoms = Atoms(f"Ar{n}", positions=sites, cell=[50.0] * 3, pbc=True)
    atoms.calc = Springs(sites, STIFFNESS_EV_A2)
    draw_momenta(atoms, TEMPERATURE_K, np.random.default_rng(3))
    return atoms


def test_positions_of_oscillators_are_exact_at_any_step() -> None:
    """<x^2> = kT/k though omega dt is near 1, where velocity Verlet gives 1/(1 - 0.24) of it."""
    atoms = oscillators()
    timestep_fs = 20.0
    omega_dt = sqrt(STIFFNESS_EV_A2 / atoms.get_masses()[0]) * timestep_fs * units.fs
    assert omega_dt == pytest.approx(0.98, abs=0.01)
    dynamics = langevin(atoms, timestep_fs=timestep_fs, friction_per_ps=20.0)
    dynamics.run(100)
    squares: list[float] = []
    kinetic: list[float] = []
    dynamics.attach(lambda: squares.append(float((atoms.positions**2).mean())), interval=5)
    dynamics.attach(lambda: kinetic.append(dynamics.kinetic_temperature_K), interval=5)
    dynamics.run(1000)
    # 200 samples of 2997 squares, of which at least a tenth are independent.
    error = sqrt(2 / (20 * 2997))
    freedom = 1 - 1 / len(atoms)
    assert np.mean(squares) * STIFFNESS_EV_A2 / (kT * freedom) == pytest.approx(1.0, abs=4 * error)
    momenta = np.mean(kinetic) / TEMPERATURE_K
    assert momenta == pytest.approx(1 - omega_dt**2 / 4, abs=4 * error)


def test_temperature_and_its_variance() -> None:
    """Var(K)/<K>^2 = 2/N_f: of 2K/kT with N_f = 9 the mean is 9 and the variance 18."""
    samples = []
    for seed in range(300):
        atoms = free_atoms(4)
        atoms.set_momenta(np.zeros((4, 3)))  # from rest: the thermostat alone makes the heat
        dynamics = langevin(atoms, seed=seed, timestep_fs=10.0, friction_per_ps=100.0)
        for _ in range(4):
            dynamics.run(5)
            samples.append(2 * dynamics.kinetic_energy_eV / kT)
    values = np.array(samples)
    assert values.mean() == pytest.approx(9.0, abs=4 * sqrt(18 / len(values)))
    assert values.var() == pytest.approx(18.0, rel=0.2)


def test_centre_of_mass_stays_where_it_is() -> None:
    atoms = argon(3, temperature_K=TEMPERATURE_K)
    start = atoms.get_center_of_mass()
    langevin(atoms, friction_per_ps=100.0).run(500)
    assert np.abs(atoms.get_center_of_mass() - start).max() < 1e-10
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-10


def test_heat_is_booked() -> None:
    """From 60 K to 400 K: K + U rises by far more than the book-keeping may be wrong."""
    widths = []
    for timestep_fs in (8.0, 4.0):
        atoms = argon(3, temperature_K=60.0, volume_per_atom_A3=95.0, seed=2)
        dynamics = langevin(atoms, seed=1, timestep_fs=timestep_fs, friction_per_ps=2.0)
        total: list[float] = []
        conserved: list[float] = []
        dynamics.attach(lambda d=dynamics, t=total: t.append(d.atoms.get_total_energy()))
        dynamics.attach(lambda d=dynamics, c=conserved: c.append(d.conserved_energy_eV))
        dynamics.run(round(4000 / timestep_fs))
        assert total[-1] - total[0] > 0.5
        assert np.ptp(conserved) < 0.02 * np.ptp(total)
        widths.append(np.std(conserved))
    assert widths[0] / widths[1] > 2.5


def test_conserved_energy_does_not_drift() -> None:
    """The slope over runs is zero within its error, and that is below 1 % of kT per atom and ps."""
    slopes = []
    for seed in range(6):
        atoms = argon(3, temperature_K=TEMPERATURE_K, volume_per_atom_A3=95.0, seed=seed)
        dynamics = langevin(atoms, seed=seed, timestep_fs=2.0)
        found: list[float] = []
        dynamics.attach(lambda d=dynamics, f=found: f.append(d.conserved_energy_eV), interval=5)
        dynamics.run(1000)
        slopes.append(np.polyfit(0.01 * np.arange(len(found)), found, 1)[0])
    error = np.std(slopes, ddof=1) / sqrt(len(slopes))
    assert error < 0.01 * kT * 27
    assert abs(np.mean(slopes)) < 4 * error


def test_a_divided_step_is_a_smaller_step() -> None:
    """Half the step twice as often: friction acts by the time, and the heat is booked in each."""
    ends = []
    for timestep_fs, substeps in ((4.0, 2), (2.0, 1)):
        atoms = argon(3, temperature_K=TEMPERATURE_K)
        dynamics = langevin(atoms, timestep_fs=timestep_fs)
        dynamics.divide_step(substeps)
        dynamics.run(round(40 / timestep_fs))
        ends.append((dynamics.state(), dynamics.conserved_energy_eV))
    (first, first_eV), (second, second_eV) = ends
    assert (first["positions"] == second["positions"]).all()
    assert first["given_eV"] == second["given_eV"]
    assert first_eV == second_eV
