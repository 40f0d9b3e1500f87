"""SIGINT and SIGTERM become a stop at the next step; a second SIGINT interrupts at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mlmd.run.stopping import StopToken


@contextmanager
def stop_on_signals() -> Iterator[StopToken]:
    """Give a token that SIGINT and SIGTERM set while the block runs."""
    token = StopToken()

    def handle(number: int, frame: FrameType | None) -> None:
        if token.reason is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        token.stop(signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield token
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
