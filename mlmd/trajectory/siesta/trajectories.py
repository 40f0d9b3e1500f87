"""Trajectories of SIESTA: the text ``.ANI`` and the binary ``.MD``.

Neither is complete: ``.ANI`` has no cell, ``.MD`` no species. They are taken from ``.XV`` or
``.STRUCT_OUT`` beside them (or the cell from ``.fdf``), energies from ``.MDE`` and the time step
from ``.fdf``; all are named by the label of the system. SIESTA folds no atoms back into the cell. A
continued run appends to these files and, unless told otherwise, counts its steps from one again.
Layouts from its own sources: Src/pixmol.f, Src/iomd.f.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units
from ase.data import atomic_masses

from mlmd.trajectory.frame_block import FrameBlock, FrameCollector
from mlmd.trajectory.siesta.fdf import fdf_varies_cell
from mlmd.trajectory.siesta.siblings import (
    StepEnergy,
    energies_beside,
    masses_beside_u,
    sibling,
    structure_beside,
    timestep_beside_fs,
)
from mlmd.trajectory.text.fortran_records import FortranRecords
from mlmd.trajectory.text.labelled_table import LabelledTable, read_labelled_table
from mlmd.trajectory.text.source import MOST_ATOMS, TextSource, has_volume
from mlmd.trajectory.text.species_labels import atomic_numbers_of, masses_of

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray


STEP_BYTES = 4
ATOM_BYTES = 48
CELL_BYTES = 144
CONSTANT_VOLUME = 1e-4
SAME_VOLUME = 2e-3
CELL_REMEDY = "LABEL.XV (or LABEL.STRUCT_OUT, LABEL.fdf) beside it"


def read_ani(source: TextSource) -> Iterator[FrameBlock]:
    """Give the frames of ``LABEL.ANI``.

    Raises
    ------
    InputError
        If the text is none, nothing says the cell, or the cell changes (then ``LABEL.MD`` has
        it); a last frame cut short is left out with a warning.
    """
    structure = structure_beside(source)
    if structure is None:
        raise source.error("positions without a cell", CELL_REMEDY)
    rows = energies_beside(source)
    _check_constant_cell(source, rows, abs(float(np.linalg.det(structure.cell_A))))
    timestep_fs = timestep_beside_fs(source)
    collector: FrameCollector | None = None
    labels: list[str] = []
    while (table := _read_ani_frame(source)) is not None:
        if collector is None:
            labels = table.labels
            numbers = atomic_numbers_of(source, labels, "an element")
            collector = FrameCollector(numbers, False, _masses_u(source, labels, numbers, labels))
            if len(rows) != _count_lines(source) // (len(labels) + 2):
                rows = _without_energies(source, rows, "it has another number of steps")
            steps_are_known = all(row.step is not None for row in rows)
        if table.labels != labels:
            raise source.error("atoms unlike those of the first frame", "the same in each")
        at = collector.n_frames
        row = rows[at] if rows else None
        step = row.step if row and steps_are_known else None
        counted = at + 1 if step is None else step
        yield from collector.add(
            positions_A=table.numbers,
            cell_A=structure.cell_A,
            step=step,
            time_fs=None if timestep_fs is None else counted * timestep_fs,
            energies_eV=row.energy_eV if row else None,
        )
    if collector is not None:
        yield from collector.rest()


def read_md(source: TextSource) -> Iterator[FrameBlock]:
    """Give the frames of ``LABEL.MD``: bohr and bohr/fs; with its cells if these vary.

    Raises
    ------
    InputError
        If the bytes are no such file, or nothing says species or cell; a last frame cut short
        is left out with a warning.
    """
    records = FortranRecords(source)
    size = records.next_size()
    if size is None:
        return
    n_atoms, left = divmod(size - STEP_BYTES, ATOM_BYTES)
    if left or not 1 <= n_atoms <= MOST_ATOMS:
        raise records.error(f"a record of {size} bytes", "4 + 48 for each atom (SIESTA's .MD)")
    numbers, masses_u, constant_cell = _atoms_and_cell(source, n_atoms)
    rows = energies_beside(source)
    timestep_fs = timestep_beside_fs(source)
    collector = FrameCollector(numbers, wrapped=False, masses_u=masses_u)
    varies: bool | None = None
    real = np.dtype("<f8" if records.byte_order == "little" else ">f8")
    while (next_size := records.next_size()) is not None:
        if next_size != size:
            raise records.error(f"a record of {next_size} bytes", f"one of {size} bytes")
        record = records.read()
        has_cell = records.next_size() == CELL_BYTES != size
        cell_record = records.read() if record is not None and has_cell else None
        if varies is None:
            varies = has_cell or _input_varies_cell(source)
        if record is None or (varies and cell_record is None and records.at_end):
            source.warn_dropped("it is cut short")
            break
        if varies != has_cell:
            raise records.error("frames with and without a cell", "the same in each")
        positions, velocities = _vectors(record[STEP_BYTES:], real).reshape(2, n_atoms, 3)
        cell = _vectors(cell_record, real)[:9].reshape(3, 3) if cell_record else constant_cell
        if cell is None:
            raise source.error("positions without a cell", CELL_REMEDY)
        if not np.isfinite(positions).all() or not has_volume(cell):
            raise records.error("numbers that are none in the record above", "finite ones")
        step = int.from_bytes(record[:STEP_BYTES], records.byte_order, signed=True)
        row = rows[collector.n_frames] if collector.n_frames < len(rows) else None
        if row is not None and row.step not in (step, None):
            rows = _without_energies(source, rows, f"it has step {row.step} for {step}")
            row = None
        yield from collector.add(
            positions_A=positions,
            velocities_A_fs=_finite(source, velocities, collector.n_frames),
            cell_A=cell,
            step=step,
            time_fs=None if timestep_fs is None else step * timestep_fs,
            energies_eV=row.energy_eV if row else None,
        )
    else:
        if records.bytes_left:
            source.warn_dropped("it is cut short")
    yield from collector.rest()


def _finite(source: TextSource, velocities: FloatArray, frame: int) -> FloatArray | None:
    """Return velocities, or None where they overflowed."""
    if np.isfinite(velocities).all():
        return velocities
    source.note_lost("velocities", f"of frame {frame}, counted from 0,")
    return None


def _vectors(record: bytes, real: np.dtype[Any]) -> FloatArray:
    """Return the numbers of a record, from bohr to angstrom."""
    return np.frombuffer(record, real).astype(float) * units.Bohr


def _masses_u(
    source: TextSource,
    labels: list[str],
    numbers: IntArray,
    species: Sequence[int] | Sequence[str],
) -> FloatArray | None:
    """Return the masses of atoms where labels or the input say others than the natural ones."""
    said, by_label = masses_beside_u(source, species), masses_of(source, labels)
    if said is None:
        return by_label
    natural = atomic_masses[numbers] if by_label is None else by_label
    return masses_of(source, labels, np.where(np.isnan(said), natural, said))


def _atoms_and_cell(
    source: TextSource, n_atoms: int
) -> tuple[IntArray, FloatArray | None, FloatArray | None]:
    """Return atomic numbers, masses where they are said, and the cell if it is constant."""
    structure = structure_beside(source)
    numbers = structure.numbers if structure else None
    labels: list[str] = []
    species: Sequence[int] | Sequence[str] = []
    if structure is not None and structure.species is not None:
        species = structure.species.tolist()
    path = sibling(source, "ANI")
    if numbers is None and path is not None:
        with TextSource(path) as beside:
            table = _read_ani_frame(beside)
            if table is not None:
                species = labels = table.labels
                numbers = atomic_numbers_of(beside, labels, "an element")
    if numbers is None:
        raise source.error("positions without species", "LABEL.XV (or LABEL.ANI) beside it")
    if len(numbers) != n_atoms:
        raise source.error(f"{n_atoms} atoms", f"{len(numbers)} as in the files beside it")
    masses_u = _masses_u(source, labels, numbers, species)
    return numbers, masses_u, structure.cell_A if structure else None


def _read_ani_frame(source: TextSource) -> LabelledTable | None:
    """Return the next frame, or None where there is no more, or no whole one (with a warning)."""
    line = source.read_filled_line()
    if line is None:
        return None
    if not source.at_end:
        n_atoms = source.count_of_atoms(line)
        comment = source.read_line() or ""
        if comment.strip():
            raise source.unexpected(comment, "an empty line, as SIESTA writes it")
        table = None if source.at_end else read_labelled_table(source, n_atoms, 4, 0, (1, 2, 3))
        if table is not None:
            return table
    source.warn_dropped("it has not all of its atoms")
    return None


def _count_lines(source: TextSource) -> int:
    with TextSource(source.path) as again:
        return sum(chunk.count(b"\n") for chunk in again.chunks())


def _without_energies(source: TextSource, rows: list[StepEnergy], why: str) -> list[StepEnergy]:
    if rows:
        source.note("left_out", f"no energies are taken from the .MDE beside it: {why}")
    return []


def _input_varies_cell(source: TextSource) -> bool:
    path = sibling(source, "fdf")
    return path is not None and fdf_varies_cell(path)


def _check_constant_cell(source: TextSource, rows: list[StepEnergy], volume_A3: float) -> None:
    volumes = np.array([row.volume_A3 for row in rows if row.volume_A3 is not None])
    varies = _input_varies_cell(source)
    if len(volumes) and not varies:
        varies = float(np.ptp(volumes)) > CONSTANT_VOLUME * volumes[0]
        if not varies and abs(volumes[0] / volume_A3 - 1.0) > SAME_VOLUME:
            raise source.error(
                f"a cell of {volume_A3:.2f} A^3 beside .MDE with {volumes[0]:.2f} A^3",
                "the .XV of the same run",
            )
    if varies:
        raise source.error("a cell that changes, which .ANI does not hold", "LABEL.MD: read it")
