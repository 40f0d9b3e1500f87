"""What to do where HDF5 cannot read or write a file."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py

from mlmd.errors import DamagedDataError, InputError, MlmdError
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


def refuse_links(file: h5py.File, path: Path, kind: type[MlmdError] = InputError) -> h5py.File:
    """Return a file whose data are all its own; close one that takes them from elsewhere.

    A link to another file, a virtual data set and one with external storage would have whoever
    reads a trajectory read, and whoever goes on with it write, any file of the machine.

    Parameters
    ----------
    file
        Just opened, nothing of it looked at.
    path
        Its name for the message.
    kind
        Of the error.

    Raises
    ------
    InputError
        Or another `kind`, if it does.
    """

    try:
        with damage_named(path):
            found = _data_elsewhere(file)
        if found is not None:
            raise kind(f"{path} does not hold its own data: {found}; expected all in one file")
    except BaseException:
        let_go(file)
        raise
    return file


def _data_elsewhere(file: h5py.File) -> str | None:
    """Say which part of a file is not in it; follow no link on the way."""
    names: list[bytes] = []
    leaving: list[bytes] = []

    def look(name: bytes, link: h5py.h5l.LinkInfo) -> None:
        if link.type == h5py.h5l.TYPE_HARD:
            names.append(name)
        elif link.type != h5py.h5l.TYPE_SOFT:  # which stays within the file
            leaving.append(name)

    file.id.links.visit(look, info=True)
    for name in leaving:
        return f"'{name.decode(errors='replace')}' is a link to another file"
    for name in names:
        if h5py.h5o.get_info(file.id, name).type != h5py.h5o.TYPE_DATASET:
            continue
        made = h5py.h5d.open(file.id, name).get_create_plist()
        layout, where = made.get_layout(), f"'{name.decode(errors='replace')}'"
        if layout == h5py.h5d.VIRTUAL:
            return f"{where} is a virtual data set"
        if layout == h5py.h5d.CONTIGUOUS and made.get_external_count():
            return f"{where} is stored outside the file"
    return None


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
