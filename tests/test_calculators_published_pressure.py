"""Pressure and energy of the Lennard-Jones liquid against published simulations.

NIST Standard Reference Simulation Website, liquid-vapour coexistence of the linear-force-shifted
Lennard-Jones fluid with a cutoff of 3 sigma (grand-canonical transition-matrix Monte Carlo): at
T* = 0.85 the saturated liquid has rho* = 0.6981, p* = 0.02146, U*/N = -4.239. The truncation is
that of our calculator.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units

from mlmd import CalculatorSpec, Equilibrate, Production, Protocol

SIGMA_A, EPSILON_EV = 3.4, 0.0104
TEMPERATURE, DENSITY, PRESSURE, ENERGY = 0.85, 0.6981, 0.02146, -4.239


@pytest.mark.slow
def test_saturated_liquid(tmp_path: Path) -> None:
    edge_A = (216 / DENSITY) ** (1 / 3) * SIGMA_A
    grid = np.stack(np.meshgrid(*[np.arange(6)] * 3), -1).reshape(-1, 3)
    atoms = Atoms("Ar216", positions=grid * edge_A / 6, cell=[edge_A] * 3, pbc=True)
    options = {"sigma_A": SIGMA_A, "epsilon_eV": EPSILON_EV, "cutoff_A": 3 * SIGMA_A}
    temperature_K = TEMPERATURE * EPSILON_EV / units.kB
    steps = {"temperature_K": temperature_K, "timestep_fs": 10.0, "record_every_fs": 50.0}
    protocol = Protocol(
        name="liquid",
        stages=(
            Equilibrate(name="melt", duration_ps=15.0, thermostat_time_fs=500.0, **steps),
            Production(name="measure", duration_ps=90.0, thermostat_time_fs=500.0, **steps),
        ),
    )
    found = protocol.run(atoms, CalculatorSpec("lj", options=options), tmp_path / "run").results
    measured = found["measure"]
    to_reduced = units.GPa * SIGMA_A**3 / EPSILON_EV
    pressure = measured["pressure_GPa"] * to_reduced
    pressure_error = measured["pressure_stderr_GPa"] * to_reduced
    energy = measured["potential_energy_eV"] / EPSILON_EV / 216
    energy_error = measured["potential_energy_stderr_eV"] / EPSILON_EV / 216
    # The kinetic part alone is rho* T* = 0.59: leaving it out cannot pass.
    assert pressure_error < 0.03
    assert abs(pressure - PRESSURE) < 3.5 * pressure_error
    assert energy_error < 0.01
    assert abs(energy - ENERGY) < 3.5 * energy_error + 0.005
