"""Text dumps of LAMMPS: styles atom and custom, any box, atoms in any order.

Format: https://docs.lammps.org/dump.html and the boxes of
https://docs.lammps.org/Howto_triclinic.html
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.trajectory.frame_collector import FrameCollector
from mlmd.trajectory.lammps_box import Box, read_box
from mlmd.trajectory.lammps_columns import Columns, columns_of
from mlmd.trajectory.lammps_units import UNKNOWN, UnitStyle, unit_style
from mlmd.trajectory.labelled_table import read_labelled_table
from mlmd.trajectory.species_labels import atomic_numbers_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.trajectory.frame_block import FrameBlock
    from mlmd.trajectory.text_source import TextSource

    FloatArray = NDArray[np.floating[Any]]

logger = logging.getLogger(__name__)

ELEMENT_REMEDY = (
    "the symbol of an element; dump with 'element' and 'dump_modify ID element Li P S ...'"
)


@dataclass
class _Header:
    """What stands before the atoms of a frame."""

    time: float | None = None
    step: int | None = None
    n_atoms: int | None = None
    box: Box | None = None


def read_lammps_dump(source: TextSource) -> Iterator[FrameBlock]:
    """Read a LAMMPS dump; atoms are sorted by id.

    Positions are taken from ``xu yu zu``, ``xsu ysu zsu``, ``x y z`` or ``xs ys zs``, the first
    of them that there is; with ``ix iy iz`` the last two are unwrapped exactly. Without
    ``ITEM: UNITS`` they are taken as angstrom (metal, real), and velocities, forces and times,
    whose units differ between these two, are left out.

    Raises
    ------
    InputError
        If the file is no such dump, or says neither elements nor ids, or its atoms change.
    """
    units = UNKNOWN
    header = _Header()
    collector: FrameCollector | None = None
    first_ids = None
    while (line := source.read_line()) is not None:
        if not line.startswith("ITEM:"):
            if line.strip():
                raise source.unexpected(line, "'ITEM: ...' of a LAMMPS dump")
            continue
        item = line.removeprefix("ITEM:").strip()
        if not item.startswith("ATOMS"):
            style = _read_item(source, item, header)
            if style is None and source.peek_line() is None:
                break
            units = style or units
            continue
        columns = columns_of(source, item.split()[1:])
        if header.n_atoms is None or header.box is None or header.step is None:
            raise source.unexpected(
                line, "TIMESTEP, NUMBER OF ATOMS and BOX BOUNDS before the atoms of each frame"
            )
        table = read_labelled_table(
            source, header.n_atoms, columns.n_columns, columns.element, columns.numbers
        )
        if table is None:
            break
        order = np.argsort(table.numbers[:, 0], kind="stable")
        values = table.numbers[order]
        if collector is None:
            labels = [table.labels[i] for i in order]
            _check_default_element(source, labels, columns.of(values, "type"))
            first_ids = values[:, 0]
            if (np.diff(first_ids) == 0).any():
                raise source.error("two atoms of one id", "as many ids as atoms")
            masses = columns.of(values, "mass")
            collector = FrameCollector(
                atomic_numbers_of(source, labels, ELEMENT_REMEDY),
                wrapped=not (columns.unwrapped or header.box.open),
                masses_u=None if masses is None else masses[:, 0],
            )
            first_labels = labels
            _warn_about_units(source, units, columns, header)
        if not np.array_equal(values[:, 0], first_ids) or first_labels != [
            table.labels[i] for i in order
        ]:
            raise source.error(
                "atoms that differ from those of the first frame",
                "the same ids and elements in each; dump a group whose atoms do not change",
            )
        yield from collector.add(
            positions_A=columns.positions(values, header.box) * units.length_A,
            cell_A=header.box.cell * units.length_A,
            step=header.step,
            time_fs=units.times(header.time),
            velocities_A_fs=units.velocities(columns.of(values, "v")),
            forces_eV_A=units.forces(columns.of(values, "f")),
        )
        header = _Header()
    if collector is None:
        raise source.error("no whole frame", "a LAMMPS dump of at least one frame")
    yield from collector.rest()
