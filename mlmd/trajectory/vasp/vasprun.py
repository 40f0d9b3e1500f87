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
from mlmd.trajectory.text.source import MOST_ATOMS
from mlmd.trajectory.vasp.header import atomic_number

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.text.source import TextSource


KBAR = 0.1 * units.GPa
# More than any value, name or nesting of VASP's, less than what would harm.
LONGEST_TEXT, DEEPEST, LONGEST_TOKEN_BYTES = 10_000, 50, 2**24
# Where in the file the values that are read stand, and what they are called here.
TABLES = {
    "calculation/structure/crystal/varray:basis": "cell",
    "calculation/structure/varray:positions": "positions",
    "calculation/varray:forces": "forces",
    "calculation/varray:stress": "stress",
}
ENERGIES = ("calculation/energy", "calculation/scstep/energy")
SETTINGS = frozenset({"IBRION", "POTIM", "PSTRESS", "ML_OUTBLOCK"})


def read_vasprun(source: TextSource) -> Iterator[FrameBlock]:
    """Give the ionic steps of a ``vasprun.xml``.

    The energy is that extrapolated to zero smearing, as in ASE: the last block's ``e_fr_energy``
    (without the work of an external pressure) with the entropy term of the last electronic
    step, since VASP's last ``e_0_energy`` is wrong. VASP's stress counts compression
    positive; here it is ASE's sign. Times are multiples of POTIM where the run is one of
    molecular dynamics: VASP writes every step here, whatever NBLOCK is.

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
    if reader.in_step:
        source.line_number = reader.line_number
        source.warn_dropped("its <calculation> is cut short")
    if reader.collector is not None:
        yield from reader.collector.rest()


class _Reader:
    """What is remembered between one tag and the next."""

    def __init__(self, source: TextSource) -> None:
        self.blocks: list[FrameBlock] = []
        self.collector: FrameCollector | None = None
        self.in_step = False
        self._source = source
        self._path: list[str] = []
        self._place = ""
        self._text: list[str] | None = None
        self._length = 0
        self._rows: list[str] = []
        self._numbers: list[int] = []
        self._masses: list[float] = []
        self._types: list[int] = []
        self._cells_of_row: list[str] = []
        self._settings: dict[str, float] = {}
        self._step: dict[str, FloatArray] = {}
        self._energies: dict[str, float] = {}
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
        return int(self._parser.CurrentLineNumber)

    def feed(self, chunk: bytes) -> None:
        """Take more text."""
        try:
            self._parser.Parse(chunk, False)
        except InputError:
            raise
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise self._error(f"{error}", "the XML of a vasprun.xml") from error
        self._fed += len(chunk)
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
        elif tag == "calculation":
            self._begin_step()
        elif tag == "varray":
            place = "/".join(self._path[1:])
            self._place = TABLES.get(place, "")
            self._rows = []

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
            if len(self._rows) > max(len(self._numbers), 3):
                raise self._error(f"more than {len(self._rows) - 1} rows", "one for each atom")
        elif tag == "varray" and self._place:
            self._finish_table()
        elif tag == "i":
            self._take_value(place.partition(":")[2], text)
        elif tag == "c" and self._path[1:2] == ["atominfo"]:
            self._cells_of_row.append(text.strip())
        elif tag == "rc" and self._path[1:2] == ["atominfo"]:
            self._take_row(self._path[2] if len(self._path) > 2 else "")
        elif tag == "calculation":
            self._finish_step()

    def _take_value(self, name: str, text: str) -> None:
        where = "/".join(self._path[1:])
        if where in ENERGIES:
            self._energies[f"{where}/{name}"] = self._number(text)
        elif name in SETTINGS and self._path[1:2] in (["parameters"], ["incar"]):
            self._settings[name] = self._number(text)

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

    def _take_row(self, array: str) -> None:
        row, self._cells_of_row = self._cells_of_row, []
        if array == "array:atoms" and len(row) == 2:
            self._source.line_number = self.line_number
            self._numbers.append(atomic_number(self._source, row[0], row[0]))
            if not re.fullmatch(r"\d{1,9}", row[1]):
                raise self._error(repr(row[1][:40]), "the type of an atom")
            self._types.append(int(row[1]))
            if len(self._numbers) > MOST_ATOMS:
                raise self._error(f"more than {MOST_ATOMS} atoms", "fewer")
        elif array == "array:atomtypes" and len(row) >= 3:
            self._masses.append(self._number(row[2]))

    def _finish_table(self) -> None:
        name, self._place = self._place, ""
        rows = 3 if name in ("cell", "stress") else len(self._numbers)
        text = "".join(f"{row}\n" for row in self._rows).encode("ascii", "replace")
        table = parse_table(text, rows, 3) if len(self._rows) == rows and rows else None
        if table is None:
            raise self._error(
                f"{name} that are not numbers, or {len(self._rows)} rows of them",
                f"{rows} rows of 3 numbers",
            )
        self._step[name] = table

    def _begin_step(self) -> None:
        self.in_step = True
        self._step, self._energies = {}, {}
        if self.collector is not None:
            return
        if not self._numbers:
            raise self._error("a step", "the list of atoms before it")
        masses = None
        if self._masses and max(self._types) <= len(self._masses) and min(self._types) > 0:
            masses = np.array([self._masses[kind - 1] for kind in self._types])
        self.collector = FrameCollector(np.array(self._numbers), wrapped=True, masses_u=masses)

    def _finish_step(self) -> None:
        self.in_step = False
        if "positions" not in self._step or "cell" not in self._step:
            raise self._error("a step without a structure", "cell and positions of the atoms")
        assert self.collector is not None
        cell = self._step["cell"]
        stress = self._step.get("stress")
        if stress is not None:
            stress = -KBAR * to_voigt(stress)
        interval = self._interval_fs()
        with np.errstate(all="ignore"):  # who joins the blocks refuses what is not finite
            positions = self._step["positions"] @ cell
            energy = self._energy_eV(abs(float(np.linalg.det(cell))))
        self.blocks += self.collector.add(
            positions_A=positions,
            cell_A=cell,
            time_fs=None if interval is None else interval * self.collector.n_frames,
            forces_eV_A=self._step.get("forces"),
            stresses_eV_A3=stress,
            energies_eV=energy,
        )

    def _energy_eV(self, volume_A3: float) -> float | None:
        whole, electronic = ENERGIES
        free = self._energies.get(f"{whole}/e_fr_energy")
        if free is None:
            return None
        entropy = self._energies.get(f"{electronic}/e_0_energy", 0.0) - self._energies.get(
            f"{electronic}/e_fr_energy", 0.0
        )
        energy = free - self._settings.get("PSTRESS", 0.0) * KBAR * volume_A3 + entropy
        return energy if np.isfinite(energy) else None

    def _interval_fs(self) -> float | None:
        """Return the time between two steps, where this is molecular dynamics that says it."""
        known = self._settings
        # A force field may write less often than every step, in some of its modes.
        if known.get("IBRION") != 0 or known.get("ML_OUTBLOCK", 1) != 1:
            return None
        interval = known.get("POTIM", 0.0)
        return interval if interval > 0 else None
