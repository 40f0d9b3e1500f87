"""The client of a campaign: gives its cases to workers until all have ended."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlmd.campaign.journal import BUSY, DONE, FAILED, STARTED, STOPPED, Journal, read_journals
from mlmd.campaign.plan import Campaign, Planned
from mlmd.campaign.pool import LocalPool
from mlmd.campaign.work import Outcome, Task, work
from mlmd.errors import StoppedError
from mlmd.run.lock import is_at_work
from mlmd.run.stopping import StopToken

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

EngineOf = Executor | Callable[[], Executor]
TASKS_PER_WORKER = 2
MOST_DEATHS = 3
"""Of workers, before a case counts as what kills them."""
MOST_MEMORY_FAILURES = 3
"""Tries of a case whose memory ran out: each with half of the walkers before."""
BUSY_AGAIN_S = 5.0
"""After which a case that another process had is tried again."""
LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class CampaignState:
    """How far a campaign is.

    Attributes
    ----------
    counts
        Cases ``done``, ``running``, ``failed`` and ``waiting``.
    failures
        By case: ``kind`` and ``message``.
    cases
        State of each case, as they are counted.
    """

    counts: Mapping[str, int]
    failures: Mapping[str, Mapping[str, Any]]
    cases: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "counts": dict(self.counts),
            "failures": {k: dict(v) for k, v in self.failures.items()},
        }


def state_of(campaign: Campaign) -> CampaignState:
    """Return how far a campaign is, from what its workers wrote down."""
    told = read_journals(campaign.folder)
    counts = Counter({"done": 0, "running": 0, "failed": 0, "waiting": 0})
    failures: dict[str, dict[str, Any]] = {}
    cases: dict[str, str] = {}
    for case in campaign.cases:
        one = told.get(case.name)
        event = "" if one is None else one.event
        if one is not None and event == FAILED:
            failures[case.name] = {key: one.details.get(key) for key in ("kind", "message")}
        at_work = event in (STARTED, BUSY) and is_at_work(campaign.folder / case.name)
        state = event if event in (DONE, FAILED) else "running" if at_work else "waiting"
        counts[state] += 1
        cases[case.name] = state
    return CampaignState(dict(counts), failures, cases)


def run_campaign(
    campaign: Campaign,
    executor: EngineOf | None = None,
    *,
    retry: bool = False,
    in_flight: int | None = None,
    ended: Callable[[Outcome], None] | None = None,
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
        again when one breaks; processes on this machine where None.
    retry
        Run the cases that failed, too.
    in_flight
        Tasks given out at a time.
    ended
        Called with what became of each case.
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
    client = _Client(campaign, executor, in_flight, ended or (lambda outcome: None))
    client.run(stop or StopToken(), retry)
    return state_of(campaign)


@dataclass
class _Client:
    campaign: Campaign
    source: EngineOf | None
    in_flight: int | None
    ended: Callable[[Outcome], None]
    waiting: deque[tuple[Planned, int]] = field(default_factory=deque)
    """With the walkers that a case may have beside itself, itself included."""
    later: list[tuple[float, Planned, int]] = field(default_factory=list)
    running: dict[Future[list[Outcome]], tuple[Task, int, Executor]] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    short: Counter[str] = field(default_factory=Counter)
    disk_full: str = ""
    """What was said where there was no space for a case."""

    def run(self, token: StopToken, retry: bool) -> None:
        told = read_journals(self.campaign.folder)
        over = {DONE} if retry else {DONE, FAILED}
        for case in self.campaign.cases:
            if case.name not in told or told[case.name].event not in over:
                self.waiting.append((case, self.campaign.walkers))
        if not self.waiting:
            return
        self.protocol = self.campaign.protocol.to_dict()
        self.executor = self._new_executor()
        own = not isinstance(self.source, Executor)
        try:
            while self.waiting or self.running or self.later:
                if token.reason is not None:
                    self._stop(token.reason)
                self._bring_back()
                self._fill()
                self._collect()
        finally:
            if own:
                self.executor.shutdown(wait=not self.running, cancel_futures=True)
        if self.disk_full:
            raise StoppedError(self._how_far(self.disk_full))

    def _new_executor(self) -> Executor:
        if isinstance(self.source, Executor):
            return self.source
        if self.source is None:
            pool = LocalPool(self.campaign.workers)
            self.in_flight = self.in_flight or pool.workers * TASKS_PER_WORKER
            return pool
        return self.source()

    def _fill(self) -> None:
        """Give out as many tasks as there may be."""
        limit = self.in_flight or 64
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
            if (case.calculator, others) != (first.calculator, walkers):
                break
            cases.append(case)
            self.waiting.popleft()
        campaign = self.campaign
        task = Task(
            folder=str(campaign.folder.absolute()),
            protocol=self.protocol,
            calculator=campaign.calculators[first.calculator].to_dict(),
            cases=tuple(cases),
            walkers=walkers,
            time_limit_s=campaign.time_limit_s,
        )
        return task, walkers

    def _collect(self) -> None:
        """Take what has ended."""
        if not self.running:
            time.sleep(LOOK_EVERY_S if self.later else 0.0)
            return
        done, _ = wait(self.running, timeout=LOOK_EVERY_S, return_when=FIRST_COMPLETED)
        for future in done:
            task, walkers, executor = self.running.pop(future)
            error = future.exception()
            if error is None:
                for outcome, case in _paired(future.result(), task.cases):
                    self._judge(outcome, case, walkers)
                continue
            for case in task.cases:
                self._died(case, walkers, error)
            broken = isinstance(error, BrokenExecutor) and not isinstance(executor, LocalPool)
            if broken and executor is self.executor:  # not yet replaced for another of its tasks
                self._replace(error)

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

    def _died(self, case: Planned, walkers: int, error: BaseException) -> None:
        """Do a case again whose worker died, unless it seems to be what kills them."""
        self.deaths[case.name] += 1
        if self.deaths[case.name] < MOST_DEATHS:
            logger.warning("a worker died (%s); case %s goes on in another", error, case.name)
            self.waiting.append((case, walkers))
            return
        message = f"its worker died {MOST_DEATHS} times: {type(error).__name__}: {error}"
        Journal(self.campaign.folder).write(case.name, FAILED, kind="worker", message=message)
        self.ended(Outcome(case.name, FAILED, "worker", message))

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
        if isinstance(self.executor, LocalPool):
            self.executor.stop()
        wait(self.running)
        self._collect()
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
