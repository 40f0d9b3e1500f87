"""Bytes on the disk per recorded frame of 100 atoms, positions only: ours and ASE's .traj.

Exits 1 if ours takes more than 1400.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from ase import units
from ase.io.trajectory import Trajectory as AseTrajectory
from ase.md.nose_hoover_chain import NoseHooverChainNVT
from step_and_record import ATOMS, TEMPERATURE_K, TIMESTEP_FS, gas

from mlmd.dynamics.nose_hoover import NoseHooverChain
from mlmd.run.recorder import Recorder
from mlmd.stages.dynamics.frames import FrameTaker

TARGET_BYTES = 1400


def ours(path: Path, frames: int) -> float:
    atoms = gas()
    dynamics = NoseHooverChain(atoms, timestep_fs=TIMESTEP_FS, temperature_K=TEMPERATURE_K)
    with Recorder(path, atoms, n_frames_planned=frames) as recorder:
        dynamics.attach(FrameTaker(dynamics, recorder))
        dynamics.run(frames - 1)
        recorder.sync()
    return path.stat().st_size / frames


def ase(path: Path, frames: int) -> float:
    atoms = gas()
    dynamics = NoseHooverChainNVT(
        atoms, TIMESTEP_FS * units.fs, temperature_K=TEMPERATURE_K, tdamp=100.0 * units.fs
    )
    with AseTrajectory(path, "w", atoms) as file:
        dynamics.attach(file)
        dynamics.run(frames - 1)
    return path.stat().st_size / frames


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1001)
    frames = parser.parse_args().frames
    with tempfile.TemporaryDirectory() as name:
        size = {
            "mlmd": round(ours(Path(name) / "ours.h5md", frames)),
            "ase": round(ase(Path(name) / "ase.traj", frames)),
        }
    print(
        f"a frame of {ATOMS} atoms: mlmd {size['mlmd']} bytes (target {TARGET_BYTES}), "
        f"ASE {size['ase']} bytes"
    )
    print(f"ratio {size['mlmd'] / size['ase']:.3f}")
    print(
        json.dumps(
            {
                "benchmark": "frame_size",
                "bytes_per_frame": size,
                "ratio": round(size["mlmd"] / size["ase"], 3),
                "target_bytes": TARGET_BYTES,
            }
        )
    )
    return int(size["mlmd"] > TARGET_BYTES)


if __name__ == "__main__":
    sys.exit(main())
