"""Workers on this machine: processes of their own, each replaced when it dies."""

from __future__ import annotations

import functools
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any

from mlmd.campaign.work import listen
from mlmd.checks import whole_number

TASKS_PER_WORKER = 2
"""One to do, and one to go on with."""


class LocalPool(Executor):
    """An executor of single workers: one that is killed costs what it was doing and no more.

    A pool of the standard library breaks for good, with all that its other workers do.

    Parameters
    ----------
    workers
        Processes; where None one for each GPU, or half of the processors.
    gpus
        Visible devices, given to the workers in turn; those of ``CUDA_VISIBLE_DEVICES`` or of torch
        where None.
    workers_per_gpu
        How many share a GPU where `workers` is None. Each has a model of its own: walkers of one
        worker, which share a model, use a GPU better.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        gpus: list[str] | None = None,
        workers_per_gpu: int = 1,
    ) -> None:
        gpus = gpus_here() if gpus is None else gpus
        each = whole_number("workers_per_gpu", workers_per_gpu, most=None)
        number = workers or len(gpus) * each or half_of_processors()
        self.workers = whole_number("workers", number, least=1, most=None)
        self.in_flight = self.workers * TASKS_PER_WORKER
        self._gpus = gpus
        self._slots = [self._new(number) for number in range(self.workers)]
        self._idle = list(range(self.workers))
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._open: set[Future[Any]] = set()
        self._lock = threading.RLock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Give a task to the next worker that has none."""
        future: Future[Any] = Future()
        with self._lock:
            self._waiting.append((future, functools.partial(fn, *args, **kwargs)))
            self._open.add(future)
        future.add_done_callback(self._open.discard)
        self._give()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers once they have done what they have, or without the rest of it."""
        if cancel_futures:
            for future, _ in list(self._waiting):
                future.cancel()
        if wait:
            wait_for(list(self._open))
        for slot in self._slots:
            slot.shutdown(wait=wait, cancel_futures=cancel_futures)

    def stop(self) -> None:
        """Tell the workers to stop at their next checkpoint."""
        for child in multiprocessing.active_children():
            if child.pid in self._children():
                child.terminate()

    def _children(self) -> set[int]:
        return {pid for slot in self._slots for pid in getattr(slot, "_processes", None) or ()}

    def _give(self) -> None:
        """Give tasks to the workers that have none: who has one has no other to lose."""
        with self._lock:
            while self._idle and self._waiting:
                future, call = self._waiting.popleft()
                if not future.set_running_or_notify_cancel():
                    continue
                slot = self._idle.pop()
                try:
                    given = self._slots[slot].submit(call)
                except RuntimeError:  # its process has died since: BrokenProcessPool
                    self._slots[slot] = self._new(slot)
                    given = self._slots[slot].submit(call)
                given.add_done_callback(functools.partial(self._ended, slot, future))

    def _ended(self, slot: int, future: Future[Any], given: Future[Any]) -> None:
        """Hand on what came of a task; its worker takes the next."""
        error = given.exception()
        with self._lock:
            if isinstance(error, BrokenExecutor):
                self._slots[slot] = self._new(slot)
            self._idle.append(slot)
        if error is None:
            future.set_result(given.result())
        else:
            future.set_exception(error)
        self._give()

    def _new(self, slot: int) -> ProcessPoolExecutor:
        gpu = self._gpus[slot % len(self._gpus)] if self._gpus else None
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(
            1, mp_context=spawn, initializer=_begin, initargs=(gpu, os.getpid())
        )


def _begin(gpu: str | None, client: int) -> None:
    if gpu is not None:  # before torch is imported
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    listen(client)


def half_of_processors() -> int:
    """Return how many processes work here where nobody says so and there are no GPUs."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


def gpus_here() -> list[str]:
    """Return the devices that this process may use, without starting CUDA here."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [one for one in visible.split(",") if one.strip()]
    cards = [name for name in os.listdir("/dev") if name.startswith("nvidia")]
    return sorted(name[6:] for name in cards if name[6:].isdigit())
