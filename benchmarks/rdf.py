"""g(r) with all partials: ours against freud's, side by side in one run.

    python benchmarks/rdf.py [--frames 1000 --atoms 100 --repeats 7]

freud computes one pair of species per ``RDF``; all partials and the total of three species are
seven of them, or one ``RDF`` (``one pair``: the total alone) as a lower bound. Prints the medians
and the ratios of ours to freud's; exits 1 if they disagree or a ratio exceeds 0.7.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np
from msd import medians

from mlmd.analysis.structure import rdf
from mlmd.trajectory.trajectory import Trajectory

if TYPE_CHECKING:
    from mlmd.analysis.structure import RadialDistribution

TARGET = 0.7
AGREEMENT = 2e-3  # beyond 3 A; freud computes in single precision: a few pairs change their bin
R_MAX_A, BIN_A = 6.0, 0.05


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--atoms", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    try:
        import freud
    except ImportError:
        print("freud is not installed; install it with: pip install freud-analysis")
        return 1
    rng = np.random.default_rng(0)
    edge_A = (options.atoms * 20.0) ** (1 / 3)
    positions = rng.random((options.frames, options.atoms, 3)) * edge_A
    numbers = rng.permutation(np.resize([3, 3, 15, 16, 16], options.atoms))
    trajectory = Trajectory(positions, np.eye(3) * edge_A, numbers, np.arange(options.frames) * 2.0)
    box = freud.box.Box.cube(edge_A)
    n_bins = round(R_MAX_A / BIN_A)

    def ours() -> RadialDistribution:
        return rdf(trajectory, r_max_A=R_MAX_A, bin_A=BIN_A)

    def freud_pair(first: str | None, second: str | None) -> np.ndarray:
        of_first = positions if first is None else positions[:, trajectory.indices(first)]
        of_second = positions if second is None else positions[:, trajectory.indices(second)]
        mode = "finite_size" if first == second else "exact"
        found = freud.density.RDF(bins=n_bins, r_max=R_MAX_A, normalization_mode=mode)
        for frame in range(options.frames):
            if first == second:
                found.compute((box, of_first[frame]), reset=False)
            else:
                found.compute((box, of_first[frame]), of_second[frame], reset=False)
        return np.asarray(found.rdf)

    def freud_all() -> dict[tuple[str, str], np.ndarray]:
        pairs = combinations_with_replacement(trajectory.species, 2)
        return {pair: freud_pair(*pair) for pair in pairs} | {("", ""): freud_pair(None, None)}

    def freud_one() -> np.ndarray:
        return freud_pair(None, None)

    result, peer = ours(), freud_all()
    difference = max(
        float(np.abs((result.of(*pair) if pair[0] else result.total).g[60:] - g[60:]).max())
        for pair, g in peer.items()
    )
    names = ("ours", "freud_all_partials", "freud_one_pair")
    seconds = dict(zip(names, medians((ours, freud_all, freud_one), options.repeats), strict=True))
    ratios = {name: seconds["ours"] / seconds[name] for name in names[1:]}
    print(
        f"{options.atoms} atoms x {options.frames} frames, 3 species, up to {R_MAX_A:g} A, "
        f"{options.repeats} repeats"
    )
    for name, value in seconds.items():
        print(f"  {name:24s} {value * 1e3:8.1f} ms")
    for name, ratio in ratios.items():
        print(f"  ratio to {name:20s} {ratio:7.3f}    target <= {TARGET}")
    print(f"  largest difference of g(r) {difference:.1e}")
    report = {
        "benchmark": "rdf",
        "frames": options.frames,
        "atoms": options.atoms,
        "seconds": {name: round(value, 5) for name, value in seconds.items()},
        "ratios": {name: round(ratio, 4) for name, ratio in ratios.items()},
        "target": TARGET,
        "largest_difference": difference,
    }
    print(json.dumps(report))
    return 0 if max(ratios.values()) <= TARGET and difference < AGREEMENT else 1


if __name__ == "__main__":
    sys.exit(main())
