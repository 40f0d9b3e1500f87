"""A step of NVT with its share of a frame: through us against the package's own ASE calculator.

    python benchmarks/model_step.py [MODEL ...] [--rounds N] [--smoke]

100 atoms of LiCl at 27 A3 each, one thread, frames every ten steps: a Production stage of a
protocol, its guards, records and checkpoints with it, beside ASE's NoseHooverChainNVT that writes
an ASE trajectory. Blocks of ten steps of both take turns in one process, and the ratio is the
median of those of neighbouring blocks: what else the machine does falls on both. M3GNet and MACE
are the tiny models of examples/models, and MACE runs in its own environment, where
`mlmd calculators install mace` made one. Exits 1 where a ratio is above its target.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.io import read, write
from ase.io.trajectory import Trajectory as AseTrajectory
from ase.md.nose_hoover_chain import NoseHooverChainNVT

from mlmd import CalculatorSpec, Protocol, pack
from mlmd.dynamics.kinetics import draw_momenta
from mlmd.dynamics.nose_hoover import NoseHooverChain
from mlmd.dynamics.relaxation import Relaxation

TARGETS = {"chgnet": 0.62, "sevennet": 1.0, "m3gnet": 1.0, "mace": 1.0}
PACKAGES = {"chgnet": "chgnet", "sevennet": "sevenn", "m3gnet": "matgl", "mace": "mace"}
N_ATOMS, TEMPERATURE_K, TIMESTEP_FS, STEPS_PER_FRAME = 100, 300.0, 1.0, 10
EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "models"


def weights(name: str, folder: Path) -> str | None:
    """Return the file of a tiny model, None where the package brings its own."""
    sys.path.insert(0, str(EXAMPLES))
    import tiny_models

    if name == "m3gnet":
        return str(tiny_models.m3gnet(folder / "m3gnet"))
    if name == "mace":
        return str(tiny_models.mace(folder / "mace.model", sys.executable))
    return None


def theirs(name: str, model: str | None) -> Any:
    """Return the calculator of the package, as its documentation makes it."""
    if name == "chgnet":
        from chgnet.model.dynamics import CHGNetCalculator

        return CHGNetCalculator(use_device="cpu")
    if name == "sevennet":
        from sevenn.calculator import SevenNetCalculator

        return SevenNetCalculator("7net-0", device="cpu")
    if name == "m3gnet":
        from matgl import load_model
        from matgl.ext.ase import PESCalculator

        return PESCalculator(load_model(model), stress_unit="eV/A3", use_voigt=True)
    import torch
    from mace.calculators import MACECalculator

    # Given a path it has torch refuse the pickle, which is a whole model.
    whole = torch.load(model, map_location="cpu", weights_only=False)
    return MACECalculator(models=whole, device="cpu", default_dtype="float32")


class Turns:
    """Lets two threads take turns, a block each, and times the blocks."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.took_s: dict[str, list[float]] = {"ours": [], "theirs": []}
        self._may = {"ours": threading.Semaphore(1), "theirs": threading.Semaphore(0)}
        self._other = {"ours": "theirs", "theirs": "ours"}
        self._began: dict[str, float] = {}
        self._step = {"ours": -1, "theirs": -1}
        self._ended = False

    def step(self, who: str) -> None:
        """After each step: at the end of a block, let the other one go and wait."""
        self._step[who] += 1
        if self._ended or self._step[who] % STEPS_PER_FRAME:
            return
        if who in self._began:
            self.took_s[who].append((time.perf_counter() - self._began[who]) / STEPS_PER_FRAME)
            self._may[self._other[who]].release()
        self._may[who].acquire()
        self._began[who] = time.perf_counter()

    def end(self, who: str) -> None:
        """Leave the rest to the other one."""
        self._ended = True
        self._may[self._other[who]].release()

    @property
    def n_steps(self) -> int:
        """Steps of each, with a block to be warm that is not counted."""
        return (self.rounds + 1) * STEPS_PER_FRAME


def run_ours(start: Atoms, calculator: Any, folder: Path, turns: Turns) -> None:
    """Run the stage of a protocol."""
    stage = {
        "name": "production",
        "class": "Production",
        "temperature_K": TEMPERATURE_K,
        "duration_ps": turns.n_steps * TIMESTEP_FS / 1000.0,
        "timestep_fs": TIMESTEP_FS,
        "record_every_fs": STEPS_PER_FRAME * TIMESTEP_FS,
        # A tiny model lets atoms come close; going back would be no step.
        "guard": {"min_contact_fraction": 0.01},
    }
    protocol = Protocol.from_dict({"schema": 1, "name": "step", "stages": [stage]})
    # After all observers of a step: a stage takes none from outside.
    plain = NoseHooverChain.call_observers

    def followed(dynamics: Any) -> None:
        plain(dynamics)
        turns.step("ours")

    NoseHooverChain.call_observers = followed
    try:
        protocol.run(start.copy(), calculator, folder / "run")
    finally:
        NoseHooverChain.call_observers = plain
        turns.end("ours")


def run_theirs(start: Atoms, calculator: Any, folder: Path, turns: Turns) -> None:
    """Run ASE's loop."""
    atoms = start.copy()
    atoms.calc = calculator
    dynamics = NoseHooverChainNVT(
        atoms, TIMESTEP_FS * units.fs, temperature_K=TEMPERATURE_K, tdamp=100.0 * units.fs
    )
    with AseTrajectory(folder / "ase.traj", "w", atoms) as file:
        dynamics.attach(file, interval=STEPS_PER_FRAME)
        dynamics.attach(lambda: turns.step("theirs"))
        try:
            dynamics.run(turns.n_steps)
        finally:
            turns.end("theirs")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what the packages say from the table."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def measured(name: str, rounds: int, start: Atoms) -> tuple[list[float], list[float]]:
    """Return seconds per step of each block, of ours and of theirs."""
    with tempfile.TemporaryDirectory() as place, quiet():
        import torch

        folder = Path(place)
        model = weights(name, folder)
        spec = CalculatorSpec(name, model=model, device="cpu", trust=model is not None)
        ours, own = spec.load(), theirs(name, model)
        torch.set_num_threads(1)
        start.calc = ours
        Relaxation(start, max_force_eV_A=1.0).run(20)
        start.calc = None
        draw_momenta(start, TEMPERATURE_K, np.random.default_rng(1))
        turns = Turns(rounds)
        both: list[tuple[Callable[..., None], Any]] = [(run_ours, ours), (run_theirs, own)]
        threads = [
            threading.Thread(target=run, args=(start, calculator, folder, turns))
            for run, calculator in both
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return turns.took_s["ours"][1:], turns.took_s["theirs"][1:]


def report(name: str, rounds: int, start: Atoms) -> int:
    """Measure one model and print its line."""
    ours, own = measured(name, rounds, start)
    ratios = [a / b for a, b in zip(ours, own, strict=False)]
    if not ratios:
        print(f"{name}: it failed")
        return 1
    ratio = statistics.median(ratios)
    print(
        f"{name}: {1e3 * statistics.median(ours):.2f} ms per step, its own calculator "
        f"{1e3 * statistics.median(own):.2f} ms, ratio {ratio:.3f} ({min(ratios):.3f} to "
        f"{max(ratios):.3f} in {len(ratios)} rounds), target {TARGETS[name]}",
        flush=True,
    )
    return int(ratio > TARGETS[name])


def elsewhere(name: str, rounds: int, start: Atoms) -> int:
    """Measure a model in its own environment; say why not where there is none."""
    from mlmd.calculators.weights import environment_python

    python = environment_python(name)
    if not python.is_file():
        print(f"{name}: not measured, it is not installed (mlmd calculators install {name})")
        return 0
    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "start.extxyz"  # there is no PACKMOL there
        write(packed, start)
        return subprocess.run(
            [str(python), __file__, name, "--rounds", str(rounds), "--start", str(packed)],
            env={**os.environ, "PYTHONPATH": str(root)},
            check=False,
        ).returncode


def main() -> int:
    """Measure all that can be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help=", ".join(TARGETS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--smoke", action="store_true", help="two rounds, no verdict")
    parser.add_argument("--start", type=Path, help="a file, instead of packing")
    given = parser.parse_args()
    if given.start:
        start = read(given.start)
    else:
        start = pack("LiCl", N_ATOMS, seed=1, volume_per_atom_A3=27)
    rounds, missed = (2 if given.smoke else given.rounds), 0
    for name in given.models or TARGETS:
        here = importlib.util.find_spec(PACKAGES[name]) is not None
        missed += (report if here else elsewhere)(name, rounds, start.copy())
    return int(missed > 0 and not given.smoke)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
