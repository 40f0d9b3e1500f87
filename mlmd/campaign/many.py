"""Many cases at once on one model: each walks by itself, and forces come in batches."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.calculators.batched import BatchServer
from mlmd.calculators.choice import DEFAULT
from mlmd.calculators.spec import CalculatorSpec
from mlmd.campaign.case import Case, CaseFailure, run_case
from mlmd.checks import whole_number
from mlmd.errors import InputError, StoppedError
from mlmd.run.stopping import StopToken

if TYPE_CHECKING:
    from mlmd.protocol.settings import RunSettings
    from mlmd.run.run import Run
    from mlmd.stages.context import Progress

logger = logging.getLogger(__name__)

CaseProgress = Callable[[Case, "Progress"], None]
CaseEnded = Callable[[Case, "Run | CaseFailure"], None]


def run_many(
    cases: Sequence[Case],
    calculator: Any,
    walkers: int = 64,
    *,
    unbatched: bool = False,
    progress: CaseProgress | None = None,
    ended: CaseEnded | None = None,
    stop: StopToken | None = None,
    keep: RunSettings | None = None,
) -> list[Run | CaseFailure]:
    """Run cases, or go on with them, many at a time on one model.

    Each is the run that :meth:`mlmd.Protocol.run` would make, in its directory: it may be killed,
    and goes on by the same call or by itself. One that fails is a failure of its own.

    Parameters
    ----------
    cases
        Any structures and protocols; each directory once.
    calculator
        A name, a :class:`mlmd.CalculatorSpec` or a calculator that can be batched, or a mapping
        from stages to these, as for :meth:`mlmd.Protocol.run`.
    walkers
        Cases at a time. On a GPU 64 and more of some 100 atoms; on a CPU batches save nothing.
    unbatched
        Run the cases one after another, with any calculator.
    progress
        Called with a case and where it is; by one thread or another, one at a time for a case.
    ended
        Called likewise with a case and what came of it.
    stop
        Set from anywhere, it has all cases stop at a checkpoint.
    keep
        How the runs are kept (their `settings`).

    Returns
    -------
    list of Run or CaseFailure
        In the order of the cases.

    Raises
    ------
    InputError
        If the calculator cannot be batched, or two cases have one directory.
    StoppedError
        If they were stopped, or the disk is full; the same call goes on.
    """
    whole_number("walkers", walkers, least=1, most=None)
    _refuse_shared_directories(cases)
    token = stop or StopToken()
    how: dict[str, Any] = {"stop": token, "keep": keep}
    if unbatched:
        logger.warning("%d cases are run one after another: unbatched", len(cases))
        return [_run(case, calculator, progress, ended, how) for case in cases]
    with contextlib.ExitStack() as servers:
        place = _places(calculator, servers)
        pool = servers.enter_context(ThreadPoolExecutor(walkers, thread_name_prefix="mlmd-walker"))

        def walk(case: Case) -> Run | CaseFailure:
            if token.reason is not None:
                raise StoppedError(token.reason)
            seat = place()
            try:
                return _run(case, seat, progress, ended, how)
            finally:
                for one in seat.values():
                    one.close()

        found = [pool.submit(walk, case) for case in cases]
        _wait_for(found, token)
    stopped = [future.exception() for future in found if future.exception() is not None]
    for error in stopped:
        if not isinstance(error, StoppedError):
            raise error  # type: ignore[misc]  # a defect of ours: a failure is a value
    if stopped:
        raise StoppedError(
            f"{stopped[0]}; {len(found) - len(stopped)} of {len(found)} cases have ended: the same "
            "call goes on with the others"
        ) from stopped[0]
    return [future.result() for future in found]


def _wait_for(found: Sequence[Future[Any]], token: StopToken) -> None:
    """Wait for all; where one is stopped, or the user interrupts, have the others stop too."""
    left = set(found)
    try:
        while left:
            done, left = wait(left, return_when=FIRST_COMPLETED)
            for future in done:
                if future.exception() is not None:
                    token.stop(str(future.exception()))
    except KeyboardInterrupt:
        token.stop("interrupted")
        wait(left)
        raise


def _refuse_shared_directories(cases: Sequence[Case]) -> None:
    seen: dict[Path, int] = {}
    for number, case in enumerate(cases):
        directory = Path(case.directory).absolute()
        if directory in seen:
            raise InputError(
                f"cases {seen[directory]} and {number} have the same directory {case.directory}; "
                "expected one for each"
            )
        seen[directory] = number


def _places(calculator: Any, servers: contextlib.ExitStack) -> Callable[[], dict[str, Any]]:
    """Start a server for each different calculator; return what gives a walker its places."""
    sources = dict(calculator) if isinstance(calculator, Mapping) else {DEFAULT: calculator}
    started: dict[Any, BatchServer] = {}
    by_key: dict[str, BatchServer] = {}
    for key, source in sources.items():
        named = isinstance(source, str | Mapping | CalculatorSpec)
        spec = CalculatorSpec.of(source) if named else source
        same = spec if isinstance(spec, CalculatorSpec) else id(spec)
        if same not in started:
            started[same] = servers.enter_context(BatchServer(spec))
        by_key[key] = started[same]
    return lambda: {key: server.calculator() for key, server in by_key.items()}


def _run(
    case: Case,
    calculator: Any,
    progress: CaseProgress | None,
    ended: CaseEnded | None,
    how: Mapping[str, Any],
) -> Run | CaseFailure:
    report = None if progress is None else lambda where: progress(case, where)
    found = run_case(case, calculator, progress=report, **how)
    if ended is not None:
        ended(case, found)
    return found
