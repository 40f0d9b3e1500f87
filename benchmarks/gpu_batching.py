"""Many walkers on one GPU: batches, sequential ASE, and several processes side by side.

    python benchmarks/gpu_batching.py [--smoke] [--device cuda] [--minutes 7.5]

1, 8, 64 and 256 walkers of 100 atoms of LiCl at 27 A3 each, NVT with frames every ten steps, on
CHGNet and SevenNet. Beside them: the package's own calculator in ASE's loop, one walker; 2, 4 and 8
processes of one walker each on the one GPU, through NVIDIA's MPS where it runs; the bare batched
model (`calculate_many` of the same structures) and the search of its graphs. It prints a table and
ends by itself: what there is no time for is said. `--smoke` is for a machine without a GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.io.trajectory import Trajectory as AseTrajectory
from ase.md.nose_hoover_chain import NoseHooverChainNVT

from mlmd import CalculatorSpec, pack
from mlmd.calculators import BatchServer
from mlmd.dynamics.kinetics import draw_momenta
from mlmd.dynamics.nose_hoover import NoseHooverChain
from mlmd.dynamics.relaxation import Relaxation
from mlmd.run.recorder import Recorder
from mlmd.stages.dynamics.frames import FrameTaker

MODELS = ("chgnet", "sevennet")
TEMPERATURE_K, TIMESTEP_FS, STEPS_PER_FRAME = 1000.0, 2.0, 10
AIM_SPEEDUP, AIM_GRAPH_MS, AIM_OVER_BARE = 15.0, 0.3, 0.10


class Clock:
    """How long there still is."""

    def __init__(self, minutes: float) -> None:
        self._ends = time.perf_counter() + 60.0 * minutes

    @property
    def left_s(self) -> float:
        return self._ends - time.perf_counter()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what the packages say from the table."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def own_calculator(name: str, device: str) -> Any:
    """Return the package's own calculator."""
    if name == "chgnet":
        from chgnet.model.dynamics import CHGNetCalculator

        return CHGNetCalculator(use_device=device)
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator("7net-0", device=device)


def salt(n_atoms: int, number: int) -> Atoms:
    """Return a packed cell; of the size that is measured, each walker's is another."""
    return pack("LiCl", n_atoms, seed=number % 8, volume_per_atom_A3=27)


def starts(calculator: Any, n_atoms: int, n_walkers: int) -> list[Atoms]:
    """Return relaxed starts with momenta of their own."""
    relaxed = []
    for number in range(min(n_walkers, 8)):
        atoms = salt(n_atoms, number)
        atoms.calc = calculator
        Relaxation(atoms, max_force_eV_A=1.0).run(20)
        atoms.calc = None
        relaxed.append(atoms)
    made = []
    for number in range(n_walkers):
        atoms = relaxed[number % len(relaxed)].copy()
        draw_momenta(atoms, TEMPERATURE_K, np.random.default_rng(number))
        made.append(atoms)
    return made


def synchronised(device: str) -> float:
    """Return the time when the device has done all that it was given."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
    return time.perf_counter()


def sequential_s(name: str, start: Atoms, device: str, seconds: float) -> float:
    """Return seconds per step of the package's calculator in ASE's loop."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        atoms = start.copy()
        atoms.calc = own_calculator(name, device)
        dynamics = NoseHooverChainNVT(
            atoms, TIMESTEP_FS * units.fs, temperature_K=TEMPERATURE_K, tdamp=100.0 * units.fs
        )
        with AseTrajectory(Path(folder) / "ase.traj", "w", atoms) as file:
            dynamics.attach(file, interval=STEPS_PER_FRAME)
            dynamics.run(STEPS_PER_FRAME)  # to be warm
            began, steps = time.perf_counter(), 0
            while time.perf_counter() - began < seconds or not steps:
                dynamics.run(STEPS_PER_FRAME)
                steps += STEPS_PER_FRAME
            return (synchronised(device) - began) / steps


class Walk:
    """Walkers that begin together when they are warm, and stop together when time is up."""

    def __init__(self, calculators: Sequence[Any], begin: Sequence[Atoms], seconds: float) -> None:
        self._seconds, self._pairs = seconds, list(zip(calculators, begin, strict=True))
        self._barrier = threading.Barrier(len(self._pairs), self._start)
        self._ends = self._began = 0.0
        self._failed: list[BaseException] = []
        self.n_steps, self.took_s = 0, 0.0
        self.atoms: list[Atoms] = []

    def run(self) -> float:
        """Return the seconds of one step of all."""
        with tempfile.TemporaryDirectory() as folder:
            threads = [
                threading.Thread(target=self._walk, args=(k, *pair, Path(folder)), daemon=True)
                for k, pair in enumerate(self._pairs)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if self._failed:
            raise self._failed[0]
        return self.took_s * len(self._pairs) / self.n_steps

    def _start(self) -> None:
        self._began = time.perf_counter()
        self._ends = self._began + self._seconds

    def _walk(self, number: int, calculator: Any, start: Atoms, folder: Path) -> None:
        try:
            self._steps(number, calculator, start.copy(), folder)
        except BaseException as error:
            self._failed.append(error)
            self._barrier.abort()
        finally:
            if hasattr(calculator, "close"):
                calculator.close()

    def _steps(self, number: int, calculator: Any, atoms: Atoms, folder: Path) -> None:
        atoms.calc = calculator
        dynamics = NoseHooverChain(atoms, timestep_fs=TIMESTEP_FS, temperature_K=TEMPERATURE_K)
        with Recorder(folder / f"{number}.h5md", atoms, n_frames_planned=1000) as recorder:
            dynamics.attach(FrameTaker(dynamics, recorder), interval=STEPS_PER_FRAME)
            dynamics.run(2)
            self._barrier.wait()
            steps = 0
            while time.perf_counter() < self._ends or not steps:
                dynamics.run(1)
                steps += 1
        self.n_steps += steps
        self.took_s = max(self.took_s, time.perf_counter() - self._began)
        self.atoms.append(atoms)


def processes_s(name: str, n: int, given: argparse.Namespace, clock: Clock) -> float | None:
    """Return the seconds of a step of n processes of one walker each, None where one fails."""
    command = [sys.executable, __file__, "--child", name, "--device", given.device]
    command += ["--smoke"] if given.smoke else []
    children = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(n)
    ]
    watch = threading.Timer(max(clock.left_s, 1.0), lambda: [one.kill() for one in children])
    watch.start()
    try:
        if any(one.stdout is None or one.stdout.readline() != "warm\n" for one in children):
            return None
        for one in children:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        speeds = [float(one.stdout.readline() or "nan") for one in children if one.stdout]
        return None if np.isnan(speeds).any() else n / sum(speeds)
    except (OSError, ValueError):
        return None
    finally:
        watch.cancel()
        for one in children:
            one.kill()
            one.communicate()


def child(name: str, n_atoms: int, device: str, seconds: float) -> None:
    """Be one of several processes: tell when it is warm, wait, tell the steps per second."""
    with quiet():
        calculator = CalculatorSpec(name, device=device).load()
        (start,) = starts(calculator, n_atoms, 1)
        Walk([calculator], [start], 0.0).run()
    print("warm", flush=True)
    sys.stdin.readline()
    print(1.0 / Walk([calculator], [start], seconds).run(), flush=True)


@contextlib.contextmanager
def several_at_a_time() -> Iterator[str]:
    """Start NVIDIA's MPS where it can be; say what there is."""
    control = shutil.which("nvidia-cuda-mps-control")
    if control is None:
        yield "no MPS: nvidia-cuda-mps-control is not there"
        return
    names = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY")
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(dict.fromkeys(names, folder))
        try:
            began = subprocess.run([control, "-d"], timeout=30, check=False).returncode == 0
            yield "through MPS" if began else "no MPS: nvidia-cuda-mps-control did not start"
            subprocess.run([control], input=b"quit\n", timeout=30, check=False)
        finally:
            for name in names:
                del os.environ[name]


def median_s(call: Any, device: str, times: int) -> float:
    """Return the median seconds of a call, after one to be warm."""
    took = []
    for _ in range(times + 1):
        began = synchronised(device)
        call()
        took.append(synchronised(device) - began)
    return statistics.median(took[1:])


def gpu_peak(device: str, reset: bool = False) -> str:
    """Return the most memory that the last batch took of the GPU."""
    if not device.startswith("cuda"):
        return "-"
    import torch

    if reset:
        torch.cuda.reset_peak_memory_stats(device)
    return f"{torch.cuda.max_memory_allocated(device) / 1e9:.2f} GB"


def batched(name: str, begin: list[Atoms], given: argparse.Namespace, own_s: float) -> None:
    """Print the row of a number of walkers."""
    n = len(begin)
    with BatchServer(CalculatorSpec(name, device=given.device)) as server:
        walk = Walk([server.calculator() for _ in begin], begin, given.seconds)
        step_s = walk.run()
        server_model = server.model
        per_batch = server.n_computed / server.n_batches
    peak = gpu_peak(given.device)
    structures = [atoms.copy() for atoms in walk.atoms]
    ask = ("energy", "forces", "stress")
    bare_s = median_s(lambda: server_model.calculate_many(structures, ask), given.device, 3)
    graph_s = median_s(lambda: server_model.graphs(structures), given.device, 3)
    print(
        f"{n:>7} walkers  {1 / step_s:>8.2f}  {n / step_s:>8.1f}  {n * own_s / step_s:>6.1f}x  "
        f"{1e3 * step_s / n:>9.2f}  {1e3 * bare_s / n:>9.2f}  {step_s / bare_s - 1:>+7.1%}  "
        f"{1e3 * graph_s / n:>8.3f}  {per_batch:>6.1f}  {peak:>9}",
        flush=True,
    )


def of_model(name: str, given: argparse.Namespace, clock: Clock) -> None:
    """Print the table of one model."""
    with quiet():
        model = CalculatorSpec(name, device=given.device).load()
        begin = starts(model, given.n_atoms, max(given.walkers))
    del model
    own_s = sequential_s(name, begin[0], given.device, given.seconds)
    print(
        f"\n{name}, {given.n_atoms} atoms on {given.device}\n{'':>15}  steps/s   steps/s  times"
        "    ms each    ms bare     over  graph ms  in one  GPU memory\n"
        f"{'':>15}     each    in all  ASE's"
        f"{'':>24}model  structure   batch\n"
        f"     ASE's loop  {1 / own_s:>8.2f}  {1 / own_s:>8.1f}  {1.0:>6.1f}x  {1e3 * own_s:>9.2f}",
        flush=True,
    )
    for n in given.walkers:
        if clock.left_s < 4 * given.seconds:
            print(f"{n:>7} walkers  not measured: time is up")
            continue
        try:
            batched(name, begin[:n], given, own_s)
        except Exception as error:  # the other rows are worth having
            print(f"{n:>7} walkers  failed: {type(error).__name__}: {error}"[:200], flush=True)
    with several_at_a_time() as how:
        for n in given.processes:
            step_s = None
            if clock.left_s > 4 * given.seconds:
                step_s = processes_s(name, n, given, clock)
            if step_s is None:
                print(f"{n:>5} processes  not measured: time is up, or one failed", flush=True)
                continue
            print(
                f"{n:>5} processes  {1 / step_s:>8.2f}  {n / step_s:>8.1f}  "
                f"{n * own_s / step_s:>6.1f}x  {1e3 * step_s / n:>9.2f}",
                flush=True,
            )
        print(f"processes: {how}")


def main() -> None:
    """Measure what there is time for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="small and short, on a CPU")
    parser.add_argument("--device", help="cuda where there is one")
    parser.add_argument("--minutes", type=float, default=7.5, help="after which it ends")
    parser.add_argument("--child", choices=MODELS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    clock = Clock(given.minutes)
    given.n_atoms, given.seconds = 100, 8.0
    given.walkers, given.processes = (1, 8, 64, 256), (2, 4, 8)
    if given.smoke:
        given.n_atoms, given.seconds = 16, 0.5
        given.walkers, given.processes = (1, 2), (2,)
        given.device = given.device or "cpu"
    import torch

    given.device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if given.child:
        child(given.child, given.n_atoms, given.device, given.seconds)
        return
    # A hang must not outlast its time either.
    last = threading.Timer(60.0 * given.minutes + 20.0, os._exit, (1,))
    last.daemon = True
    last.start()
    print(
        f"aims: {AIM_SPEEDUP:g} x ASE's loop in all, graphs at most {AIM_GRAPH_MS} ms a structure, "
        f"at most {AIM_OVER_BARE:.0%} over the bare model"
    )
    began = time.perf_counter()
    share = 60.0 * given.minutes / len(MODELS)
    for place, name in enumerate(MODELS):
        of_model(name, given, Clock(min(clock.left_s, (place + 1) * share) / 60.0))
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
