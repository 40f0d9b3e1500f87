"""From disk to D, g(r) and plots: a run of 20 ps, 10,000 frames, 100 atoms.

The target is two seconds with everything: reading, D by generalised least squares with its gate,
all partial g(r), and both plots as files. Start-up of Python and imports are not in it; they are
printed apart.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from mlmd.run.recorder import Recorder
from mlmd.trajectory.h5md.writer import OBSERVABLES

N_FRAMES, N_ATOMS, INTERVAL_FS, REPEATS = 10_000, 100, 2.0, 5


def write(path: Path) -> None:
    """Write walkers of two species in a cell of liquid density."""
    from ase import Atoms

    rng = np.random.default_rng(1)
    side = 13.0
    positions = rng.uniform(0, side, (N_ATOMS, 3))
    atoms = Atoms("Li50Cl50", positions=positions, cell=[side] * 3, pbc=True)
    nothing = dict.fromkeys(OBSERVABLES, 0.0)
    with Recorder(path, atoms, n_frames_planned=N_FRAMES) as recorder:
        for frame in range(N_FRAMES):
            atoms.positions += rng.normal(0, 0.02, (N_ATOMS, 3))
            recorder.record(frame, frame * INTERVAL_FS, atoms, nothing)
        recorder.sync()


def main() -> None:
    """Measure and print."""
    started = time.perf_counter()
    from mlmd import Trajectory
    from mlmd.analysis import summarize
    from mlmd.plot import plot_msd, plot_rdf

    imports = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "run.h5md")
        times = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            trajectory = Trajectory.read(folder / "run.h5md")
            (stage,) = summarize({"run": (trajectory, 1000.0)}).stages.values()
            plot_msd({"run": stage.species["Li"]}).figure.savefig(folder / "msd.png")
            plot_rdf(stage.structure).figure.savefig(folder / "rdf.png")
            times.append(time.perf_counter() - started)
    print(
        f"from disk to D of two species, g(r) and two plots, {N_FRAMES} frames, {N_ATOMS} atoms: "
        f"median {statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f}); "
        f"imports {imports:.2f} s; target 2 s"
    )


if __name__ == "__main__":
    main()
