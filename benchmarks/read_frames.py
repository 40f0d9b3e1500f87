"""Reading 5000 frames of 100 atoms into arrays: ours from H5MD against ase.io.read from .traj.

Both files are written first and are in the system's cache. Exits 1 if the ratio exceeds 0.05.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase.io import read
from ase.io.trajectory import Trajectory as AseTrajectory
from step_and_record import ATOMS, gas

from mlmd import Trajectory
from mlmd.run.recorder import Recorder
from mlmd.trajectory.h5md.writer import OBSERVABLES

TARGET = 0.05


def write(ours: Path, theirs: Path, frames: int) -> None:
    atoms = gas()
    atoms.get_forces()
    rng = np.random.default_rng(2)
    nothing = dict.fromkeys(OBSERVABLES, 0.0)
    with (
        Recorder(ours, atoms, n_frames_planned=frames) as recorder,
        AseTrajectory(theirs, "w") as file,
    ):
        for step in range(frames):
            atoms.positions += rng.normal(0, 0.01, (ATOMS, 3))
            atoms.get_forces()
            recorder.record(step, 2.0 * step, atoms, nothing)
            file.write(atoms)
        recorder.sync()


def read_ours(path: Path) -> np.ndarray:
    return np.asarray(Trajectory.read(path).positions_A)


def read_with_ase(path: Path) -> np.ndarray:
    return np.array([atoms.positions for atoms in read(path, index=":")])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--frames", type=int, default=5000)
    settings = parser.parse_args()
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        h5md, traj = Path(name) / "ours.h5md", Path(name) / "ase.traj"
        write(h5md, traj, settings.frames)
        assert np.abs(read_ours(h5md) - read_with_ase(traj)).max() < 1e-5
        for _ in range(settings.repeats):
            start = time.perf_counter()
            read_ours(h5md)
            middle = time.perf_counter()
            read_with_ase(traj)
            ours.append(1e3 * (middle - start))
            theirs.append(1e3 * (time.perf_counter() - middle))
    ms = {"mlmd": round(statistics.median(ours), 1), "ase": round(statistics.median(theirs))}
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print(
        f"{settings.frames} frames of {ATOMS} atoms into arrays: mlmd {ms['mlmd']} ms, "
        f"ASE {ms['ase']} ms"
    )
    print(f"ratio {ratio:.4f} (target {TARGET})")
    print(
        json.dumps(
            {
                "benchmark": "read_frames",
                "ms": ms,
                "ratio": round(ratio, 4),
                "target": TARGET,
            }
        )
    )
    return int(ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
