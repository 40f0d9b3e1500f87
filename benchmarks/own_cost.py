"""What a step of ours costs beyond the model's own ASE calculator.

A production stage with every step recorded, its pressure too. The time inside the calculator that
the package itself provides is taken out; what is left is integration, guards, recording,
checkpoints, and whatever our way of calling it adds.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from mlmd import Protocol, load_calculator, pack

N_STEPS = 100
PROTOCOL = {
    "schema": 1,
    "name": "own-cost",
    "stages": [
        {
            "name": "production",
            "class": "Production",
            "temperature_K": 1000,
            "duration_ps": 0.001 * N_STEPS,
            "timestep_fs": 1.0,
            "record_every_fs": 1.0,
        }
    ],
}


def own_cost_ms(calculator: Any, n_atoms: int) -> tuple[float, float]:
    """Return the median milliseconds per step outside and inside the package's calculator."""
    spans: list[tuple[float, float]] = []
    calculate = calculator.calculate

    def timed(*arguments: Any, **keywords: Any) -> None:
        started = time.perf_counter()
        calculate(*arguments, **keywords)
        spans.append((started, time.perf_counter()))

    calculator.calculate = timed
    atoms = pack("LiCl", n_atoms, seed=1, volume_per_atom_A3=30)
    with tempfile.TemporaryDirectory() as folder:
        Protocol.from_dict(PROTOCOL).run(atoms, calculator, Path(folder) / "run")
    spans = spans[-N_STEPS:]
    between = [start - end for (_, end), (start, _) in pairwise(spans)]
    inside = [end - start for start, end in spans]
    return 1000.0 * statistics.median(between), 1000.0 * statistics.median(inside)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-atoms", type=int, default=32)
    n_atoms = parser.parse_args().n_atoms
    for name, package in (("lj", "mlmd"), ("chgnet", "chgnet"), ("sevennet", "sevenn")):
        if importlib.util.find_spec(package) is None:
            print(f"{name}: not installed")
            continue
        ours, model = own_cost_ms(load_calculator(name), n_atoms)
        print(
            f"{name}, {n_atoms} atoms: ours {ours:.2f} ms per step, the model's {model:.1f} ms; "
            "target at most 0.5 ms"
        )


if __name__ == "__main__":
    main()
