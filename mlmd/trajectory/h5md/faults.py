"""What to do where HDF5 cannot read or write a file."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py

from mlmd.errors import DamagedDataError, MlmdError
from mlmd.files import CANNOT


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what HDF5 finds wrong with a file into DamagedDataError.

    Its own findings have no number (or EINVAL, an address that makes no sense); those of the
    system, no permission or no space, have one and stay what they are.
    """
    try:
        yield
    except MlmdError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        if getattr(error, "errno", None) not in (None, errno.EINVAL):
            raise
        reason = " ".join(str(error).split())
        raise DamagedDataError(f"{path} cannot be read as H5MD: {reason}") from error


def reserve(file: h5py.File, start: int, length: int) -> None:
    """Have the system set blocks aside for a part of a file, or raise OSError.

    Where the system (macOS) or the file system has no such call a full disk is met by HDF5.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.id.get_vfd_handle(), start, length)
    except OSError as error:
        if error.errno not in CANNOT:
            raise


def let_go(file: h5py.File) -> None:
    """Close a file whose writes shall no longer reach the disk.

    HDF5 keeps what it could not write, tries again when closing, and may crash when the
    process ends: so its file descriptor is led to a file that nobody sees.
    """
    if not file:
        return
    if hasattr(os, "memfd_create"):
        nowhere = os.memfd_create("mlmd")
    else:
        with tempfile.TemporaryFile() as unnamed:
            nowhere = os.dup(unnamed.fileno())
    os.dup2(nowhere, file.id.get_vfd_handle())
    os.close(nowhere)
    # Left open by an attempt that fails, it would be shared with the next reader in this process,
    # who would be given what is in the file that nobody sees. A closed one is closed once more.
    for _ in range(2):
        with contextlib.suppress(OSError, RuntimeError):
            file.close()
