"""How often intervals of 68 % and bounds of 95 % hold the truth, on motion whose D is known.

    python benchmarks/interval_coverage.py [--trials 1000]

No gate leaves anything out. The tests look at a sample of the same; these are the numbers that
are recorded.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from synthetic_motion import (
    JUMP_A,
    caged_hopping,
    in_groups,
    lattice_gas,
    trajectory_of,
    walk,
)

from mlmd.analysis import Diffusivity, diffusivity

WALK_CM2_S = 5e-4
"""0.5 A^2 for each 0.1 ps."""


def measured(positions: np.ndarray, **settings) -> Diffusivity:
    return diffusivity(trajectory_of(positions), "Li", drift="none", **settings)


def held(motions: Iterable[np.ndarray], true_cm2_s: float, **settings) -> np.ndarray:
    """Whether each interval of 68 % holds the truth."""
    found = []
    for positions in motions:
        low, high = measured(positions, **settings).D_interval68_cm2_s
        found.append(low < true_cm2_s < high)
    return np.array(found)


def walks(n: int, frames: int, atoms: int, noise: float = 0.0) -> Iterator[np.ndarray]:
    rng = np.random.default_rng((frames, atoms))
    return (walk(rng, frames, atoms, noise=noise) for _ in range(n))


def hops(n: int, rate_per_ps: float) -> tuple[Iterator[np.ndarray], float]:
    rng = np.random.default_rng(1)
    motions = (caged_hopping(rng, 400, 30, rate_per_ps) for _ in range(n))
    return motions, rate_per_ps * JUMP_A**2 / 6 * 1e-4


def groups(n: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(2)
    return (in_groups(rng, 200, 40, 4) for _ in range(n))


def gas(n: int) -> tuple[Iterator[np.ndarray], float]:
    """An exclusion lattice gas, and its D from one long run."""
    long = measured(lattice_gas(np.random.default_rng(3), 20_000, 5, 0.7), fit_ps=(2.0, 20.0))
    rng = np.random.default_rng(4)
    return (lattice_gas(rng, 400, 5, 0.7) for _ in range(n)), long.D_raw_cm2_s


def bounds_that_fail(n: int, jumps: float) -> int:
    """How many upper bounds of runs with so many jumps in all are below the truth."""
    rng = np.random.default_rng((5, int(10 * jumps)))
    rate = jumps / (10 * 20.0)  # 10 atoms, 20 ps
    failed = 0
    for _ in range(n):
        bound = measured(caged_hopping(rng, 201, 10, rate)).D_upper_bound_cm2_s
        failed += bound is not None and bound < rate * JUMP_A**2 / 6 * 1e-4
    return failed


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=1000)
    n = options.parse_args().trials

    def say(what: str, found: np.ndarray) -> None:
        print(f"{what:<58} {100 * found.mean():5.1f} % of {len(found)}", flush=True)

    for frames, atoms, noise in ((31, 8, 0.0), (91, 8, 0.0), (91, 8, 1.0), (200, 20, 2.0)):
        name = f"gls, walk of {atoms} atoms, {frames} frames, vibration {noise:g} A"
        say(name, held(walks(n, frames, atoms, noise), WALK_CM2_S))
    for windows in (2, 3, 6):
        settings = {"window_ps": 3.0, "fit_ps": (0.2, 3.0)}
        found = held(walks(n, 30 * windows + 1, 8), WALK_CM2_S, **settings)
        say(f"windowed, walk of 8 atoms, {windows} windows", found)
    for rate in (0.4, 0.05):
        say(f"gls, caged hopping, {rate:g} jumps per ps and atom", held(*hops(n, rate)))
    say("gls, atoms that move in groups of four", held(groups(n), WALK_CM2_S))
    say("gls, exclusion lattice gas, 400 frames", held(*gas(n // 4)))
    for jumps in (0.3, 1.0, 3.0, 6.0):
        failed = bounds_that_fail(n, jumps)
        print(
            f"bounds of 95 % that fail at {jumps:g} jumps in all: {100 * failed / n:.1f} % of {n}"
        )


if __name__ == "__main__":
    main()
