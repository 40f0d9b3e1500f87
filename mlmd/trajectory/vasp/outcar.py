"""VASP's ``OUTCAR``: positions, forces, stress and energy of every ionic step.

https://www.vasp.at/wiki/index.php/OUTCAR
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units

from mlmd.trajectory.frame_block import FrameBlock, FrameCollector
from mlmd.trajectory.vasp.outcar_header import OutcarHeader

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.text.source import TextSource


KBAR = 0.1 * units.GPa
# Six numbers in fixed columns, where a minus sign may follow the number before it.
SIX_NUMBERS = re.compile(r"\s*(-?\d{1,15}\.\d*)(?=[\s-]|$)" * 6 + r"\s*")
STEP = re.compile(r"\s*-+ (?:Iteration|Ionic step)\s+(\d{1,18})")
ENERGY = re.compile(r"energy\(sigma->0\) *= *(-?\d{1,15}\.\d{1,15}|\*+)\s*$")
# OUTCAR's order is xx yy zz xy yz zx; ours xx yy zz yz xz xy.
VOIGT = [0, 1, 2, 4, 5, 3]


def read_outcar(source: TextSource) -> Iterator[FrameBlock]:
    """Give the ionic steps of an ``OUTCAR``.

    The energy is that extrapolated to zero smearing, ``energy(sigma->0)``, as in ASE. VASP's
    stress, ``in kB``, counts compression positive; here it is ASE's sign. Times are those of
    the steps' numbers and POTIM where the run is one of molecular dynamics.

    Raises
    ------
    InputError
        Where the text is not that of an ``OUTCAR``; a last step cut short is left out with a
        warning.
    """
    header, current = OutcarHeader(), _Current()
    collector: FrameCollector | None = None
    frame: dict[str, Any] = {}
    for line in source:
        if "TOTAL-FORCE" in line and "POSITION" in line:
            if collector is None:
                numbers = header.numbers(source)
                collector = FrameCollector(numbers, wrapped=True, masses_u=header.masses_u())
            if frame:
                yield from collector.add(**frame)
                frame = {}
            source.read_line()
            table = source.read_table(len(collector.numbers), 6)
            if table is None:
                source.warn_dropped("its table of positions and forces is cut short")
                break
            frame = current.frame(source, table)
            frame["time_fs"] = header.time_fs(current.step or collector.n_frames + 1)
        elif frame and "energy  without entropy=" in line:
            if source.is_cut:
                break
            assert collector is not None
            yield from collector.add(**frame, energies_eV=_energy(source, line))
            frame = {}
        elif not current.take(source, line) and collector is None:
            header.take(source, line)
    if frame:
        source.warn_dropped("its energy is missing")
    if collector is not None:
        yield from collector.rest()


class _Current:
    """What was said last before a table of positions: cell, stress, and the step's number."""

    def __init__(self) -> None:
        self.step = 0
        self._cell: FloatArray | None = None
        self._stress: FloatArray | None = None

    def take(self, source: TextSource, line: str) -> bool:
        """Look at one line; return whether it was of use."""
        if "direct lattice vectors" in line:
            self._cell = _cell(source)
        elif line.startswith("  in kB"):
            self._stress = _stress(line)
        elif found := STEP.match(line):
            self.step = int(found.group(1))
        else:
            return False
        return True

    def frame(self, source: TextSource, table: FloatArray) -> dict[str, Any]:
        """Return the arrays of a frame; what is said of the next one is said anew."""
        if self._cell is None:
            raise source.error("positions", "the cell's direct lattice vectors before them")
        stress, self._stress = self._stress, None
        return {
            "positions_A": table[:, :3],
            "forces_eV_A": table[:, 3:],
            "cell_A": self._cell,
            "stresses_eV_A3": stress,
            "step": self.step or None,
        }


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


def _energy(source: TextSource, line: str) -> float | None:
    found = ENERGY.search(line)
    if found is None:
        raise source.unexpected(line, "the energy(sigma->0)")
    return None if found.group(1).startswith("*") else float(found.group(1))
