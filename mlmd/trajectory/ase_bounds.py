"""What ASE reads, within bounds of time and memory.

ASE's readers believe the numbers of atoms and frames that a file says it has. For the formats that
are read every day those are held against the size of the file here; files of any other format are
read once in a helper process that is ended if it takes too long or too much.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.bounds.helper import run_helper
from mlmd.bounds.memory import check_memory, memory_limit_bytes
from mlmd.errors import InputError
from mlmd.trajectory.text.compressed import check_expansion, compression_of, plain_chunks
from mlmd.trajectory.text.source import TextSource
from mlmd.trajectory.traj_files import whole_traj
from mlmd.trajectory.xyz_frames import BYTES_PER_ATOM, xyz_images

if TYPE_CHECKING:
    from ase import Atoms

MOST_EXPANSION = 100
"""What is read takes at most so many times the memory that the text takes on the disk."""
_SMALL_BYTES = 2**26

_SECONDS, _BYTES_PER_S = 6.0, 100e3
_HELPER_BYTES = 2**30  # the libraries reserve half of it
_HEAD_BYTES = 2**16
_SMALL_CIF_BYTES = 200_000  # says no numbers of atoms, but sites and symmetries multiply

_READ = """
import warnings
from ase.io import iread
path, format, start = arguments
warnings.simplefilter("ignore")
index = slice(int(start) if start else None, None)
for image in iread(path, index=index, format=format, do_not_split_by_at_sign=True):
    pass
"""


def read_images(path: Path, index: slice, format: str | None = None) -> Iterator[Atoms]:
    """Give the structures of a file that ASE reads.

    Parameters
    ----------
    path
        An ordinary file.
    index
        Which of its structures.
    format
        ASE's name of the format; told by name and content if not given.

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
    if format == "extxyz":
        with TextSource(path) as source:
            yield from _some_of(xyz_images(source), index)
        return
    if format == "traj":
        with whole_traj(path) as (name, n_lost):
            if n_lost:
                raise InputError(f"{path}: it is cut short, or damaged; expected a whole .traj")
            yield from iread(name, index=index, format="traj", do_not_split_by_at_sign=True)
        return
    if format in _CHECKS:
        _CHECKS[format](path)
    if format != "vasp" and not (format == "cif" and most <= _SMALL_CIF_BYTES):
        _rehearse(path, name, format, index, most)
    most = MOST_EXPANSION * most + _SMALL_BYTES
    for image in iread(name, index=index, format=format, do_not_split_by_at_sign=True):
        most -= image.positions.nbytes
        if most < 0:
            raise InputError(f"{path} gives more than {MOST_EXPANSION} times what it holds")
        yield image


def _some_of(images: Iterator[Atoms], index: slice) -> Iterator[Atoms]:
    """Give the structures of an index, of which a negative start is kept in memory."""
    if index.start is None or index.start >= 0:
        return islice(images, index.start, index.stop, index.step)
    last = deque(images, maxlen=-index.start)
    return iter([*last][: index.stop : index.step])


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


def _check_poscar(path: Path) -> None:
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
                check_memory(f"{path}: {n_atoms} atoms", BYTES_PER_ATOM * n_atoms)


_CHECKS: dict[str, Callable[[Path], None]] = {
    "vasp": _check_poscar,
    "vasp-xdatcar": _check_poscar,
}
"""Formats whose numbers are held against the size of the file."""
