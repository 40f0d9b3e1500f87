"""Text dumps of LAMMPS: any box, atoms in any order; https://docs.lammps.org/dump.html."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.trajectory.frame_block import FrameBlock, FrameCollector
from mlmd.trajectory.lammps.box import Box, read_box
from mlmd.trajectory.lammps.columns import DumpColumns, dump_columns
from mlmd.trajectory.lammps.elements import elements_of_types
from mlmd.trajectory.lammps.units import UNKNOWN, UnitStyle, in_unit, unit_style
from mlmd.trajectory.text.labelled_table import LabelledTable, read_labelled_table
from mlmd.trajectory.text.species_labels import atomic_number, atomic_numbers_of, masses_of

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.text.source import TextSource


ELEMENT_REMEDY = "the symbol of an element; give them by 'dump_modify ID element Li P S ...'"
LARGEST_STEP = 2**62


@dataclass
class _Header:
    """What stands before the atoms of a frame; the units stand before the first only."""

    units: UnitStyle = UNKNOWN
    time: float | None = None
    step: int | None = None
    n_atoms: int | None = None
    box: Box | None = None


@dataclass(frozen=True)
class _Frame:
    """The atoms of a frame, sorted by id."""

    units: UnitStyle
    time: float | None
    step: int
    box: Box
    columns: DumpColumns
    labels: list[str]
    values: FloatArray

    @property
    def ids(self) -> FloatArray:
        return self.values[:, 0]

    def of(self, group: str) -> FloatArray | None:
        return self.columns.of(self.values, group)

    def whole(self, group: str) -> FloatArray | None:
        """Return the columns of a group if all of it are numbers."""
        values = self.of(group)
        return values if values is None or np.isfinite(values).all() else None


def read_lammps_dump(source: TextSource) -> Iterator[FrameBlock]:
    """Give the frames of a LAMMPS dump, atoms sorted by id.

    Positions are those of ``xu yu zu``, ``xsu ysu zsu``, ``x y z`` or ``xs ys zs``, the first
    of them that there is; with ``ix iy iz`` the last two are unwrapped exactly. Without
    ``ITEM: UNITS`` they are taken as angstrom (metal, real), and velocities, forces and times,
    whose units differ between these two, are left out. Elements of types are those that the user
    gives, or a data file beside the dump.

    Raises
    ------
    InputError
        If the text is no such dump, nothing says elements or ids, or its atoms change; a last
        frame cut short is left out with a warning, as are velocities and forces that are no
        numbers.
    """
    collector: FrameCollector | None = None
    first: _Frame | None = None
    for frame in _frames(source):
        if collector is None or first is None:
            first, collector = frame, _collector(source, frame)
            _warn_about_units(source, frame)
        if frame.columns != first.columns:
            raise source.error("other columns than before", "the same in each frame")
        if not np.array_equal(frame.ids, first.ids) or frame.labels != first.labels:
            raise source.error(
                "atoms that differ from those of the first frame",
                "the same ids and elements in each; dump a group whose atoms stay the same",
            )
        units = frame.units
        velocities, forces = frame.whole("v"), frame.whole("f")
        for name, values, group in (("velocities", velocities, "v"), ("forces", forces, "f")):
            if values is None and frame.of(group) is not None:
                source.note_lost(name, f"of step {frame.step}")
        yield from collector.add(
            positions_A=frame.columns.positions(frame.values, frame.box) * units.length_A,
            cell_A=frame.box.cell * units.length_A,
            step=frame.step,
            time_fs=in_unit(frame.time, units.time_fs),
            velocities_A_fs=in_unit(velocities, units.velocity_A_fs),
            forces_eV_A=in_unit(forces, units.force_eV_A),
        )
    if collector is not None:
        yield from collector.rest()


def _frames(source: TextSource) -> Iterator[_Frame]:
    """Give the frames that are whole, and warn if the last is not."""
    header = _Header()
    names: list[str] = []
    columns: DumpColumns | None = None
    while (line := source.read_line()) is not None:
        item = line.split()
        if not item:
            continue
        if item[0] != "ITEM:" or len(item) < 2:
            if source.at_end:
                break
            raise source.unexpected(line, "'ITEM: ...' of a LAMMPS dump")
        if item[1] != "ATOMS":
            if not _read_item(source, item[1:], header):
                break
            continue
        if source.at_end:
            break
        if columns is None or item[2:] != names:
            names, columns = item[2:], dump_columns(source, item[2:])
        frame = _read_atoms(source, columns, header)
        if frame is None:
            break
        yield frame
        header = _Header(header.units)
    else:
        if header == _Header(header.units):
            return
    source.warn_dropped("it has not all of its atoms")


def _read_item(source: TextSource, item: list[str], header: _Header) -> bool:
    """Read what stands below an ``ITEM``; return whether it is whole."""
    if item[:2] == ["BOX", "BOUNDS"]:
        header.box = read_box(source, item[2:])
        return header.box is not None
    line = source.read_line()
    if line is None or source.at_end:
        return False
    if item == ["UNITS"]:
        header.units = unit_style(source, line.strip())
        return True
    with suppress(ValueError):
        if item == ["TIME"] and np.isfinite(time := float(line)):
            header.time = time
            return True
        if item == ["TIMESTEP"] and abs(step := int(line)) < LARGEST_STEP:
            header.step = step
            return True
    if item == ["NUMBER", "OF", "ATOMS"] and re.fullmatch(r"\s*-?\d{1,18}\s*", line, re.ASCII):
        header.n_atoms = source.check_atoms(int(line))
        return True
    raise source.unexpected(line, f"the value of 'ITEM: {' '.join(item)}' of a LAMMPS dump")


def _read_atoms(source: TextSource, columns: DumpColumns, header: _Header) -> _Frame | None:
    """Return the atoms, or None where the text ends before the last of them."""
    if header.n_atoms is None or header.box is None or header.step is None:
        raise source.error(
            "atoms", "TIMESTEP, NUMBER OF ATOMS and BOX BOUNDS before the atoms of each frame"
        )
    table: LabelledTable | None = read_labelled_table(
        source,
        header.n_atoms,
        len(columns.names),
        columns.label,
        columns.numbers,
        columns.may_lack,
    )
    if table is None:
        return None
    order = np.argsort(table.numbers[:, 0], kind="stable")
    labels = [table.labels[i] for i in order]
    return _Frame(
        header.units, header.time, header.step, header.box, columns, labels, table.numbers[order]
    )


def _collector(source: TextSource, frame: _Frame) -> FrameCollector:
    if (np.diff(frame.ids) == 0).any():
        raise source.error("two atoms of one id", "another id for each")
    masses = frame.of("mass")
    if masses is not None and not (masses > 0).all():
        masses = None
    labels, masses_u = _elements(source, frame, masses)
    return FrameCollector(
        atomic_numbers_of(source, labels, ELEMENT_REMEDY),
        wrapped=any(frame.box.pbc) and not frame.columns.unwrapped,
        masses_u=masses_of(source, labels, masses_u),
        pbc=frame.box.pbc,
    )


def _elements(
    source: TextSource, frame: _Frame, masses: FloatArray | None
) -> tuple[list[str], FloatArray | None]:
    """Return the symbol of each atom, and its mass where something says it."""
    masses_u = None if masses is None else masses[:, 0]
    types = [int(label) for label in frame.labels if re.fullmatch(r"\d{1,9}", label)]
    if frame.columns.has_elements:
        numbers = frame.whole("type")
        if numbers is None or not _unsaid(frame, numbers, source.elements is not None):
            _check_given(source, frame, numbers)
            return frame.labels, masses_u
        types = [int(number) for number in numbers[:, 0]]
    if len(types) < len(frame.labels):
        return frame.labels, masses_u  # types by name
    by_type = {} if masses_u is None else dict(zip(types, masses_u.tolist(), strict=True))
    found = elements_of_types(source, sorted(set(types)), len(types), by_type)
    if masses_u is None and set(types) <= set(found.masses_u):
        masses_u = np.array([found.masses_u[type_] for type_ in types])
    return [found.symbols[type_] for type_ in types], masses_u


def _unsaid(frame: _Frame, types: FloatArray, given: bool) -> bool:
    """Whether all elements are carbon, as LAMMPS writes where nobody said them."""
    return set(frame.labels) == {"C"} and (given or len(np.unique(types)) > 1)


def _check_given(source: TextSource, frame: _Frame, types: FloatArray | None) -> None:
    """See that elements given for the types are those that the dump has."""
    if source.elements is None or types is None:
        return
    for type_, label in dict(
        zip(types[:, 0].astype(int).tolist(), frame.labels, strict=True)
    ).items():
        given = source.elements[type_ - 1 : type_] if type_ > 0 else ()
        if not given or atomic_number(given[0]) != atomic_number(label):
            raise source.error(
                f"type {type_} is {label}, and {given[0] if given else 'nothing'} was given for it",
                "the elements of the types in their order; leave --elements (elements=) out",
            )


def _warn_about_units(source: TextSource, frame: _Frame) -> None:
    unknown = {
        "velocities": frame.of("v"),
        "forces": frame.of("f"),
        "times": frame.time,
    }
    found = [name for name, value in unknown.items() if value is not None]
    if frame.units is UNKNOWN and found:
        source.note(
            "units_assumed",
            "it does not say its units: lengths are taken as angstrom, "
            f"{', '.join(found)} are left out; dump with 'dump_modify ID units yes'",
        )
