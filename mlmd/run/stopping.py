"""A token that says "stop"; stages look at it, nothing interrupts them."""

from __future__ import annotations


class StopToken:
    """Set from anywhere (a signal handler, another thread), read by the stage at each step."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def stop(self, reason: str) -> None:
        """Ask for a stop; the first reason is kept."""
        if self.reason is None:
            self.reason = reason
