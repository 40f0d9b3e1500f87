"""What a stage is given: forces, random numbers, files, the stop token, the progress report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mlmd.run.directory import StageFolder
from mlmd.run.stopping import StopToken

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from numpy.random import Generator

REPORT_INTERVAL_S = 0.2


@dataclass(frozen=True)
class Progress:
    """Where a run is, as reported to whoever shows it.

    Attributes
    ----------
    stage
        Name of the stage.
    step, n_steps
        Steps taken and to take in this stage.
    time_ps
        Simulated time of this stage; None for a stage without time.
    temperature_K, pressure_GPa
        As last recorded; None where unknown.
    ns_per_day
        Simulated time per wall time of this session, None until measured.
    run_step, run_n_steps
        The same counts over all stages of dynamics.
    seconds_left
        Estimate for the whole run, None until measured.
    note
        A few words of the stage itself.
    """

    stage: str
    step: int
    n_steps: int
    time_ps: float | None = None
    temperature_K: float | None = None
    pressure_GPa: float | None = None
    ns_per_day: float | None = None
    run_step: int = 0
    run_n_steps: int = 0
    seconds_left: float | None = None
    note: str = ""


ProgressReport = Callable[[Progress], None]


@dataclass
class StageContext:
    """What a stage is given besides its settings and the atoms.

    Attributes
    ----------
    calculator
        An ASE calculator.
    rng
        This stage's own generator: another stage never changes its numbers.
    spawn
        Gives the generator of a sub-run by its name.
    folder
        Its place on the disk.
    source
        The folder of the stage that it starts from; None for the first, and in a sub-run.
    stop
        To be looked at often.
    report
        Called with :class:`Progress`.
    checkpoint_every_s
        Wall time between checkpoints.
    steps_before, run_n_steps
        Steps of dynamics of the stages before this one, and of all stages.
    is_part
        Whether this is a run within a stage: no protocol has settings for it.
    """

    calculator: Calculator
    rng: Generator
    spawn: Callable[[str], Generator]
    folder: StageFolder
    stop: StopToken
    report: ProgressReport
    checkpoint_every_s: float
    source: StageFolder | None = None
    steps_before: int = 0
    run_n_steps: int = 0
    is_part: bool = False
    _last_checkpoint: float = field(default_factory=time.monotonic)
    _last_report: float = 0.0

    def inside(self, name: str) -> StageContext:
        """Return the context of a sub-run: a folder and a generator of its own."""
        spawn, report = self.spawn, self.report
        outer = self.folder.path.name.partition("-")[2]
        return replace(
            self,
            rng=spawn(name),
            spawn=lambda inner: spawn(f"{name}/{inner}"),
            folder=StageFolder(self.folder.path / name, self.folder.lock),
            source=None,
            is_part=True,
            report=lambda progress: report(replace(progress, stage=f"{outer}/{progress.stage}")),
        )

    def checkpoint_is_due(self) -> bool:
        """Tell whether a checkpoint is due, and start the clock again if so."""
        now = time.monotonic()
        if now - self._last_checkpoint < self.checkpoint_every_s:
            return False
        self._last_checkpoint = now
        return True

    def report_is_due(self) -> bool:
        """Tell whether somebody may want to see progress again."""
        now = time.monotonic()
        if now - self._last_report < REPORT_INTERVAL_S:
            return False
        self._last_report = now
        return True
