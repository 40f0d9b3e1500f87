"""Temporary folders, and those that a killed process has left.

Each holds a file that is locked while its owner lives: the system itself lets it go, however the
owner ends, in whatever container it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
import weakref
from functools import cache
from pathlib import Path
from types import TracebackType

PREFIXES = ("mlmd-", "ipi_mlmd-")
SHORT_PARENT = "/tmp"
"""For sockets, whose names may not be long."""
OWNER = ".owner"
"""File in a temporary folder that is locked by the process that made it."""
UNBORN_S = 3600.0
"""Age at which an empty folder is not one whose owner has yet to put its file there."""


class TemporaryFolder:
    """A folder that only this user can enter; what a killed process left of its kind is cleared.

    Parameters
    ----------
    kind
        What it is for, in its name; may be empty.
    parent
        Where it is made; the usual place where None.
    prefix
        One of :data:`PREFIXES`.
    """

    def __init__(self, kind: str, parent: str | None = None, prefix: str = PREFIXES[0]) -> None:
        parent = parent or tempfile.gettempdir()
        _clear_once(parent)
        self.path = Path(
            tempfile.mkdtemp(prefix=f"{prefix}{kind}-" if kind else prefix, dir=parent)
        )
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


def clear_leftovers() -> None:
    """Remove the temporary folders of processes that were killed.

    Only folders of this user that begin like ours, with a file that nobody holds; what cannot be
    judged or removed stays.
    """
    for parent in {tempfile.gettempdir(), SHORT_PARENT}:
        _clear_in(parent)


@cache
def _clear_once(parent: str) -> None:
    _clear_in(parent)


def _clear_in(parent: str) -> None:
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
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
