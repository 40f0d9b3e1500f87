"""Walkers that are timed, and what is measured of them."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator

from mlmd.calculators.batched import BatchedCalculator
from mlmd.calculators.isolation import IsolatedCalculator
from mlmd.calculators.precision import is_program
from mlmd.dynamics.kinetics import draw_momenta
from mlmd.dynamics.nose_hoover import NoseHooverChain
from mlmd.run.recorder import Recorder
from mlmd.stages.context import REPORT_INTERVAL_S, Progress
from mlmd.stages.dynamics.frames import FrameTaker

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.calculators.batched import BatchServer
    from mlmd.stages.context import ProgressReport

STEPS_PER_FRAME = 10
TEMPERATURE_K = 1000.0
SECONDS, FEWEST_STEPS, MOST_STEPS = 5.0, 2, 500
"""About how long walkers are timed, where the user gives no number of steps."""


class Timing:
    """When all walkers are warm they begin together, for as many steps as the first step says."""

    def __init__(
        self,
        n_walkers: int,
        n_steps: int | None,
        spent: BatchServer | Seconds,
        report: ProgressReport,
    ) -> None:
        self._n_walkers, self._spent, self._report = n_walkers, spent, report
        self._barrier = threading.Barrier(n_walkers, self._begin)
        self._came = time.perf_counter()
        self.n_steps = n_steps or 0
        self._before_s = self._began = self._reported = 0.0

    def warm(self) -> None:
        """Note that a walker has its first forces; from the last of them on time is taken."""
        self._came = time.perf_counter()

    def wait(self) -> None:
        """Wait for the others."""
        self._barrier.wait()

    def _begin(self) -> None:
        self._began, self._before_s = time.perf_counter(), self._spent.computing_s
        if not self.n_steps:
            fit = SECONDS / max(self._began - self._came, 1e-9)
            self.n_steps = int(min(max(fit, FEWEST_STEPS), MOST_STEPS))

    def abort(self) -> None:
        """Let nobody wait for one that failed."""
        self._barrier.abort()

    def share_of_model(self, ended: float) -> float:
        """Return the part of the time until then that forces were computed in."""
        share = (self._spent.computing_s - self._before_s) / (ended - self._began)
        return min(share, 1.0)

    def report(self, step: int) -> None:
        """Say how far the first walker is, not at every step."""
        now = time.perf_counter()
        if step in (0, self.n_steps) or now - self._reported > REPORT_INTERVAL_S:
            self._reported = now
            name = f"{self._n_walkers} walker{'s' if self._n_walkers > 1 else ''}"
            self._report(Progress(name, step, self.n_steps))


class Walker:
    """One dynamics that is timed."""

    def __init__(
        self, number: int, start: Atoms, calculator: Calculator, folder: Path, timestep_fs: float
    ) -> None:
        self.number = number
        self.atoms = start.copy()
        draw_momenta(self.atoms, TEMPERATURE_K, np.random.default_rng(number))
        self.atoms.calc = calculator
        self.path = folder / f"{number}.h5md"
        self.dynamics = NoseHooverChain(
            self.atoms, timestep_fs=timestep_fs, temperature_K=TEMPERATURE_K
        )
        self.ended = 0.0
        self._plain_s: list[float] = []
        self._with_frame_s: list[float] = []
        self._first_frame_s = 0.0

    def walk(self, timing: Timing) -> None:
        """Take a step to be warm, then those that are timed."""
        try:
            with Recorder(self.path, self.atoms, n_frames_planned=MOST_STEPS) as recorder:
                self._walk(timing, FrameTaker(self.dynamics, recorder))
        except BaseException:
            timing.abort()
            raise
        finally:
            if isinstance(self.atoms.calc, BatchedCalculator):
                self.atoms.calc.close()

    def _walk(self, timing: Timing, take: FrameTaker) -> None:
        dynamics = self.dynamics
        _ = dynamics.forces_eV_A
        timing.warm()
        began = time.perf_counter()
        take()
        self._first_frame_s = time.perf_counter() - began
        dynamics.attach(take, interval=STEPS_PER_FRAME)
        dynamics.run(1)
        timing.wait()
        last = time.perf_counter()

        def follow() -> None:
            nonlocal last
            now = time.perf_counter()
            has_frame = dynamics.nsteps % STEPS_PER_FRAME == 0
            (self._with_frame_s if has_frame else self._plain_s).append(now - last)
            if self.number == 0:
                timing.report(dynamics.nsteps - 1)
            last = time.perf_counter()

        dynamics.attach(follow)
        dynamics.run(timing.n_steps)
        self.ended = time.perf_counter()

    def steps_s(self) -> list[float]:
        """Return the seconds of each step, with its tenth of what a frame takes more."""
        plain = self._plain_s
        frame_s = self._first_frame_s
        if self._with_frame_s:
            frame_s = statistics.median(self._with_frame_s) - statistics.median(plain)
        return [step + max(frame_s, 0.0) / STEPS_PER_FRAME for step in plain]


@dataclass
class Seconds:
    """As of a server: how long forces were computed."""

    computing_s: float = 0.0


@contextlib.contextmanager
def seconds_within(calculator: Any) -> Iterator[Seconds]:
    """Count the seconds within a calculator, at the door by which dynamics asks it."""
    plain = type(calculator).get_property is Calculator.get_property
    door = "calculate" if plain else "get_property"
    ask: Callable[..., Any] = getattr(calculator, door)
    spent = Seconds()

    def timed(*arguments: Any, **keywords: Any) -> Any:
        began = time.perf_counter()
        try:
            return ask(*arguments, **keywords)
        finally:
            spent.computing_s += time.perf_counter() - began

    setattr(calculator, door, timed)
    try:
        yield spent
    finally:
        delattr(calculator, door)


class PeakMemory:
    """The most memory that is taken from now on: of the GPU, or of this process."""

    def __init__(self, model: Any) -> None:
        device = str(getattr(model, "device", None) or "cpu")
        self._gpu = device if device.startswith("cuda") else None
        # What computes elsewhere takes its memory there.
        self._known = not is_program(model) and not isinstance(model, IsolatedCalculator)
        if self._gpu is not None and self._known:
            import torch

            torch.cuda.reset_peak_memory_stats(self._gpu)
        else:
            with contextlib.suppress(OSError):  # of Linux; elsewhere it is not known below, too
                Path("/proc/self/clear_refs").write_text("5")

    def bytes(self) -> int | None:
        """Return it; None where it is not known."""
        if not self._known:
            return None
        if self._gpu is not None:
            import torch

            return int(torch.cuda.max_memory_allocated(self._gpu))
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return 1024 * int(line.split()[1])
        return None
