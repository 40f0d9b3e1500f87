"""Checksums of the files of a run: taken when something is finished, held against when it is read.

All are BLAKE2b (RFC 7693) of 32 bytes. A file of up to 1 MiB has that of its bytes, as
``b2sum -l 256`` gives it; a larger one that of the checksums of its pieces of 1 MiB one after
another, so that several threads can work on it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.errors import DamagedDataError

if TYPE_CHECKING:
    from ase import Atoms

NAME = "blake2b"
SIZE = 32
PIECE_BYTES = 2**20
THREADS = 8
SETTLED_S = 2.0
"""Age of a file's last change from which on its time tells a later change for certain: clocks of
file systems go in steps of up to a second or two."""
REPLACED_IN_TURN = "checkpoint.previous.npz"
"""What a stage never needs once it is done."""

_known: dict[tuple[int, ...], str] = {}


def checksum(content: bytes) -> str:
    """Return the checksum of a file's content, with the name of the algorithm."""
    return f"{NAME}:{hashlib.blake2b(content, digest_size=SIZE).hexdigest()}"


def file_checksum(path: Path, *, again: bool = False) -> str:
    """Return the checksum of a file; of one that nobody has written to since, as it was then.

    Parameters
    ----------
    path
        The file.
    again
        Read it even where this process has read the same file before.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        there = os.fstat(file.fileno())
        key = (there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns)
        if not again and key in _known:
            return _known[key]
        began = time.time()
        if there.st_size <= PIECE_BYTES:
            found = checksum(file.read())
        else:
            found = checksum(b"".join(_pieces(file.fileno(), there.st_size)))
    if began - max(there.st_mtime, there.st_ctime) > SETTLED_S:
        _known[key] = found
    return found


def _pieces(handle: int, size: int) -> Iterator[bytes]:
    """Give the checksum of each piece of a file; both reading and hashing leave Python's lock."""

    def of_piece(start: int) -> bytes:
        piece = os.pread(handle, PIECE_BYTES, start)
        return hashlib.blake2b(piece, digest_size=SIZE).digest()

    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as threads:
        yield from threads.map(of_piece, range(0, size, PIECE_BYTES))


def folder_checksums(folder: Path) -> dict[str, str]:
    """Return the checksums of a finished stage's files, by their paths in its folder.

    Hidden files, which are what a killed process left half written, and files that were set
    aside do not count.
    """
    return {
        str(path.relative_to(folder)): file_checksum(path, again=True)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not path.name.startswith(".")
        and path.name != REPLACED_IN_TURN
        and ".damaged-" not in path.name
    }


def refuse_damaged(path: Path, recorded: str, *, again: bool = False) -> None:
    """Hold a file against its recorded checksum.

    Raises
    ------
    DamagedDataError
        If it is gone or is not what was written.
    OSError
        If the system does not let us read it: that says nothing of what is in it.
    """
    try:
        found = file_checksum(path, again=again)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise DamagedDataError(f"{path} is missing") from None
    if found != recorded:
        what = "is empty" if path.stat().st_size == 0 else "is not what was written"
        raise DamagedDataError(
            f"{path} {what}: its checksum is {found[:20]}..., and {recorded[:20]}... is in run.json"
        )


def damaged_files(folder: Path, recorded: Mapping[str, str]) -> list[str]:
    """Say of each file that is not what was recorded what is wrong with it.

    Raises
    ------
    OSError
        If the system does not let us read one.
    """
    problems = []
    for name, value in recorded.items():
        try:
            refuse_damaged(folder / name, value, again=True)
        except DamagedDataError as error:
            problems.append(str(error))
    return problems


def state_checksum(atoms: Atoms) -> str:
    """Return the checksum of where a stage starts or ends: cell, positions, momenta (if any)."""
    arrays = [atoms.cell.array, atoms.positions]
    if atoms.has("momenta"):
        arrays.append(atoms.get_momenta())
    return checksum(b"".join(array.tobytes() for array in arrays))
