"""A program's output as text, compressed or not, that knows where it is when it is wrong."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import input_file
from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.trajectory.text.compressed import (
    COMPRESSIONS,
    Damage,
    Expansion,
    compression_of,
    plain_chunks,
)
from mlmd.trajectory.text.number_table import finite_words, parse_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from mlmd.arrays import FloatArray
    from mlmd.findings import Severity

    RowParser = Callable[[str], list[float]]

logger = logging.getLogger(__name__)

CHUNK_BYTES = 2**20
HEAD_BYTES = 2**16
# Longer than any line of a program's output, and short enough for what is none.
LONGEST_LINE_BYTES = 2**20
# A frame of this many atoms takes 240 MB: what says more of itself is no frame.
MOST_ATOMS = 10**7
SHOWN_CHARACTERS = 60
NEWLINE = ord("\n")
# Blocks of a file system that were never written are of 512 bytes and more.
HOLE = bytes(64)
SMALLEST_VOLUME_A3 = 1e-3


def has_volume(cell_A: FloatArray) -> bool:
    """Whether three vectors span a cell, in angstrom."""
    return SMALLEST_VOLUME_A3 < abs(float(np.linalg.det(cell_A))) < np.inf


class TextSource:
    """One file, read forward once, in constant memory.

    Compression (gzip, bzip2, xz) is told by the first bytes, not by the name. Compressed data
    that are cut short or damaged end the text where they do, as do bytes of zero, which a machine
    that goes down leaves where text should be; `damage` then says why, and whoever joins the
    frames warns, or refuses where there is no whole frame.

    Parameters
    ----------
    path
        The file. Siblings of it are ``source.path.with_name(...)``.
    elements
        Chemical symbols of types 1, 2, ... as the user gives them, for files that have types only.
    findings
        Where what is read tells what it shows or assumes; a list of its own if not given.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        Its name without the suffix of a compression: ``XDATCAR`` of ``XDATCAR.gz``.
    line_number : int
        Number of the last line that was given, from 1.
    damage : str or None
        Why the text ended too early.
    dropped : str or None
        Why a last frame was left out.

    Raises
    ------
    InputError
        If there is no such file or it cannot be opened.
    """

    def __init__(
        self,
        path: str | Path,
        elements: Sequence[str] | None = None,
        findings: list[Finding] | None = None,
    ) -> None:
        self.path = input_file(path, "a program's output")
        self.elements = elements
        self.findings = [] if findings is None else findings
        self.name = self.path.name
        if self.path.suffix.lower() in COMPRESSIONS:
            self.name = self.path.stem
        self.line_number = 0
        self.damage: str | None = None
        self.dropped: str | None = None
        try:
            self._file = self.path.open("rb")
            self._compression = compression_of(self._file)
            self._size = self.path.stat().st_size
        except OSError as error:
            raise InputError(f"{self.path} cannot be opened: {error.strerror}") from error
        self._chunks = plain_chunks(self._file, self._compression, CHUNK_BYTES)
        self._text = b""
        # Where each whole line of the text ends, the next one to give, and where it begins.
        self._ends: list[int] = []
        self._at = 0
        self._begin = 0
        self._ended = False
        self._unended = False
        self._fill()

    def __enter__(self) -> TextSource:
        """Return itself; the file is closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def head(self) -> str:
        """The first characters of the text, at most 65536; to be looked at before reading."""
        return self._text[:HEAD_BYTES].decode("latin-1")

    def chunks(self) -> Iterator[bytes]:
        """Give all bytes, also of what is no text, in pieces; not to be mixed with lines."""
        self._file.seek(0)
        self._chunks, self.damage = plain_chunks(self._file, self._compression, CHUNK_BYTES), None
        while chunk := self._next_chunk():
            yield chunk

    def __iter__(self) -> Iterator[str]:
        """Give the lines that are left, without their ends."""
        while (line := self.read_line()) is not None:
            yield line

    def read_line(self) -> str | None:
        """Return the next line without its end, or None at the end of the text.

        Raises
        ------
        InputError
            If the line is too long to be one.
        """
        if self._at >= len(self._ends) and not self._have(1):
            return None
        end = self._ends[self._at]
        line = self._text[self._begin : end]
        self._at += 1
        self._begin = end + 1
        self.line_number += 1
        return line.decode("latin-1").removesuffix("\r")

    def peek_line(self) -> str | None:
        """Return the next line and leave it there; None at the end of the text."""
        if not self._have(1):
            return None
        return self._text[self._begin : self._ends[self._at]].decode("latin-1").removesuffix("\r")

    def read_lines(self, n: int) -> list[str]:
        """Return the next `n` lines, or those that are left."""
        text = self._take(n)
        return [line.removesuffix("\r") for line in text.decode("latin-1").split("\n")[:-1]]

    def read_table(
        self, n_rows: int, n_columns: int, parse_row: RowParser = finite_words
    ) -> FloatArray | None:
        """Return a table of finite numbers, or None where the text ends before it does.

        A last line of the text that has no end (a killed program) counts as missing, unless all
        lines are of one width.

        Lines of other than `n_columns` finite numbers are given to `parse_row`.

        Raises
        ------
        InputError
            If a line does not hold `n_columns` numbers.
        """
        first = self.line_number + 1
        text = self._take(n_rows)
        n_whole = self.line_number + 1 - first
        if n_whole == n_rows and not self.is_cut:
            table = parse_table(text, n_rows, n_columns)
            if table is not None:
                return table
        lines = text.decode("latin-1").split("\n")[:-1]
        if n_whole < n_rows or self.ends_early(lines):
            n_whole -= 1
        whole = lines[: max(n_whole, 0)]
        rows = [self._row(line, n_columns, first + i, parse_row) for i, line in enumerate(whole)]
        return np.array(rows) if n_whole == n_rows else None

    @property
    def at_end(self) -> bool:
        """Whether no line is left: what went wrong in the last one may be that it was cut."""
        return not self._have(1)

    @property
    def is_cut(self) -> bool:
        """Whether the last line given ends the text without an end of its own."""
        return not self._have(1) and self._unended

    def ends_early(self, lines: list[str]) -> bool:
        """Whether the last of the lines just given may have lost a part of it.

        It ends the text without an end of its own, and is not as wide as all others are.
        """
        return self.is_cut and (len(lines) < 2 or len({len(line.rstrip()) for line in lines}) > 1)

    def beside(self, name: str) -> Path | None:
        """Return the file of that name in the same folder, plain or compressed, if it is there."""
        paths = (self.path.with_name(name + suffix) for suffix in ("", *COMPRESSIONS))
        return next((path for path in paths if path.is_file()), None)

    def read_filled_line(self) -> str | None:
        """Return the next line that is not empty, or None at the end of the text."""
        return next((line for line in self if line.strip()), None)

    def count_of_atoms(self, line: str, least: int = 1) -> int:
        """Return the number of atoms that a line just read is, if so many can be in this file.

        Raises
        ------
        InputError
            If it is none, or as :meth:`check_atoms`.
        """
        if not re.fullmatch(r"\s*-?\d{1,18}\s*", line, re.ASCII):
            raise self.unexpected(line, "a number of atoms")
        return self.check_atoms(int(line), least)

    def check_cell(
        self,
        cell_A: FloatArray,
        given: str = "cell vectors without a volume",
        expected: str = "three that span a cell",
    ) -> FloatArray:
        """Return the cell if it has a volume.

        Raises
        ------
        InputError
            If it has none.
        """
        if not has_volume(cell_A):
            raise self.error(given, expected)
        return cell_A

    def check_atoms(self, n_atoms: int, least: int = 1) -> int:
        """Return `n_atoms` if so many can be in this file.

        Raises
        ------
        InputError
            If it is less than `least` or more than a file of this size can hold.
        """
        # The shortest line of a position, "0 0 0\n"; what compression hides is not known.
        most = min(MOST_ATOMS, self._size // 6) if self._compression is None else MOST_ATOMS
        if not least <= n_atoms <= max(most, 1):
            raise self.error(
                f"{n_atoms} atoms", f"{least} to {max(most, 1)} in a file of this size"
            )
        return n_atoms

    def error(self, given: str, expected: str, line_number: int | None = None) -> InputError:
        """Return the error "FILE, line N: GIVEN; expected EXPECTED" of the last line given."""
        number = self.line_number if line_number is None else line_number
        where = f"{self.path}, line {number}" if number else f"{self.path}"  # before any was read
        return InputError(f"{where}: {given}; expected {expected}")

    def unexpected(self, line: str, expected: str, line_number: int | None = None) -> InputError:
        """Return the error that names a line's text, shortened and printable."""
        text = line.strip()
        shown = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
        return self.error(f"'{shown}'".encode("unicode_escape").decode(), expected, line_number)

    def note(self, code: str, message: str, severity: Severity = "note") -> None:
        """Tell what the file shows or what had to be assumed: in the log, and as a finding."""
        text = f"{self.path}: {message}"
        logger.warning("%s", text)
        self.findings.append(Finding(code, severity, text))

    def note_once(self, code: str, message: str) -> None:
        """Tell what holds for many frames: once of each code and file."""
        if all(one.code != code or str(self.path) not in one.message for one in self.findings):
            self.note(code, message)

    def note_lost(self, what: str, where: str) -> None:
        """Tell once that forces, say, are no numbers in a frame, and left out for all then."""
        self.note_once(f"{what}_left_out", f"{what} {where} are no numbers: left out of all frames")

    def warn_dropped(self, why: str) -> None:
        """Warn that the last, incomplete frame is left out; once is enough, see `damage`."""
        self.dropped = why
        if self.damage is None:
            self.note("cut_short", f"line {self.line_number}: the last frame is left out: {why}")

    def _row(self, line: str, n_columns: int, number: int, parse_row: RowParser) -> list[float]:
        row = finite_words(line)
        if len(row) != n_columns and len(row := parse_row(line)) != n_columns:
            raise self.unexpected(line, f"{n_columns} finite numbers", number)
        return row

    def _take(self, n: int) -> bytes:
        """Return the next `n` lines, or those that are left, each with its end."""
        self._have(n)
        last = min(self._at + n, len(self._ends)) - 1
        if last < self._at:
            return b""
        end = self._ends[last] + 1
        text = self._text[self._begin : end]
        self.line_number += last + 1 - self._at
        self._at = last + 1
        self._begin = end
        return text

    def _have(self, n: int) -> bool:
        """Whether there are `n` more lines; they are then in memory."""
        while len(self._ends) - self._at < n:
            if not self._fill():
                return False
        return True

    def _fill(self) -> bool:
        """Take up more text; return whether there was any."""
        if self._ended:
            return False
        left = self._text[self._begin :]
        ends = [end - self._begin for end in self._ends[self._at :]]
        # More than is there, so that a large frame is not copied again for each piece of it.
        pieces, n_bytes = [left], 0
        while n_bytes <= len(left) and (piece := self._next_chunk()):
            if b"\0" in piece:
                piece = self._without_zeros(piece)
            pieces.append(piece)
            n_bytes += len(piece)
        if n_bytes <= len(left):
            self._ended = True
            self._unended = b"".join(pieces)[-1:] not in (b"", b"\n")
            if self._unended:
                pieces.append(b"\n")
        text = b"".join(pieces)
        if n_bytes >= CHUNK_BYTES and not text.strip():
            raise self.error(
                f"{n_bytes} characters of blank lines", "a program's output", self.line_number + 1
            )
        fresh = np.frombuffer(text, np.uint8)[len(left) :]
        ends += (np.flatnonzero(fresh == NEWLINE) + len(left)).tolist()
        if not ends and len(text) > LONGEST_LINE_BYTES:
            raise self.error(
                f"a line of more than {LONGEST_LINE_BYTES} characters",
                "a program's output",
                self.line_number + 1,
            )
        self._text, self._ends, self._begin, self._at = text, ends, 0, 0
        return len(text) > len(left)

    def _without_zeros(self, piece: bytes) -> bytes:
        """Return what stands before a hole; single zeros are as blanks, to programs of Fortran."""
        hole = piece.find(HOLE)
        if hole >= 0:
            self.damage = "bytes of zero where text should go on"
            self._chunks = iter(())
        return piece[: hole if hole >= 0 else None].replace(b"\0", b" ")

    def _next_chunk(self) -> bytes:
        try:
            return next(self._chunks, b"")
        except Damage as error:
            self.damage = str(error)
        except Expansion as error:
            raise InputError(f"{self.path}: {error}") from error
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror}") from error
        return b""
