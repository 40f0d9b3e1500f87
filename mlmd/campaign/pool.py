"""Workers on this machine: processes of their own, each replaced when it dies."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
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
        gpus = _gpus() if gpus is None else gpus
        each = whole_number("workers_per_gpu", workers_per_gpu, most=None)
        number = workers or len(gpus) * each or max(1, len(os.sched_getaffinity(0)) // 2)
        self.workers = whole_number("workers", number, least=1, most=None)
        self.in_flight = self.workers * TASKS_PER_WORKER
        self._gpus = gpus
        self._slots = [self._new(number) for number in range(self.workers)]
        self._busy = [0] * self.workers
        self._pids: set[int] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Give a task to the worker that has fewest."""
        slot = min(range(self.workers), key=self._busy.__getitem__)
        try:
            future = self._slots[slot].submit(fn, *args, **kwargs)
        except RuntimeError:  # its process has died: BrokenProcessPool
            self._slots[slot].shutdown(wait=False)
            self._slots[slot] = self._new(slot)
            future = self._slots[slot].submit(fn, *args, **kwargs)
        self._busy[slot] += 1
        future.add_done_callback(lambda _: self._ended(slot))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers once they have done what they have, or without the rest of it."""
        for slot in self._slots:
            slot.shutdown(wait=wait, cancel_futures=cancel_futures)

    def stop(self) -> None:
        """Tell the workers to stop at their next checkpoint."""
        for child in multiprocessing.active_children():
            if child.pid in self._children():
                child.terminate()

    def _children(self) -> set[int]:
        return {pid for slot in self._slots for pid in getattr(slot, "_processes", None) or ()}

    def _ended(self, slot: int) -> None:
        self._busy[slot] -= 1

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


def _gpus() -> list[str]:
    """Return the devices that this process may use, without starting CUDA here."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [one for one in visible.split(",") if one.strip()]
    cards = [name for name in os.listdir("/dev") if name.startswith("nvidia")]
    return sorted(name[6:] for name in cards if name[6:].isdigit())
