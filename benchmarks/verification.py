"""What checksums cost: writing and reading a run's trajectory with and without them; many runs.

Writing is `Recorder`, from atoms in memory to a checkpoint's sync every 1000 frames, and a
Nose-Hoover step of 100 atoms with its frame, whose forces cost nothing (`step_and_record.py`).
Reading is `Run.trajectory` against the same reading without its checksum, from the page cache: the
first time in a process (all of the file is hashed), again (nobody wrote to it since), and with the
mean squared displacement that it is read for. Status is one call of ``mlmd status`` with 500 run
directories.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms
from step_and_record import ours_s_per_step

from mlmd import CalculatorSpec, Production, Protocol, Run, Trajectory
from mlmd.analysis.diffusion.msd import mean_squared_displacement
from mlmd.run import checksums, recorder
from mlmd.run.recorder import Recorder
from mlmd.trajectory.h5md.writer import OBSERVABLES


class NoChecksums(recorder.FrameChecksums):
    """As if there were none."""

    def add(self, block: object) -> None:
        """Pass a block by."""

    def end_at(self, n_frames: int, rows: object) -> None:
        """Know nothing of frames."""


def written_s(folder: Path, atoms: Atoms, frames: int, kind: type) -> float:
    file = folder / "t.h5md"
    file.unlink(missing_ok=True)
    values = dict.fromkeys(OBSERVABLES, 1.0)
    recorder.FrameChecksums = kind  # type: ignore[misc]
    began = time.perf_counter()
    with Recorder(file, atoms, n_frames_planned=frames) as taken:
        for i in range(frames):
            taken.record(i, 2.0 * i, atoms, values)
            if i % 1000 == 999:
                taken.vouch(i + 1)
    return time.perf_counter() - began


def in_turn(
    one: Callable[[], float], other: Callable[[], float], times: int
) -> tuple[float, float]:
    pairs = [(one(), other()) for _ in range(times)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def long_run(folder: Path, n_atoms: int, frames: int) -> Run:
    """A run whose trajectory is replaced by one of so many frames, with its checksum."""
    rng = np.random.default_rng(0)
    edge = 5.0 * n_atoms ** (1 / 3)
    side = int(np.ceil(n_atoms ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3), -1).reshape(-1, 3)[:n_atoms]
    atoms = Atoms(f"Li{n_atoms}", positions=grid * edge / side, cell=[edge] * 3, pbc=True)
    stage = Production(name="production", temperature_K=300, duration_ps=0.01, record_every_fs=2)
    spec = CalculatorSpec("lj", options={"cutoff_A": 4.5})
    run = Protocol("long", (stage,)).run(atoms, spec, folder, seed=1)
    file = folder / "01-production" / "trajectory.h5md"
    file.unlink()
    with Recorder(file, atoms, n_frames_planned=frames) as taken:
        for i in range(frames):
            atoms.positions += rng.normal(0, 0.01, (n_atoms, 3))
            taken.record(i, 2.0 * i, atoms, dict.fromkeys(OBSERVABLES, 1.0))
    entry = run.manifest.stage("production")
    entry.checksums["trajectory.h5md"] = checksums.file_checksum(file)
    run.manifest.write(folder)
    time.sleep(checksums.SETTLED_S + 0.5)
    return Run.open(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=15)
    times = parser.parse_args().times
    folder = Path(tempfile.mkdtemp())
    plain = recorder.FrameChecksums
    for n_atoms, frames in ((100, 5000), (500, 5000)):
        atoms = Atoms(f"Li{n_atoms}", positions=np.zeros((n_atoms, 3)), cell=[9] * 3, pbc=True)
        with_s, without_s = in_turn(
            lambda a=atoms, f=frames: written_s(folder, a, f, plain),  # type: ignore[misc]
            lambda a=atoms, f=frames: written_s(folder, a, f, NoChecksums),  # type: ignore[misc]
            times,
        )
        print(
            f"writing {frames} frames of {n_atoms} atoms: {1e3 * with_s:.0f} ms with checksums, "
            f"{1e3 * without_s:.0f} ms without, ratio {with_s / without_s:.3f}"
        )

    def step_s(kind: type) -> float:
        recorder.FrameChecksums = kind  # type: ignore[misc]
        return ours_s_per_step(folder, 2000)

    with_s, without_s = in_turn(lambda: step_s(plain), lambda: step_s(NoChecksums), times)
    print(
        f"a step of 100 atoms with its frame: {1e6 * with_s:.0f} us with checksums, "
        f"{1e6 * without_s:.0f} us without, ratio {with_s / without_s:.3f}"
    )
    recorder.FrameChecksums = plain  # type: ignore[misc]
    for n_atoms, frames in ((100, 1000), (100, 10000), (500, 10000)):
        run = long_run(folder / f"run-{n_atoms}-{frames}", n_atoms, frames)
        file = run.path / "01-production" / "trajectory.h5md"

        def first(run: Run = run) -> float:
            checksums._known.clear()
            return timed(lambda: run.trajectory("production"))

        def again(run: Run = run) -> float:
            return timed(lambda: run.trajectory("production"))

        def unchecked(file: Path = file) -> float:
            return timed(lambda: Trajectory.read(file))

        first_s, unchecked_s = in_turn(first, unchecked, times)
        again_s, _ = in_turn(again, unchecked, times)

        def measured(run: Run = run) -> float:
            checksums._known.clear()
            return timed(lambda: mean_squared_displacement(run.trajectory("production"), "Li"))

        def measured_unchecked(file: Path = file) -> float:
            return timed(lambda: mean_squared_displacement(Trajectory.read(file), "Li"))

        with_s, without_s = in_turn(measured, measured_unchecked, min(times, 5))
        print(
            f"reading {frames} frames of {n_atoms} atoms ({file.stat().st_size / 1e6:.1f} MB): "
            f"{1e3 * unchecked_s:.1f} ms without a checksum, ratio {first_s / unchecked_s:.2f} the "
            f"first time in a process, {again_s / unchecked_s:.2f} after that; of reading and its "
            f"mean squared displacement {with_s / without_s:.2f}"
        )
    many = folder / "many"
    source = long_run(folder / "small", 32, 100).path
    for i in range(500):
        shutil.copytree(source, many / f"{i:03d}")
    call = [sys.executable, "-m", "mlmd.cli", "status", *map(str, sorted(many.iterdir()))]
    seconds = [
        timed(lambda: subprocess.run(call, check=True, capture_output=True)) for _ in range(5)
    ]
    print(f"mlmd status of 500 run directories: {statistics.median(seconds):.2f} s")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
