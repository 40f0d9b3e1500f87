"""Comparing a surrogate with its reference: two long runs, and many compositions from curves.

    python benchmarks/compare.py [--frames 10000 --atoms 100 --compositions 245 --repeats 3]

Two random runs of two species with everything that is measured of trajectories; and sets of g(r)
of six pairs in 101 points, read from CSV files and compared, with the JSON of both. Prints the
medians in seconds; exits 1 if the runs take more than 3 s or the compositions more than 60 s.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from msd import medians

from mlmd import Trajectory, compare
from mlmd.comparison import PairCurves

TARGET_RUNS_S, TARGET_COMPOSITIONS_S = 3.0, 60.0
PAIRS = ("Li-Li", "Li-P", "Li-S", "P-P", "P-S", "S-S")


def run(seed: int, frames: int, atoms: int) -> Trajectory:
    """Return free walkers in a cell of 20 A^3 per atom."""
    rng = np.random.default_rng(seed)
    edge_A = (20.0 * atoms) ** (1 / 3)
    positions = np.cumsum(rng.normal(0, 0.03, (frames, atoms, 3)).astype(np.float32), axis=0)
    positions += edge_A * rng.random((atoms, 3)).astype(np.float32)
    numbers = np.resize([3, 17], atoms)
    return Trajectory(positions, np.eye(3) * edge_A, numbers, np.arange(frames) * 2.0)


def write_curves(folder: Path, n: int) -> list[tuple[Path, Path]]:
    """Write pairs of tables in the form of the published ones."""
    rng = np.random.default_rng(0)
    r_A = np.arange(101) * 0.1
    files = []
    for i in range(n):
        truth = np.maximum(1 + np.sin(3 * r_A + rng.random((6, 1))) * np.exp(-r_A / 4), 0)
        pair = []
        for side in ("reference", "surrogate"):
            g = truth + rng.normal(0, 0.05, truth.shape)
            lines = [",".join(["", *PAIRS, "r"])]
            lines += [
                ",".join([str(k), *map(repr, map(float, g[:, k])), repr(float(r))])
                for k, r in enumerate(r_A)
            ]
            path = folder / f"{side}-{i}.csv"
            path.write_text("\n".join(lines))
            pair.append(path)
        files.append((pair[0], pair[1]))
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--atoms", type=int, default=100)
    parser.add_argument("--compositions", type=int, default=245)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    surrogate, reference = (run(seed, options.frames, options.atoms) for seed in (0, 1))

    def two_runs() -> None:
        compare(surrogate, reference, temperature_K=1000.0).to_dict()

    with tempfile.TemporaryDirectory() as folder:
        files = write_curves(Path(folder), options.compositions)

        def many_compositions() -> None:
            left, right = (
                {(str(i), 1000.0): PairCurves.read_csv(pair[k]) for i, pair in enumerate(files)}
                for k in (1, 0)
            )
            compare(left, right).to_dict()

        runs_s, compositions_s = medians((two_runs, many_compositions), options.repeats)
        start = time.process_time()
        two_runs()
        cpu_s = time.process_time() - start
    print(f"two runs of {options.frames} frames x {options.atoms} atoms, 2 species:")
    print(f"  {runs_s:8.2f} s    target <= {TARGET_RUNS_S:g} s ({cpu_s:.2f} s of CPU time)")
    print(f"{options.compositions} compositions from curves:")
    print(f"  {compositions_s:8.2f} s    target <= {TARGET_COMPOSITIONS_S:g} s")
    report = {
        "benchmark": "compare",
        "frames": options.frames,
        "atoms": options.atoms,
        "compositions": options.compositions,
        "seconds": {"two_runs": round(runs_s, 4), "compositions": round(compositions_s, 4)},
        "cpu_seconds": {"two_runs": round(cpu_s, 4)},
        "targets": {"two_runs": TARGET_RUNS_S, "compositions": TARGET_COMPOSITIONS_S},
    }
    print(json.dumps(report))
    return 0 if runs_s <= TARGET_RUNS_S and compositions_s <= TARGET_COMPOSITIONS_S else 1


if __name__ == "__main__":
    sys.exit(main())
