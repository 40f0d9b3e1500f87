"""What a task leaves that did not end: that it had begun, and where it hung."""

from __future__ import annotations

import faulthandler
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from mlmd.files import disk_full_is_a_stop

REARMED_EVERY_S = 1.0
SUFFIX = ".begun"


class Watch:
    """Ends this process where one of its cases takes no step for too long.

    A thread of C does it (:mod:`faulthandler`), which needs no lock of the interpreter: a library
    that hangs may hold it for ever. What all threads were at is left in a file, for the client. The
    file is there while the task is, and tells where its worker died that it had begun.

    Parameters
    ----------
    limit_s
        Wall time without a step; no hanging is ended where None.
    folder, name
        Of the campaign, and the first case of the task: where the file is.
    """

    def __init__(self, limit_s: float | None, folder: Path, name: str) -> None:
        self._limit_s = limit_s
        self._path = folder / f"{name}{SUFFIX}"
        self._file: IO[str] | None = None
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._armed = -REARMED_EVERY_S

    def __enter__(self) -> Watch:
        """Begin to watch: what comes before the first step counts, too."""
        with disk_full_is_a_stop(str(self._path)):
            self._file = open(self._path, "w")
        self._arm()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Watch no more."""
        if self._file is not None:
            if self._limit_s is not None:
                faulthandler.cancel_dump_traceback_later()
            self._file.close()
            self._file = None
            self._path.unlink(missing_ok=True)

    def moved(self, case: str) -> None:
        """Note that a case has taken a step."""
        now = time.monotonic()
        self._last[case] = now
        if now - self._armed >= REARMED_EVERY_S:
            self._arm()

    def ended(self, case: str) -> None:
        """Note that a case needs to take no more steps."""
        self._last.pop(case, None)
        self._arm()

    def _arm(self) -> None:
        """Have the process end when the case that has waited longest has waited too long."""
        with self._lock:
            if self._limit_s is None or self._file is None:
                return
            self._armed = now = time.monotonic()
            waited_s = now - min(list(self._last.values()), default=now)
            left_s = max(self._limit_s - waited_s, 0.001)
            faulthandler.dump_traceback_later(left_s, exit=True, file=self._file)


def what_is_left(folder: Path, name: str) -> str | None:
    """Return what is left of a task whose worker died.

    Where its threads were, if it was ended for hanging, or nothing; None where it had not begun.
    """
    path = folder / f"{name}{SUFFIX}"
    try:
        text = path.read_text(errors="replace")
        path.unlink(missing_ok=True)
    except OSError:
        return None
    return text
