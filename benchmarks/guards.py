"""What the guards add to a step, in a melt, where atoms meet as they do in a real run.

The guard's own time per step of a Lennard-Jones melt of 100 atoms, over the step with its frame
that `step_and_record.py` measures (a calculator that costs nothing), in turn in one run. Exits 1
above 10 %.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from step_and_record import ours_s_per_step

from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.dynamics.guards import CHECK_EVERY, Guard, GuardLimits, Origin
from mlmd.dynamics.kinetics import draw_momenta
from mlmd.dynamics.nose_hoover import NoseHooverChain

TARGET = 0.10


def melt() -> NoseHooverChain:
    """A liquid with the sizes of Li and Cl at 1800 K, kT about epsilon."""
    grid = np.stack(np.meshgrid(*[np.arange(5)] * 3), -1).reshape(-1, 3)[:100]
    atoms = Atoms("Li50Cl50", positions=2.8 * grid, cell=[14.0] * 3, pbc=True)
    atoms.calc = LennardJones(cutoff_A=5.0, epsilon_eV=0.15)
    draw_momenta(atoms, 1800, np.random.default_rng(1))
    dynamics = NoseHooverChain(atoms, timestep_fs=2.0, temperature_K=1800)
    dynamics.run(500)
    return dynamics


def guard_s_per_step(dynamics: NoseHooverChain, steps: int) -> float:
    volume_A3 = dynamics.atoms.get_volume()
    guard = Guard(dynamics, GuardLimits(), Origin(volume_A3, 0.0, lambda step: 1800.0, 100.0))
    spent = 0.0

    def timed() -> None:
        nonlocal spent
        # The thermostat asks for the kinetic energy anyhow, and it is kept.
        _ = dynamics.kinetic_energy_eV
        start = time.perf_counter()
        guard()
        spent += time.perf_counter() - start

    dynamics.observers.clear()
    dynamics.attach(timed, interval=CHECK_EVERY)
    dynamics.run(steps)
    return spent / steps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1000)
    given = parser.parse_args()
    dynamics = melt()
    guard, step = [], []
    for _ in range(given.repeats):
        guard.append(guard_s_per_step(dynamics, given.steps))
        with tempfile.TemporaryDirectory() as folder:
            step.append(ours_s_per_step(Path(folder), given.steps))
    us = {"guard": 1e6 * statistics.median(guard), "step": 1e6 * statistics.median(step)}
    ratio = statistics.median(a / b for a, b in zip(guard, step, strict=True))
    print(f"guards {us['guard']:.1f} us per step, a step with its frame {us['step']:.0f} us")
    print(f"ratio {ratio:.3f} (target {TARGET})")
    print(json.dumps({"benchmark": "guards", "us": us, "ratio": round(ratio, 3)}))
    return int(ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
