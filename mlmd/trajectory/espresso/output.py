"""Molecular dynamics from the output of Quantum ESPRESSO's ``pw.x``, md and vc-md.

Energy, forces and stress of a geometry stand above the "Entering Dynamics" that moves it; the
positions below are those of the next geometry (PW/src/dynamics_module.f90, vcsmd.f90).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from mlmd.trajectory.espresso.header import Cut, EspressoHeader, next_line, numbers_in
from mlmd.trajectory.espresso.times import EspressoTimes
from mlmd.trajectory.frame_block import FrameBlock, FrameCollector

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.text.source import TextSource


MARK = re.compile(
    r"Program PWSCF|celldm\(1\)=|number of atoms/cell|crystal axes:|atomic species   valence"
    r"|site n\.(?=.*alat units)|^!(?=!* +total energy)|Forces acting on atoms|total   stress"
    r"|Time step(?=  +=)|Entering Dynamics|Damped(?= (?:Cell-)?Dynamics)"
    r"|^CELL_PARAMETERS|^ATOMIC_POSITIONS"
)
STRESS_EV_A3 = units.Ry / units.Bohr**3
FORCE_EV_A = units.Ry / units.Bohr
OVERFLOW = re.compile(r"\*|\bnan\b|\binf", re.IGNORECASE)
NO_DYNAMICS = "the output of pw.x with calculation = 'md' or 'vc-md'"


@dataclass
class _Frame:
    """A geometry and what is computed for it; its step is known at the latest when it moves."""

    positions_A: FloatArray
    cell_A: FloatArray
    step: int | None = None
    printed_fs: float | None = None
    energy_eV: float | None = None
    forces_eV_A: FloatArray | None = None
    stress_eV_A3: FloatArray | None = None


def read_espresso_output(source: TextSource) -> Iterator[FrameBlock]:
    """Give the frames of ``pw.x`` output with ``calculation = 'md'`` or ``'vc-md'``.

    Outputs of continued runs may follow each other in the file. The positions that ``pw.x``
    prints last, for which it computes nothing, are left out. Velocities are not in the output.

    Raises
    ------
    InputError
        If the text is no such output; a last frame cut short is left out with a warning.
    """
    run = _Run(source)
    try:
        for line in source:
            mark = MARK.search(line)
            if mark:
                yield from run.read(mark.group(), line)
    except Cut:
        source.warn_dropped("the output is cut short")
    else:
        if run.frame is not None and run.frame.energy_eV is not None:
            source.warn_dropped("the output ends before the atoms move on")
    yield from run.rest()


class _Run:
    """The state of reading."""

    def __init__(self, source: TextSource) -> None:
        self.source = source
        self.frame: _Frame | None = None
        self._header = EspressoHeader()
        self._times = EspressoTimes()
        self._collector: FrameCollector | None = None
        self._labels: list[str] = []
        self._cell_A: FloatArray | None = None
        # The last geometry of a run, of which the one that continues it computes the forces.
        self._carried: _Frame | None = None
        self._closed: _Frame | None = None
        self._entered: tuple[int, float] | None = None
        self._readers = {
            "Time step": self._read_timestep,
            "Entering Dynamics": self._enter,
            "Damped": self._refuse,
            "CELL_PARAMETERS": self._read_cell,
            "!": self._read_energy,
            "Forces acting on atoms": self._read_forces,
            "total   stress": self._read_stress,
        }

    def read(self, mark: str, line: str) -> Iterator[FrameBlock]:
        """Read what begins at a line with a mark; give blocks that are full."""
        if self.source.at_end:
            raise Cut
        if mark == "Program PWSCF":
            yield from self._emit(None)
            self._header, self._entered = EspressoHeader(), None
            self._carried, self.frame = self.frame, None
        elif mark == "ATOMIC_POSITIONS":
            yield from self._read_positions(line)
        elif mark in self._readers:
            self._readers[mark](line)
        else:
            self._header.read(self.source, mark, line)
            if mark.startswith("site"):
                self._start()

    def rest(self) -> Iterator[FrameBlock]:
        """Give what is left."""
        yield from self._emit(None)
        if self._collector is not None:
            yield from map(self._times.even, self._collector.rest())

    def _start(self) -> None:
        header = self._header
        if header.positions_A is None or header.cell_A is None:
            raise self.source.error("positions without a cell", "'crystal axes' before them")
        if self._collector is None:
            self._labels = header.labels
            self._collector = FrameCollector(
                header.numbers(self.source), False, header.masses(self.source)
            )
        if header.labels != self._labels:
            raise self.source.error("another run with other atoms", "the same in each")
        self._cell_A = header.cell_A
        self.frame = _Frame(header.positions_A, header.cell_A)

    def _refuse(self, line: str) -> None:
        raise self.source.unexpected(line, NO_DYNAMICS)

    def _read_timestep(self, line: str) -> None:
        self._times.set_timestep(numbers_in(self.source, line, 2, "a time step in a.u. and fs"))

    def _read_energy(self, line: str) -> None:
        numbers = self._numbers(line, 1, "energies")
        if self.frame is not None and numbers is not None:
            self.frame.energy_eV = numbers[0] * units.Ry

    def _numbers(self, line: str, n: int, what: str) -> list[float] | None:
        """Return numbers without which there is a geometry still; None where they overflowed."""
        if OVERFLOW.search(line.rpartition("=")[2]):
            self.source.note_lost(what, f"in line {self.source.line_number}")
            return None
        return numbers_in(self.source, line, n, what)

    def _enter(self, line: str) -> None:
        """Note the step and its time, and close the geometry that is left by it."""
        variable = "Dynamics;" in line
        if "=" not in line:
            raise self.source.unexpected(line, "'Entering Dynamics: iteration = 1'")
        count = re.search(r"=\s*(\d{1,18})\b", line)
        text = line if variable else next_line(self.source)
        time = re.search(r"time\s*=\s*(\d+\.\d+) pico-seconds", text)
        if count is None or time is None:
            raise self.source.unexpected(line, f"a step and its time: {NO_DYNAMICS}")
        step = int(count.group(1))
        printed_fs = self._times.printed_fs(time.group(1), variable)
        frame, self.frame = self.frame, None
        if frame is not None and frame.step is None and step > 1:
            # A continued run prints the positions of its input, not those it goes on from.
            carried = self._carried
            if carried is not None and carried.step == step - 1:
                frame.positions_A, frame.cell_A = carried.positions_A, carried.cell_A
                frame.printed_fs = carried.printed_fs
            else:
                frame = None
        if frame is not None:
            frame.step = step - 1
            if variable:
                # vc-md prints the time of the geometry that is left, md that of the next.
                frame.printed_fs = printed_fs
            elif step == 1:
                frame.printed_fs = 0.0
        self._closed, self._carried = frame, None
        self._entered = step, printed_fs

    def _read_positions(self, line: str) -> Iterator[FrameBlock]:
        if self._entered is None or self._cell_A is None or not self._labels:
            raise self.source.unexpected(line, f"'Entering Dynamics' above it: {NO_DYNAMICS}")
        vectors = self._unit(line, self._cell_A)
        rows, labels = [], []
        for _ in self._labels:
            row = next_line(self.source)
            labels.append(row.split()[0])
            rows.append(numbers_in(self.source, row, 3, "a label and three coordinates"))
        if labels != self._labels:
            raise self.source.error("other atoms than before", "the same in every step")
        positions = np.array(rows) @ vectors
        step, printed_fs = self._entered
        yield from self._emit(positions)
        self.frame = _Frame(positions, self._cell_A, step, printed_fs)
        self._entered = None

    def _emit(self, following_A: FloatArray | None) -> Iterator[FrameBlock]:
        """Add the geometry that was left to the frames, now that the one after it is known."""
        frame, self._closed = self._closed, None
        if frame is None or self._collector is None:
            return
        positions = frame.positions_A
        if frame.step == 0 and following_A is not None:
            # With refold_pos the first positions are moved into the cell after they are printed.
            images = np.rint((following_A - positions) @ np.linalg.inv(frame.cell_A))
            positions = positions + images @ frame.cell_A
        blocks = self._collector.add(
            positions_A=positions,
            cell_A=frame.cell_A,
            step=frame.step,
            time_fs=frame.printed_fs,
            energies_eV=frame.energy_eV,
            forces_eV_A=frame.forces_eV_A,
            stresses_eV_A3=frame.stress_eV_A3,
        )
        yield from map(self._times.even, blocks)

    def _read_cell(self, line: str) -> None:
        vectors = self._unit(line, None)
        rows = [
            numbers_in(self.source, next_line(self.source), 3, "a cell vector") for _ in range(3)
        ]
        self._cell_A = self.source.check_cell(np.array(rows) @ vectors)

    def _unit(self, line: str, crystal: FloatArray | None) -> FloatArray:
        """Return the vectors that coordinates below a line count in."""
        if "angstrom" in line:
            return np.eye(3)
        if "bohr" in line:
            return np.eye(3) * units.Bohr
        if "crystal" in line and crystal is not None:
            return crystal
        if self._header.alat_A is None:
            raise self.source.unexpected(line, "'celldm(1)=' before lengths in units of alat")
        return np.eye(3) * self._header.alat_A

    def _read_forces(self, line: str) -> None:
        if self.frame is None:
            return
        rows = []
        for _ in self._labels:
            row = next_line(self.source)
            if "force =" not in row:
                raise self.source.unexpected(row, "'atom 1 type 1 force = 0.0 0.0 0.0'")
            text = row.rpartition("=")[2]
            rows.append(self._numbers(text, 3, "forces"))
        if None not in rows:
            self.frame.forces_eV_A = np.array(rows) * FORCE_EV_A

    def _read_stress(self, line: str) -> None:
        rows = [self._numbers(next_line(self.source), 6, "stresses") for _ in range(3)]
        if self.frame is not None and None not in rows:
            # pw.x counts compression as positive, ASE tension.
            (xx, xy, xz), (_, yy, yz), (_, _, zz) = -np.array(rows)[:, :3] * STRESS_EV_A3
            self.frame.stress_eV_A3 = np.array([xx, yy, zz, yz, xz, xy])
