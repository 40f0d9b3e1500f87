"""Output that nobody reads any more does not change what comes of the work."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

UNHEARD = (errno.EPIPE, errno.EIO, errno.EBADF)
"""The reader has gone (``mlmd run ... | head``), the terminal has, the stream was closed."""


class _Output(io.FileIO):
    """Where bytes go, or nowhere once nobody is there."""

    def write(self, data: Any, /) -> Any:
        """Write what can be written; what nobody takes counts as written."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in UNHEARD:
                raise
            return memoryview(data).nbytes


def open_standard_streams() -> None:
    """Make standard output and error streams that do not fail, and see that there are such.

    Where one was closed (``>&-``) the next file that is opened, a trajectory, would take its
    number and get all that programs print.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    sys.stdout, sys.stderr = _stream(1, sys.stdout), _stream(2, sys.stderr)


def _stream(number: int, before: TextIO | None) -> TextIO:
    buffer = io.BufferedWriter(_Output(number, "w", closefd=False))
    return io.TextIOWrapper(
        buffer,
        encoding=getattr(before, "encoding", None),
        errors=getattr(before, "errors", None),
        line_buffering=number == 2 or os.isatty(number),
    )
