"""How long stages have worked, from the events in ``log.jsonl``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

ENDS = ("stage done", "stage stopped", "stage failed")


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
        lines = (folder / "log.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
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
