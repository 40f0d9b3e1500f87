"""Code that may never end or take all memory, run in a process of its own that cannot.

The libraries that read other programs' files trust what these say of themselves. In C they cannot
be interrupted, and memory that they take cannot be refused. A helper is ended by the system when
it has computed for too long, cannot have more memory than it is given, and can be killed at once
by Ctrl-C.

Importing the library takes far longer than looking at a file. So the helper that has imported it
stays for the next files, each of which is looked at in a fork of it; left alone, it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from mlmd.errors import MlmdError

_START_S, _WALL_PER_CPU = 60.0, 6.0
"""Wall-clock time to start in; and to compute in, since disk and machine may be busy."""
_IDLE_S = 20
_NO_MEMORY, _RAISED = 71, 72
_MOST_SAID = 300

# Modules of this interpreter are found first, then whatever else the caller finds: nothing there
# can take the place of a module of the standard library or of an installed package.
_SERVER = f"""
import importlib, json, os, resource, select, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever has started it decides
more_path, library = json.loads(sys.argv[1])
sys.path.extend(place for place in more_path if place not in sys.path)
answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
importlib.import_module(library)

def look(script, arguments, seconds, n_bytes):
    for kind, most in ("CPU", (seconds, seconds + 1)), ("AS", (n_bytes, n_bytes)), ("CORE", (0, 0)):
        try:
            resource.setrlimit(getattr(resource, "RLIMIT_" + kind), most)
        except (ValueError, OSError):
            pass  # less was allowed already, or this system has no such limit
    try:
        exec(script, {{"arguments": arguments}})
    except SystemExit:
        pass
    except MemoryError:
        os._exit({_NO_MEMORY})
    except BaseException as error:
        print(type(error).__name__ + ":", error)
        sys.stdout.flush()
        os._exit({_RAISED})
    sys.stdout.flush()
    os._exit(0)

while select.select([0], [], [], {_IDLE_S})[0]:
    task = b""
    while not task.endswith(b"\\n"):
        piece = os.read(0, 65536)
        if not piece:
            sys.exit()
        task += piece
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.dup2(writer, 1)
        os.close(writer)
        look(*json.loads(task))
    os.close(writer)
    output = b""
    while piece := os.read(reader, 65536):
        output += piece
    os.close(reader)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    answers.write(json.dumps([output.decode(errors="replace"), code]) + "\\n")
    answers.flush()
"""
_ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    )
}
"""A fork has one thread; those of the libraries would only reserve memory."""


@dataclass(frozen=True)
class Outcome:
    """How a helper ended.

    Attributes
    ----------
    output : str
        What the script has printed.
    ended_by : str
        ``""`` where it came to its end, else what ended it, in words.
    """

    output: str
    ended_by: str


def run_helper(
    script: str, arguments: Sequence[str], library: str, seconds: float, n_bytes: int
) -> Outcome:
    """Run a Python script with limits of time and memory.

    Parameters
    ----------
    script
        Its text; ``arguments`` is there as a list of texts. It sees no module of mlmd.
    arguments
        For the script.
    library
        The module that it needs, imported once for many scripts.
    seconds
        Of computing.
    n_bytes
        Of memory that it may have, the library's own included.

    Raises
    ------
    MlmdError
        If no process can be started.
    """
    whole_seconds = max(1, round(seconds))
    task = json.dumps([script, list(arguments), whole_seconds, int(n_bytes)])
    with _LOCK:
        answer = _ask(library, task, whole_seconds * _WALL_PER_CPU)
    if answer is None:
        return Outcome("", f"more than {whole_seconds * _WALL_PER_CPU:g} s")
    output, code = answer
    return Outcome(output, _ended_by(output, code, whole_seconds, n_bytes))


_LOCK = threading.Lock()
_servers: dict[tuple[int, str], subprocess.Popen[bytes]] = {}


def _ask(library: str, task: str, seconds: float) -> tuple[str, int] | None:
    """Return output and exit code of a task; None where there was none in time."""
    key = os.getpid(), library  # a fork of this process needs a helper of its own
    for _ in range(2):  # the one that is there may end of itself just now
        server = _servers.pop(key, None)
        wait_s = seconds
        if server is None or server.poll() is not None:
            server, wait_s = _start(library), seconds + _START_S
        try:
            line = _exchange(server, task, wait_s)
        except BaseException:
            _kill(server)
            raise
        if line is None:
            _kill(server)
            return None
        if line:
            _servers[key] = server
            output, code = json.loads(line)
            return str(output), int(code)
        _kill(server)
    raise MlmdError(
        f"the helper process that reads files with {library} ends as soon as it is started; is "
        f"{library} whole (python -c 'import {library}')?"
    )


def _start(library: str) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-c", _SERVER, json.dumps([_more_path(), library])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | _ONE_THREAD,
            start_new_session=True,
        )
    except OSError as error:
        raise MlmdError(f"no helper process can be started ({error})") from error


def _exchange(server: subprocess.Popen[bytes], task: str, seconds: float) -> bytes | None:
    """Return the line that answers a task; empty where there is no server, None if it is late."""
    asked, answers = _pipes(server)
    try:
        asked.write(task.encode() + b"\n")
        asked.flush()
    except OSError:
        return b""
    if not select.select([answers], [], [], seconds)[0]:
        return None
    return answers.readline()


def _pipes(server: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert server.stdin is not None
    assert server.stdout is not None
    return server.stdin, server.stdout


def _kill(server: subprocess.Popen[bytes]) -> None:
    """End a helper and what it has started."""
    with contextlib.suppress(OSError):  # it is gone
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    for pipe in _pipes(server):
        with contextlib.suppress(OSError):  # what was not sent has no reader
            pipe.close()


@atexit.register
def _kill_all() -> None:
    """Leave no helper behind; those of the process that this one was forked from are not ours."""
    for (pid, _), server in _servers.items():
        if pid == os.getpid():
            _kill(server)


def _ended_by(output: str, code: int, seconds: int, n_bytes: int) -> str:
    """Say in words what ended a script."""
    if code == 0:
        return ""
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"more than {seconds} s of computing"
    if code == _NO_MEMORY:
        return f"more than {n_bytes / 1e9:.2g} GB of memory"
    if code < 0:
        return f"a crash ({signal.Signals(-code).name})"
    return " ".join(output.split())[:_MOST_SAID]


def _more_path() -> list[str]:
    """Return where this process finds modules, but for the working directory."""
    here = os.path.realpath(os.curdir)
    return [place for place in sys.path if os.path.isabs(place) and os.path.realpath(place) != here]
