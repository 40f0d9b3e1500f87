"""Reading an XDATCAR of 100 atoms: ours against pymatgen's, and one that no memory holds.

2000 frames are read by both in turn in one run, each into arrays. Then a large file is written
(2 GB, or `--gigabytes`), read by a process of its own, and deleted; what that process takes in
memory is measured apart from pages of files that are mapped into it. Exits 1 if ours is less than
40 times faster, or takes more than 1 GiB of memory of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from mlmd import Trajectory

ATOMS = 100
TARGET_RATIO = 40.0
TARGET_MB = 1024
HEADER = (
    "unknown system\n           1\n    16.000000    0.000000    0.000000\n"
    "     0.000000   16.000000    0.000000\n     0.000000    0.000000   16.000000\n"
    "   Li   Cl\n    50    50\n"
)
# Runs in a process of its own, so that the peak is that of reading alone.
CHILD = """
import sys, time
from mlmd import Trajectory
def memory(name):
    for line in open("/proc/self/status"):
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
start, before = time.perf_counter(), memory("VmHWM")
trajectory = Trajectory.read(sys.argv[1], timestep_fs=2.0)
seconds, peak = time.perf_counter() - start, memory("VmHWM")
own, mapped = memory("RssAnon"), memory("RssFile")
print(len(trajectory), seconds, before, peak, own, mapped)
"""


def write(path: Path, n_bytes: int) -> int:
    """Write frames of atoms that vibrate, about `n_bytes` of them; return how many."""
    rng = np.random.default_rng(1)
    home = rng.uniform(0.0, 1.0, (ATOMS, 3))
    bodies = []
    for _ in range(100):
        scaled = (home + rng.normal(0.0, 0.005, (ATOMS, 3))) % 1.0
        bodies.append("".join("  {:.8f}  {:.8f}  {:.8f}\n".format(*row) for row in scaled))
    frame_bytes = len(bodies[0]) + 29
    frames = max(1, n_bytes // frame_bytes)
    with path.open("w") as file:
        file.write(HEADER)
        for i in range(frames):
            file.write(f"Direct configuration={i + 1:8d}\n{bodies[i % 100]}")
    return frames


def read_ours(path: Path) -> np.ndarray:
    return np.asarray(Trajectory.read(path, timestep_fs=2.0).positions_A)


def read_with_pymatgen(path: Path) -> np.ndarray:
    from pymatgen.io.vasp import Xdatcar

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array([structure.cart_coords for structure in Xdatcar(path).structures])


def race(folder: Path, repeats: int) -> dict[str, float]:
    path = folder / "XDATCAR"
    frames = write(path, 2000 * 3730)
    away = (read_ours(path) - read_with_pymatgen(path)) / 16.0
    assert np.abs(away - np.rint(away)).max() < 1e-9
    ours, theirs = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        read_ours(path)
        middle = time.perf_counter()
        read_with_pymatgen(path)
        ours.append(1e3 * (middle - start))
        theirs.append(1e3 * (time.perf_counter() - middle))
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    ms = statistics.median(ours), statistics.median(theirs)
    print(f"{frames} frames of {ATOMS} atoms: mlmd {ms[0]:.0f} ms, pymatgen {ms[1]:.0f} ms")
    print(f"ratio {ratio:.1f} (target {TARGET_RATIO})")
    return {"mlmd_ms": round(ms[0]), "pymatgen_ms": round(ms[1]), "ratio": round(ratio, 1)}


def large(folder: Path, gigabytes: float) -> dict[str, float]:
    path = folder / "XDATCAR_large"
    try:
        frames = write(path, int(gigabytes * 1e9))
        n_bytes = path.stat().st_size
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(path)], check=True, capture_output=True, text=True
        )
    finally:
        path.unlink(missing_ok=True)
    read, seconds, before, peak, own, mapped = map(float, done.stdout.split())
    assert read == frames
    print(
        f"{n_bytes / 1e9:.2f} GB, {frames} frames: {seconds:.1f} s, peak {peak:.0f} MB resident "
        f"({before:.0f} MB before it began), after it {own:.0f} MB of its own and {mapped:.0f} MB "
        f"of mapped files (target {TARGET_MB} MB at the peak)"
    )
    return {
        "gigabytes": round(n_bytes / 1e9, 2),
        "seconds": round(seconds, 1),
        "peak_MB": round(peak),
        "own_MB": round(own),
        "mapped_MB": round(mapped),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="0: no large file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        speed = race(Path(name), given.repeats)
        memory = large(Path(name), given.gigabytes) if given.gigabytes > 0 else {}
    print(json.dumps({"benchmark": "read_xdatcar", **speed, **memory}))
    return int(speed["ratio"] < TARGET_RATIO or memory.get("peak_MB", 0) > TARGET_MB)


if __name__ == "__main__":
    sys.exit(main())
