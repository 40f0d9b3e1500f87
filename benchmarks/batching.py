"""What it costs to hand forces over to many walkers, with calculators that stand in for a model.

    python benchmarks/batching.py [--smoke]

Walkers of 100 atoms take steps of which nothing counts but the hand-over: first alone with a
calculator that costs nothing, then 64 at a time on one server, in turns; the difference per walker
and step is the hand-over. Then a stand-in whose batch takes 20 ms and 0.1 ms per structure, which
is the shape of a GPU: how much of the throughput that it alone would have is reached.
"""

from __future__ import annotations

import sys
import threading
import time
from statistics import median

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mlmd.calculators import BatchServer
from mlmd.dynamics.kinetics import draw_momenta
from mlmd.dynamics.nose_hoover import NoseHooverChain

N_WALKERS, N_ATOMS = 64, 100
FIXED_S, PER_STRUCTURE_S = 0.020, 0.0001
IDEAL_S = FIXED_S + N_WALKERS * PER_STRUCTURE_S


class StandIn(Calculator):
    """Forces of zero, after a while."""

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012

    def __init__(self, fixed_s: float = 0.0, per_structure_s: float = 0.0) -> None:
        super().__init__()
        self.fixed_s, self.per_structure_s = fixed_s, per_structure_s

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        (self.results,) = self.calculate_many([atoms], properties)

    def calculate_many(self, structures, properties):
        if self.fixed_s:
            time.sleep(self.fixed_s + self.per_structure_s * len(structures))
        return [
            {"energy": 0.0, "free_energy": 0.0, "forces": np.zeros((len(atoms), 3))}
            for atoms in structures
        ]


def walk(calculator: Calculator, steps: int) -> None:
    """Take steps of NVT."""
    rng = np.random.default_rng(0)
    atoms = Atoms(f"Ar{N_ATOMS}", rng.random((N_ATOMS, 3)) * 16, cell=[16] * 3, pbc=True)
    draw_momenta(atoms, 300.0, rng)
    atoms.calc = calculator
    NoseHooverChain(atoms, timestep_fs=1.0, temperature_K=300.0).run(steps)


def many(calculator: Calculator, steps: int) -> float:
    """Return the seconds of one step of all walkers on one server."""
    with BatchServer(calculator) as server:
        threads = [
            threading.Thread(target=walk, args=(server.calculator(), steps))
            for _ in range(N_WALKERS)
        ]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (time.perf_counter() - began) / steps


def alone(steps: int) -> float:
    """Return the seconds of one step of one walker with its own calculator."""
    began = time.perf_counter()
    walk(StandIn(), steps)
    return (time.perf_counter() - began) / steps


def main() -> None:
    """Measure both in turns."""
    rounds, steps = (1, 5) if "--smoke" in sys.argv else (9, 60)
    handed, reached, own = [], [], []
    for _ in range(rounds):
        one = alone(2 * steps)
        own.append(one)
        handed.append(many(StandIn(), steps) / N_WALKERS - one)
        reached.append(IDEAL_S / many(StandIn(FIXED_S, PER_STRUCTURE_S), steps))
    print(
        f"hand-over with {N_WALKERS} walkers: {median(handed) * 1e6:.0f} us per walker and step "
        f"({min(handed) * 1e6:.0f} to {max(handed) * 1e6:.0f}; a walker's own "
        f"{median(own) * 1e6:.0f}), target 60"
    )
    print(
        f"throughput beside a batch of {IDEAL_S * 1e3:.1f} ms: {median(reached):.2f} of the ideal "
        f"({min(reached):.2f} to {max(reached):.2f}), target 0.70"
    )


if __name__ == "__main__":
    main()
