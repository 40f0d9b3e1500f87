"""A program that is kept running between calls, and one that is spoken to over its pipes."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from typing import IO, Protocol, cast

from mlmd.calculators.programs.process import Program, end_program, exit_reason

ENDING_LIMIT_S = 60.0
"""To write large wavefunctions at the end takes a while; one that hangs must not hold us up."""


class Kept(Protocol):
    """A running program. It does not refer to its calculator, whose end it has to outlive."""

    process: subprocess.Popen[bytes]

    def finish(self) -> None:
        """End it in its own way."""

    def kill(self) -> None:
        """End it and all of its group now; harmless where it has ended."""


class Dialogue:
    """A program that is told what to do over standard input, and answers on standard output.

    Parameters
    ----------
    program
        Its ``timeout_s`` holds from one :meth:`begin` to the next.
    keeps_output
        Whether ``NAME.out`` keeps all that was said, or only what was since :meth:`begin`.
    """

    def __init__(self, program: Program, *, keeps_output: bool = False) -> None:
        self.program, self._keeps_output = program, keeps_output
        self.process = program.start(pipes=True)
        self._stdin = cast(IO[bytes], self.process.stdin)
        self._stdout = cast(IO[bytes], self.process.stdout)
        os.set_blocking(self._stdin.fileno(), False)
        os.set_blocking(self._stdout.fileno(), False)
        self._log = program.out.open("ab")
        self._unread = b""
        self.begin()

    def begin(self, limit_s: float | None = None) -> None:
        """Start the clock of one call, which may be several exchanges; ``timeout_s`` by default."""
        self._limit_s = self.program.timeout_s if limit_s is None else limit_s
        self._until = None if self._limit_s is None else time.monotonic() + self._limit_s
        if not self._keeps_output:
            self._log.truncate(0)

    def exchange(self, data: bytes, end: bytes) -> bytes:
        """Write `data` and read up to `end`, whichever can go on; return what was read.

        Raises
        ------
        ProgramError
            If it ends, or takes too long. Whatever is raised, it is not running any more.
        """
        said = self._unread
        try:
            with selectors.DefaultSelector() as ready:
                ready.register(self._stdout, selectors.EVENT_READ)
                if data:
                    ready.register(self._stdin, selectors.EVENT_WRITE)
                while data or end not in said:
                    left = None if self._until is None else self._until - time.monotonic()
                    if left is not None and left <= 0:
                        raise self.program.timed_out(self._limit_s)
                    for key, _ in ready.select(left):
                        if key.fileobj is self._stdout:
                            said += self._read()
                        else:
                            data = self._write(data)
                            if not data:
                                ready.unregister(self._stdin)
        except BaseException:
            self.kill()
            raise
        said, _, self._unread = said.partition(end)
        return said

    def finish(self) -> None:
        """End it in its own way: the end of its input is the end of its work."""
        self.kill()

    def kill(self) -> None:
        """End it and all of its group now; harmless where it has ended."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        end_program(self.process)
        for stream in (self._stdout, self._log):
            stream.close()

    def _write(self, data: bytes) -> bytes:
        try:
            return data[os.write(self._stdin.fileno(), data) :]
        except BlockingIOError:
            return data
        except BrokenPipeError:
            return b""  # what it said last is still to be read

    def _read(self) -> bytes:
        try:
            new = os.read(self._stdout.fileno(), 65536)
        except BlockingIOError:
            return b""
        self._log.write(new)
        self._log.flush()
        if new:
            return new
        try:
            code = self.process.wait(ENDING_LIMIT_S)
        except subprocess.TimeoutExpired as error:
            reason = "closed its output but did not end, and was killed"
            raise self.program.ended(reason) from error
        raise self.program.ended(exit_reason(code))
