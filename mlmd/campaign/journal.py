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
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlmd.files import disk_full_is_a_stop

STARTED, DONE, FAILED, STOPPED, BUSY = "started", "done", "failed", "stopped", "busy"
PATTERN = "campaign-*.jsonl"
NOTHING: Mapping[str, Any] = MappingProxyType({})
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


@dataclass(frozen=True, slots=True)
class Told:
    """The last that was written of a case.

    Attributes
    ----------
    event
        ``started``, ``done``, ``failed``, ``stopped`` or ``busy``.
    time
        When, by the clock of that worker.
    details
        Of a failure: ``kind``, ``message``, ``traceback``.
    """

    event: str
    time: str
    details: Mapping[str, Any]


def read_journals(folder: Path) -> dict[str, Told]:
    """Return what is known of each case, from the files of all workers there were.

    A case that is done stays so, whatever another worker wrote: clocks of hosts differ.
    """
    found: dict[str, Told] = {}
    for path in sorted(folder.glob(PATTERN)):
        for line in _lines(path):
            case, event, when = (line.pop(name, None) for name in ("case", "event", "time"))
            if not (isinstance(case, str) and isinstance(event, str) and isinstance(when, str)):
                continue
            before = found.get(case)
            later = before is None or (event == DONE) >= (before.event == DONE)
            if later and (before is None or event == DONE or when >= before.time):
                # Names are many, and long enough to be kept once.
                found[sys.intern(case)] = Told(sys.intern(event), when, line or NOTHING)
    return found


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        for text in file:
            with contextlib.suppress(ValueError):  # cut by a full disk
                line = json.loads(text)
                if isinstance(line, dict):
                    yield line
