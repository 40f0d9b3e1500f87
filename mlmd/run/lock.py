"""One process at a time on a run directory.

``lock`` is made with O_EXCL and holds who made it: host, boot, process namespace (a container has
its own), process and the process's start time, so that a process number used again is not taken
for the owner. A counter in ``heartbeat`` grows while the owner lives. A process that can be seen
from here is judged by its number; any other by whether its heartbeat grows, by our own clock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from mlmd.checks import is_whole
from mlmd.errors import InputError, RunDirectoryError, RunLockedError, RunLostError
from mlmd.files import FULL, disk_full_is_a_stop
from mlmd.processes import is_alive_here, this_process
from mlmd.run.ordinary_files import open_ordinary, refuse_what_is_no_file

logger = logging.getLogger(__name__)

HEARTBEAT_INTERVAL_S = 10.0
PATIENCE_S = 45.0
"""How long the heartbeat of a process that cannot be seen must stand still before it is dead."""
RETRIES_S = (0.1, 0.4, 1.0)
"""Pauses before a lock that could not be read is read again: file servers fail for a moment."""
GONE = (errno.ENOENT, errno.ENOTDIR)
MOST_CHARACTERS = 65536
FILES = ("lock", "heartbeat", "log.jsonl", "run.json", "structure.extxyz")
STOPS = "this process stops without writing"
STAGE_FOLDER = re.compile(r"\d+-")


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
        self._handle = -1
        """The folder itself, wherever somebody moves it to."""

    def __enter__(self) -> RunLock:
        """Take the lock.

        Raises
        ------
        RunLockedError
            If another process holds it; the message names the process.
        RunDirectoryError
            If a file that a run writes is a link, a pipe, a folder, a device here.
        InputError
            If the folder cannot be written.
        DiskFullError
            If there is no space for the lock.
        """
        try:
            with disk_full_is_a_stop(str(self._path)):
                self._open()
        except BaseException:
            self._close()
            raise
        self._beating = threading.Thread(target=self._beat, name="mlmd-heartbeat", daemon=True)
        self._beating.start()
        return self

    def _open(self) -> None:
        try:
            self._handle = os.open(self._folder, os.O_RDONLY)
            with self._guard():
                self._take()
        except OSError as error:
            if error.errno in FULL:
                raise
            raise InputError(
                f"{self._folder} cannot be locked for a run ({error.strerror or error}); make it "
                "readable and writable, or give another directory"
            ) from error

    def _take(self) -> None:
        _refuse_what_is_no_file(self._folder)
        before = _content_patiently(self._path)
        held_by = _owner_in(before)
        if before is not None and not self._take_over and not self._is_dead(before, held_by):
            raise RunLockedError(
                f"{self._folder} is in use by {_named(held_by)}; wait for it, stop it, or use "
                "--take-over if you know that it is gone"
            )
        text = json.dumps(self._owner)
        new = os.O_CREAT | os.O_EXCL if before is None else os.O_CREAT | os.O_TRUNC
        try:
            # Before there is a lock: one that says nothing and has no heartbeat belongs to nobody.
            self._write(self._heartbeat, f"{self._owner['nonce']} 0", os.O_CREAT | os.O_TRUNC)
            self._write(self._path, text, new)
        except FileExistsError as error:  # where the file system lets nobody wait for another
            raise RunLockedError(
                f"{self._folder} was taken by another process at the same moment; wait for it, or "
                "give another directory"
            ) from error
        except OSError:  # the disk is full: half a lock would have the next one wait for nobody
            for path in (self._heartbeat, self._path):
                with contextlib.suppress(OSError):
                    os.unlink(path.name, dir_fd=self._handle)
            raise

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
        # What the work has come to is not changed by a disk that takes nothing any more.
        with contextlib.suppress(OSError):
            if self._is_beating():
                os.unlink(self._heartbeat.name, dir_fd=self._handle)
        with contextlib.suppress(OSError, RunDirectoryError):
            if self._is_ours(_content(self._path, self._handle)):
                os.unlink(self._path.name, dir_fd=self._handle)
        self._close()

    def check(self) -> None:
        """Return if the directory is still ours.

        Raises
        ------
        RunLostError
            If it is not, or nobody can tell: another process has taken it over, the lock was
            removed, changed or cannot be read, the directory was moved or deleted.
        """
        try:
            with disk_full_is_a_stop(str(self._path)):
                content = _content_patiently(self._path)
        except (OSError, RunDirectoryError) as error:
            reason = getattr(error, "strerror", None) or error
            raise RunLostError(
                f"the lock {self._path} cannot be read ({reason}), so that another process may be "
                f"at work there; {STOPS}; once it can be read, the same command goes on from the "
                "last checkpoint"
            ) from error
        if not self._is_ours(content):
            raise RunLostError(f"{self._loss(content)}; {STOPS}")

    def _loss(self, content: str | None) -> str:
        """Say why the directory is not ours any more, and what to do."""
        if not self._is_in_place():
            here = _place_of(self._handle)
            if here is None:
                return f"{self._folder} was moved or deleted during the run"
            return (
                f"{self._folder} was moved to {here} during the run; to go on there, give the "
                f"same command with --out {here}"
            )
        if content is None and not self._is_beating():
            return (
                f"{self._folder} was taken over by another process that has ended, or its lock and "
                "heartbeat were removed during the run; if nobody works there, the same command "
                "goes on from the last checkpoint"
            )
        if content is None:
            return (
                f"the lock {self._path} was removed during the run, so that another process may "
                "start there; if none has, the same command goes on from the last checkpoint"
            )
        owner = _owner_in(content)
        if owner is None:
            return (
                f"the lock {self._path} was changed during the run and names no process; if none "
                "works there, the same command goes on from the last checkpoint"
            )
        return f"another process has taken over {self._folder}: {_named(owner)}"

    def _is_beating(self) -> bool:
        """Tell whether the heartbeat is still ours."""
        with contextlib.suppress(OSError, RunDirectoryError):
            return (_content(self._heartbeat, self._handle) or "").startswith(self._owner["nonce"])
        return False

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(self._folder.stat(), os.fstat(self._handle))
        except OSError:
            return False

    def _is_ours(self, content: str | None) -> bool:
        owner = _owner_in(content)
        return owner is not None and owner.get("nonce") == self._owner["nonce"]

    def _beat(self) -> None:
        count = 1
        while not self._released.wait(HEARTBEAT_INTERVAL_S):
            # A full disk must not end the run from here; then the counter stands still. It does
            # too where the lock is not ours: the heartbeat is another's then.
            with contextlib.suppress(OSError, RunDirectoryError):
                if self._is_ours(_content(self._path)):
                    self._write(self._heartbeat, f"{self._owner['nonce']} {count}", os.O_TRUNC)
            count += 1

    def _is_dead(self, content: str, owner: dict[str, Any] | None) -> bool:
        """Tell whether the process that made the lock is gone."""
        alive = None if owner is None else is_alive_here(owner)
        if alive is not None:
            return not alive
        before = self._read_heartbeat()
        if owner is None and before is None:
            return True  # it was cut short when its maker died
        logger.warning(
            "%s is locked by %s, which cannot be seen from here: watching its heartbeat for %g s",
            self._folder,
            _named(owner),
            self._patience_s,
        )
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline:
            time.sleep(min(1.0, self._patience_s / 4))
            if self._read_heartbeat() != before or _content(self._path) != content:
                return False
        return True

    def _read_heartbeat(self) -> str | None:
        try:
            return _content(self._heartbeat)
        except (OSError, RunDirectoryError):
            return None

    def _write(self, path: Path, text: str, how: int) -> None:
        """Write a file in the folder as it is now, also where that was moved."""
        handle = open_ordinary(path, os.O_WRONLY | how, folder=self._handle)
        with os.fdopen(handle, "w") as file:
            file.write(text)

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Let one process at a time look at the lock and replace it.

        Raises
        ------
        RunLockedError
            If another looks at it for longer than it takes.
        """
        deadline = time.monotonic() + self._patience_s + 15.0
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise RunLockedError(
                            f"{self._folder} is being opened by another process, which does not "
                            "get on; end that process, then give the same command"
                        ) from None
                    time.sleep(0.05)
                except OSError:
                    break  # Where the file system has no such locks O_EXCL alone decides.
            yield
        finally:
            os.close(handle)

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def read_owner(folder: Path) -> dict[str, Any] | None:
    """Return who holds the lock of a run directory, or None.

    None also where the lock cannot be read, is no file, or names no process.
    """
    try:
        return _owner_in(_content(folder / "lock"))
    except (OSError, RunDirectoryError):
        return None


def is_at_work(folder: Path) -> bool:
    """Tell whether a process works on a run directory, as far as can be seen without waiting.

    One of this machine that cannot be seen (before its last boot, in a container) is judged by the
    age of its heartbeat, one of another host, whose clock is not ours, counts as alive.
    """
    owner = read_owner(folder)
    alive = False if owner is None else is_alive_here(owner)
    if alive is None and owner is not None and owner["host"] == this_process()["host"]:
        try:
            return time.time() - (folder / "heartbeat").stat().st_mtime < PATIENCE_S
        except OSError:
            return False
    return alive is not False


def _content(path: Path, folder: int | None = None) -> str | None:
    """Return what a file holds, None where there is none; never wait for a pipe."""
    try:
        handle = open_ordinary(path, os.O_RDONLY, folder=folder)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise
    with os.fdopen(handle, errors="replace") as file:
        return file.read(MOST_CHARACTERS)


def _content_patiently(path: Path) -> str | None:
    """Return what a file holds; read it again where a file server fails for a moment."""
    for pause_s in RETRIES_S:
        try:
            return _content(path)
        except OSError:
            time.sleep(pause_s)
    return _content(path)


def _refuse_what_is_no_file(folder: Path) -> None:
    """Raise where what a run writes is a link, which leads who knows where, or no file at all."""
    for name in FILES:
        refuse_what_is_no_file(folder / name)
    for place in folder.iterdir():
        if not STAGE_FOLDER.match(place.name):
            continue
        refuse_what_is_no_file(place, folders=True)
        for path in place.rglob("*"):
            refuse_what_is_no_file(path, folders=True)


def _owner_in(content: str | None) -> dict[str, Any] | None:
    """Return the process that a lock names; None for a lock that was cut short, or is no lock."""
    try:
        owner = json.loads(content or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(owner, dict) or not isinstance(owner.get("host"), str):
        return None
    return owner if is_whole(owner.get("pid")) and 0 < owner["pid"] < 2**31 else None


def _named(owner: dict[str, Any] | None) -> str:
    if owner is None:
        return "a process that its lock does not name"
    since = f" (since {owner['since']})" if isinstance(owner.get("since"), str) else ""
    return f"process {owner['pid']} on {owner['host']}{since}"


def _place_of(handle: int) -> str | None:
    """Return where an open folder is now; None where it was deleted, or nobody can tell."""
    try:
        place = os.readlink(f"/proc/self/fd/{handle}")
        return place if os.path.samestat(os.stat(place), os.fstat(handle)) else None
    except OSError:
        return None
