"""Temperature, pressure and momenta by 3N - 3 degrees of freedom."""

import numpy as np
import pytest
from ase import Atoms, units
from scipy.stats import kstest
from systems import ConstantForce, argon

from mlmd.dynamics.kinetics import (
    at_rest,
    draw_momenta,
    kinetic_temperature_K,
    pressure_GPa,
)

N_ATOMS = 16
TEMPERATURE_K = 900.0


@pytest.fixture
def salt():
    """Light and heavy atoms, so that a wrong weight by mass would show."""
    rng = np.random.default_rng(4)
    return Atoms("Li8I8", positions=rng.uniform(0, 9, (N_ATOMS, 3)), cell=[9.0] * 3, pbc=True)


@pytest.fixture
def draws(salt):
    """4000 draws of momenta, shape (draws, atoms, 3)."""
    rng = np.random.default_rng(11)
    momenta = []
    for _ in range(4000):
        draw_momenta(salt, TEMPERATURE_K, rng)
        momenta.append(salt.get_momenta())
    return np.array(momenta)


def test_drawn_momenta_leave_the_centre_of_mass_at_rest(salt, draws):
    thermal = np.sqrt(salt.get_masses().sum() * units.kB * TEMPERATURE_K)
    assert np.abs(draws.sum(axis=1)).max() < 1e-12 * thermal


def test_drawn_kinetic_energy_is_chi_squared_with_3n_minus_3(salt, draws):
    masses = salt.get_masses()[:, None]
    twice_kinetic_kT = (draws**2 / masses).sum(axis=(1, 2)) / (units.kB * TEMPERATURE_K)
    assert kstest(twice_kinetic_kT, "chi2", args=(3 * N_ATOMS - 3,)).pvalue > 0.003
    assert kstest(twice_kinetic_kT, "chi2", args=(3 * N_ATOMS,)).pvalue < 1e-6


def test_drawn_momenta_are_normal_with_the_width_of_each_mass(salt, draws):
    for atom in (0, N_ATOMS - 1):
        mass, total = salt.get_masses()[atom], salt.get_masses().sum()
        # What is taken out for the centre of mass is the atom's share of the mass.
        width = np.sqrt(units.kB * TEMPERATURE_K * mass * (1 - mass / total))
        assert kstest(draws[:, atom, 1] / width, "norm").pvalue > 0.003


def test_mean_temperature_of_drawn_momenta(salt, draws):
    temperatures = []
    for momenta in draws:
        salt.set_momenta(momenta)
        temperatures.append(kinetic_temperature_K(salt))
    error = np.std(temperatures) / np.sqrt(len(temperatures))
    assert abs(np.mean(temperatures) - TEMPERATURE_K) < 3 * error
    # ASE counts 3N: 6 % off at 16 atoms.
    assert salt.get_temperature() == pytest.approx(temperatures[-1] * (N_ATOMS - 1) / N_ATOMS)
    assert abs(np.mean(temperatures) * 15 / 16 - TEMPERATURE_K) > 10 * error


def test_same_seed_same_momenta(salt):
    draw_momenta(salt, 300.0, np.random.default_rng(1))
    first = salt.get_momenta()
    draw_momenta(salt, 300.0, np.random.default_rng(1))
    assert (salt.get_momenta() == first).all()


def test_at_rest_removes_velocity_not_momentum_share():
    masses = np.array([[1.0], [3.0]])
    moving = masses * np.array([[1.0, 0.0, 2.0]])  # both with one velocity
    assert at_rest(moving, masses) == pytest.approx(np.zeros((2, 3)))


def test_pressure_of_an_ideal_gas(salt, draws):
    """<P> V = N kB T, though only 3N - 3 momenta carry the energy."""
    salt.calc = ConstantForce()
    pressures, from_kinetic_energy = [], []
    volume = salt.get_volume()
    for momenta in draws:
        salt.set_momenta(momenta)
        pressures.append(
            pressure_GPa(salt.get_stress(), kinetic_temperature_K(salt), volume / N_ATOMS)
        )
        from_kinetic_energy.append(2 * salt.get_kinetic_energy() / (3 * volume) / units.GPa)
    ideal = N_ATOMS * units.kB * TEMPERATURE_K / volume / units.GPa
    error = np.std(pressures) / np.sqrt(len(pressures))
    assert abs(np.mean(pressures) - ideal) < 3 * error
    # 2K/3V misses the centre of mass's kB T / V.
    assert abs(np.mean(from_kinetic_energy) - ideal) > 10 * error
    missing = units.kB * TEMPERATURE_K / volume / units.GPa
    assert ideal - np.mean(from_kinetic_energy) == pytest.approx(missing, abs=3 * error)


def test_pressure_is_minus_the_derivative_of_the_free_energy_of_a_cold_solid():
    # At 0 K only the virial is left: P = -dU/dV, by a uniform strain.
    atoms = argon(3, volume_per_atom_A3=37.0, cutoff_A=4.9)
    energies = {}
    for factor in (0.9999, 1.0001):
        strained = atoms.copy()
        strained.calc = atoms.calc
        strained.set_cell(atoms.cell * factor ** (1 / 3), scale_atoms=True)
        energies[factor] = strained.get_potential_energy()
    change = (energies[1.0001] - energies[0.9999]) / (0.0002 * atoms.get_volume())
    virial = pressure_GPa(atoms.get_stress(), 0.0, atoms.get_volume() / len(atoms))
    assert virial > 0.01  # compressed
    assert virial == pytest.approx(-change / units.GPa, rel=1e-5)
