"""What executors of other packages have in common: tasks go to them and are not taken back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures import wait as wait_for
from typing import Any

from mlmd.campaign.engines.there import there


class Relay(Executor):
    """An executor that hands tasks on to one of another package, and their results back.

    A task counts as running at once: not all packages say which have begun, and a client that stops
    waits for those that have, which return at their next checkpoint, and the others as soon as a
    worker takes them.

    Parameters
    ----------
    in_flight
        Tasks that it is to be given at a time.
    give
        The ``submit`` of the other executor.
    close
        Ends the workers; told whether they have nothing to do any more.
    """

    def __init__(
        self, in_flight: int, give: Callable[..., Future[Any]], close: Callable[[bool], None]
    ) -> None:
        self.in_flight = in_flight
        self._give = give
        self._close = close
        self._closed = False
        self._open: set[Future[Any]] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Give a task to the workers."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        self._open.add(future)
        given = self._give(there, fn, *args, **kwargs)
        given.add_done_callback(lambda given: self._pass_on(given, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers once they have done what they have, or without the rest of it."""
        if self._closed:
            return
        self._closed = True
        if wait and not cancel_futures:
            wait_for(set(self._open))
        idle = not self._open
        self.give_back()
        self._close(idle)

    def stop(self) -> None:
        """Nothing more than the file that tells tasks to stop."""

    def give_back(self) -> None:
        """End what has no result yet as cancelled."""
        for future in list(self._open):
            self._end(future, lambda one: one.set_exception(CancelledError()))

    def error_of(self, given: Future[Any]) -> BaseException | None:
        """Return why a task failed, as the client is to see it."""
        return CancelledError() if given.cancelled() else given.exception()

    def _pass_on(self, given: Future[Any], future: Future[Any]) -> None:
        error = self.error_of(given)
        if error is None:
            self._end(future, lambda one: one.set_result(given.result()))
        else:
            self._end(future, lambda one: one.set_exception(error))

    def _end(self, future: Future[Any], how: Callable[[Future[Any]], None]) -> None:
        """Set a future, unless another thread has."""
        try:
            self._open.remove(future)
        except KeyError:
            return
        how(future)
