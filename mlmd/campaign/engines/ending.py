"""When a worker should stop though nothing in its own process says so."""

from __future__ import annotations

import math
import os
import socket
import time
from pathlib import Path

STOP_AT = "MLMD_STOP_AT"
"""Environment of a worker: seconds since 1970 at which its tasks stop at a checkpoint."""
MOST_GRACE_S = 300
"""Before the end of a job: for a step of any model, and for writing what there is."""
LOOK_EVERY_S = 2.0


def grace_s(walltime_s: float) -> float:
    """Return how long before the end of a job its tasks stop."""
    return min(MOST_GRACE_S, walltime_s / 4)


def stop_file(folder: Path) -> Path:
    """Return the file by which a client of this process tells its tasks to stop."""
    own = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
    return folder.absolute() / f"campaign-{own}.stop"


class Ending:
    """Tells whether the job that this process is part of ends, or whoever gave a task has stopped.

    Parameters
    ----------
    stop_file
        A file that appears when the tasks of a client are to stop: the one way that any worker
        can be told by, on any machine that sees the campaign's folder. None where empty.
    """

    def __init__(self, stop_file: str = "") -> None:
        self._stop_file = stop_file
        self._at = _stop_at()
        self._looked = -math.inf
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """Why to stop; None while there is no reason."""
        if self._reason is None and (now := time.monotonic()) - self._looked > LOOK_EVERY_S:
            self._looked = now
            if time.time() > self._at:
                self._reason = "the job of the scheduler is about to end"
            elif self._stop_file and os.path.exists(self._stop_file):
                self._reason = "the campaign was stopped"
        return self._reason


def _stop_at() -> float:
    """Return when this job's tasks should stop: as it was told, or as Slurm says of any job."""
    try:
        if STOP_AT in os.environ:
            return float(os.environ[STOP_AT])
        end = float(os.environ["SLURM_JOB_END_TIME"])
        return end - grace_s(end - float(os.environ["SLURM_JOB_START_TIME"]))
    except (KeyError, ValueError):
        return math.inf
