"""Unformatted sequential files of Fortran: records between two lengths of four bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.trajectory.text.source import TextSource

MARK_BYTES = 4


class FortranRecords:
    """The records of a file, one after another; it holds no more than one and a chunk.

    Parameters
    ----------
    source
        The file, of which nothing has been read.

    Attributes
    ----------
    byte_order
        ``little`` or ``big``, whichever makes the first record the shorter one.
    position
        Bytes before the next record.
    """

    def __init__(self, source: TextSource) -> None:
        self._path = source.path
        self._chunks = source.chunks()
        self._buffer = b""
        self.position = 0
        first = self._peek(MARK_BYTES)
        little = int.from_bytes(first, "little") <= int.from_bytes(first, "big")
        self.byte_order: Literal["little", "big"] = "little" if little else "big"

    def next_size(self) -> int | None:
        """Return the bytes of the next record, or None where the file ends."""
        mark = self._peek(MARK_BYTES)
        return int.from_bytes(mark, self.byte_order) if len(mark) == MARK_BYTES else None

    @property
    def bytes_left(self) -> int:
        """How many of the next four bytes there are."""
        return len(self._peek(MARK_BYTES))

    @property
    def at_end(self) -> bool:
        """Whether too little is left for another record."""
        size = self.next_size()
        return size is None or len(self._peek(size + 2 * MARK_BYTES)) < size + 2 * MARK_BYTES

    def read(self) -> bytes | None:
        """Return the next record, or None where the file ends inside of it.

        Raises
        ------
        InputError
            If the lengths before and after it differ.
        """
        size = self.next_size()
        if size is None:
            return None
        whole = self._peek(size + 2 * MARK_BYTES)
        if len(whole) < size + 2 * MARK_BYTES:
            return None
        if int.from_bytes(whole[-MARK_BYTES:], self.byte_order) != size:
            raise self.error(f"a record of {size} bytes that does not end", "the same length twice")
        self._buffer = self._buffer[len(whole) :]
        self.position += len(whole)
        return whole[MARK_BYTES:-MARK_BYTES]

    def error(self, given: str, expected: str) -> InputError:
        """Return the error "FILE, byte N: GIVEN; expected EXPECTED" of the next record."""
        return InputError(f"{self._path}, byte {self.position}: {given}; expected {expected}")

    def _peek(self, n: int) -> bytes:
        """Return the next `n` bytes, or those that are left, and leave them there."""
        if len(self._buffer) < n:
            pieces, have = [self._buffer], len(self._buffer)
            while have < n and (piece := next(self._chunks, b"")):
                pieces.append(piece)
                have += len(piece)
            self._buffer = b"".join(pieces)
        return self._buffer[:n]
