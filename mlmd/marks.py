"""Kinds of output, and what says of a file that it is an earlier one of a kind.

A suffix says nothing: anybody has a ``notes.csv`` or a ``figure.png``. A page or a plot is sealed
when it is written: a comment that readers pass over holds a hash of everything else in the file.
Once somebody has edited it, it is that person's work and no output any longer.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

_PNG, _PDF = b"\x89PNG\r\n\x1a\n", b"%PDF"
_END_OF_PNG = 12  # the chunk IEND, which is last and empty
_LONGEST_HEAD = 100_000
_CURVES = re.compile(rb"r_A,g_total,stderr_total(,g_\w+-\w+,stderr_\w+-\w+)*\r?\n")
_NUMBERS = re.compile(rb"[-+.,0-9einfa]+\r?\n")
_JOURNAL = b'{"op_code":'
RESULTS = (
    "case,group,n_melts,formula,n_atoms,calculator,seed,stage,temperature_K,duration_ps,species,"
    "verdict,D_cm2_s,D_low68_cm2_s,D_high68_cm2_s,D_stderr_cm2_s,D_within_stderr_cm2_s,"
    "D_between_stderr_cm2_s,D_raw_cm2_s,D_upper_bound_cm2_s,D_lower_bound_cm2_s,needs_ps,E_a_eV,"
    "E_a_low68_eV,E_a_high68_eV,E_a_stderr_eV,E_a_lower_bound_eV,volume_per_atom_A3,"
    "volume_per_atom_stderr_A3,flags,findings,wall_s,versions,path"
)
"""Header of a table of results of a campaign."""
_SQLITE = b"SQLite format 3\0"
_APPLICATION_ID = slice(68, 72)
"""Bytes of a SQLite file that are there to say what wrote it."""


def is_earlier(path: Path, kind: str) -> bool:
    """Tell whether a file is an earlier output of a kind that is made again."""
    known = KINDS[kind]
    try:
        return known is not None and known(path, kind)
    except OSError:
        return False


def seal(path: Path, kind: str) -> None:
    """Seal a file that has just been written, if it is of a kind that is known by its seal."""
    if KINDS[kind] is _is_sealed:
        path.write_bytes(_sealed(path.read_bytes(), kind))
    elif KINDS[kind] is _is_results:
        with path.open("r+b") as file:
            if file.read(len(_SQLITE)) == _SQLITE:
                file.seek(_APPLICATION_ID.start)
                file.write(_hash_of_database(path, kind))


def _is_sealed(path: Path, kind: str) -> bool:
    """Tell whether a file has the seal of a kind and is as it was written."""
    with path.open("rb") as file:
        # Of a large file of somebody else's, no more than both ends are read.
        head = file.read(len(_PNG))
        length = len(_sealed(head, kind)) - len(head)
        at_end = _END_OF_PNG if head == _PNG else 0
        start = file.seek(0, os.SEEK_END) - length - at_end
        if start < 0:
            return False
        file.seek(start)
        if f"mlmd {kind} ".encode() not in file.read(length):
            return False
        file.seek(0)
        content = file.read()
    bare = content[:start] + content[start + length :]
    return content == _sealed(bare, kind)


def _is_curves(path: Path, kind: str) -> bool:
    """Tell whether a file is a table of g(r) as ``mlmd rdf`` writes it, and nothing more.

    A comment in it would break the readers of others: it is known by its columns, and by holding
    nothing but numbers.
    """
    with path.open("rb") as file:
        if not _CURVES.fullmatch(file.readline(_LONGEST_HEAD)):
            return False
        while line := file.readline(_LONGEST_HEAD):
            if not _NUMBERS.fullmatch(line):
                return False
    return True


def _is_journal(path: Path, kind: str) -> bool:
    """Tell whether a file is a journal of Optuna's, or empty: trials are added to it."""
    with path.open("rb") as file:
        return _JOURNAL.startswith(file.read(len(_JOURNAL)))


def _is_results(path: Path, kind: str) -> bool:
    """Tell whether a file is a table or a database of results of a campaign as they are written.

    A table is known by its columns, a database by the hash of all else that its application id is:
    whatever writes to it breaks that.
    """
    with path.open("rb") as file:
        head = file.readline(_LONGEST_HEAD)
        if head.startswith(_SQLITE):
            file.seek(_APPLICATION_ID.start)
            return file.read(4) == _hash_of_database(path, kind)
    if head.rstrip(b"\r\n") != RESULTS.encode():
        return False
    with path.open(encoding="utf-8", newline="") as text:
        try:
            return all(len(row) == RESULTS.count(",") + 1 for row in csv.reader(text))
        except (ValueError, csv.Error):
            return False


def _hash_of_database(path: Path, kind: str) -> bytes:
    found = hashlib.blake2b(f"mlmd {kind}".encode(), digest_size=4)
    with path.open("rb") as file:
        found.update(file.read(_APPLICATION_ID.start))
        file.seek(_APPLICATION_ID.stop)
        while piece := file.read(2**20):
            found.update(piece)
    return found.digest()


def _sealed(content: bytes, kind: str) -> bytes:
    """Return content with its seal, as a comment of the format."""
    text = f"mlmd {kind} {hashlib.blake2b(content, digest_size=16).hexdigest()}".encode()
    if content.startswith(_PNG):
        body = b"tEXtmlmd\0" + text
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        end = len(content) - _END_OF_PNG
        return content[:end] + chunk + content[end:]
    before, after = (b"%", b"\n") if content.startswith(_PDF) else (b"<!-- ", b" -->\n")
    return content + before + text + after


KINDS: dict[str, Callable[[Path, str], bool] | None] = {
    "structure": None,
    "trajectory": None,
    "table": None,
    "model": None,
    "volume": None,
    "recipe": None,
    "curves": _is_curves,
    "page": _is_sealed,
    "plot": _is_sealed,
    "journal": _is_journal,
    "results": _is_results,
}
"""Kinds of output, and how an earlier one is known by its content.

Those of ``None`` are data, which may hold somebody's work (labels added to a table) or hours of it
(a model): they are never replaced unasked, not even by another of the kind. The others are made
again at will. ``curves`` are known by their columns and by holding nothing but numbers; a ``page``
or a ``plot`` by its seal, which breaks when the file is edited: a comment at the end of HTML, SVG
and PDF, a chunk of text before the end of PNG. A ``journal`` of tuning is written on: it is one of
Optuna's, or it is refused. ``results`` of a campaign are a table known by its columns, all of which
every row has, or a database known by the hash in its head.
"""
