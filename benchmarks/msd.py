"""Mean squared displacement, all lags: ours against freud's, side by side in one run.

    python benchmarks/msd.py [--frames 10000 --atoms 100 --repeats 9]

Prints both medians and their ratio; exits 1 if they disagree or the ratio exceeds 0.5.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.msd import mean_squared_displacement
from mlmd.trajectory.trajectory import Trajectory

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = 0.5
AGREEMENT = 1e-3  # freud computes in single precision


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--atoms", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    try:
        import freud
    except ImportError:
        print("freud is not installed; install it with: pip install freud-analysis")
        return 1
    rng = np.random.default_rng(0)
    positions = np.cumsum(rng.normal(0, 0.05, (options.frames, options.atoms, 3)), axis=0)
    trajectory = Trajectory(
        positions,
        np.eye(3) * 12.0,
        np.full(options.atoms, 3),
        np.arange(options.frames) * 2.0,
    )
    peer = freud.msd.MSD(mode="window")

    def ours() -> np.ndarray:
        return mean_squared_displacement(trajectory, "Li", drift="none").msd_A2

    def with_drift() -> np.ndarray:
        return mean_squared_displacement(trajectory, "Li").msd_A2

    def theirs() -> np.ndarray:
        return peer.compute(positions).msd

    difference = float(np.max(np.abs(ours() / np.where(theirs() > 0, theirs(), 1) - 1)[1:]))
    names = ("ours", "ours_with_drift_removed", "freud")
    seconds = dict(zip(names, medians((ours, with_drift, theirs), options.repeats), strict=True))
    ratio = seconds["ours_with_drift_removed"] / seconds["freud"]
    print(f"{options.atoms} atoms x {options.frames} frames, all lags, {options.repeats} repeats")
    for name, value in seconds.items():
        print(f"  {name:24s} {value * 1e3:8.1f} ms")
    print(f"  ratio (drift removed)    {ratio:8.2f}    target <= {TARGET}")
    print(f"  largest relative difference {difference:.1e}")
    report = {
        "benchmark": "msd",
        "frames": options.frames,
        "atoms": options.atoms,
        "seconds": {name: round(value, 5) for name, value in seconds.items()},
        "ratio": round(ratio, 3),
        "target": TARGET,
        "largest_relative_difference": difference,
    }
    print(json.dumps(report))
    return 0 if ratio <= TARGET and difference < AGREEMENT else 1


def medians(functions: tuple[Callable[[], object], ...], repeats: int) -> list[float]:
    """Median times in seconds, taken in turn so that a busy machine slows all alike."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, taken in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


if __name__ == "__main__":
    sys.exit(main())
