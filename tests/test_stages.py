"""Stages: what comes out is the physics that their settings say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units

from mlmd import CalculatorSpec, Equilibrate, Production, Protocol, Quench, Relax
from mlmd.calculators.models.lennard_jones import LennardJones

pytestmark = pytest.mark.kernels


def run_stages(tmp_path: Path, atoms: Atoms, *stages: object, **more: object):
    calculator = CalculatorSpec("lj", options={"cutoff_A": 4.5})
    return Protocol(name="p", stages=stages).run(atoms, calculator, tmp_path / "run", **more)


def test_relax_takes_close_contacts_apart(tmp_path: Path, atoms: Atoms) -> None:
    atoms.positions[1] = atoms.positions[0] + [1.5, 0, 0]
    run = run_stages(tmp_path, atoms, Relax(name="r", max_force_eV_A=0.05))
    found = run.results["r"]
    assert found["converged"]
    assert found["max_force_eV_A"] <= 0.05
    assert found["energy_after_eV"] < found["energy_before_eV"] - 1.0


def test_relax_that_runs_out_of_steps_says_so(tmp_path: Path, atoms: Atoms) -> None:
    atoms.positions[1] = atoms.positions[0] + [1.5, 0, 0]
    run = run_stages(tmp_path, atoms, Relax(name="r", max_force_eV_A=1e-6, max_steps=3))
    assert run.results["r"]["n_steps"] == 3
    assert not run.results["r"]["converged"]


def test_a_ramp_cools_at_its_rate(tmp_path: Path, atoms: Atoms) -> None:
    run = run_stages(
        tmp_path,
        atoms,
        Equilibrate(name="hot", temperature_K=2000, duration_ps=1, record_every_fs=4),
        Quench(
            name="cool",
            from_temperature_K=2000,
            temperature_K=200,
            rate_K_ps=600,
            record_every_fs=4,
            thermostat_time_fs=20,
        ),
    )
    trajectory = run.trajectory("cool")
    assert trajectory.duration_ps == pytest.approx(3.0)
    assert trajectory.temperatures_K is not None
    slope, start = np.polyfit(trajectory.time_fs / 1000, trajectory.temperatures_K, 1)
    # sqrt(2 / 78) relative fluctuation of T, 750 correlated frames: a few per cent.
    assert slope == pytest.approx(-600, rel=0.1)
    assert start == pytest.approx(2000, rel=0.1)


def test_production_goes_on_where_equilibration_ended(tmp_path: Path, atoms: Atoms) -> None:
    run = run_stages(
        tmp_path,
        atoms,
        Equilibrate(
            name="e", temperature_K=900, duration_ps=0.2, record_every_fs=2, record_velocities=True
        ),
        Production(
            name="p", temperature_K=900, duration_ps=0.2, record_every_fs=2, record_velocities=True
        ),
    )
    before, after = run.trajectory("e"), run.trajectory("p")
    assert np.array_equal(before.positions_A[-1], after.positions_A[0])
    assert before.velocities_A_fs is not None
    assert after.velocities_A_fs is not None
    assert np.array_equal(before.velocities_A_fs[-1], after.velocities_A_fs[0])
    # Velocities are those of the positions: central difference over 2 x 2 fs.
    numerical = (after.positions_A[2] - after.positions_A[0]) / 4.0
    assert after.velocities_A_fs[1] == pytest.approx(numerical, abs=2e-4)


def test_recorded_numbers_belong_to_the_frames(tmp_path: Path, atoms: Atoms) -> None:
    """Energy, temperature, pressure of a frame follow from its positions and velocities."""
    run = run_stages(
        tmp_path,
        atoms,
        Production(
            name="p",
            temperature_K=1500,
            duration_ps=0.1,
            record_every_fs=10,
            record_velocities=True,
        ),
    )
    trajectory = run.trajectory("p")
    frame = Atoms(
        numbers=trajectory.numbers,
        positions=trajectory.positions_A[7],
        cell=trajectory.cell_A,
        pbc=True,
        calculator=LennardJones(cutoff_A=4.5),
    )
    assert trajectory.energies_eV is not None
    assert frame.get_potential_energy() == pytest.approx(trajectory.energies_eV[7], abs=1e-5)
    assert trajectory.velocities_A_fs is not None
    speed_m_s = trajectory.velocities_A_fs[7].astype(float) * 1e5
    mass_kg = trajectory.masses_u[:, None] * 1.66053906660e-27
    kinetic_J = 0.5 * (mass_kg * speed_m_s**2).sum()
    kelvin = 2 * kinetic_J / (3 * 27 - 3) / 1.380649e-23
    assert trajectory.temperatures_K is not None
    assert trajectory.temperatures_K[7] == pytest.approx(kelvin, rel=1e-5)
    volume_m3 = frame.get_volume() * 1e-30
    virial_Pa = -np.trace(frame.get_stress(voigt=False)) / 3 / units.Pascal
    total_GPa = (27 * 1.380649e-23 * kelvin / volume_m3 + virial_Pa) * 1e-9
    assert trajectory.pressures_GPa is not None
    assert trajectory.pressures_GPa[7] == pytest.approx(total_GPa, abs=1e-5)


def test_mean_temperature_is_the_target(tmp_path: Path, atoms: Atoms) -> None:
    run = run_stages(
        tmp_path,
        atoms,
        Equilibrate(name="e", temperature_K=1200, duration_ps=2),
        Production(name="p", temperature_K=1200, duration_ps=16, record_every_fs=10),
    )
    found = run.results["p"]
    assert found["temperature_stderr_K"] is not None
    # Counting 3N would give 27/26, 46 K too much.
    assert found["temperature_stderr_K"] < 15
    assert abs(found["temperature_K"] - 1200) < 3 * found["temperature_stderr_K"]


def test_a_calculator_without_stress_leaves_the_pressure_unknown(
    tmp_path: Path, atoms: Atoms
) -> None:
    class NoStress(LennardJones):
        implemented_properties = ("energy", "forces")

        def calculate(self, *args: object, **kwargs: object) -> None:
            super().calculate(*args, **kwargs)
            self.results.pop("stress")

    protocol = Protocol(
        name="p", stages=(Production(name="p", temperature_K=500, duration_ps=0.1),)
    )
    run = protocol.run(atoms, NoStress(cutoff_A=4.5), tmp_path / "run")
    assert run.results["p"]["pressure_GPa"] is None
    assert run.trajectory("p").pressures_GPa is None
