"""``log.jsonl``: one line per event, for who watches a run; and how long stages have worked."""

from __future__ import annotations

import contextlib
import glob
import json
import logging
import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mlmd.errors import RunDirectoryError
from mlmd.run.ordinary_files import open_ordinary

logger = logging.getLogger(__name__)

LOG = "log.jsonl"
STARTED = "stage started"
KILLED_AFTER = "killed_after_s"
"""Entry of a start: wall time of the session before, as far as its files show."""
ENDS = ("stage done", "stage stopped", "stage failed")


class EventLog:
    """Appends events to a file, each in one write so that lines never mix."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG

    def write(self, event: str, **details: Any) -> None:
        """Append an event with the time; a full disk loses the line, not the run."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **details}
        if event == STARTED:
            line |= self._killed_before(str(details.get("stage")))
        logger.info("%s %s", event, details)
        text = (json.dumps(line) + "\n").encode()
        with contextlib.suppress(OSError, RunDirectoryError):
            handle = open_ordinary(self._path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
            try:
                written = os.write(handle, text)
                if written < len(text):  # the disk is full: no half a line before the next one
                    os.ftruncate(handle, os.fstat(handle).st_size - written)
            finally:
                os.close(handle)

    def _killed_before(self, stage: str) -> dict[str, float]:
        """Return how long a session that was killed worked, while its files still tell."""
        folder, began = self._path.parent, None
        for event in _events(folder):
            if event.get("stage") == stage and event.get("event") in (STARTED, *ENDS):
                began = event.get("time") if event["event"] == STARTED else None
        return {} if began is None else {KILLED_AFTER: _worked_s(folder, stage, began)}


@dataclass(frozen=True)
class WallTime:
    """Wall time that a stage has taken, all sessions together.

    Attributes
    ----------
    seconds
        Of the sessions whose end is known, of the one at work until now, and of one that was
        killed until it last wrote a file.
    is_complete
        False where a session was killed: it worked longer than that.
    """

    seconds: float
    is_complete: bool


def wall_times(folder: Path, at_work: bool) -> dict[str, WallTime]:
    """Return the wall time of every stage that was ever started.

    Parameters
    ----------
    folder
        The run directory.
    at_work
        Whether a process works on it now, on the stage that was started last.
    """
    seconds: dict[str, float] = {}
    started: dict[str, str] = {}
    killed: set[str] = set()
    for event in _events(folder):
        stage, kind = event.get("stage"), event.get("event")
        if not isinstance(stage, str):
            continue
        if kind == STARTED:
            if stage in started:
                killed.add(stage)
            started[stage] = str(event.get("time"))
            before = event.get(KILLED_AFTER)
            known = before if isinstance(before, int | float) else 0.0
            seconds[stage] = seconds.get(stage, 0.0) + known
        elif kind in ENDS:
            began = started.pop(stage, None)
            took = event.get("wall_s")
            if isinstance(took, int | float):
                seconds[stage] = seconds.get(stage, 0.0) + took
            elif began is not None:
                seconds[stage] = seconds.get(stage, 0.0) + _between(began, event.get("time"))
    last = list(started)[-1] if started else None
    for stage, began in started.items():
        if at_work and stage == last:
            seconds[stage] += _between(began, datetime.now().astimezone().isoformat())
        else:
            killed.add(stage)
            seconds[stage] += _worked_s(folder, stage, began)
    return {stage: WallTime(total, stage not in killed) for stage, total in seconds.items()}


def _worked_s(folder: Path, stage: str, began: object) -> float:
    """Return the time from a start to what was last written into the stage's folder."""
    times = []
    for path in folder.glob(f"[0-9]*-{glob.escape(stage)}/**/*"):
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    last = datetime.fromtimestamp(max(times, default=0.0)).astimezone()
    return round(_between(began, last.isoformat()), 3)


def _events(folder: Path) -> list[dict[str, Any]]:
    """Return the events that can be read; a killed process can leave half a line."""
    try:
        handle = open_ordinary(folder / LOG, os.O_RDONLY)
        with os.fdopen(handle, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except (OSError, RunDirectoryError):
        return []
    events = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def _between(earlier: object, later: object) -> float:
    try:
        first, last = (datetime.fromisoformat(str(time)) for time in (earlier, later))
        return max(0.0, (last - first).total_seconds())
    except (TypeError, ValueError):
        return 0.0
