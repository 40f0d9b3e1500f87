"""ASE's ``.traj``, also where it is compressed, cut short, or lost the table of its frames.

Layout from ASE's ulm.py: 24 bytes that name the format, then version, number of frames and place
of the table of their places, eight bytes each. A frame is its arrays and then, at its place, the
length of a text of JSON and that text, which says where the arrays lie.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mlmd.errors import InputError
from mlmd.trajectory.text.compressed import (
    Damage,
    check_expansion,
    compression_of,
    plain_chunks,
)

MAGIC = b"- of Ulm"
HEAD_BYTES = 48
CHUNK_BYTES = 2**20
LONGEST_TEXT_BYTES = 2**24
"""Of one frame: its arrays lie elsewhere."""


@contextmanager
def whole_traj(path: Path) -> Iterator[tuple[str, str]]:
    """Give the name of a ``.traj`` of whole frames, and what is lost beside them, if anything is.

    It is the file itself where that is whole, else a copy with the frames that are.

    Raises
    ------
    InputError
        If the file says that it holds more than it can, or no frame of it is whole.
    """
    with path.open("rb") as file:
        compression = compression_of(file)
        if compression is None and (places := _places(path, file)) is None:
            yield os.path.abspath(path), ""
            return
    check_expansion(path)
    with tempfile.NamedTemporaryFile(prefix="mlmd-", suffix=".traj") as copy:
        try:
            with path.open("rb") as file, suppress(Damage):
                for chunk in plain_chunks(file, compression, CHUNK_BYTES):
                    copy.write(chunk)
            copy.flush()
            places = _places(path, copy)
            if places is not None:
                _write_places(path, copy, places)
        except OSError as error:
            raise InputError(
                f"{path} cannot be copied into {tempfile.gettempdir()} ({error.strerror}); "
                "decompress it first, or set TMPDIR to a folder on a larger disk"
            ) from error
        yield copy.name, "" if places is None else f"the {len(places)} frames before are read"


def _places(path: Path, file: IO[bytes]) -> list[int] | None:
    """Return where the whole frames are if not all that are promised are there, or else None."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES or not head.startswith(MAGIC):
        return None  # ASE says that it is none
    n_frames, table = struct.unpack("<2q", head[32:])
    if not (0 <= n_frames <= size // 8 and 0 <= table <= size - 8 * n_frames):
        return [*_found(file)][: max(n_frames, 0)]
    file.seek(table)
    places = struct.unpack(f"<{n_frames}q", file.read(8 * n_frames))
    if len(set(places)) < n_frames:
        raise InputError(f"{path} has the same frame more than once in its table")
    for n_whole, place in enumerate(places):
        if _text(file, place, size) is None:
            return [*places[:n_whole]]
    return None


def _text(file: IO[bytes], place: int, size: int) -> bytes | None:
    """Return the text of the frame at a place, or None where it is not whole."""
    if not HEAD_BYTES <= place <= size - 8:
        return None
    file.seek(place)
    (length,) = struct.unpack("<q", file.read(8))
    if not 2 <= length <= min(size - place - 8, LONGEST_TEXT_BYTES):
        return None
    text = file.read(length)
    return text if text.startswith(b"{") and text.endswith(b"}") else None


def _found(file: IO[bytes]) -> Iterator[int]:
    """Give the places of all frames, of which the table is lost, by their texts."""
    size = file.seek(0, os.SEEK_END)
    at, left = 0, b""
    file.seek(0)
    while piece := file.read(CHUNK_BYTES):
        piece = left + piece
        begin = piece.find(b'{"')
        while begin >= 0:
            place = at + begin - 8
            text = _text(file, place, size)
            with suppress(ValueError):
                if text is not None and "positions." in json.loads(text):
                    yield place
            begin = piece.find(b'{"', begin + 1)
        at += len(piece) - 1
        left = piece[-1:]
        file.seek(at + 1)


def _write_places(path: Path, copy: IO[bytes], places: list[int]) -> None:
    """Put another table at the end of a file."""
    if not places:
        raise InputError(f"{path}: it is cut short, or damaged, before its first whole frame")
    end = copy.seek(0, os.SEEK_END)
    copy.write(bytes(-end % 8))
    table = copy.tell()
    copy.write(struct.pack(f"<{len(places)}q", *places))
    copy.seek(32)
    copy.write(struct.pack("<2q", len(places), table))
    copy.flush()
