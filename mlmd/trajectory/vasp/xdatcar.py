"""VASP's ``XDATCAR``: positions of a molecular dynamics run, without its times.

https://www.vasp.at/wiki/index.php/XDATCAR
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError
from mlmd.trajectory.frame_block import FrameBlock, FrameCollector
from mlmd.trajectory.text.number_table import finite_numbers
from mlmd.trajectory.text.source import TextSource
from mlmd.trajectory.text.species_labels import atomic_number
from mlmd.trajectory.vasp.header import VaspHeader, read_vasp_header
from mlmd.trajectory.vasp.rows import position_and_words

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray

# VASP 5 and 6; 4 and 5.2 write "Konfig=" or nothing. A count too large becomes stars.
SEPARATOR = re.compile(r"\s*(?:Direct(?: configuration)?|Konfig)\s*=?\s*(\d{1,18}|\*+)?\s*$")
SELECTIVE = re.compile(r"\s*selective(?: dynamics)?\s*", re.IGNORECASE)
VASP4_HEADER_LINES = 5


def read_xdatcar(source: TextSource) -> Iterator[FrameBlock]:
    """Give the frames of an ``XDATCAR``, in the file's order of atoms.

    Read are the layouts of VASP 4, 5 and 6, with one cell or with a header before each frame,
    also where another run was appended. VASP 4.6 writes neither cell nor species: they are
    taken from a ``POSCAR`` or ``CONTCAR`` beside it. Where numbers touch, a sign parts them;
    flags and labels behind a position are read over, but labels of other elements are refused.

    Raises
    ------
    InputError
        Where the text is not that of an ``XDATCAR``; a last frame cut short is left out with
        a warning.
    """
    header = _first_header(source)
    numbers = header.numbers
    n_atoms = len(numbers)
    collector = FrameCollector(numbers, wrapped=True, masses_u=header.masses_u)
    while (line := source.read_line()) is not None:
        is_empty = not line.strip()
        found = None if is_empty else SEPARATOR.match(line)
        if found is None:
            follows = _after_empty_line(source) if is_empty else "header"
            if follows == "neither" or SELECTIVE.fullmatch(line):
                continue
            if follows == "header":
                following = _next_header(source, line, numbers)
                if following is None:
                    break
                header = following
                continue
        if source.at_end:
            break
        frame = _positions(source, numbers)
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


def _positions(source: TextSource, numbers: IntArray) -> FloatArray | None:
    """Return the scaled positions of a frame; None where it is cut short."""
    first = source.line_number + 1
    labels: list[str] = []

    def parse_row(line: str) -> list[float]:
        found = position_and_words(line)
        if found is None:
            return []
        labels.append(found[1][0] if found[1] else "")
        return found[0]

    table = source.read_table(len(numbers), 3, parse_row)
    if len(labels) == len(numbers):  # else only rows whose numbers touch came here
        for i, label in enumerate(labels):
            number = atomic_number(label)
            if number not in (None, numbers[i]):
                raise source.unexpected(
                    label, "the labels of atoms in the order of the header's species", first + i
                )
    return table


def _after_empty_line(source: TextSource) -> str:
    """Tell what an empty line is the first of: a ``header``, a ``frame`` of VASP 4, or neither.

    It is a header's comment if a scaling factor stands below it, and parts frames if a position
    does; between files that were put together it is nothing.
    """
    below = source.peek_line() or ""
    words = below.split()
    if len(words) == 1 and finite_numbers(words):
        return "header"
    return "frame" if words and position_and_words(below) else "neither"


def _next_header(source: TextSource, comment: str, numbers: IntArray) -> VaspHeader | None:
    """Return a header of the same atoms; None where the file ends in it."""
    begin = source.line_number
    try:
        header = read_vasp_header(source, comment)
    except InputError as error:
        if source.at_end:
            source.warn_dropped("its header is cut short")
            return None
        shown = repr(comment.strip()[:40])
        raise InputError(f"{error}, if line {begin} ({shown}) begins a header") from error
    if not np.array_equal(header.numbers, numbers):
        raise source.error("other atoms than before", "the same in every frame")
    return header


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
