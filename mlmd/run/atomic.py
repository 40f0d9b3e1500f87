"""Writing a file so that it is the old one or the new one at any moment."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from mlmd.errors import DiskFullError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def disk_full_is_a_stop(what: str) -> Iterator[None]:
    """Turn the system's "no space left" into :class:`DiskFullError`."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if not _is_full(error):
            raise
        raise DiskFullError(
            f"no space left on the disk while writing {what}; everything up to the last checkpoint "
            "is kept: free space, then give the same command to go on"
        ) from error


def _is_full(error: OSError | RuntimeError) -> bool:
    """Tell whether there was no space; some errors of HDF5 say so in their text only."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL
    return any(f"errno = {number}," in str(error) for number in FULL)


def write_atomically(
    path: Path, write: Callable[[BinaryIO], Any], *, previous: Path | None = None
) -> None:
    """Write beside `path`, wait for the disk, rename.

    For the one process that owns the folder: what a killed one left half done is replaced.

    Parameters
    ----------
    path
        The file.
    write
        Writes the content.
    previous
        Name that the file there is now shall have afterwards.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind then.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            _keep_as(path, previous)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _keep_as(path: Path, previous: Path) -> None:
    """Give a file a second name, or rename it where the file system has no hard links."""
    second_name = previous.with_name(f".{previous.name}.partial")
    second_name.unlink(missing_ok=True)
    try:
        second_name.hardlink_to(path)
    except OSError as error:
        if error.errno in FULL:
            raise
        path.replace(previous)
        return
    second_name.replace(previous)
    second_name.unlink(missing_ok=True)  # still there where both were one file already


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON, atomically; what is not a number of JSON's is refused."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
