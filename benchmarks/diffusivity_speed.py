"""From disk to D with its error, 10,000 frames of 100 atoms: this version beside another one.

    python benchmarks/diffusivity_speed.py [--other CHECKOUT]

CHECKOUT is a folder that holds another version's package ``mlmd``, such as a worktree of an earlier
commit. The two are timed in turn, each in a process of its own; the ratio is that of the medians.
Without it our own times are printed, and those of the mean squared displacement alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from analyze import write

ROUNDS = 7
HERE = Path(__file__).resolve().parents[1]
TIMED = """
import json, sys, time
from mlmd import Trajectory
from mlmd.analysis import diffusivity, mean_squared_displacement
trajectory = Trajectory.read(sys.argv[1])
diffusivity(trajectory, "Li")
whole, msd = [], []
for _ in range(3):
    start = time.perf_counter()
    trajectory = Trajectory.read(sys.argv[1])
    for species in ("Li", "Cl"):
        diffusivity(trajectory, species)
    whole.append(time.perf_counter() - start)
    start = time.perf_counter()
    for species in ("Li", "Cl"):
        mean_squared_displacement(trajectory, species)
    msd.append(time.perf_counter() - start)
print(json.dumps([min(whole), min(msd)]))
"""


def timed(checkout: Path, file: Path) -> tuple[float, float]:
    """Seconds from disk to D of two species, and of their displacements alone."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-c", TIMED, str(file)],
        env=environment,
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    whole, msd = json.loads(done.stdout)
    return whole, msd


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--other", type=Path, default=None)
    other = options.parse_args().other
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "run.h5md"
        write(file)
        for _ in range(ROUNDS):
            ours.append(timed(HERE, file))
            if other is not None:
                theirs.append(timed(other.resolve(), file))
    whole, msd = (statistics.median(column) for column in zip(*ours, strict=True))
    print(f"from disk to D of two species: {whole:.3f} s; their displacements alone {msd:.3f} s")
    if theirs:
        before = statistics.median(one for one, _ in theirs)
        print(f"the other version: {before:.3f} s; ratio {whole / before:.2f}")


if __name__ == "__main__":
    main()
