"""The client of a campaign: gives its cases to workers until all have ended."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlmd.campaign.engines.deaths import Deaths
from mlmd.campaign.engines.ending import Ending, stop_file
from mlmd.campaign.engines.making import executors_of
from mlmd.campaign.engines.relay import Relay
from mlmd.campaign.journal import (
    BUSY,
    FAILED,
    STOPPED,
    Journal,
    read_journals,
)
from mlmd.campaign.plan import Campaign, Planned
from mlmd.campaign.pool import LocalPool
from mlmd.campaign.state import CampaignState, left_of, plain_rule, state_of
from mlmd.campaign.watching import what_is_left
from mlmd.campaign.work import Outcome, Task, work
from mlmd.errors import MlmdError, StoppedError
from mlmd.run.stopping import StopToken

if TYPE_CHECKING:
    from collections.abc import Sequence


logger = logging.getLogger(__name__)

EngineOf = Executor | Callable[[], Executor]
IN_FLIGHT = 64
"""Of an executor that does not say how many tasks it is to have at a time: what it has too many of
waits in its queue, and all that have begun are read again where it breaks."""
MOST_DEATHS = 3
"""Of workers, while a case got no further, before it counts as what kills them."""
MOST_UNBEGUN = 20
"""Looks in a row at which workers had died that had begun nothing: none starts."""
MOST_MEMORY_FAILURES = 3
"""Tries of a case whose memory ran out: each with half of the walkers before."""
BUSY_AGAIN_S = 5.0
"""After which a case that another process had is tried again."""
LOOK_EVERY_S = 0.5


def run_campaign(
    campaign: Campaign,
    executor: EngineOf | None = None,
    *,
    retry: bool = False,
    in_flight: int | None = None,
    ended: Callable[[Outcome], None] | None = None,
    looking: Callable[[list[str]], None] | None = None,
    stop: StopToken | None = None,
) -> CampaignState:
    """Run the cases of a campaign that have not ended, by any number of workers.

    The same call goes on where the last one was, however that ended; several at once help each
    other.

    Parameters
    ----------
    campaign
        What to do.
    executor
        Any executor of :mod:`concurrent.futures`, or a function that makes one, which is called
        again when one breaks; the campaign's engine where None.
    retry
        Run the cases that failed, too.
    in_flight
        Tasks given out at a time.
    ended
        Called with what became of each case.
    looking
        Called about twice a second with the names of the cases that are given out.
    stop
        Set from anywhere, it has the workers stop at checkpoints.

    Returns
    -------
    CampaignState
        All are done or have failed.

    Raises
    ------
    StoppedError
        If it was stopped, or at the end where a disk was full; the same call goes on.
    InputError
        If the engine cannot be used.
    """
    campaign.folder.mkdir(parents=True, exist_ok=True)
    client = _Client(
        campaign,
        executor,
        in_flight,
        ended or (lambda outcome: None),
        looking or (lambda names: None),
    )
    client.run(stop or StopToken(), retry)
    return state_of(campaign)


@dataclass
class _Client:
    campaign: Campaign
    source: EngineOf | None
    in_flight: int | None
    ended: Callable[[Outcome], None]
    looking: Callable[[list[str]], None]
    waiting: deque[tuple[Planned, int]] = field(default_factory=deque)
    """With the walkers that a case may have beside itself, itself included."""
    later: list[tuple[float, Planned, int]] = field(default_factory=list)
    running: dict[Future[list[Outcome]], tuple[Task, int, Executor]] = field(default_factory=dict)
    protocols: list[dict[str, Any]] = field(default_factory=list)
    deaths: Deaths = field(default_factory=Deaths)
    short: Counter[str] = field(default_factory=Counter)
    looked: float = 0.0
    unbegun: int = 0
    """Looks in a row that found nothing but workers that died before they began."""
    disk_full: str = ""
    """What was said where there was no space for a case."""

    def run(self, token: StopToken, retry: bool) -> None:
        left = left_of(self.campaign, read_journals(self.campaign.folder), retry)
        self.waiting.extend((case, self.campaign.walkers) for case in left)
        if not self.waiting:
            return
        self.protocols = [protocol.to_dict() for protocol in self.campaign.protocols]
        if self.source is None:
            self.source = executors_of(self.campaign)
        self.executor = self._new_executor()
        self.stop_file = stop_file(self.campaign.folder)
        ending = Ending()
        own = not isinstance(self.source, Executor)
        try:
            while self.waiting or self.running or self.later:
                if (reason := token.reason or ending.reason) is not None:
                    self._stop(reason)
                self._bring_back()
                self._fill()
                self._collect()
                self._look()
        finally:
            if own:
                self.executor.shutdown(wait=not self.running, cancel_futures=True)
            self.stop_file.unlink(missing_ok=True)
        if self.disk_full:
            raise StoppedError(self._how_far(self.disk_full))

    def _new_executor(self) -> Executor:
        if isinstance(self.source, Executor):
            return self.source
        assert self.source is not None
        return self.source()

    def _fill(self) -> None:
        """Give out as many tasks as there may be."""
        limit = self.in_flight or int(getattr(self.executor, "in_flight", IN_FLIGHT))
        while self.waiting and len(self.running) < limit:
            task, walkers = self._next_task()
            try:
                future = self.executor.submit(work, task)
            except BrokenExecutor as error:
                self.waiting.extendleft((case, walkers) for case in reversed(task.cases))
                self._replace(error)
                continue
            self.running[future] = task, walkers, self.executor

    def _next_task(self) -> tuple[Task, int]:
        """Take cases that share a model: as many as walk together."""
        first, walkers = self.waiting.popleft()
        cases = [first]
        while self.waiting and len(cases) < walkers:
            case, others = self.waiting[0]
            one = (case.calculator, case.protocol, others)
            if one != (first.calculator, first.protocol, walkers):
                break
            cases.append(case)
            self.waiting.popleft()
        campaign = self.campaign
        task = Task(
            folder=str(campaign.folder.absolute()),
            protocol=self.protocols[first.protocol],
            calculator=campaign.calculators[first.calculator].to_dict(),
            cases=tuple(cases),
            walkers=walkers,
            time_limit_s=campaign.time_limit_s,
            stalled_after_s=campaign.stalled_after_s,
            until=plain_rule(campaign.until),
            pack=campaign.pack,
            client=(socket.gethostname(), os.getpid()),
            stop_file=str(self.stop_file),
        )
        return task, walkers

    def _collect(self) -> None:
        """Take what has ended."""
        if not self.running:
            time.sleep(LOOK_EVERY_S if self.later else 0.0)
            return
        done, _ = wait(self.running, timeout=LOOK_EVERY_S, return_when=FIRST_COMPLETED)
        begun = False
        for future in done:
            task, walkers, executor = self.running.pop(future)
            error = CancelledError() if future.cancelled() else future.exception()
            if error is None:
                begun = True
                for outcome, case in _paired(future.result(), task.cases):
                    self._judge(outcome, case, walkers)
                continue
            if isinstance(error, MlmdError):
                raise error  # no executor of this engine will do it
            if isinstance(error, CancelledError):  # by the executor: nobody had begun it
                self.waiting.extend((case, walkers) for case in task.cases)
            else:
                begun |= self._died(task, walkers, error)
            broken = isinstance(error, BrokenExecutor | CancelledError)
            broken = broken and not isinstance(executor, LocalPool)
            if broken and executor is self.executor:  # not yet replaced for another of its tasks
                self._replace(error)
            if not begun and self.unbegun >= MOST_UNBEGUN:
                raise StoppedError(self._how_far(f"workers die before they begin ({error})"))
        if done:
            self.unbegun = 0 if begun else self.unbegun + 1

    def _judge(self, outcome: Outcome, case: Planned, walkers: int) -> None:
        """Say what became of a case, or have it done again."""
        if outcome.state == BUSY:
            self.later.append((time.monotonic() + BUSY_AGAIN_S, case, walkers))
        elif outcome.state == STOPPED and outcome.kind == "disk":
            self.disk_full = outcome.message
            self.ended(outcome)
        elif outcome.state == STOPPED:
            self.waiting.append((case, walkers))
        elif outcome.kind == "memory" and self.short[case.name] < MOST_MEMORY_FAILURES:
            self.short[case.name] += 1
            self.waiting.append((case, max(1, walkers // 2)))
        else:
            self.ended(outcome)

    def _died(self, task: Task, walkers: int, error: BaseException) -> bool:
        """Do the cases again whose worker died, until one of them seems to be what kills them.

        Of several that walk together nobody knows which it was: half of them each time, they come
        to walk alone, and only alone is a case given up. Returns whether they had begun.
        """
        kind, what = "worker", f"{type(error).__name__}: {error}"
        trace = what_is_left(self.campaign.folder, task.cases[0].name)
        if trace is None:  # it waited behind another, or no worker starts at all
            self.waiting.extend((case, walkers) for case in task.cases)
            return False
        if trace:
            kind, what = "hung", f"no step within {task.stalled_after_s:g} s"
        together = len(task.cases) > 1
        for case in task.cases:
            deaths = self.deaths.count(self.campaign.folder / case.name)
            if together or deaths < MOST_DEATHS:
                logger.warning("a worker died (%s); case %s goes on in another", what, case.name)
                fewer = together and deaths > 1
                self.waiting.append((case, max(1, walkers // 2) if fewer else walkers))
                continue
            message = f"its worker died {deaths} times without getting further: {what}"
            Journal(self.campaign.folder).write(
                case.name, FAILED, kind=kind, message=message, traceback=trace
            )
            self.ended(Outcome(case.name, FAILED, kind, message))
        return True

    def _look(self) -> None:
        now = time.monotonic()
        if now - self.looked >= LOOK_EVERY_S:
            self.looked = now
            self.looking([case.name for task, *_ in self.running.values() for case in task.cases])

    def _bring_back(self) -> None:
        now = time.monotonic()
        ready = [one for one in self.later if one[0] <= now]
        self.later = [one for one in self.later if one[0] > now]
        self.waiting.extend((case, walkers) for _, case, walkers in ready)

    def _replace(self, error: BaseException) -> None:
        """Make another executor where one broke."""
        if isinstance(self.source, Executor):
            raise StoppedError(
                f"the executor broke ({error}); the same call with a new one goes on (give a "
                "function that makes one, and it is done here)"
            ) from error
        logger.warning("the executor broke (%s); another one goes on", error)
        self.executor.shutdown(wait=False, cancel_futures=True)
        self.executor = self._new_executor()

    def _stop(self, reason: str) -> None:
        """Have the workers stop, wait for them, and say so."""
        for future in list(self.running):
            if future.cancel():
                self.running.pop(future)
        self.stop_file.touch()
        if isinstance(self.executor, LocalPool | Relay):
            self.executor.stop()
        wait(self.running)
        for future, (task, walkers, _) in self.running.items():
            if not future.cancelled() and future.exception() is None:
                for outcome, case in _paired(future.result(), task.cases):
                    self._judge(outcome, case, walkers)
        self.running.clear()
        raise StoppedError(self._how_far(reason))

    def _how_far(self, reason: str) -> str:
        n_done = state_of(self.campaign).counts["done"]
        return (
            f"{reason}: {n_done} of {len(self.campaign.cases)} cases are done; the same command "
            "goes on with the others"
        )


def _paired(
    outcomes: Sequence[Outcome], cases: Sequence[Planned]
) -> Iterator[tuple[Outcome, Planned]]:
    by_name = {case.name: case for case in cases}
    for outcome in outcomes:
        yield outcome, by_name[outcome.case]
