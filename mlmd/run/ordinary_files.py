"""Files of a run are ordinary ones in its own folder: no links that lead elsewhere, no pipes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mlmd.checks import kind_of_no_file
from mlmd.errors import RunDirectoryError


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
        what = kind_of_no_file(mode)
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
