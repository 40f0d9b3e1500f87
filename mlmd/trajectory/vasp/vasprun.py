"""VASP's ``vasprun.xml``: positions, forces, stress and energy of every ionic step.

https://www.vasp.at/wiki/index.php/Vasprun.xml
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from xml.parsers import expat

import numpy as np
from ase import units

from mlmd.errors import InputError
from mlmd.numerics.voigt import to_voigt
from mlmd.trajectory.frame_block import FrameBlock, FrameCollector
from mlmd.trajectory.text.number_table import parse_table
from mlmd.trajectory.vasp.rows import OVERFLOWED
from mlmd.trajectory.vasp.vasprun_head import NUMBERS, VasprunHead

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.text.source import TextSource


KBAR = 0.1 * units.GPa
# More than any value, name or nesting of VASP's, less than what would harm.
LONGEST_TEXT, DEEPEST, LONGEST_TOKEN_BYTES = 10_000, 50, 2**24
# Where in a step the values that are read stand, and what they are called here.
TABLES = {
    "structure/crystal/varray:basis": "cell",
    "structure/varray:positions": "positions",
    "varray:forces": "forces",
    "varray:stress": "stress",
}
STEPS = ("calculation", "structure", "energy")
ENERGIES = ("energy", "scstep/energy")
BEGIN = b"<?xml"


def read_vasprun(source: TextSource) -> Iterator[FrameBlock]:
    """Give the ionic steps of a ``vasprun.xml``, or of several that follow each other in a file.

    The energy is that extrapolated to zero smearing, as in ASE: the last block's ``e_fr_energy``
    (without the work of an external pressure) with the entropy term of the last electronic
    step, since VASP's last ``e_0_energy`` is wrong. VASP's stress counts compression
    positive; here it is ASE's sign. Steps of a machine-learned force field stand outside of
    ``<calculation>``. Times are multiples of POTIM where the run is one of molecular dynamics:
    VASP writes every step here, whatever NBLOCK is, unless ML_OUTBLOCK spaces them. Forces and
    stresses that were too large for their column are left out.

    Raises
    ------
    InputError
        Where the text is not that of a ``vasprun.xml``; a last step cut short is left out with
        a warning.
    """
    reader = _Reader(source)
    for chunk in source.chunks():
        reader.feed(chunk)
        yield from reader.blocks
        reader.blocks.clear()
    reader.finish()
    yield from reader.blocks
    if reader.collector is not None:
        yield from reader.collector.rest()


class _Step:
    """One step as far as it was read.

    Parameters
    ----------
    begin
        The tag below the root that it began with: ``calculation``, or, where a force field gave
        it, ``structure``, or ``energy`` where the structure is not written.
    """

    def __init__(self, begin: str) -> None:
        self.begin = begin
        # Before the places of its values.
        self.place = "calculation/" if begin == "calculation" else ""
        self.tables: dict[str, FloatArray | None] = {}
        self.energies: dict[str, float] = {}

    @property
    def parts(self) -> set[str]:
        """Names of what it has."""
        return {*self.tables, *(("energy",) if self.energies else ())}


class _Reader:
    """What is remembered between one tag and the next."""

    def __init__(self, source: TextSource) -> None:
        self.blocks: list[FrameBlock] = []
        self.collector: FrameCollector | None = None
        self._source = source
        self._lines_before = 0
        self._left = b""
        self._begin_document()

    def _begin_document(self) -> None:
        self._head = VasprunHead(self._source)
        self._step: _Step | None = None
        self._n_steps = 0
        # What the steps of the force field have.
        self._parts: set[str] = set()
        self._path: list[str] = []
        self._place = ""
        self._text: list[str] | None = None
        self._length = 0
        self._rows: list[str] = []
        self._cells_of_row: list[str] = []
        self._fed = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype

    @property
    def line_number(self) -> int:
        """The line that the parser has come to."""
        return self._lines_before + int(self._parser.CurrentLineNumber)

    def feed(self, chunk: bytes) -> None:
        """Take more text."""
        text = self._left + chunk
        # What may be the beginning of a document, cut between two chunks.
        held = next((n for n in range(len(BEGIN) - 1, 0, -1) if text.endswith(BEGIN[:n])), 0)
        self._left = text[len(text) - held :]
        pieces = text[: len(text) - held].split(BEGIN)
        self._parse(pieces[0])
        for piece in pieces[1:]:
            if self._fed:
                self.finish()
                self._lines_before = self.line_number - 1
                self._begin_document()
            self._parse(BEGIN + piece)

    def finish(self) -> None:
        """Give the last step of a document if it is whole."""
        step = self._step
        if step is not None and step.begin != "energy":
            # Those of a force field have no end: whole are those that have what others have.
            if step.begin == "structure" and (
                step.energies or (self._parts and step.parts >= self._parts)
            ):
                self._finish_step()
            else:
                self._source.line_number = self.line_number
                self._source.warn_dropped(f"its <{step.begin}> is cut short")
        elif self._n_steps and self.collector is None:
            raise self._error(
                f"{self._n_steps} steps of a force field without positions (ML_OUTPUT_MODE = 0)",
                "positions of the atoms: read the XDATCAR of this run",
            )

    def _parse(self, text: bytes) -> None:
        try:
            self._parser.Parse(text, False)
        except InputError:
            raise
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise self._error(f"{error}", "the XML of a vasprun.xml") from error
        self._fed += len(text)
        if self._fed - self._parser.CurrentByteIndex > LONGEST_TOKEN_BYTES:
            raise self._error("a tag without an end", "the XML of a vasprun.xml")

    def _error(self, given: str, expected: str) -> InputError:
        return self._source.error(given, expected, self.line_number)

    def _doctype(self, *_: object) -> None:
        raise self._error("a document type", "a vasprun.xml, which declares none")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = attributes.get("name", "")
        if len(self._path) >= DEEPEST or len(tag) + len(name) > LONGEST_TEXT:
            raise self._error("tags nested too deeply", "a vasprun.xml")
        self._path.append(tag if not name or tag == "separator" else f"{tag}:{name}")
        if tag in ("i", "c", "atoms") or (tag == "v" and self._place):
            self._text, self._length = [], 0
        elif tag == "varray" and self._step is not None:
            place = "/".join(self._path[1:])
            self._place = TABLES.get(place.removeprefix(self._step.place), "")
            self._rows = []
        elif len(self._path) == 2:
            self._begin_step(self._path[1])

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._length += len(text)
            if self._length > LONGEST_TEXT:
                raise self._error("a value that does not end", "a number or a name")
            self._text.append(text)

    def _end(self, tag: str) -> None:
        place = self._path.pop()
        text, self._text = "".join(self._text or ()), None
        if tag == "v" and self._place:
            self._rows.append(text)
            if len(self._rows) > max(self._head.n_atoms, 3):
                raise self._error(f"more than {len(self._rows) - 1} rows", "one for each atom")
        elif tag == "varray" and self._place:
            self._finish_table()
        elif tag == "i":
            self._take_value(place.partition(":")[2], text)
        elif tag == "c" and self._path[1:2] == ["atominfo"]:
            self._cells_of_row.append(text.strip())
        elif tag == "rc" and self._path[1:2] == ["atominfo"]:
            row, self._cells_of_row = self._cells_of_row, []
            array = self._path[2] if len(self._path) > 2 else ""
            self._head.take_row(array, row, self.line_number)
        elif tag == "calculation" or not self._path:
            self._finish_step()

    def _take_value(self, name: str, text: str) -> None:
        where = "/".join(self._path[1:])
        step = self._step
        if step is not None and where.removeprefix(step.place) in ENERGIES:
            step.energies[f"{where.removeprefix(step.place)}/{name}"] = self._number(text)
        elif self._path[1:2] in (["parameters"], ["incar"]):
            if name in NUMBERS:
                self._head.take_setting(name, self._number(text))
            elif name == "ML_MODE":
                self._head.output.mode = text.strip().lower()
        elif where == "generator" and name == "version":
            self._head.output.take_version(text)

    def _number(self, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = np.nan
        if not np.isfinite(number):
            # Stars, where the number is too large for its place.
            if re.fullmatch(r"\s*\*+\s*", text):
                return np.nan
            shown = repr(text.strip()[:40])
            raise self._error(shown, "a number")
        return number

    def _finish_table(self) -> None:
        name, self._place = self._place, ""
        assert self._step is not None
        rows = 3 if name in ("cell", "stress") else self._head.n_atoms
        text = "".join(f"{row}\n" for row in self._rows).encode("ascii", "replace")
        table = parse_table(text, rows, 3) if len(self._rows) == rows and rows else None
        if table is None and not (
            name in ("forces", "stress")
            and len(self._rows) == rows
            and all(OVERFLOWED.fullmatch(row) for row in self._rows)
        ):
            raise self._error(
                f"{name} that are not numbers, or {len(self._rows)} rows of them",
                f"{rows} rows of 3 numbers",
            )
        if table is None:
            self._source.note_lost(name, f"before line {self.line_number}")
        self._step.tables[name] = table

    def _begin_step(self, place: str) -> None:
        """Begin a step if a tag below the root begins one."""
        step = self._step
        if place == "energy" and step is not None and not step.energies:
            return
        if step is not None and (place in STEPS or place.startswith("structure:")):
            self._finish_step()
        if place in STEPS:
            if self._head.n_atoms == 0:
                raise self._error("a step", "the list of atoms before it")
            self._step = _Step(place)
            self._n_steps += 1

    def _finish_step(self) -> None:
        step, self._step = self._step, None
        if step is None or step.begin == "energy":
            return
        if step.begin == "structure":
            self._parts = self._parts & step.parts if self._parts else step.parts
        if step.tables.get("positions") is None or step.tables.get("cell") is None:
            raise self._error("a step without a structure", "cell and positions of the atoms")
        self._add(step)

    def _add(self, step: _Step) -> None:
        """Make a frame of a step with a structure."""
        cell, scaled = step.tables["cell"], step.tables["positions"]
        assert cell is not None
        assert scaled is not None
        stress = step.tables.get("stress")
        interval, timestep_fs = self._head.output.vasprun_interval, self._head.timestep_fs
        number = None if interval is None else 1 + interval * (self._n_steps - 1)
        if number is None and timestep_fs is not None:
            self._source.note_once("interval_unknown", self._head.output.doubt)
        with np.errstate(all="ignore"):  # who joins the blocks refuses what is not finite
            positions = scaled @ cell
            energy = self._energy_eV(step, abs(float(np.linalg.det(cell))))
        self.blocks += self._frames().add(
            positions_A=positions,
            cell_A=cell,
            step=number,
            time_fs=None if number is None or not timestep_fs else timestep_fs * (number - 1),
            forces_eV_A=step.tables.get("forces"),
            stresses_eV_A3=None if stress is None else -KBAR * to_voigt(stress),
            energies_eV=energy,
        )

    def _frames(self) -> FrameCollector:
        """Return where the frames go; in a document after another the atoms are the same."""
        if self.collector is None:
            self.collector = FrameCollector(
                self._head.numbers(), wrapped=True, masses_u=self._head.masses_u()
            )
        elif self._n_steps == 1 and not np.array_equal(
            self._head.numbers(), self.collector.numbers
        ):
            raise self._error("other atoms than before", "the same in every run")
        return self.collector

    def _energy_eV(self, step: _Step, volume_A3: float) -> float | None:
        whole, electronic = ENERGIES
        free = step.energies.get(f"{whole}/e_fr_energy")
        work = self._head.settings.get("PSTRESS", 0.0) * KBAR * volume_A3
        # Whether a force field's energy includes the work differs between versions of VASP.
        if free is None or (step.begin != "calculation" and work != 0.0):
            return None
        entropy = step.energies.get(f"{electronic}/e_0_energy", 0.0) - step.energies.get(
            f"{electronic}/e_fr_energy", 0.0
        )
        energy = free - work + entropy
        return energy if np.isfinite(energy) else None
