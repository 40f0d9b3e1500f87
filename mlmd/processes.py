"""Processes told from each other, and the temporary folders that they leave when they are killed.

A process number alone says little: it is used again, and in a container it is another's. A
temporary folder therefore holds a file that is locked while its owner lives, which the system
itself lets go, however the owner ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import tempfile
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any

PREFIXES = ("mlmd-", "ipi_mlmd-")
OWNER = ".owner"
"""File in a temporary folder that is locked by the process that made it."""
UNBORN_S = 3600.0
"""Age at which an empty folder is not one whose owner has yet to put its file there."""


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


class TemporaryFolder:
    """A folder that only this user can enter; what a killed process left of its kind is cleared.

    Parameters
    ----------
    kind
        What it is for, in its name.
    parent
        Where it is made; the usual place where None.
    prefix
        One of :data:`PREFIXES`.
    """

    def __init__(self, kind: str, parent: str | None = None, prefix: str = PREFIXES[0]) -> None:
        parent = parent or tempfile.gettempdir()
        clear_leftovers(parent)
        self.path = Path(tempfile.mkdtemp(prefix=f"{prefix}{kind}-"[:16], dir=parent))
        self._handle = _locked_file(self.path)
        # Also when the owner forgets about it or ends.
        self.remove = weakref.finalize(self, _remove, self.path, self._handle, os.getpid())

    def keep(self) -> None:
        """Leave it where it is: somebody is told to look at what is in it."""
        with contextlib.suppress(OSError):
            (self.path / OWNER).unlink(missing_ok=True)
            self.path.rmdir()  # there is nothing to look at
        self.remove.detach()
        _let_go(self._handle)

    def __enter__(self) -> Path:
        """Return the path."""
        return self.path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove it and all that is in it."""
        self.remove()


def clear_leftovers(parent: str | None = None) -> None:
    """Remove the temporary folders of processes that were killed.

    Only folders of this user that begin like ours, with a file that nobody holds; what cannot be
    judged or removed stays.

    Parameters
    ----------
    parent
        Where to look; the usual place where None.
    """
    with contextlib.suppress(OSError), os.scandir(parent or tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIXES):
                with contextlib.suppress(OSError):
                    _clear(entry)


def _clear(entry: os.DirEntry[str]) -> None:
    status = entry.stat(follow_symlinks=False)
    if not entry.is_dir(follow_symlinks=False) or status.st_uid != os.getuid():
        return
    try:
        handle = os.open(os.path.join(entry.path, OWNER), os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        if time.time() - status.st_mtime > UNBORN_S:
            os.rmdir(entry.path)  # where it is empty
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while the owner lives
        shutil.rmtree(entry.path)
    finally:
        os.close(handle)


def _locked_file(folder: Path) -> int | None:
    """Put the owner's file into a folder, locked before anybody can see it."""
    unseen = folder / f"{OWNER}.new"
    handle = os.open(unseen, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # no locks on this file system: nobody clears it either
        os.close(handle)
        unseen.unlink()
        return None
    unseen.rename(folder / OWNER)
    return handle


def _let_go(handle: int | None) -> None:
    if handle is not None:
        with contextlib.suppress(OSError):
            os.close(handle)


def _remove(path: Path, handle: int | None, owner: int) -> None:
    if os.getpid() != owner:  # a fork that ends: the folder is not its own
        return
    shutil.rmtree(path, ignore_errors=True)
    _let_go(handle)


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
