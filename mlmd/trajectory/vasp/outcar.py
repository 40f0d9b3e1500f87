"""VASP's ``OUTCAR``: positions, forces, stress and energy of every ionic step.

https://www.vasp.at/wiki/index.php/OUTCAR
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from mlmd.trajectory.frame_block import FrameBlock, FrameCollector
from mlmd.trajectory.vasp.outcar_header import OutcarHeader
from mlmd.trajectory.vasp.outcar_steps import Step, Steps, frame_of
from mlmd.trajectory.vasp.rows import position_and_force

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.text.source import TextSource


KBAR = 0.1 * units.GPa
# Six numbers in fixed columns, where a minus sign may follow the number before it.
SIX_NUMBERS = re.compile(r"\s*(-?\d{1,15}\.\d*)(?=[\s-]|$)" * 6 + r"\s*")
BEGIN = " vasp."
ITERATION = re.compile(r"\s*-+ Iteration\s+(\d{1,18})")
LOOP = re.compile(r"\s*-+ Ionic step\s+(\d{1,18})")
ENERGY = re.compile(r"energy\(sigma->0\) *= *(-?\d{1,15}\.\d{1,15}|\*+)\s*$")
# OUTCAR's order is xx yy zz xy yz zx; ours xx yy zz yz xz xy.
VOIGT = [0, 1, 2, 4, 5, 3]


def read_outcar(source: TextSource) -> Iterator[FrameBlock]:
    """Give the ionic steps of an ``OUTCAR``, each once.

    The energy is that extrapolated to zero smearing, ``energy(sigma->0)``, as in ASE. VASP's
    stress, ``in kB``, counts compression positive; here it is ASE's sign. Times are those of
    the steps' numbers and POTIM where the run is one of molecular dynamics. Of a step that was
    calculated by a machine-learned force field and by density functional theory, the latter's
    forces, stress and energy are given. Forces that were too large for their column are left out.

    Raises
    ------
    InputError
        Where the text is not that of an ``OUTCAR``; a last step cut short is left out with a
        warning.
    """
    reader = _Reader(source)
    for line in source:
        reader.take(line)
        if reader.blocks:
            yield from reader.blocks
            reader.blocks.clear()
        if reader.is_cut:
            break
    reader.finish()
    yield from reader.blocks
    if reader.collector is not None:
        yield from reader.collector.rest()


class _Reader:
    """What is remembered between one line and the next."""

    def __init__(self, source: TextSource) -> None:
        self.blocks: list[FrameBlock] = []
        self.collector: FrameCollector | None = None
        self.is_cut = False
        self._source = source
        self._begin_run()

    def _begin_run(self) -> None:
        self._header = OutcarHeader()
        self._steps = Steps(self._header.output)
        self._in_header = True
        self._cell: FloatArray | None = None
        self._stress: FloatArray | None = None

    def take(self, line: str) -> None:
        """Look at one line."""
        if "TOTAL-FORCE" in line and "POSITION" in line:
            self._take_table("(ML)" in line)
        elif "energy  without entropy=" in line:
            self._take_energy(line)
        elif "direct lattice vectors" in line:
            self._cell = _cell(self._source)
        elif line.startswith("  in kB"):
            self._stress = _stress(line)
        elif "- Iteration" in line and (found := ITERATION.match(line)):
            self._add(self._steps.announce(int(found.group(1))))
        elif "- Ionic step" in line and (found := LOOP.match(line)):
            self._steps.begin_loop(int(found.group(1)))
        elif "ENERGY OF THE ELECTRON-ION-THERMOSTAT" in line:
            self._steps.end()
            self._stress = None
        elif line.startswith(BEGIN):
            self.finish()
            self._begin_run()
            self._header.take(self._source, line)
        elif self._in_header:
            self._header.take(self._source, line)

    def finish(self) -> None:
        """Add the last step of a run, if it is whole."""
        step = self._steps.now
        if step.best.is_whole:
            self._add(step)
        elif self.is_cut:
            self._source.warn_dropped("its table of positions and forces is cut short")
        elif step.best.table is not None:
            self._source.warn_dropped("its energy is missing")

    def _take_table(self, is_ml: bool) -> None:
        source = self._source
        if self._in_header:
            self._end_header()
        assert self.collector is not None
        source.read_line()
        table = source.read_table(len(self.collector.numbers), 6, position_and_force)
        if table is None:
            self.is_cut = True
            return
        if self._cell is None:
            raise source.error("positions", "the cell's direct lattice vectors before them")
        # What is said of the next step is said anew.
        stress, self._stress = self._stress, None
        self._add(self._steps.add_table(table, is_ml, self._cell, stress))

    def _end_header(self) -> None:
        """Begin the steps, of the same atoms as those of a run before in the same file."""
        self._in_header = False
        if self.collector is None:
            numbers = self._header.numbers(self._source)
            self.collector = FrameCollector(numbers, wrapped=True, masses_u=self._header.masses_u())
        elif not self._header.is_empty and not np.array_equal(
            self._header.numbers(self._source), self.collector.numbers
        ):
            raise self._source.error("other atoms than before", "the same in every run")

    def _take_energy(self, line: str) -> None:
        if self._source.is_cut:
            return
        found = ENERGY.search(line)
        if found is None:
            raise self._source.unexpected(line, "the energy(sigma->0)")
        number = found.group(1)
        energy = None if number.startswith("*") else float(number)
        self._add(self._steps.add_energy(energy, "ML energy" in line))

    def _add(self, step: Step | None) -> None:
        if step is None or step.best.table is None:
            return
        assert self.collector is not None
        frame = frame_of(step)
        number = self._steps.number_of(step)
        if frame["forces_eV_A"] is None:
            self._source.note_lost("forces", f"of the step before line {self._source.line_number}")
        if number is None and self._header.is_dynamics:
            self._source.note_once("interval_unknown", self._header.output.doubt)
        self.blocks += self.collector.add(
            **frame, step=number, time_fs=self._header.time_fs(number)
        )


def _cell(source: TextSource) -> FloatArray | None:
    """Return the three rows below a heading; beside each is one of the reciprocal cell."""
    rows = []
    for line in source.read_lines(3):
        found = SIX_NUMBERS.fullmatch(line)
        if found is None:
            if source.at_end:
                return None
            raise source.unexpected(line, "a direct and a reciprocal lattice vector")
        rows.append([float(number) for number in found.groups()[:3]])
    return np.array(rows) if len(rows) == 3 else None


def _stress(line: str) -> FloatArray | None:
    found = SIX_NUMBERS.fullmatch(line.partition("in kB")[2])
    # Stars stand where a number is too large for its place.
    if found is None:
        return None
    return -KBAR * np.array([float(number) for number in found.groups()])[VOIGT]
