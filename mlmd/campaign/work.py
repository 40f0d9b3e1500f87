"""What a worker does: some cases on one model, told by paths and plain data alone.

A task can be given twice, or be killed at any moment: the run directories know how far cases are.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.calculators.spec import CalculatorSpec
from mlmd.campaign.case import Case, CaseFailure, run_case
from mlmd.campaign.journal import BUSY, DONE, FAILED, STARTED, STOPPED, Journal
from mlmd.campaign.many import run_many
from mlmd.campaign.plan import Planned, starting_structure
from mlmd.campaign.results.measuring import keep_measured
from mlmd.errors import DiskFullError, MlmdError, StoppedError
from mlmd.protocol.protocol import Protocol
from mlmd.run.stopping import StopToken

if TYPE_CHECKING:
    from mlmd.run.run import Run

_token = StopToken()
"""Of this worker process: set by the signals that ask it to end."""
_at_work: list[Task] = []


@dataclass(frozen=True)
class Task:
    """Cases for one worker, as what can be sent to it."""

    folder: str
    protocol: Mapping[str, Any]
    calculator: Mapping[str, Any]
    cases: tuple[Planned, ...]
    walkers: int
    time_limit_s: float | None


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes
    ----------
    case
        Its name.
    state
        ``done``, ``failed``, ``stopped`` (at a checkpoint), ``busy`` (another process has it).
    kind, message
        Of a failure, see :class:`~mlmd.campaign.case.CaseFailure`; why it was stopped.
    """

    case: str
    state: str
    kind: str = ""
    message: str = ""


class _Until(StopToken):
    """Stops when this worker is told to end, or when a task has taken long enough."""

    def __init__(self, limit_s: float | None) -> None:
        self._own: str | None = None
        self._limit_s = limit_s
        self._began = time.monotonic()
        super().__init__()

    @property
    def reason(self) -> str | None:
        """Why to stop; None while there is no reason."""
        if self._limit_s is not None and time.monotonic() - self._began > self._limit_s:
            return f"time limit of {self._limit_s:g} s"
        return _token.reason or self._own

    @reason.setter
    def reason(self, value: str | None) -> None:
        self._own = value


def listen(client: int) -> None:
    """Prepare a worker process: it stops at checkpoints when told to end, or left alone.

    Ctrl-C is for the client, a process of this number, which tells its workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGXCPU):
        signal.signal(number, lambda number, _: _token.stop(signal.Signals(number).name))
    threading.Thread(target=_end_with, args=(client,), daemon=True).start()


def _end_with(client: int) -> None:
    """End when the client has gone, however it went: nobody will give another task."""
    while os.getppid() == client:
        time.sleep(1.0)
    _token.stop("the process that gave the task has gone")
    while _at_work:  # it stops at its checkpoint
        time.sleep(0.1)
    os._exit(1)


def work(task: Task) -> list[Outcome]:
    """Run the cases of a task, or go on with them; nothing is raised for a case that fails."""
    folder = Path(task.folder)
    folder.mkdir(parents=True, exist_ok=True)
    _at_work.append(task)
    try:
        return _worked(task, folder)
    finally:
        _at_work.remove(task)


def _worked(task: Task, folder: Path) -> list[Outcome]:
    journal, token = Journal(folder), _Until(task.time_limit_s)
    protocol = Protocol.from_dict(task.protocol)
    outcomes: dict[str, Outcome] = {}
    cases = []
    for planned in task.cases:
        journal.write(planned.name, STARTED)
        try:
            atoms = starting_structure(planned.source, planned.seed)
        except MlmdError as error:
            failure = CaseFailure.of(folder / planned.name, error)
            outcomes[planned.name] = _told(journal, planned.name, failure)
            continue
        cases.append(Case(protocol, atoms, folder / planned.name, seed=planned.seed))

    def ended(case: Case, found: Run | CaseFailure) -> None:
        outcomes[case.directory.name] = _told(journal, case.directory.name, found)

    try:
        spec = CalculatorSpec(**task.calculator)
        if task.walkers > 1 and len(cases) > 1:
            run_many(cases, spec, task.walkers, ended=ended, stop=token)
        else:
            for case in cases:
                if token.reason is not None:
                    raise StoppedError(token.reason)
                ended(case, run_case(case, spec, stop=token))
    except StoppedError as error:
        kind = "disk" if isinstance(error, DiskFullError) else ""
        for planned in task.cases:
            if planned.name not in outcomes:
                journal.write(planned.name, STOPPED, message=str(error))
                outcomes[planned.name] = Outcome(planned.name, STOPPED, kind, str(error))
    return list(outcomes.values())


def _told(journal: Journal, name: str, found: Run | CaseFailure) -> Outcome:
    """Write down what came of a case."""
    if not isinstance(found, CaseFailure):
        keep_measured(found)  # what is asked for later is measured where the processors are
        journal.write(name, DONE)
        return Outcome(name, DONE)
    if found.kind == BUSY:
        journal.write(name, BUSY, message=found.message)
        return Outcome(name, BUSY, message=found.message)
    journal.write(name, FAILED, kind=found.kind, message=found.message, traceback=found.traceback)
    return Outcome(name, FAILED, found.kind, found.message)
