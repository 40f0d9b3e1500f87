"""Trajectories of CP2K: ``PROJECT-pos-1.xyz`` and what lies beside it.

https://manual.cp2k.org/trunk/CP2K_INPUT/MOTION/PRINT.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import units
from ase.data import atomic_masses

from mlmd.numerics.voigt import to_voigt
from mlmd.trajectory.cp2k.run_files import (
    RunFile,
    constant_cell_A,
    inputs_beside,
    kind_masses_u,
)
from mlmd.trajectory.cp2k.siblings import Siblings, StepTable
from mlmd.trajectory.frame_block import FrameBlock, FrameCollector
from mlmd.trajectory.text.labelled_table import read_labelled_table
from mlmd.trajectory.text.printed_times import PrintedTimes
from mlmd.trajectory.text.source import TextSource
from mlmd.trajectory.text.species_labels import atomic_numbers_of

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray


VELOCITY_A_FS = units.Bohr * units.fs / units.AUT
FORCE_EV_A = units.Hartree / units.Bohr
# Unified atomic mass unit times (angstrom/fs)^2, in eV.
KINETIC_EV = 1.0 / units.fs**2
COMMENT = re.compile(
    r"\s*i\s*=\s*(?P<step>\d{1,18})\s*,(?:.*\btime\s*=\s*(?P<time>[-+.\dEe]+))?"
    r"(?:.*\bE\s*=\s*(?P<energy>[-+.\dEe]+))?"
)
CELL_FILE = "a cell without a volume in the .cell file", "three vectors in angstrom"
HALF_DIGIT_XYZ_FS = 0.5e-3
HALF_DIGIT_ENER_FS = 0.5e-6
COMPANIONS = {"vel": "velocities", "frc": "forces"}
KIND_REMEDY = "an element, or a kind that begins with one (Fe1, O_surface)"


@dataclass(frozen=True)
class _Frame:
    """A frame of an XYZ file, in the file's units."""

    step: int
    time: float | None
    energy: float | None
    labels: list[str]
    values: FloatArray


def read_cp2k_xyz(source: TextSource) -> Iterator[FrameBlock]:
    """Give the frames of ``PROJECT-pos-1.xyz``, with what the files beside it know of them.

    They are ``PROJECT-1.cell`` (or, where the cell is constant, ``PROJECT-1.restart``,
    ``PROJECT.inp``, or another input or log of that project), ``PROJECT-vel-1.xyz``,
    ``PROJECT-frc-1.xyz``, ``PROJECT-1.stress`` and ``PROJECT-1.ener`` (for times with more
    digits), all in CP2K's units of output as they are by default. CP2K's stress of molecular
    dynamics contains the motion of the atoms, which is taken out by the velocities; without them
    there is no stress.

    Raises
    ------
    InputError
        If the text is not CP2K's, nothing says the cell, or the atoms change; a last frame cut
        short is left out with a warning.
    """
    with ExitStack() as stack:
        siblings = Siblings(source)
        inputs = inputs_beside(source, siblings)
        cells = _Cells(source, siblings, inputs)
        velocities = _Companion(siblings, "vel", stack)
        forces = _Companion(siblings, "frc", stack)
        stresses = siblings.table("stress", (0, *range(2, 11)))
        times = _Times(siblings)
        collector: FrameCollector | None = None
        labels: list[str] = []
        while (frame := _read_frame(source)) is not None:
            if collector is None:
                labels = frame.labels
                numbers = atomic_numbers_of(source, labels, KIND_REMEDY)
                said_u = kind_masses_u(source, labels, inputs)
                masses_u = atomic_masses[numbers] if said_u is None else said_u
                collector = FrameCollector(numbers, wrapped=False, masses_u=said_u)
            if frame.labels != labels:
                raise source.error("atoms unlike those of the first frame", "the same in each")
            cell = cells.cell_A(source, frame.step)
            if cell is None:
                break
            velocity = velocities.of(frame, VELOCITY_A_FS)
            blocks = collector.add(
                positions_A=frame.values,
                cell_A=cell,
                step=frame.step,
                time_fs=times.printed(frame),
                velocities_A_fs=velocity,
                forces_eV_A=forces.of(frame, FORCE_EV_A),
                energies_eV=None if frame.energy is None else frame.energy * units.Hartree,
                stresses_eV_A3=_stress_eV_A3(stresses, frame.step, velocity, masses_u, cell),
            )
            yield from map(times.even, blocks)
        if collector is not None:
            yield from map(times.even, collector.rest())


class _Times:
    """Times of the frames, from ``.ener`` if there is one."""

    def __init__(self, siblings: Siblings) -> None:
        self._table = siblings.table("ener", (0, 1))
        half_digit = HALF_DIGIT_ENER_FS if self._table else HALF_DIGIT_XYZ_FS
        self.even = PrintedTimes(half_digit).even

    def printed(self, frame: _Frame) -> float | None:
        """Return the time of a frame, with the digits that are printed."""
        row = self._table.row(frame.step) if self._table else None
        return frame.time if row is None else float(row[0])


class _Cells:
    """The cell of each step."""

    def __init__(self, source: TextSource, siblings: Siblings, inputs: list[RunFile]) -> None:
        self._table = siblings.table("cell", (0, *range(2, 11)))
        self._constant = None
        if self._table is None or len(self._table) == 0:
            self._constant = constant_cell_A(source, siblings, inputs)
            if self._constant is None:
                run = f"{siblings.project}-{siblings.number}"
                raise source.error(
                    "positions without a cell"
                    + ("" if siblings.known else ", and no name PROJECT-pos-1.xyz that tells more"),
                    f"{run}.cell beside them, or where the cell is constant {run}.restart, or an "
                    f"input or output of PROJECT {siblings.project} (*.inp, *.out, *.log) with "
                    "the cell in plain numbers",
                )
        elif (row := self._table.constant_row()) is not None:
            self._constant = source.check_cell(row.reshape(3, 3), *CELL_FILE)

    def cell_A(self, source: TextSource, step: int) -> FloatArray | None:
        """Return the cell of a step, or None with a warning after the last that is known."""
        if self._constant is not None or self._table is None:
            return self._constant
        row = self._table.row(step)
        if row is not None:
            return source.check_cell(row.reshape(3, 3), *CELL_FILE)
        if step > self._table.last_step:
            source.warn_dropped(f"no cell is known after step {self._table.last_step}")
            return None
        raise source.error(f"step {step} without its cell", "one for each frame in the .cell file")


class _Companion:
    """Velocities or forces, read along with the positions."""

    def __init__(self, siblings: Siblings, kind: str, stack: ExitStack) -> None:
        path = siblings.xyz(kind)
        self._positions, self._what = siblings.source, COMPANIONS[kind]
        self._source = stack.enter_context(TextSource(path)) if path else None
        self._next = _read_frame(self._source, may_lack=True) if self._source else None

    def of(self, frame: _Frame, unit: float) -> FloatArray | None:
        """Return what the file holds for a frame, or None if it leaves it out."""
        while self._source and self._next and self._next.step < frame.step:
            self._next = _read_frame(self._source, may_lack=True)
        if not self._source or not self._next or self._next.step != frame.step:
            return None
        if self._next.labels != frame.labels:
            raise self._source.error("other atoms than the positions", "the same in both")
        values: FloatArray = self._next.values * unit
        self._next = _read_frame(self._source, may_lack=True)
        if not np.isfinite(values).all():
            self._positions.note_lost(self._what, f"of step {frame.step}")
            return None
        return values


def _read_frame(source: TextSource, may_lack: bool = False) -> _Frame | None:
    """Return the next frame, or None where there is no more, or no whole one (with a warning).

    Numbers that a program could not write are NaN where that may be.
    """
    line = source.read_filled_line()
    if line is None:
        return None
    if source.at_end:
        source.warn_dropped("it is cut short")
        return None
    n_atoms = source.count_of_atoms(line)
    comment = source.read_line() or ""
    found = COMMENT.match(comment)
    if source.at_end:
        source.warn_dropped("it is cut short")
        return None
    try:
        if found is None:
            raise ValueError
        time, energy = (float(text) if (text := found.group(n)) else None for n in (2, 3))
        if not all(value is None or np.isfinite(value) for value in (time, energy)):
            raise ValueError
    except ValueError:
        raise source.unexpected(comment, "CP2K's 'i = 1, time = 0.500, E = -1.0'") from None
    columns = (1, 2, 3)
    table = read_labelled_table(source, n_atoms, 4, 0, columns, columns if may_lack else ())
    if table is None:
        source.warn_dropped(f"it has fewer than {n_atoms} atoms")
        return None
    return _Frame(int(found.group("step")), time, energy, table.labels, table.numbers)


def _stress_eV_A3(
    table: StepTable | None,
    step: int,
    velocities_A_fs: FloatArray | None,
    masses_u: FloatArray,
    cell: FloatArray,
) -> FloatArray | None:
    """Return the stress at rest, ASE's sign, from CP2K's pressure tensor with its motion."""
    row = table.row(step) if table else None
    if row is None or velocities_A_fs is None:
        return None
    pressure = row.reshape(3, 3) * units.bar
    momenta = masses_u[:, None] * velocities_A_fs
    motion = momenta.T @ velocities_A_fs * KINETIC_EV / abs(np.linalg.det(cell))
    at_rest = motion - pressure
    stress: FloatArray = to_voigt(at_rest)
    return stress
