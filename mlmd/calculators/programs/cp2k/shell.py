"""A CP2K that is kept running and told what to do: its shell mode, over pipes.

Each command is answered by lines that end with ``* READY``. What can go wrong in between (it
dies, it hangs, it does not understand) is a CalculatorError, and the process and its group are
gone when that leaves.
"""

from __future__ import annotations

import os
import re
import selectors
import shlex
import time
import weakref
from typing import TYPE_CHECKING

from mlmd.calculators.programs.process import end_program, exit_reason, last_lines, start_program
from mlmd.errors import CalculatorError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Sequence
    from pathlib import Path

READY = "* READY"
NAME = "cp2k_shell"
GOODBYE_S = 5.0


class Cp2kShell:
    """One running CP2K.

    Parameters
    ----------
    command
        Its command line.
    folder
        Where it runs.
    threads
        ``OMP_NUM_THREADS`` where the user has set none.
    timeout_s
        What one exchange may take from :meth:`begin` on; no limit where None.

    Attributes
    ----------
    version
        Year or number and release of CP2K, (2023, 1) say; (0, 0) where it does not tell.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, *, threads: int, timeout_s: float | None
    ) -> None:
        import subprocess

        self._folder, self._timeout_s = folder, timeout_s
        self._process = start_program(
            command,
            folder,
            name=NAME,
            threads=threads,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        # Ends CP2K when the calculator is forgotten or Python ends, whatever comes first.
        self._end = weakref.finalize(self, _end, self._process)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._unread = b""
        self._last_said: list[str] = []
        self._command = shlex.join(command)
        self.version = (0, 0)
        self.begin()
        self._answer()
        self._say_version()

    def _say_version(self) -> None:
        found = re.search(r"CP2K version (\d+)\.(\d+)", "\n".join(self.ask("INFO")))
        if found:
            self.version = (int(found[1]), int(found[2]))

    def begin(self) -> None:
        """Start the clock of one exchange, which may be several commands."""
        self._deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s

    @property
    def pid(self) -> int:
        """Number of the process, which is also its group's."""
        return self._process.pid

    def ask(self, command: str, more: Iterable[str] = ()) -> list[str]:
        """Send a command and the lines that belong to it; return the lines of the answer.

        Raises
        ------
        CalculatorError
            If CP2K has died, takes too long, or says that it cannot; it is ended then.
        """
        self._write("".join(f"{line}\n" for line in (command, *more)).encode())
        answer = self._answer()
        for line in answer:
            if line.startswith("* ERROR"):
                self.kill()
                raise CalculatorError(f"CP2K did not accept '{command}': {line[2:]}")
        return answer

    def _write(self, data: bytes) -> None:
        while data:
            self._wait(self._in, selectors.EVENT_WRITE)
            try:
                data = data[os.write(self._in, data) :]
            except BrokenPipeError:
                self._fail_dead()

    def _answer(self) -> list[str]:
        lines: list[str] = []
        while True:
            line, newline, rest = self._unread.partition(b"\n")
            if newline:
                self._unread = rest
                text = line.decode("utf-8", errors="replace").strip()
                if text == READY:
                    return lines
                lines.append(text)
                self._last_said = [said for said in lines[-3:] if said]
                continue
            self._wait(self._out, selectors.EVENT_READ)
            got = os.read(self._out, 65536)
            if not got:
                self._fail_dead()
            self._unread += got

    def _wait(self, file: int, event: int) -> None:
        """Wait until a pipe can be used, or the time is up."""
        with selectors.DefaultSelector() as selector:
            selector.register(file, event)
            left = None if self._deadline is None else self._deadline - time.monotonic()
            if not selector.select(left if left is None else max(0.0, left)):
                self.kill()
                raise CalculatorError(
                    f"CP2K took more than {self._timeout_s:g} s and was killed; raise timeout_s if "
                    f"it was still at work (its files are in {self._folder})"
                )

    def _fail_dead(self) -> None:
        """Raise the error of a CP2K that is gone."""
        try:
            code = self._process.wait(GOODBYE_S)
            reason = exit_reason(code)
        except Exception:  # it closed its output and lives on
            reason = "closed its output"
        self.kill()
        said = [*self._last_said, *last_lines(self._folder / f"{NAME}.err")]
        more = f"; its last lines: {' | '.join(said)}" if said else ""
        raise DeadShellError(f"CP2K ({self._command}) {reason}", more)

    def kill(self) -> None:
        """End CP2K and all of its group at once."""
        self._end.detach()
        end_program(self._process, grace_s=0.0)
        _close_pipes(self._process)

    def close(self) -> None:
        """Ask CP2K to end; end it if it does not."""
        self._end()


class DeadShellError(CalculatorError):
    """CP2K ended by itself.

    Attributes
    ----------
    reason
        How it ended.
    last_said
        What it said on its standard output and error, as the end of a sentence.
    """

    def __init__(self, reason: str, last_said: str) -> None:
        super().__init__(reason + last_said)
        self.reason, self.last_said = reason, last_said


def _end(process: subprocess.Popen[bytes]) -> None:
    _close_pipes(process)  # the end of its input is the end of its work
    end_program(process, grace_s=GOODBYE_S)


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def abort_message(output: str) -> str | None:
    """Return the text of the box in which CP2K says why it aborts; None where there is none."""
    box = output.rpartition("[ABORT]")[2] if "[ABORT]" in output else None
    if box is None:
        return None
    words = []
    for line in box.splitlines()[1:]:
        if line.strip().startswith("****"):
            break
        # The box has a figure at its left, 9 columns wide, and a place in the source at its end.
        words.append(line[10:].rstrip(" *").strip())
    if words and re.fullmatch(r"\S+\.F:\d+", words[-1]):
        del words[-1]
    return " ".join(word for word in words if word) or None
