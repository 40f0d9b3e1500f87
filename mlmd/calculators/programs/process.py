"""An external program in a folder: found, run in a process group of its own, ended as a whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlmd.calculators.known import KNOWN
from mlmd.errors import CalculatorError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlmd.calculators.spec import CalculatorSpec

GRACE_S = 3.0
"""What a program gets to end by itself (mpirun: its ranks on other machines) before SIGKILL."""


def find_command(spec: CalculatorSpec) -> list[str]:
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


def start_program(
    command: Sequence[str],
    folder: Path,
    *,
    name: str,
    threads: int = 1,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in `folder`, in a process group of its own.

    Standard output and error go to ``NAME.out`` and ``NAME.err`` there; pass
    ``subprocess.PIPE`` as `stdin` and `stdout` for a dialogue. ``OMP_NUM_THREADS`` is set to
    `threads` where the user has not set it: hybrid programs take every core otherwise.

    A program that an ended run (SIGKILL, out of memory) left at work in this folder is ended
    first: two at once would write the same files.

    Raises
    ------
    CalculatorError
        If it cannot be started, or a living process has one at work in this folder.
    """
    _end_leftover(folder, name)
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
    with (folder / f"{name}.out").open("wb") as out, (folder / f"{name}.err").open("wb") as err:
        try:
            process = subprocess.Popen(
                list(command),
                cwd=folder,
                stdin=stdin,
                stdout=out if stdout is None else stdout,
                stderr=err,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise CalculatorError(
                f"{name} was not started ({shlex.join(command)}): {error.strerror}; see whether "
                "that program runs on this machine"
            ) from error
    record = {"pid": process.pid, "started": _started(process.pid)}
    owner = {"owner": os.getpid(), "owner_started": _started(os.getpid())}
    (folder / f"{name}.pid").write_text(json.dumps({**record, **owner}))
    return process


def _started(pid: int) -> int | None:
    """Return a living process's start in clock ticks, which tells it from a later namesake."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # gone, or not Linux
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _end_leftover(folder: Path, name: str) -> None:
    try:
        record = json.loads((folder / f"{name}.pid").read_text())
        pid, started = record["pid"], record["started"]
        owner, owner_started = record["owner"], record["owner_started"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if started is None or _started(pid) != started:
        return
    if owner != os.getpid() and _started(owner) == owner_started:
        raise CalculatorError(
            f"{name} of another process ({owner}) is at work in {folder}; wait for it or take "
            "another folder"
        )
    _signal_group(pid, signal.SIGTERM)
    until = time.monotonic() + GRACE_S
    while _started(pid) == started and time.monotonic() < until:
        time.sleep(0.01)
    _signal_group(pid, signal.SIGKILL)


def end_program(process: subprocess.Popen[bytes], grace_s: float | None = None) -> None:
    """End a program and every process of its group; harmless where it has ended.

    It has `grace_s` seconds (:data:`GRACE_S` where None) to go by itself.
    """
    _signal_group(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S if grace_s is None else grace_s)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(pid: int, number: signal.Signals) -> None:
    # The group's number is the pid of its leader, also after the leader has gone.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def run_program(
    command: Sequence[str],
    folder: Path,
    *,
    name: str,
    timeout_s: float | None = None,
    threads: int = 1,
    stdin_file: Path | None = None,
) -> None:
    """Run a program in `folder` to its end.

    Parameters
    ----------
    command
        Program and arguments; no shell reads them.
    folder
        Where it runs; it has to exist.
    name
        Of the program, for messages and for the files ``NAME.out`` and ``NAME.err`` there.
    timeout_s
        Wall time after which it is killed; no limit where None.
    threads
        ``OMP_NUM_THREADS`` where the user has set none.
    stdin_file
        File it reads as standard input; nothing where None.

    Raises
    ------
    CalculatorError
        If it cannot be started, exits with another code than 0 or takes too long. Whatever
        leaves this function, no process of it is left.
    """
    with contextlib.ExitStack() as files:
        stdin: int | IO[bytes] = subprocess.DEVNULL
        if stdin_file is not None:
            stdin = files.enter_context(stdin_file.open("rb"))
        process = start_program(command, folder, name=name, threads=threads, stdin=stdin)
    try:
        code = process.wait(timeout_s)
    except subprocess.TimeoutExpired as error:
        end_program(process)
        raise CalculatorError(
            f"{name} took more than {timeout_s:g} s and was killed; {output_ends(folder, name)}; "
            "raise timeout_s if it was still at work"
        ) from error
    except BaseException:
        end_program(process)
        raise
    if code != 0:
        end_program(process)
        raise CalculatorError(f"{name} {exit_reason(code)}; {output_ends(folder, name)}")


def reuse_key(settings: Mapping[str, Any], numbers: Sequence[int]) -> str:
    """Name what calculations have to share for one to start from the other's electrons.

    Settings, as plain data, and species in their order.
    """
    plain = json.dumps([settings, list(numbers)], sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:8]


def exit_reason(code: int) -> str:
    """Return how a process ended, in words: its exit code or the signal that killed it."""
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


def output_ends(folder: Path, name: str) -> str:
    """Return the last lines of a program's output and error as one line, and where they are."""
    ends = [*last_lines(folder / f"{name}.out"), *last_lines(folder / f"{name}.err")]
    said = f"its last lines: {' | '.join(ends)}" if ends else "it printed nothing"
    return f"{said} (in {folder / name}.out and .err)"


def last_lines(path: Path, count: int = 3) -> list[str]:
    """Return the last non-empty lines of a text file; none where there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    lines = [" ".join(line.split())[:200] for line in text.splitlines()]
    return [line for line in lines if line][-count:]
