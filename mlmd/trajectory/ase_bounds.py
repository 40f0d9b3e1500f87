"""What ASE reads, within bounds of time and memory.

ASE's readers believe the numbers of atoms and frames that a file says it has. For the formats that
are read every day those are held against the size of the file here; files of any other format are
read once in a helper process that is ended if it takes too long or too much.
"""

from __future__ import annotations

import logging
import os
import re
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.bounds.helper import run_helper
from mlmd.bounds.memory import check_memory, memory_limit_bytes
from mlmd.errors import InputError
from mlmd.trajectory.text.compressed import (
    Damage,
    check_expansion,
    compression_of,
    plain_chunks,
)
from mlmd.trajectory.text.source import TextSource

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

MOST_EXPANSION = 100
"""What is read takes at most so many times the memory that the text takes on the disk."""
_SMALL_BYTES = 2**26

_SECONDS, _BYTES_PER_S = 6.0, 100e3
_HELPER_BYTES = 2**30  # the libraries reserve half of it
_HEAD_BYTES = 2**16
_SMALL_CIF_BYTES = 200_000  # says no numbers of atoms, but sites and symmetries multiply
_BYTES_PER_ATOM = 1000  # ASE makes an object of every word of an atom's line

_READ = """
import warnings
from ase.io import iread
path, format, start = arguments
warnings.simplefilter("ignore")
index = slice(int(start) if start else None, None)
for image in iread(path, index=index, format=format, do_not_split_by_at_sign=True):
    pass
"""


def read_images(
    path: Path, index: slice, format: str | None = None, cut: bool = False
) -> Iterator[Atoms]:
    """Give the structures of a file that ASE reads.

    Parameters
    ----------
    path
        An ordinary file.
    index
        Which of its structures.
    format
        ASE's name of the format; told by name and content if not given.
    cut
        Take the whole frames of an extended XYZ or ``.traj`` that is cut short, with a warning,
        instead of none; `index` is all of them then.

    Raises
    ------
    InputError
        If the file says that it holds more than it can, or reading it does not end in time.
    Exception
        Whatever ASE's reader raises.
    """
    from ase.io import iread
    from ase.io.formats import filetype

    # Of relative names some are taken for addresses of databases; of names with "@" a part for
    # an index.
    name = os.path.abspath(path)
    format = format or filetype(name)
    most = check_expansion(path)
    n_whole = _CHECKS[format](path) if format in _CHECKS else None
    if cut and n_whole:
        logger.warning("%s: it is cut short; the %d frames before that are read", path, n_whole)
        index = slice(0, n_whole)
    elif n_whole is not None and format == "traj":
        raise InputError(f"{path}: it is cut short, or damaged; expected a whole .traj of ASE's")
    if format not in _ENOUGH and not (format == "cif" and most <= _SMALL_CIF_BYTES):
        _rehearse(path, name, format, index, most)
    most = MOST_EXPANSION * most + _SMALL_BYTES
    with ExitStack() as stack:
        if format == "extxyz" and _is_compressed(path):
            # ASE goes back for each frame, in a compressed file from its beginning on.
            name = stack.enter_context(_decompressed(path))
        for image in iread(name, index=index, format=format, do_not_split_by_at_sign=True):
            most -= image.positions.nbytes
            if most < 0:
                raise InputError(f"{path} gives more than {MOST_EXPANSION} times what it holds")
            yield image


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return compression_of(file) is not None


@contextmanager
def _decompressed(path: Path) -> Iterator[str]:
    """Give the name of a copy that is not compressed, as far as its data are whole."""
    with tempfile.NamedTemporaryFile(prefix="mlmd-") as copy:
        try:
            with path.open("rb") as file, suppress(Damage):
                for chunk in plain_chunks(file, compression_of(file), _HEAD_BYTES):
                    copy.write(chunk)
            copy.flush()
        except OSError as error:
            raise InputError(
                f"{path} cannot be decompressed into {tempfile.gettempdir()} ({error.strerror}); "
                "decompress it first, or set TMPDIR to a folder on a larger disk"
            ) from error
        yield copy.name


def _rehearse(path: Path, name: str, format: str, index: slice, n_bytes: int) -> None:
    """Read a file where that can be ended; what else is wrong with it is met again here."""
    outcome = run_helper(
        _READ,
        [name, format, "" if index.start is None else str(index.start)],
        "ase.io",
        _SECONDS + n_bytes / _BYTES_PER_S,
        _HELPER_BYTES + min(MOST_EXPANSION * n_bytes, memory_limit_bytes()),
    )
    if outcome.ended_by and not outcome.output:
        raise InputError(
            f"{path} cannot be read as {format}: ASE was ended by {outcome.ended_by} on "
            f"{n_bytes} bytes"
        )


def _check_xyz(path: Path) -> int | None:
    """See that every frame of an XYZ file has its lines and, in each, its columns."""
    n_whole = 0
    with TextSource(path) as source:
        while (line := source.read_line()) is not None and line.strip():
            n_atoms = source.count_of_atoms(line, least=0)
            check_memory(f"{path}: a frame of {n_atoms} atoms", _BYTES_PER_ATOM * n_atoms)
            comment = source.read_line() or ""
            _check_columns(source, comment)
            lines = source.read_lines(n_atoms)
            if len(lines) < n_atoms or source.ends_early(lines):
                return n_whole
            n_whole += 1
            while (source.peek_line() or "").lstrip().startswith("VEC"):
                lines.append(source.read_line() or "")
            # To ASE this ends a line too: the next frame would begin elsewhere.
            if "\r" in line or "\r" in comment or any("\r" in one for one in lines):
                raise source.error("a carriage return within a line", "lines that end alike")
        return n_whole if source.damage else None


def _check_columns(source: TextSource, comment: str) -> None:
    """See that no property has more columns than the first atom's line has words."""
    if comment.count("roperties") == 1 and "\\" not in comment:
        plain = re.search(r'(?:^|\s)"?Properties"?=("?)([^\s"]*)\1(?:\s|$)', comment)
        columns = plain[2] if plain else None
    else:
        columns = None
    if columns is None:
        if ":" not in comment:
            return
        from ase.io.extxyz import key_val_str_to_dict

        columns = str(key_val_str_to_dict(comment).get("Properties", ""))
    n_words = len((source.peek_line() or "").split())
    for number in columns.split(":")[2::3]:
        try:
            n_columns = int(number)
        except ValueError:
            return  # ASE says so
        if n_columns > max(n_words, 1):
            raise source.error(f"a property of {number} columns", f"at most {n_words}, as below it")


def _check_poscar(path: Path) -> int | None:
    """See that a POSCAR does not count more atoms than it can hold."""
    with path.open("rb") as file:
        chunks = plain_chunks(file, compression_of(file), _HEAD_BYTES)
        head = next(chunks, b"").decode(errors="replace")
    lines = re.split(r"\r\n|\r|\n", head)[:8]
    with TextSource(path) as source:
        for line in lines[5:7]:
            source.line_number = 5 + lines[5:7].index(line) + 1
            try:
                n_atoms = sum(int(word) for word in line.partition("!")[0].split())
            except ValueError:
                continue
            if n_atoms > 0:
                source.check_atoms(n_atoms)
                check_memory(f"{path}: {n_atoms} atoms", _BYTES_PER_ATOM * n_atoms)
    return None


def _check_traj(path: Path) -> int | None:
    """See that the frames of a ``.traj`` lie within it.

    Layout from ASE's ulm.py: 24 bytes that name the format, then version, number of frames and
    place of the table of their places, eight bytes each; a frame begins with its length.
    """
    with path.open("rb") as file:
        if compression_of(file) is not None:
            return None  # ASE seeks in it: what is not there is met as the end of the file
        size = os.fstat(file.fileno()).st_size
        head = file.read(48)
        if len(head) < 48 or not head.startswith(b"- of Ulm"):
            return None  # ASE says that it is none
        n_frames, table = struct.unpack("<2q", head[32:])
        if not 0 <= n_frames <= size // 8 or not 0 <= table <= size - 8 * n_frames:
            raise InputError(f"{path} has {size} bytes and says that it holds {n_frames} frames")
        file.seek(table)
        places = struct.unpack(f"<{n_frames}q", file.read(8 * n_frames))
        if len(set(places)) < n_frames:
            raise InputError(f"{path} has the same frame more than once in its table")
        for n_whole, place in enumerate(places):
            file.seek(min(max(place, 0), size))
            length = file.read(8)
            if len(length) < 8 or not 0 <= struct.unpack("<q", length)[0] <= size - place - 8:
                return n_whole
    return None


_CHECKS: dict[str, Callable[[Path], int | None]] = {
    "extxyz": _check_xyz,
    "vasp": _check_poscar,
    "vasp-xdatcar": _check_poscar,
    "traj": _check_traj,
}
"""Formats whose numbers are held against the size of the file.

Where it is cut short what is returned is how many of its frames are whole.
"""
_ENOUGH = ("extxyz", "vasp", "traj")
"""Of which nothing else can make ASE run on."""
