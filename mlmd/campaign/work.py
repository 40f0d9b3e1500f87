"""What a worker does: some cases on one model, told by paths and plain data alone.

A task can be given twice, or be killed at any moment: the run directories know how far cases are.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.calculators.spec import CalculatorSpec
from mlmd.campaign.archive import pack_run, unpack_run
from mlmd.campaign.case import Case, CaseFailure, run_case
from mlmd.campaign.engines.ending import Ending
from mlmd.campaign.journal import BUSY, DONE, FAILED, STARTED, STOPPED, Journal
from mlmd.campaign.lengthening import Until
from mlmd.campaign.many import run_many
from mlmd.campaign.plan import Planned
from mlmd.campaign.results.measuring import keep_measured
from mlmd.campaign.sources import starting_structure
from mlmd.campaign.watching import Watch
from mlmd.errors import DiskFullError, MlmdError, NotSharedError, StoppedError
from mlmd.protocol.protocol import Protocol
from mlmd.run.stopping import StopToken

if TYPE_CHECKING:
    from mlmd.run.run import Run
    from mlmd.stages.context import Progress

logger = logging.getLogger(__name__)

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
    time_limit_s: float | None = None
    stalled_after_s: float | None = None
    until: Mapping[str, Any] | None = None
    pack: bool = False
    client: tuple[str, int] = ("", 0)
    """Host and process that gave it: one that hangs there, in a thread, is not ended."""
    stop_file: str = ""
    """Appears when the client stops."""


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


class _Limit(StopToken):
    """Stops when this worker is told to end, or when a task has taken long enough."""

    def __init__(self, limit_s: float | None, stop_file: str) -> None:
        self._own: str | None = None
        self._ending = Ending(stop_file)
        self._limit_s = limit_s
        self._began = time.monotonic()
        super().__init__()

    @property
    def reason(self) -> str | None:
        """Why to stop; None while there is no reason."""
        if self._limit_s is not None and time.monotonic() - self._began > self._limit_s:
            return f"time limit of {self._limit_s:g} s"
        return _token.reason or self._own or self._ending.reason

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
    outcomes: dict[str, Outcome] = {}
    try:
        _worked(task, folder, outcomes)
        return list(outcomes.values())
    except Exception as error:  # one of ours: the workers of a task are not to blame for it
        journal = Journal(folder)
        for planned in task.cases:
            if planned.name not in outcomes:
                failure = CaseFailure.of(folder / planned.name, error)
                outcomes[planned.name] = _told(journal, planned.name, failure, task)
        return list(outcomes.values())
    finally:
        _at_work.remove(task)


def _worked(task: Task, folder: Path, outcomes: dict[str, Outcome]) -> None:
    """Do what :func:`work` does; note what became of each case."""
    journal, token = Journal(folder), _Limit(task.time_limit_s, task.stop_file)
    protocol = Protocol.from_dict(task.protocol)
    until = None if task.until is None else Until.of(task.until)
    is_clients = task.client == (socket.gethostname(), os.getpid())
    watch = Watch(None if is_clients else task.stalled_after_s, folder, task.cases[0].name)

    def ended(case: Case, found: Run | CaseFailure) -> None:
        watch.ended(case.directory.name)
        outcomes[case.directory.name] = _told(journal, case.directory.name, found, task)

    def moved(case: Case, progress: Progress) -> None:
        watch.moved(case.directory.name)

    try:
        spec = CalculatorSpec(**task.calculator)
        cases = []
        for planned in task.cases:
            journal.write(planned.name, STARTED)
            directory = folder / planned.name
            try:
                unpack_run(directory)
                atoms = starting_structure(planned.source, planned.seed)
            except StoppedError:
                raise
            except MlmdError as error:
                failure = CaseFailure.of(directory, error)
                outcomes[planned.name] = _told(journal, planned.name, failure, task)
                continue
            cases.append(Case(protocol, atoms, directory, planned.seed, until=until))
        with watch:
            if task.walkers > 1 and len(cases) > 1:
                try:
                    run_many(cases, spec, task.walkers, progress=moved, ended=ended, stop=token)
                except NotSharedError as error:
                    logger.warning("the cases of a task are run one after another: %s", error)
            for case in cases:
                if case.directory.name in outcomes:
                    continue
                if token.reason is not None:
                    raise StoppedError(token.reason)
                report = functools.partial(moved, case)
                ended(case, run_case(case, spec, progress=report, stop=token))
    except StoppedError as error:
        kind = "disk" if isinstance(error, DiskFullError) else ""
        for planned in task.cases:
            if planned.name not in outcomes:
                journal.write(planned.name, STOPPED, message=str(error))
                outcomes[planned.name] = Outcome(planned.name, STOPPED, kind, str(error))


def _told(journal: Journal, name: str, found: Run | CaseFailure, task: Task) -> Outcome:
    """Write down what came of a case."""
    if not isinstance(found, CaseFailure):
        keep_measured(found)  # what is asked for later is measured where the processors are
        try:
            if task.pack:
                pack_run(found.path)
        except StoppedError:
            raise
        except MlmdError as error:
            found = CaseFailure.of(found.path, error)
    if not isinstance(found, CaseFailure):
        journal.write(name, DONE, **({} if task.until is None else {"until": task.until}))
        return Outcome(name, DONE)
    if found.kind == BUSY:
        journal.write(name, BUSY, message=found.message)
        return Outcome(name, BUSY, message=found.message)
    journal.write(name, FAILED, kind=found.kind, message=found.message, traceback=found.traceback)
    return Outcome(name, FAILED, found.kind, found.message)
