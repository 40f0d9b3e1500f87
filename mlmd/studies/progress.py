"""Progress of the parts of a study."""

from __future__ import annotations

from collections.abc import Callable

from mlmd.stages.context import Progress, ProgressReport


def counted(progress: ProgressReport | None, part: str) -> Callable[[int, int], None] | None:
    """Return what reports how much of a part is done, and of how much; None if nobody asks."""
    if progress is None:
        return None
    return lambda done, n: progress(Progress(part, done, n))
