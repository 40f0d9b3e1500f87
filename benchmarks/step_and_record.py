"""A step of Nose-Hoover dynamics with every step recorded: ours against ASE's.

100 atoms and a calculator whose forces are zero and cost nothing, so that only the integrator,
ASE's calculator interface and the recording are left. Exits 1 if the ratio exceeds 0.15.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.io.trajectory import Trajectory as AseTrajectory
from ase.md.nose_hoover_chain import NoseHooverChainNVT

from mlmd.dynamics.kinetics import draw_momenta
from mlmd.dynamics.nose_hoover import NoseHooverChain
from mlmd.run.recorder import Recorder
from mlmd.stages.dynamics.frames import FrameTaker

ATOMS, TEMPERATURE_K, TIMESTEP_FS = 100, 1000.0, 2.0
TARGET = 0.15


class Free(Calculator):
    """No interaction: zero energy, forces and stress."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def calculate(
        self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = {
            "energy": 0.0,
            "free_energy": 0.0,
            "forces": np.zeros((len(atoms), 3)),
            "stress": np.zeros(6),
        }


def gas() -> Atoms:
    rng = np.random.default_rng(1)
    atoms = Atoms(f"Li{ATOMS}", positions=rng.uniform(0, 13, (ATOMS, 3)), cell=[13] * 3, pbc=True)
    draw_momenta(atoms, TEMPERATURE_K, rng)
    atoms.calc = Free()
    return atoms


def ours_s_per_step(folder: Path, steps: int) -> float:
    atoms = gas()
    dynamics = NoseHooverChain(
        atoms, timestep_fs=TIMESTEP_FS, temperature_K=TEMPERATURE_K, thermostat_time_fs=100.0
    )
    path = folder / "ours.h5md"
    start = time.perf_counter()
    with Recorder(path, atoms, n_frames_planned=steps + 1) as recorder:
        dynamics.attach(FrameTaker(dynamics, recorder))
        dynamics.run(steps)
        recorder.sync()
    spent = time.perf_counter() - start
    path.unlink()
    return spent / steps


def ase_s_per_step(folder: Path, steps: int) -> float:
    atoms = gas()
    dynamics = NoseHooverChainNVT(
        atoms, TIMESTEP_FS * units.fs, temperature_K=TEMPERATURE_K, tdamp=100.0 * units.fs
    )
    path = folder / "ase.traj"
    start = time.perf_counter()
    with AseTrajectory(path, "w", atoms) as file:
        dynamics.attach(file)
        dynamics.run(steps)
    spent = time.perf_counter() - start
    path.unlink()
    return spent / steps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=500)
    settings = parser.parse_args()
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        for _ in range(settings.repeats):
            ours.append(1e6 * ours_s_per_step(Path(name), settings.steps))
            theirs.append(1e6 * ase_s_per_step(Path(name), settings.steps))
    us = {"mlmd": round(statistics.median(ours)), "ase": round(statistics.median(theirs))}
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print(f"a step with its frame, {ATOMS} atoms: mlmd {us['mlmd']} us, ASE {us['ase']} us")
    print(f"ratio {ratio:.3f} (target {TARGET})")
    print(
        json.dumps(
            {
                "benchmark": "step_and_record",
                "us_per_step": us,
                "ratio": round(ratio, 3),
                "target": TARGET,
            }
        )
    )
    return int(ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
