"""One process at a time on a run directory.

``lock`` is made with O_EXCL and holds who made it: host, boot, process and the process's start
time, so that a process number used again is not taken for the owner. A counter in ``heartbeat``
grows while the owner lives; another host judges by whether it grows, by its own clock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from mlmd.errors import RunLockedError, StoppedError
from mlmd.files import disk_full_is_a_stop

HEARTBEAT_INTERVAL_S = 10.0
PATIENCE_S = 45.0
"""How long a heartbeat from another host must stand still before its owner counts as dead."""


class RunLock:
    """Exclusive ownership of a directory.

    Parameters
    ----------
    folder
        The run directory.
    take_over
        Take the lock whoever holds it (the user knows better).
    patience_s
        See :data:`PATIENCE_S`.
    """

    def __init__(
        self, folder: Path, *, take_over: bool = False, patience_s: float = PATIENCE_S
    ) -> None:
        self._folder = folder
        self._path = folder / "lock"
        self._heartbeat = folder / "heartbeat"
        self._take_over = take_over
        self._patience_s = patience_s
        self._owner = {**this_process(), "nonce": uuid.uuid4().hex}
        self._released = threading.Event()
        self._beating: threading.Thread | None = None

    def __enter__(self) -> RunLock:
        """Take the lock.

        Raises
        ------
        RunLockedError
            If another process holds it; the message names the process.
        """
        with self._guard(), disk_full_is_a_stop(str(self._path)):
            held_by = read_owner(self._folder)
            if held_by is not None and not (self._take_over or self._is_dead(held_by)):
                raise RunLockedError(
                    f"{self._folder} is in use by process {held_by.get('pid')} on "
                    f"{held_by.get('host')} (since {held_by.get('since')}); wait for it, stop it, "
                    "or use --take-over if you know that it is gone"
                )
            text = json.dumps(self._owner)
            if held_by is None and not self._path.exists():
                handle = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
                with os.fdopen(handle, "w") as file:
                    file.write(text)
            else:
                self._path.write_text(text)
        self._beating = threading.Thread(target=self._beat, name="mlmd-heartbeat", daemon=True)
        self._beating.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lock back, unless another process has taken it."""
        self._released.set()
        if self._beating is not None:
            self._beating.join()
        if self._is_ours():
            self._heartbeat.unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise StoppedError if another process has taken the directory over."""
        if not self._is_ours():
            raise StoppedError(
                f"another process has taken over {self._folder}; this one stops without writing"
            )

    def _is_ours(self) -> bool:
        owner = read_owner(self._folder)
        return owner is not None and owner.get("nonce") == self._owner["nonce"]

    def _beat(self) -> None:
        count = 0
        while True:
            # A full disk must not end the run from here; then the counter stands still.
            with contextlib.suppress(OSError):
                self._heartbeat.write_text(f"{self._owner['nonce']} {count}")
            if self._released.wait(HEARTBEAT_INTERVAL_S):
                return
            count += 1

    def _is_dead(self, owner: dict[str, Any]) -> bool:
        """Tell whether the process that made the lock is gone."""
        alive = is_alive_here(owner)
        if alive is not None:
            return not alive
        before = self._read_heartbeat()
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline:
            time.sleep(min(1.0, self._patience_s / 4))
            if self._read_heartbeat() != before:
                return False
        return True

    def _read_heartbeat(self) -> str:
        try:
            return self._heartbeat.read_text()
        except OSError:
            return ""

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Let one process at a time look at the lock and replace it."""
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            # Where the file system has no such locks O_EXCL alone decides.
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def this_process() -> dict[str, Any]:
    """Describe this process so that it can be told from any other."""
    return {
        "host": socket.gethostname(),
        "boot_id": _boot_id(),
        "pid": os.getpid(),
        "process_start": _start_time(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
    }


def read_owner(folder: Path) -> dict[str, Any] | None:
    """Return who holds the lock of a run directory, or None.

    A lock that cannot be read was cut short when its maker died: nobody holds it.
    """
    try:
        owner = json.loads((folder / "lock").read_text())
    except (OSError, ValueError):
        return None
    return owner if isinstance(owner, dict) else None


def is_alive_here(owner: dict[str, Any]) -> bool | None:
    """Tell whether the owner lives; None where it is on another host and cannot be seen."""
    here = this_process()
    if owner.get("host") != here["host"]:
        return None
    return bool(
        owner.get("boot_id") == here["boot_id"]
        and _start_time(owner.get("pid", -1)) == owner.get("process_start")
    )


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _start_time(pid: int) -> str | None:
    """Return when a process started, in the kernel's ticks; None where there is none such."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if not Path("/proc/self/stat").exists():  # not Linux: the process number must do
            return "unknown" if _exists(pid) else None
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
