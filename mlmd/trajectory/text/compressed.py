"""Decompressing piece by piece, so that what comes before a damage is not lost."""

from __future__ import annotations

import bz2
import lzma
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from mlmd.errors import InputError

COMPRESSIONS = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\x00"}
"""Suffix and first bytes of each compression that is undone."""

# Small, since what a piece holds before its damage is lost.
PIECE_BYTES = 2**14

MOST_EXPANSION = 50
"""Text may be so many times larger than what it is compressed to: of programs it is 5 to 20."""
_SMALL_BYTES = 2**20  # whatever it is compressed to, it may be as long as this
_CHUNK_BYTES = 2**20


class Expansion(Exception):
    """Compressed data are far more than they can be meant to; the one who reads catches it."""

    def __init__(self) -> None:
        super().__init__(
            f"its compressed data become more than {MOST_EXPANSION} times as long as they are; "
            "decompress it first if that is right"
        )


class Damage(Exception):
    """Compressed data are damaged or cut short; the one who reads catches it."""


class _Decompressor(Protocol):
    """What the three of the standard library have in common, once zlib's is wrapped."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """A gzip member, in the way of `bz2.BZ2Decompressor`."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not (self._inner.unconsumed_tail or self._full or self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        text = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self._full = len(text) == max_length
        return text


def compression_of(file: IO[bytes]) -> str | None:
    """Return the suffix of the compression that a file's first bytes show, or None."""
    first = file.read(6)
    file.seek(0)
    return next((name for name, magic in COMPRESSIONS.items() if first.startswith(magic)), None)


def plain_chunks(file: IO[bytes], compression: str | None, chunk_bytes: int) -> Iterator[bytes]:
    """Give a file's text in chunks of at most `chunk_bytes`.

    Raises
    ------
    Damage
        Where the compressed data are damaged or end too early, after what came before.
    Expansion
        Where they become far longer than they are.
    InputError
        If their checksum says that any of them may be wrong.
    OSError
        If the file cannot be read.
    """
    if compression is None:
        while chunk := file.read(chunk_bytes):
            yield chunk
        return
    most = MOST_EXPANSION * os.fstat(file.fileno()).st_size + _SMALL_BYTES
    for chunk in _decompressed(file, compression, chunk_bytes):
        most -= len(chunk)
        if most < 0:
            raise Expansion
        yield chunk


def check_expansion(path: Path) -> int:
    """Return how long a file's text is once it is decompressed.

    Raises
    ------
    InputError
        If that is far longer than the file, or it cannot be read.
    """
    n_bytes = 0
    try:
        with path.open("rb") as file:
            compression = compression_of(file)
            if compression is None:
                return os.fstat(file.fileno()).st_size
            for chunk in plain_chunks(file, compression, _CHUNK_BYTES):
                n_bytes += len(chunk)
    except Expansion as error:
        raise InputError(f"{path}: {error}") from error
    except Damage:
        pass  # said when it is read
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    return n_bytes


def _decompressed(file: IO[bytes], compression: str, chunk_bytes: int) -> Iterator[bytes]:
    left = b""
    member = 0
    while True:
        piece = left or file.read(PIECE_BYTES)
        # Members may follow each other, and zeros may fill up the last block of a tape.
        if member and not piece.strip(b"\0"):
            if not piece:
                return
            left = b""
            continue
        member += 1
        decompressor = _new(compression)
        yield from _member(decompressor, piece, file, chunk_bytes)
        left = decompressor.unused_data


def _new(compression: str) -> _Decompressor:
    if compression == ".gz":
        return _Gzip()
    return bz2.BZ2Decompressor() if compression == ".bz2" else lzma.LZMADecompressor()


def _member(
    decompressor: _Decompressor, piece: bytes, file: IO[bytes], chunk_bytes: int
) -> Iterator[bytes]:
    """Give the text of one member, of which `piece` holds the beginning."""
    try:
        while not decompressor.eof:
            if text := decompressor.decompress(piece, chunk_bytes):
                yield text
            if decompressor.eof:
                return
            piece = b""
            if decompressor.needs_input and not (piece := file.read(PIECE_BYTES)):
                raise Damage("its compressed data end too early")
    except (zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
        if "incorrect data check" in str(error):
            raise InputError(
                f"{file.name}: its checksum is not that of its data, some of which are not what "
                "was written; get the file again"
            ) from error
        raise Damage(f"its compressed data are damaged ({error})") from error
    except OSError as error:
        if error.errno is not None:
            raise
        # bz2 has no error of its own.
        raise Damage(f"its compressed data are damaged ({error})") from error
