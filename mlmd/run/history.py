"""``log.jsonl``: one line per event, for who watches a run; and how long stages have worked."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

LOG = "log.jsonl"
ENDS = ("stage done", "stage stopped", "stage failed")


class EventLog:
    """Appends events to a file, each in one write so that lines never mix."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG

    def write(self, event: str, **details: Any) -> None:
        """Append an event with the time; a full disk loses the line, not the run."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **details}
        logger.info("%s %s", event, details)
        text = (json.dumps(line) + "\n").encode()
        with contextlib.suppress(OSError):
            handle = os.open(self._path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
            try:
                written = os.write(handle, text)
                if written < len(text):  # the disk is full: no half a line before the next one
                    os.ftruncate(handle, os.fstat(handle).st_size - written)
            finally:
                os.close(handle)


@dataclass(frozen=True)
class WallTime:
    """Wall time that a stage has taken, all sessions together.

    Attributes
    ----------
    seconds
        Of the sessions whose end is known, and of the one at work until now.
    is_complete
        False where a session was killed: how long that worked is not known.
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
        if kind == "stage started":
            if stage in started:
                killed.add(stage)
            started[stage] = str(event.get("time"))
            seconds.setdefault(stage, 0.0)
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
    return {stage: WallTime(total, stage not in killed) for stage, total in seconds.items()}


def _events(folder: Path) -> list[dict[str, Any]]:
    """Return the events that can be read; a killed process can leave half a line."""
    try:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
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
