"""An external program in a folder: found, run in a process group of its own, ended as a whole."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mlmd.calculators.known import KNOWN
from mlmd.calculators.programs.last_words import last_words
from mlmd.errors import CalculatorError, InputError

if TYPE_CHECKING:
    from mlmd.calculators.plain_spec import PlainSpec

GRACE_S = 3.0
"""What a program gets to end by itself (mpirun: its ranks on other machines) before SIGKILL."""


class ProgramError(CalculatorError):
    """A program did not start, or did not come to its end; the message has its last words."""


class ProgramEndedError(ProgramError):
    """A program ended before it had done its work."""


class ProgramTimeoutError(ProgramError):
    """A program took longer than it may, and was killed."""


@dataclass(frozen=True)
class Program:
    """An external program and the folder that it runs in.

    Attributes
    ----------
    name
        In messages, and of the files ``NAME.out``, ``NAME.err`` and ``NAME.pid`` in the folder.
    command
        Program and arguments; no shell reads them.
    folder
        Where it runs; it has to exist by then.
    threads
        ``OMP_NUM_THREADS`` where the user has set none: hybrid programs take every core otherwise.
    timeout_s
        Wall time of one run or one answer, after which it is killed; no limit where None.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    threads: int = 1
    timeout_s: float | None = None

    @classmethod
    def of(cls, spec: PlainSpec, folder: Path, name: str) -> Self:
        """Find the program of a spec; InputError says how to name one."""
        command = tuple(find_command(spec))
        return cls(name, command, Path(folder).absolute(), spec.threads, spec.timeout_s)

    @property
    def out(self) -> Path:
        """File with its standard output."""
        return self.folder / f"{self.name}.out"

    @property
    def err(self) -> Path:
        """File with its standard error."""
        return self.folder / f"{self.name}.err"

    def start(
        self, arguments: Sequence[str] = (), *, stdin: Path | None = None, pipes: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start it in a process group of its own.

        A program that an ended run (SIGKILL, out of memory) left at work in this folder is ended
        first: two at once would write the same files.

        Parameters
        ----------
        arguments
            Further ones, at the end of the command.
        stdin
            File it reads as standard input; nothing where None.
        pipes
            Have standard input and output here, for a dialogue.

        Raises
        ------
        ProgramError
            If it cannot be started, or a living process has one at work in this folder.
        """
        self._end_leftover()
        command = [*self.command, *arguments]
        with (
            self.out.open("wb") as out,
            self.err.open("wb") as err,
            (stdin or Path(os.devnull)).open("rb") as given,
        ):
            try:
                process = subprocess.Popen(
                    command,
                    cwd=self.folder,
                    stdin=subprocess.PIPE if pipes else given,
                    stdout=subprocess.PIPE if pipes else out,
                    stderr=err,
                    env={"OMP_NUM_THREADS": str(self.threads), **os.environ},
                    start_new_session=True,
                )
            except OSError as error:
                raise ProgramError(
                    f"{self.name} was not started ({shlex.join(command)}): {error.strerror}; see "
                    "whether that program runs on this machine"
                ) from error
        record = {"pid": process.pid, "started": _started(process.pid)}
        owner = {"owner": os.getpid(), "owner_started": _started(os.getpid())}
        (self.folder / f"{self.name}.pid").write_text(json.dumps({**record, **owner}))
        return process

    def run(self, arguments: Sequence[str] = (), *, stdin: Path | None = None) -> None:
        """Run it to its end; see :meth:`start` for the parameters.

        Raises
        ------
        ProgramError
            If it cannot be started, exits with another code than 0 or takes too long. Whatever
            leaves this function, no process of it is left.
        """
        process = self.start(arguments, stdin=stdin)
        try:
            code = process.wait(self.timeout_s)
        except subprocess.TimeoutExpired as error:
            end_program(process)
            raise self.timed_out(self.timeout_s) from error
        except BaseException:
            end_program(process)
            raise
        if code != 0:
            end_program(process)
            raise self.ended(exit_reason(code))

    def timed_out(self, limit_s: float | None) -> ProgramTimeoutError:
        """Return the error of one that has hung."""
        return ProgramTimeoutError(
            f"{self.name} took more than {limit_s:g} s and was killed; "
            f"{self.last_words(ended=False)}; raise timeout_s if it was still at work"
        )

    def ended(self, reason: str) -> ProgramEndedError:
        """Return the error of one that ended before it had done its work."""
        return ProgramEndedError(f"{self.name} {reason}; {self.last_words()}")

    def last_words(self, *, ended: bool = True) -> str:
        """Return why it ended by its own words, or what it said last, and in which files."""
        return last_words((self.out, self.err), ended=ended)

    def _end_leftover(self) -> None:
        try:
            record = json.loads((self.folder / f"{self.name}.pid").read_text())
            pid, started = record["pid"], record["started"]
            owner, owner_started = record["owner"], record["owner_started"]
        except (OSError, ValueError, KeyError, TypeError):
            return
        if started is None or _started(pid) != started:
            return
        if owner != os.getpid() and _started(owner) == owner_started:
            raise ProgramError(
                f"{self.name} of another process ({owner}) is at work in {self.folder}; wait for "
                "it or take another folder"
            )
        _signal_group(pid, signal.SIGTERM)
        until = time.monotonic() + GRACE_S
        while _started(pid) == started and time.monotonic() < until:
            time.sleep(0.01)
        _signal_group(pid, signal.SIGKILL)


def find_command(spec: PlainSpec) -> list[str]:
    """Return the command line of a spec's program, split like a shell does.

    The first of: option ``command``; the environment variables of its entry in
    :data:`mlmd.calculators.known.KNOWN`, ours before those of ASE's users; its program on PATH.

    Raises
    ------
    InputError
        If there is none, or what was named is no program here.
    """
    entry = KNOWN[spec.name]
    command, source = spec.options.get("command"), "option command"
    if command is not None and not isinstance(command, str):
        raise InputError(f"command is {command!r}; expected text, as in 'mpirun -n 16 vasp_std'")
    for variable in entry.command_variables:
        if command is None and os.environ.get(variable):
            command, source = os.environ[variable], variable
    if command is None and entry.program is not None and shutil.which(entry.program) is not None:
        command, source = entry.program, "PATH"
    if command is None:
        raise InputError(
            f"no command for calculator '{spec.name}': give the option command (a line such as "
            f"'mpirun -n 16 {entry.program}'), set {entry.command_variables[0]}, or put "
            f"{entry.program} on PATH"
        )
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"{source} of '{spec.name}' is {command!r}: {error}") from error
    if any(word.lstrip("0123456789&")[:1] in ("<", ">", "|", ";", "&") for word in words if word):
        raise InputError(
            f"{source} of '{spec.name}' is {command!r}; expected a program and its arguments, as "
            "no shell reads them: leave out redirections (output goes to files of its own)"
        )
    if not words or shutil.which(words[0]) is None:
        raise InputError(
            f"{source} of '{spec.name}' is {command!r}, and its program is not found; give "
            "its full path, or load the module that has it"
        )
    # A relative path is meant from here, not from the folder in which the program will run.
    if os.sep in words[0]:
        words[0] = os.path.abspath(words[0])
    return words


def written_since(path: Path, start: int) -> bytes:
    """Return what a file holds from a byte on; nothing where there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read()
    except FileNotFoundError:
        return b""


def end_program(process: subprocess.Popen[bytes]) -> None:
    """End a program and every process of its group; harmless where it has ended.

    It has :data:`GRACE_S` seconds to go by itself.
    """
    _signal_group(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def exit_reason(code: int) -> str:
    """Return how a process ended, in words: its exit code or the signal that killed it."""
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


def _signal_group(pid: int, number: signal.Signals) -> None:
    # The group's number is the pid of its leader, also after the leader has gone.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _started(pid: int) -> int | None:
    """Return a living process's start in clock ticks, which tells it from a later namesake."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # gone, or not Linux
        return None
    return None if fields[0] == "Z" else int(fields[19])
