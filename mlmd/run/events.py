"""``log.jsonl``: one line per event, for people and scripts that watch a run."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


class EventLog:
    """Appends events to a file, each in one write so that lines never mix."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.jsonl"

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
