"""What workers write down: a file of lines for each, appended to, read together.

The run directories are the truth. These files say in one place what has ended and how, so that
nobody has to open ten thousand directories; what they have lost is found out again by running a
case, which returns at once where it is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlmd.files import disk_full_is_a_stop

STARTED, DONE, FAILED, STOPPED, BUSY = "started", "done", "failed", "stopped", "busy"
PATTERN = "campaign-*.jsonl"
_BEGAN = time.time_ns()
"""Of this process: numbers of processes are used again."""


class Journal:
    """Appends lines to this worker's file, each in one write: a kill leaves whole ones.

    Parameters
    ----------
    folder
        Of the campaign.
    """

    def __init__(self, folder: Path) -> None:
        worker = f"{socket.gethostname()}-{os.getpid()}-{_BEGAN}"
        self._path = folder / f"campaign-{worker}.jsonl"

    def write(self, case: str, event: str, **details: Any) -> None:
        """Append what happened to a case."""
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": when, "case": case, "event": event, **details}) + "\n"
        with disk_full_is_a_stop(str(self._path)), open(self._path, "ab", buffering=0) as file:
            file.write(line.encode())


@dataclass
class Told:
    """The last that was written of a case.

    Attributes
    ----------
    event
        ``started``, ``done``, ``failed`` or ``stopped``.
    n_failures
        How often it has failed, by kind.
    details
        Of a failure: ``kind``, ``message``, ``traceback``.
    """

    event: str
    time: str
    n_failures: dict[str, int] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


def read_journals(folder: Path) -> dict[str, Told]:
    """Return what is known of each case, from the files of all workers there were.

    A case that is done stays so, whatever another worker wrote: clocks of hosts differ.
    """
    lines = [line for path in sorted(folder.glob(PATTERN)) for line in _lines(path)]
    found: dict[str, Told] = {}
    for line in sorted(lines, key=lambda one: str(one.get("time"))):
        case, event = line.get("case"), line.get("event")
        if not isinstance(case, str) or not isinstance(event, str):
            continue
        told = found.setdefault(case, Told(event, ""))
        if told.event == DONE and event != DONE:
            continue
        told.event, told.time = event, str(line.get("time"))
        told.details = {k: v for k, v in line.items() if k not in ("time", "case", "event")}
        if event == FAILED:
            kind = str(line.get("kind"))
            told.n_failures[kind] = told.n_failures.get(kind, 0) + 1
    return found


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with contextlib.suppress(OSError):
        for text in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):  # cut by a full disk
                line = json.loads(text)
                if isinstance(line, dict):
                    yield line
