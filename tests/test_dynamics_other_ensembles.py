"""NVE and NPT: conserved quantities, targets, and exact continuation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from runs import assert_equal_bits

from mlmd import CalculatorSpec, Equilibrate, Production, Protocol
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.dynamics.kinetics import draw_momenta
from mlmd.dynamics.npt import IsotropicNPT
from mlmd.dynamics.nve import VelocityVerlet
from mlmd.errors import InputError, StoppedError
from mlmd.numerics.autocorrelation import standard_error
from mlmd.run.stopping import StopToken

pytestmark = pytest.mark.kernels

ARGON = CalculatorSpec("lj", options={"sigma_A": 3.4, "epsilon_eV": 0.0104, "cutoff_A": 5.0})


def argon(seed: int = 0) -> Atoms:
    """64 atoms of warm, dense argon."""
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)
    atoms = Atoms("Ar64", positions=3.9 * grid, cell=[15.6] * 3, pbc=True)
    atoms.calc = LennardJones(3.4, 0.0104, 5.0)
    draw_momenta(atoms, 150, np.random.default_rng(seed))
    return atoms


def make(kind: str, timestep_fs: float) -> VelocityVerlet | IsotropicNPT:
    if kind == "nve":
        return VelocityVerlet(argon(), timestep_fs=timestep_fs, temperature_K=150)
    return IsotropicNPT(argon(), timestep_fs=timestep_fs, temperature_K=150, pressure_GPa=0.1)


@pytest.mark.parametrize("kind", ["nve", pytest.param("npt", marks=pytest.mark.slow)])
def test_fluctuation_of_the_conserved_quantity_scales_as_dt_squared(kind: str) -> None:
    spread = []
    for timestep_fs in (2.0, 4.0, 8.0):
        dynamics = make(kind, timestep_fs)
        dynamics.run(int(500 / timestep_fs))
        energies: list[float] = []
        dynamics.attach(lambda d=dynamics, e=energies: e.append(d.conserved_energy_eV))
        dynamics.run(int(4000 / timestep_fs))
        spread.append(np.std(energies))
    assert spread[1] / spread[0] == pytest.approx(4, rel=0.35)
    assert spread[2] / spread[1] == pytest.approx(4, rel=0.35)


@pytest.mark.slow
def test_npt_keeps_temperature_pressure_and_centre_of_mass() -> None:
    """With 3N in the thermostat the mean would be 150 x 63/64 = 147.7 K; P without its N kT/V 0."""
    dynamics = make("npt", 4.0)
    dynamics.run(1000)
    temperatures: list[float] = []
    pressures: list[float] = []

    def look() -> None:
        atoms = dynamics.atoms
        temperatures.append(dynamics.kinetic_temperature_K)
        virial = -atoms.get_stress()[:3].sum() / 3
        kinetic = len(atoms) * 8.617333262e-5 * temperatures[-1] / atoms.get_volume()
        pressures.append((virial + kinetic) * 160.21766208)

    dynamics.attach(look, interval=5)
    dynamics.run(15000)
    temperature, pressure = standard_error(temperatures), standard_error(pressures)
    assert temperature.stderr is not None
    assert pressure.stderr is not None
    assert temperature.stderr < 1.0
    assert abs(temperature.mean - 150) < 3.5 * temperature.stderr
    assert abs(pressure.mean - 0.1) < 3.5 * pressure.stderr
    assert np.abs(dynamics.atoms.get_momenta().sum(axis=0)).max() < 1e-9


@pytest.mark.parametrize("kind", ["nve", "npt"])
def test_continuation_is_bitwise(kind: str) -> None:
    whole = make(kind, 2.0)
    whole.run(200)
    first = make(kind, 2.0)
    first.run(100)
    second = make(kind, 2.0)
    second.restore(first.state())
    second.run(100)
    assert np.array_equal(whole.atoms.positions, second.atoms.positions)
    assert np.array_equal(whole.atoms.get_momenta(), second.atoms.get_momenta())
    assert np.array_equal(whole.atoms.cell.array, second.atoms.cell.array)
    assert whole.conserved_energy_eV == second.conserved_energy_eV


@pytest.mark.parametrize("ensemble", ["nve", "npt"])
def test_stages_of_other_ensembles_restart_exactly(tmp_path: Path, ensemble: str) -> None:
    protocol = Protocol(
        name="p",
        stages=(
            Equilibrate(name="warm", temperature_K=150, duration_ps=0.2, record_every_fs=4),
            Production(
                name="measure",
                temperature_K=150,
                duration_ps=0.8,
                record_every_fs=4,
                ensemble=ensemble,
                pressure_GPa=0.1,
            ),
        ),
    )
    atoms = argon()
    whole = protocol.run(atoms, ARGON, tmp_path / "whole", seed=1)
    token = StopToken()
    token.stop("asked")
    with pytest.raises(StoppedError):
        protocol.run(atoms, ARGON, tmp_path / "run", seed=1, stop=token)
    run = protocol.run(atoms, ARGON, tmp_path / "run", seed=1)
    assert_equal_bits(whole, run)
    trajectory = run.trajectory("measure")
    volumes = np.linalg.det(trajectory.cells_A())
    assert (np.ptp(volumes) > 1) == (ensemble == "npt")
    drift = np.ptp(trajectory.conserved_energies_eV)
    assert drift < 1e-3 * 64 * 8.617e-5 * 150


def test_npt_needs_stress() -> None:
    class NoStress(LennardJones):
        implemented_properties = ("energy", "forces")

    atoms = argon()
    atoms.calc = NoStress(3.4, 0.0104, 5.0)
    with pytest.raises(InputError, match="NPT needs stress"):
        IsotropicNPT(atoms, timestep_fs=1, temperature_K=100)
