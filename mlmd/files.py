"""Writing files: whole or not at all, and nothing of a user's is ever lost.

`write_output` is the one way to a file that a user asked for. The files of a run are written by
`write_atomically`: the process that holds the run's lock may replace them, nobody else.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from mlmd.errors import DiskFullError, InputError, RunDirectoryError, StoppedError

logger = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EDQUOT)
CANNOT = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system says that has no such call: CIFS, FUSE, shared folders of virtual machines."""
RUN_FILE = "run.json"
"""The file that makes a folder a run directory."""
KINDS: dict[str, tuple[str, ...]] = {
    "structure": (),
    "trajectory": (),
    "table": (),
    "model": (),
    "recipe": (),
    "curves": (".csv",),
    "page": (".html", ".htm"),
    "plot": (".png", ".svg", ".pdf"),
}
"""Kinds of output, and the suffixes of those that are made again and take their old place."""


def check_output(path: str | Path, kind: str, force: bool = False) -> Path:
    """See that an output can be written, before anything is computed for it.

    Parameters
    ----------
    path
        Where it is to be.
    kind
        One of :data:`KINDS`.
    force
        Replace what is there, whatever it is; but never a file of a run.

    Raises
    ------
    InputError
        If there is no such folder, the path is a folder, or something is there that is no earlier
        output of that kind.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected the name of a file to write")
    if not path.parent.is_dir():
        raise InputError(f"folder {path.parent} does not exist; make it first")
    if not os.path.lexists(path) or path.suffix.lower() in KINDS[kind]:
        return path
    for folder in path.absolute().parents:
        if (folder / RUN_FILE).exists():
            raise InputError(f"{path} is a file of the run in {folder}; give another name")
    if not force:
        raise InputError(f"{path} exists; nothing is overwritten: give another name")
    return path


@contextmanager
def write_output(path: str | Path, kind: str, force: bool = False) -> Iterator[Path]:
    """Write a file for a user: give a place beside it, and move that there when all is written.

    ::

        with write_output("li.csv", "table") as place:
            frame.to_csv(place)

    Parameters
    ----------
    path, kind, force
        As for :func:`check_output`, which is called first.

    Yields
    ------
    Path
        To be written to; with the suffix of `path`.

    Raises
    ------
    InputError
        As :func:`check_output`, and if it cannot be written; nothing is left behind then.
    """
    path = check_output(path, kind, force)
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        if force or path.suffix.lower() in KINDS[kind]:
            partial.replace(path)
        else:
            _put_where_nothing_is(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}); give another place"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _put_where_nothing_is(partial: Path, path: Path) -> None:
    """Rename, unless somebody else has written a file of that name meanwhile."""
    try:
        path.hardlink_to(partial)  # unlike a renaming, it fails where there is one
    except FileExistsError as error:
        raise InputError(f"{path} exists; nothing is overwritten: give another name") from error
    except OSError:  # no hard links here
        check_output(path, "structure")
        partial.rename(path)


@contextmanager
def disk_full_is_a_stop(what: str) -> Iterator[None]:
    """Turn the system's "no space left" into :class:`DiskFullError`; a read-only disk stops too."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EROFS:
            raise StoppedError(
                f"the disk has become read-only while {what} was to be written; everything up to "
                "the last checkpoint is kept: make it writable"
            ) from error
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
    partial.unlink(missing_ok=True)
    try:
        with partial.open("xb") as file:  # made anew: it is no link to somewhere else
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


KINDS_OF_NO_FILE = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def refuse_what_is_no_file(path: Path, folder: int | None = None, *, folders: bool = False) -> None:
    """Raise where what is at the place of a run's file leads elsewhere or makes a reader wait.

    Parameters
    ----------
    path
        The place; nothing need be there.
    folder
        Open folder that it lies in, wherever that has been moved to.
    folders
        Whether a folder is right there too.

    Raises
    ------
    RunDirectoryError
        If a link, a pipe, a device or a folder is there.
    """
    try:
        status = os.stat(
            path if folder is None else path.name, dir_fd=folder, follow_symlinks=False
        )
    except (FileNotFoundError, NotADirectoryError):
        return
    mode = status.st_mode
    if stat.S_ISREG(mode) or (folders and stat.S_ISDIR(mode)):
        return
    if stat.S_ISLNK(mode):
        what = "a symbolic link, and a run writes into its own folder only"
    else:
        what = next((name for is_it, name in KINDS_OF_NO_FILE if is_it(mode)), "no ordinary file")
    expected = "a file or a folder" if folders else "a file"
    raise RunDirectoryError(f"{path} is {what}; expected {expected} of the run: move it away")


def open_ordinary(path: Path, flags: int, folder: int | None = None) -> int:
    """Open a file of a run without following a link and without waiting for a pipe.

    Parameters
    ----------
    path
        The file.
    flags
        As for :func:`os.open`.
    folder
        See :func:`refuse_what_is_no_file`.

    Returns
    -------
    int
        The descriptor.

    Raises
    ------
    RunDirectoryError
        If it is no ordinary file.
    OSError
        If it cannot be opened.
    """
    refuse_what_is_no_file(path, folder)
    # Whoever changes it in this moment is not followed and not waited for either.
    careful = flags | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(path if folder is None else path.name, careful, 0o644, dir_fd=folder)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON, atomically; what is not a number of JSON's is refused."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where its file system can do that."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
        _warn_of_folders(os.strerror(error.errno))
    finally:
        os.close(handle)


@cache
def _warn_of_folders(reason: str) -> None:
    """Say it once: after a crash of the machine the newest files may have their old names."""
    logger.warning(
        "the file system cannot write out a folder (%s): going on; after a power failure the last "
        "checkpoint may be missing and the one before be taken",
        reason,
    )
