"""A finished run as one file: what a parallel file system wants of a million of them.

A run of eight stages is some 35 files and folders; packed it is one, ``CASE.tar``, which any tar
unpacks. It is unpacked here when its case is to go on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mlmd.errors import DamagedDataError
from mlmd.files import disk_full_is_a_stop, write_atomically
from mlmd.run.lock import RunLock
from mlmd.run.manifest import NAME
from mlmd.run.run import Run
from mlmd.temporary import TemporaryFolder

SUFFIX = ".tar"
OF_A_LOCK = ("lock", "heartbeat")


def archive_of(directory: Path) -> Path:
    """Return where a run is when it is packed."""
    return directory.with_name(directory.name + SUFFIX)


def pack_run(directory: Path) -> Path:
    """Put a finished run into one file, and remove its directory.

    Killed at any moment it leaves the directory, the file, or both, which are the same then.

    Raises
    ------
    DamagedDataError
        If a file of the run is not what was written: it stays as it is.
    RunLockedError
        If another process works there.
    DiskFullError
        If there is no space for the file.
    """
    archive, away = archive_of(directory), _beside(directory, "packed")

    def write(file: BinaryIO) -> None:
        with tarfile.open(fileobj=file, mode="w") as tar:
            # Last what says that it is a run: a file that was cut has none, or half of it.
            for path in sorted(directory.iterdir(), key=lambda one: (one.name == NAME, one.name)):
                if path.name not in OF_A_LOCK:
                    tar.add(path, f"{directory.name}/{path.name}")

    with disk_full_is_a_stop(str(archive)), RunLock(directory):
        _refuse_damage(directory)
        write_atomically(archive, write)
        # In one step: half a directory would be taken for a damaged run.
        os.rename(directory, away)
    shutil.rmtree(away)
    return archive


def unpack_run(directory: Path) -> None:
    """Put a run that is packed back into its directory; nothing where it is there.

    Raises
    ------
    DamagedDataError
        If the file cannot be read.
    DiskFullError
        If there is no space for the directory.
    """
    archive = archive_of(directory)
    shutil.rmtree(_beside(directory, "packed"), ignore_errors=True)  # of one that was killed
    if not directory.exists() and archive.exists():
        with TemporaryFolder("unpacking", str(directory.parent)) as folder:
            with disk_full_is_a_stop(str(directory)):
                _extract(archive, folder, directory.name)
            try:
                os.rename(folder / directory.name, directory)
            except OSError:
                if not directory.exists():  # no other worker was faster
                    raise
    if directory.exists():
        archive.unlink(missing_ok=True)


@contextlib.contextmanager
def opened_run(directory: Path) -> Iterator[Run]:
    """Give a run to be read, whether or not it is packed.

    Raises
    ------
    RunDirectoryError, DamagedDataError
        If there is no run, or it cannot be read.
    """
    archive = archive_of(directory)
    if directory.exists() or not archive.exists():
        yield Run.open(directory)
        return
    with TemporaryFolder("unpacked") as folder:
        _extract(archive, folder, directory.name)
        yield Run.open(folder / directory.name)


def _extract(archive: Path, folder: Path, name: str) -> None:
    reason = "its end is missing"
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")  # nothing outside, no devices
        if (folder / name / NAME).exists():
            return
    except (tarfile.TarError, EOFError) as error:
        reason = str(error)
    raise DamagedDataError(
        f"{archive} cannot be unpacked ({reason}); it is damaged: remove it, and the same command "
        "does its case again"
    )


def _refuse_damage(directory: Path) -> None:
    damage = Run.open(directory).verify()
    if damage:
        raise DamagedDataError(next(iter(damage.values()))[0])


def _beside(directory: Path, state: str) -> Path:
    return directory.with_name(f".{directory.name}.{state}")
