"""Forces of 100 atoms by our Lennard-Jones and by ASE's, new positions at each call."""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.lj import LennardJones as AseLennardJones

from mlmd.calculators.models.lennard_jones import LennardJones

SIGMA_A, EPSILON_EV, CUTOFF_A = 3.4, 0.0104, 6.8
CALLS = 50


def liquid() -> Atoms:
    """100 atoms of argon at about the density of the liquid."""
    edge_A = 17.0
    grid = np.stack(np.meshgrid(*[np.arange(5)] * 3), -1).reshape(-1, 3)[:100]
    return Atoms("Ar100", positions=grid * edge_A / 5, cell=[edge_A] * 3, pbc=True)


def seconds_per_call(calculator: Calculator) -> float:
    atoms = liquid()
    rng = np.random.default_rng(0)
    calculator.calculate(atoms, ["forces"])
    spent = 0.0
    for _ in range(CALLS):
        atoms.positions += rng.normal(0, 0.01, atoms.positions.shape)
        start = time.perf_counter()
        calculator.calculate(atoms, ["forces"])
        spent += time.perf_counter() - start
    return spent / CALLS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(seconds_per_call(LennardJones(SIGMA_A, EPSILON_EV, CUTOFF_A)))
        theirs.append(
            seconds_per_call(AseLennardJones(sigma=SIGMA_A, epsilon=EPSILON_EV, rc=CUTOFF_A))
        )
    ms = {"mlmd": 1e3 * statistics.median(ours), "ase": 1e3 * statistics.median(theirs)}
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print(
        f"Lennard-Jones, 100 atoms: mlmd {ms['mlmd']:.2f} ms (target < 1), ASE {ms['ase']:.2f} ms"
    )
    print(f"ratio {ratio:.3f}")
    print(json.dumps({"benchmark": "lennard_jones", "ms": ms, "ratio": ratio}))


if __name__ == "__main__":
    main()
