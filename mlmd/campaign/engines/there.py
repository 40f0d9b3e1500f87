"""What a process that an engine started does first, once, before its first task."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any

from mlmd.campaign.engines.alone import alone
from mlmd.campaign.pool import gpus_here
from mlmd.campaign.work import listen


def there(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function in a worker of an engine."""
    _begin()
    return fn(*args, **kwargs)


@functools.cache
def _begin() -> None:
    """Take a GPU of those that the job has, and listen to signals where this thread may."""
    alone()
    rank, gpus = os.environ.get("PARSL_WORKER_RANK", ""), gpus_here()
    if gpus and rank.isdigit():  # before torch is imported
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[int(rank) % len(gpus)]
    if threading.current_thread() is threading.main_thread():
        listen(os.getppid())
