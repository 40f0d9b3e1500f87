"""How a run is kept."""

from __future__ import annotations

from dataclasses import dataclass

from mlmd.checks import positive_number, truth


@dataclass(frozen=True)
class RunSettings:
    """How a run is kept; nothing here changes its numbers.

    Attributes
    ----------
    checkpoint_every_s
        Wall time between checkpoints, in seconds.
    allow_version_change
        Go on with other versions of the packages than the run began with; logged.
    take_over
        Take the directory even if another process seems to hold it.
    """

    checkpoint_every_s: float = 30.0
    allow_version_change: bool = False
    take_over: bool = False

    def __post_init__(self) -> None:
        """Check the interval and the choices."""
        positive_number("checkpoint_every_s", self.checkpoint_every_s, "s")
        truth("allow_version_change", self.allow_version_change)
        truth("take_over", self.take_over)
