"""Processes told from each other, and started so that they import what they are meant to.

A process number alone says little: it is used again, and in a container it is another's.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Describe this process so that it can be told from any other."""
    return {
        "host": socket.gethostname(),
        "boot_id": _boot_id(),
        "pid_namespace": _pid_namespace(),
        "pid": os.getpid(),
        "process_start": _start_time(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
    }


def is_alive_here(process: dict[str, Any]) -> bool | None:
    """Tell whether a process lives; None where it cannot be seen from here.

    It is on another host, was there before this boot, or has process numbers of its own (a
    container): then its number means another process here, or none.

    Parameters
    ----------
    process
        As :func:`this_process` describes it, the ``pid`` a whole number.
    """
    here = this_process()
    if any(process.get(key) != here[key] for key in ("host", "boot_id", "pid_namespace")):
        return None
    started, recorded = _start_time(process["pid"]), process.get("process_start")
    if started is None and not _exists(process["pid"]):
        return False
    if started is None or not isinstance(recorded, str):
        return None  # /proc hides the processes of other users, or nobody said when it started
    return started == recorded


def safe_environment() -> dict[str, str]:
    """Return the environment for a Python that imports nothing from the working directory.

    What the user put on ``PYTHONPATH`` stays, but for empty entries (``PYTHONPATH=:/my/modules``)
    and dots, which mean the working directory wherever that is.
    """
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    given = environment.pop("PYTHONPATH", "").split(os.pathsep)
    kept = [place for place in given if place not in ("", ".")]
    return {**environment, "PYTHONPATH": os.pathsep.join(kept)} if kept else environment


@contextlib.contextmanager
def started_safely() -> Iterator[None]:
    """Have processes of :mod:`multiprocessing` import nothing from the working directory.

    A ``random.py`` there would be taken for the module of that name. What lies there can still be
    imported where nothing else is called so.
    """
    environment, path = dict(os.environ), list(sys.path)
    os.environ.update(safe_environment())
    sys.path[:] = _safe_path()
    try:
        yield
    finally:
        sys.path[:] = path
        for name in ("PYTHONSAFEPATH", "PYTHONPATH"):
            os.environ.pop(name, None)
            if name in environment:
                os.environ[name] = environment[name]


def _safe_path() -> list[str]:
    """Return the path of modules with the working directory last, and with this mlmd on it."""
    here, home = os.path.realpath(os.getcwd()), os.path.dirname(os.path.dirname(__file__))
    safe = [place for place in sys.path if os.path.realpath(place or here) != here]
    was_on_it = len(safe) < len(sys.path)
    if home not in safe:  # before an mlmd that is installed, after the standard library
        packages = [i for i, place in enumerate(safe) if place.endswith("-packages")]
        safe.insert(packages[0] if packages else len(safe), home)
    return [*safe, here] if was_on_it and here != os.path.realpath(home) else safe


def end_with_parent() -> None:
    """Have this process of :mod:`multiprocessing` end when the one that started it was killed.

    A pool's process waits for work for ever otherwise. For the ``initializer`` of a pool.
    """
    import multiprocessing

    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_wait_and_end, args=(parent.sentinel,), daemon=True).start()


def _wait_and_end(parent: int) -> None:
    from multiprocessing.connection import wait

    wait([parent])
    os._exit(1)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    """Return which process numbers ours is one of: those of the machine, or of a container."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start_time(pid: int) -> str | None:
    """Return when a process started, in the kernel's ticks.

    An empty text where it has ended and is a zombie, None where there is none such to be seen.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        if not Path("/proc/self/stat").exists():  # not Linux: the process number must do
            return "unknown" if _exists(pid) else None
        return None
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
