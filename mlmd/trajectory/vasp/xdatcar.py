"""VASP's ``XDATCAR``: positions of a molecular dynamics run, without its times.

https://www.vasp.at/wiki/index.php/XDATCAR
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from mlmd.errors import InputError
from mlmd.trajectory.frame_block import FrameBlock, FrameCollector
from mlmd.trajectory.text.source import TextSource
from mlmd.trajectory.vasp.header import VaspHeader, read_vasp_header

# VASP 5 and 6; 4 and 5.2 write "Konfig=" or nothing. A count too large becomes stars.
SEPARATOR = re.compile(r"\s*(?:Direct(?: configuration)?|Konfig)\s*=?\s*(\d{1,18}|\*+)?\s*$")
VASP4_HEADER_LINES = 5


def read_xdatcar(source: TextSource) -> Iterator[FrameBlock]:
    """Give the frames of an ``XDATCAR``, in the file's order of atoms.

    Read are the layouts of VASP 4, 5 and 6, with one cell or with a header before each frame,
    also where another run was appended. VASP 4.6 writes neither cell nor species: they are
    taken from a ``POSCAR`` or ``CONTCAR`` beside it.

    Raises
    ------
    InputError
        Where the text is not that of an ``XDATCAR``; a last frame cut short is left out with
        a warning.
    """
    header = _first_header(source)
    numbers = header.numbers
    n_atoms = len(numbers)
    collector = FrameCollector(numbers, wrapped=True)
    while (line := source.read_line()) is not None:
        found = SEPARATOR.match(line) if line.strip() else None
        if found is None and (line.strip() or _begins_header(source)):
            begin = source.line_number
            try:
                header = read_vasp_header(source, line)
            except InputError as error:
                if source.at_end:
                    source.warn_dropped("its header is cut short")
                    break
                shown = repr(line.strip()[:40])
                raise InputError(f"{error}, if line {begin} ({shown}) begins a header") from error
            if not np.array_equal(header.numbers, numbers):
                raise source.error("other atoms than before", "the same in every frame")
            continue
        if source.at_end:
            break
        frame = source.read_table(n_atoms, 3)
        if frame is None:
            source.warn_dropped(f"it has fewer than {n_atoms} atoms")
            break
        count = found.group(1) if found else None
        with np.errstate(all="ignore"):  # who joins the blocks refuses what is not finite
            positions = frame @ header.cell_A
        yield from collector.add(
            positions_A=positions,
            cell_A=header.cell_A,
            step=int(count) if count and count.isdigit() else None,
        )
    yield from collector.rest()


def _begins_header(source: TextSource) -> bool:
    """Whether an empty line is the comment of a header: a scaling factor stands below it."""
    below = source.peek_line()
    return below is not None and len(below.split()) == 1


def _first_header(source: TextSource) -> VaspHeader:
    if [line.strip() for line in source.head.split("\n", 4)[3:4]] != ["CAR"]:
        return read_vasp_header(source)
    words = (source.read_lines(VASP4_HEADER_LINES)[0]).split()
    path = source.beside("POSCAR") or source.beside("CONTCAR")
    if path is None:
        raise source.error(
            "the header of VASP 4, without cell and species",
            "a POSCAR or CONTCAR beside it that says them: put it there",
        )
    with TextSource(path) as beside:
        header = read_vasp_header(beside)
    if words[:1] != [str(len(header.numbers))]:
        raise source.error(f"{' '.join(words[:1])} atoms", f"{len(header.numbers)} as in {path}", 1)
    return header
