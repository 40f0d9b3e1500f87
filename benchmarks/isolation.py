"""What a force call costs in another interpreter beyond the calculator's own time.

The same calculator, the same 108 atoms, in this process and in another of the same interpreter,
asked in turn; Lennard-Jones, whose own time is small, so that the difference shows.
"""

from __future__ import annotations

import statistics
import sys
import time

from ase.build import bulk

from mlmd import load_calculator

N_CALLS, N_ROUNDS = 200, 5
CUTOFF_A = 7.0


def main() -> None:
    """Measure and print."""
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True) * (3, 3, 3)
    atoms.rattle(0.1, seed=1)
    here = load_calculator("lj", cutoff_A=CUTOFF_A)
    there = load_calculator("lj", cutoff_A=CUTOFF_A, python=sys.executable)
    differences = []
    for _ in range(N_ROUNDS):
        times = {}
        for name, calculator in (("here", here), ("there", there)):
            taken = []
            for _ in range(N_CALLS):
                atoms.positions += 1e-6
                started = time.perf_counter()
                calculator.get_property("forces", atoms)
                taken.append(time.perf_counter() - started)
            times[name] = 1000.0 * statistics.median(taken)
        differences.append(times["there"] - times["here"])
        print(f"here {times['here']:.3f} ms, there {times['there']:.3f} ms")
    print(
        f"added by isolation, {len(atoms)} atoms: median {statistics.median(differences):.2f} ms "
        f"({min(differences):.2f} to {max(differences):.2f}); target at most 2 ms"
    )


if __name__ == "__main__":
    main()
