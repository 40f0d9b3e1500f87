"""Mean squared displacement, all lags: ours against freud's and MDAnalysis's, in one run.

    python benchmarks/msd.py [--frames 10000 --atoms 100 --repeats 9]

Prints the medians and their ratios; exits 1 if they disagree or a ratio exceeds its target.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.diffusion.msd import mean_squared_displacement
from mlmd.trajectory.trajectory import Trajectory

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET, TARGET_MDANALYSIS = 0.3, 0.15
AGREEMENT = 1e-3  # freud computes in single precision


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--atoms", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    try:
        import freud
        import MDAnalysis
        import tidynamics  # noqa: F401  (what MDAnalysis computes with)
        from MDAnalysis.analysis.msd import EinsteinMSD
    except ImportError as error:
        print(f"{error.name} is missing; pip install freud-analysis MDAnalysis tidynamics")
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

    universe = MDAnalysis.Universe.empty(options.atoms, trajectory=True)
    universe.load_new(positions.astype(np.float32))

    def mdanalysis() -> np.ndarray:
        return EinsteinMSD(universe, select="all", fft=True).run().results.timeseries

    difference = float(np.max(np.abs(ours() / np.where(theirs() > 0, theirs(), 1) - 1)[1:]))
    functions = {
        "ours": ours,
        "ours_with_drift_removed": with_drift,
        "freud": theirs,
        "MDAnalysis": mdanalysis,
    }
    taken = medians(tuple(functions.values()), options.repeats)
    seconds = dict(zip(functions, taken, strict=True))
    ratio = seconds["ours_with_drift_removed"] / seconds["freud"]
    ratio_mdanalysis = seconds["ours_with_drift_removed"] / seconds["MDAnalysis"]
    print(f"{options.atoms} atoms x {options.frames} frames, all lags, {options.repeats} repeats")
    for name, value in seconds.items():
        print(f"  {name:24s} {value * 1e3:8.1f} ms")
    print(f"  ratio to freud (drift removed)      {ratio:8.2f}    target <= {TARGET}")
    print(
        f"  ratio to MDAnalysis (drift removed) {ratio_mdanalysis:8.2f}    "
        f"target <= {TARGET_MDANALYSIS}"
    )
    print(f"  largest relative difference {difference:.1e}")
    report = {
        "benchmark": "msd",
        "frames": options.frames,
        "atoms": options.atoms,
        "seconds": {name: round(value, 5) for name, value in seconds.items()},
        "ratio": round(ratio, 3),
        "target": TARGET,
        "ratio_mdanalysis": round(ratio_mdanalysis, 3),
        "target_mdanalysis": TARGET_MDANALYSIS,
        "largest_relative_difference": difference,
    }
    print(json.dumps(report))
    reached = ratio <= TARGET and ratio_mdanalysis <= TARGET_MDANALYSIS
    return 0 if reached and difference < AGREEMENT else 1


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
