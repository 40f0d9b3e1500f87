"""Signals become a stop at the next step; a second SIGINT interrupts at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mlmd.run.stopping import StopToken

ASKED = (signal.SIGINT, signal.SIGTERM)
TOLD = ("SIGHUP", "SIGUSR1", "SIGXCPU")
"""The terminal has gone, the queue's warning before the end (``--signal`` of Slurm), the limit of
processor time. Who started us deaf to one of them (``nohup``) meant it."""


@contextmanager
def stop_on_signals() -> Iterator[StopToken]:
    """Give a token that SIGINT, SIGTERM and those of :data:`TOLD` set while the block runs."""
    token = StopToken()

    def handle(number: int, frame: FrameType | None) -> None:
        if token.reason is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        token.stop(signal.Signals(number).name)

    told = [getattr(signal, name) for name in TOLD if hasattr(signal, name)]
    heard = [number for number in told if signal.getsignal(number) == signal.SIG_DFL]
    before = {number: signal.signal(number, handle) for number in (*ASKED, *heard)}
    try:
        yield token
    finally:
        for number, handler in before.items():
            # None: somebody's handler that is not Python's, and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
