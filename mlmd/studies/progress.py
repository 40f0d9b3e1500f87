"""Progress of the parts of a study."""

from __future__ import annotations

from collections.abc import Callable

from mlmd.stages.context import Progress, ProgressReport


def counted(
    progress: ProgressReport | None, part: str, n: int | None = None
) -> Callable[[int, int | None], None] | None:
    """Return what reports how much of a part is done, and of how much; None if nobody asks.

    `n` is how much there is if who counts does not know it.
    """
    if progress is None:
        return None
    return lambda done, total: progress(Progress(part, done, total or n or 0))
