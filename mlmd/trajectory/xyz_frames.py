"""XYZ and extended XYZ frame by frame: what is whole, as ASE reads it.

ASE's reader finds the frames of a file by the numbers it says; here each is taken out of the text
first, so that what is cut short, bound to no element or overflowed costs no more than it must.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from typing import TYPE_CHECKING

from mlmd.bounds.memory import check_memory
from mlmd.errors import InputError
from mlmd.trajectory.text.number_table import finite_numbers
from mlmd.trajectory.text.species_labels import atomic_number, masses_of

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.trajectory.text.source import TextSource

    Elements = Callable[[list[str]], Sequence[str]]

BYTES_PER_ATOM = 1000
"""ASE makes an object of every word of an atom's line."""
PROPERTIES = re.compile(r'(?:^|\s)"?Properties"?=("?)([^\s"]*)\1(?:\s|$)')
RESULT = re.compile(
    r"""(?:^|(?<=\s))(energy|free_energy|stress|virial|dipole|magmom)=("[^"]*"|'[^']*'|\S*)"""
)
PBC = re.compile(r"""(?:^|(?<=\s))pbc=("[^"]*"|'[^']*'|\[[^]]*\]|\S*)""")
FRAME = "a number of atoms, a comment, and rows of a symbol and numbers"
CUT = "it is cut short, or its last line has no end: end it if it is whole"
TRUTHS = {"t": "T", "true": "T", "1": "T", "f": "F", "false": "F", "0": "F"}


def xyz_images(
    source: TextSource, cut: bool = False, elements: Elements | None = None
) -> Iterator[Atoms]:
    """Give the structures of an XYZ file.

    Parameters
    ----------
    source
        The file, of which nothing has been read.
    cut
        Leave out a last frame that is cut short, with a warning, instead of reading it as it is.
    elements
        What the labels of a frame mean that are numbers.

    Raises
    ------
    InputError
        If a frame says that it holds more than it can.
    Exception
        Whatever ASE's reader raises.
    """
    n_vectors, n_most = None, 0
    while (line := source.read_line()) is not None and line.strip():
        n_atoms = source.count_of_atoms(line, least=0)
        if n_atoms > n_most:
            check_memory(f"{source.path}: a frame of {n_atoms} atoms", BYTES_PER_ATOM * n_atoms)
            n_most = n_atoms
        comment = source.read_line() or ""
        lines = source.read_lines(n_atoms)
        n_whole = len(lines)
        while (source.peek_line() or "").lstrip().startswith("VEC"):
            lines.append(source.read_line() or "")
        vectors = len(lines) - n_atoms
        if cut and (n_whole < n_atoms or source.is_cut or vectors < (n_vectors or 0)):
            source.warn_dropped(CUT)
            return
        n_vectors = vectors if n_vectors is None else n_vectors
        _check_columns(source, comment, lines[0] if lines else "")
        # To others this ends a line too: the next frame would begin elsewhere.
        if any("\r" in one for one in (line, comment, *lines)):
            raise source.error("a carriage return within a line", "lines that end alike")
        try:
            image = _image(source, line, comment, lines, elements)
        except (KeyError, ValueError) as error:
            if isinstance(error, InputError) or not cut:
                raise
            reason = f"{type(error).__name__}: {error}"
            first = source.line_number - len(lines) - 1
            raise source.error(
                f"a frame of which ASE makes none ({reason})", FRAME, first
            ) from error
        yield image


def _image(
    source: TextSource, head: str, comment: str, lines: list[str], elements: Elements | None
) -> Atoms:
    from ase.io.extxyz import read_xyz

    comment = _readable(source, comment)

    def read(rows: list[str]) -> Atoms:
        image: Atoms = next(read_xyz(StringIO("\n".join([head, comment, *rows, ""])), 0))
        return image

    try:
        return read(lines)
    except (KeyError, ValueError):  # labels that are no symbols, or stars for numbers
        names, n_atoms = _columns(comment), int(head)
        rows = [line.split() for line in lines[:n_atoms]]
        _put_nan(rows, names)
        labels = _put_symbols(rows, names, elements)
        image = read([*map(" ".join, rows), *lines[n_atoms:]])
    said = image.get_masses() if image.has("masses") else None
    if labels and (masses_u := masses_of(source, labels, said)) is not None:
        image.set_masses(masses_u)
    return image


def _check_columns(source: TextSource, comment: str, line: str) -> None:
    """See that no property has more columns than the first atom's line has words."""
    n_words = len(line.split())
    for number in _properties(comment).split(":")[2::3]:
        try:
            n_columns = int(number)
        except ValueError:
            return  # ASE says so
        if n_columns > max(n_words, 1):
            raise source.error(f"a property of {number} columns", f"at most {n_words}, as below it")


def _properties(comment: str) -> str:
    """Return what a comment says of the columns, as ASE understands it."""
    if comment.count("roperties") == 1 and "\\" not in comment:
        plain = PROPERTIES.search(comment)
        if plain:
            return plain[2]
    if ":" not in comment:
        return ""
    from ase.io.extxyz import key_val_str_to_dict

    return str(key_val_str_to_dict(comment).get("Properties", ""))


def _columns(comment: str) -> list[str]:
    """Return the name of each column; empty for one of text."""
    properties = _properties(comment) or "species:S:1:pos:R:3"
    fields = properties.split(":")
    names: list[str] = []
    for name, kind, number in zip(fields[::3], fields[1::3], fields[2::3], strict=False):
        names += [name if kind in "RS" else ""] * (int(number) if number.isdecimal() else 0)
    return names


def _put_symbols(
    rows: list[list[str]], names: list[str], elements: Elements | None
) -> Sequence[str]:
    """Put chemical symbols in the place of labels; what names no element is left to ASE.

    Returns the labels, or nothing where there are none.
    """
    from ase.data import chemical_symbols

    at = names.index("species") if "species" in names else len(names)
    if any(len(row) <= at for row in rows):
        return []
    labels: Sequence[str] = [row[at] for row in rows]
    if elements is not None and all(label.isdecimal() for label in set(labels)):
        labels = elements([*labels])
    known = {label: atomic_number(label) for label in set(labels)}
    for row, label in zip(rows, labels, strict=True):
        row[at] = chemical_symbols[number] if (number := known[label]) else label
    return labels if all(known.values()) else []


def _readable(source: TextSource, comment: str) -> str:
    """Return a comment without results that are no numbers, and with truths as ASE writes them."""

    def result(found: re.Match[str]) -> str:
        words = re.split(r"[\s,]+", found[2].strip("\"'").strip())
        if len(finite_numbers(words)) == len(words):
            return found[0]
        if found[2].strip("\"'").lower() not in ("none", "null", ""):
            source.note_lost(found[1], f"above line {source.line_number}")
        return ""

    def pbc(found: re.Match[str]) -> str:
        text = found[1].strip("\"'[]").lower()
        words = re.split(r"[\s,]+", text.strip())
        if len(words) == 1 and len(text) == 3 and text not in TRUTHS:
            words = [*text]
        truths = [TRUTHS[word] for word in words if word in TRUTHS]
        if len(words) not in (1, 3) or len(truths) != len(words):
            raise source.unexpected(found[0], 'pbc="T T T" or the like')
        return f'pbc="{" ".join((truths * 3)[:3])}"'

    utf8 = comment.encode("latin-1").decode("utf-8", errors="replace")
    return PBC.sub(pbc, RESULT.sub(result, utf8))


def _put_nan(rows: list[list[str]], names: list[str]) -> None:
    """Put NaN in the place of what are no numbers in other columns than the positions."""
    at = [i for i, name in enumerate(names) if name not in ("", "pos", "species")]
    for row in rows:
        for i in at:
            if i < len(row) and not finite_numbers([row[i]]):
                row[i] = "nan"
