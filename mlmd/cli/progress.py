"""Showing progress: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlmd.stages.context import Progress, ProgressReport

LINE_INTERVAL_S = 30.0


@contextmanager
def shown_progress() -> Iterator[ProgressReport]:
    """Give a function that shows :class:`Progress` on standard error."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[text]}"),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(progress: Progress) -> None:
            if progress.stage not in tasks:
                for done in tasks.values():
                    total = bars.tasks[done].total
                    bars.update(done, completed=total)
                tasks[progress.stage] = bars.add_task(progress.stage, text="")
            bars.update(
                tasks[progress.stage],
                total=progress.n_steps,
                completed=progress.step,
                text=describe(progress),
            )

        yield show


class _Lines:
    """Plain lines: one when a stage begins or ends, else one every half minute."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        """Print a line where one is due."""
        now = time.monotonic()
        new = progress.stage != self._stage
        ended = progress.step == progress.n_steps
        if new or ended or now - self._last >= LINE_INTERVAL_S:
            self._stage, self._last = progress.stage, now
            # Nobody reads it any more, or its disk is full: no reason to end the run.
            with suppress(OSError):
                print(f"{progress.stage}: {describe(progress)}", file=sys.stderr, flush=True)


def describe(progress: Progress) -> str:
    """Put step, time, temperature, pressure, speed and the time left into one line."""
    parts = [f"step {progress.step}/{progress.n_steps}"]
    if progress.time_ps is not None:
        parts.append(f"{progress.time_ps:.2f} ps")
    if progress.temperature_K is not None:
        parts.append(f"{progress.temperature_K:.0f} K")
    if progress.pressure_GPa is not None:
        parts.append(f"{progress.pressure_GPa:+.2f} GPa")
    if progress.ns_per_day is not None:
        parts.append(f"{progress.ns_per_day:.3g} ns/day")
    if progress.seconds_left is not None and progress.step < progress.n_steps:
        parts.append(f"{clock(progress.seconds_left)} left")
    if progress.note:
        parts.append(progress.note)
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Write a time as h:mm:ss, or in days where it is long."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours / 24:.0f} days"
    return f"{hours:d}:{minutes:02d}:{rest:02d}"
