"""Reads what SIESTA leaves: ``FORCE_STRESS`` in atomic units, and its output's energies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.units import Bohr, Ry

from mlmd.calculators.programs.base import Step
from mlmd.calculators.programs.process import written_since
from mlmd.calculators.programs.siesta.fdf import LABEL
from mlmd.errors import CalculatorError
from mlmd.numerics.voigt import symmetric_voigt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.arrays import IntArray

NOT_CONVERGED = "SCF_NOT_CONV"
MESSAGES = "MESSAGES"
"""File that SIESTA closes after each warning, while its output waits in a buffer."""
OTHER_FUNCTIONAL = re.compile(r"^ *xc_check: *WARNING: *(\S.*?) *$", re.MULTILINE)
HEAD_BYTES = 2**17
ENERGIES = re.compile(r"^siesta: Etot    =\s*(\S+)\s*\nsiesta: FreeEng =\s*(\S+)", re.MULTILINE)
# Printed at every structure, one vector per line.
RECEIVED_CELL = re.compile(rb"coordsFromSocket cell \(bohr *\) =\s*((?:[-+.\d]+\s+){9})")


def read_files(folder: Path, numbers: IntArray) -> Step:
    """Read the results of a finished run.

    Parameters
    ----------
    folder
        Where it ran.
    numbers
        Atomic numbers, which the forces have to be of, in this order.

    Raises
    ------
    CalculatorError
        If a file is missing, cut short, of other atoms, or holds what is not finite.
    """
    text = (folder / f"{LABEL}.out").read_text(errors="replace")
    energies = ENERGIES.findall(text)
    if "siesta: Final energy" not in text or not energies:
        raise CalculatorError("its output ends before the final energy")
    path = folder / "FORCE_STRESS"
    try:
        rows = [line.split() for line in path.read_text().splitlines()]
        free_Ry = float(rows[0][0])
        stress = np.array(rows[1:4], dtype=float)
        n_atoms = int(rows[4][0])
        found = [int(row[1]) for row in rows[5 : 5 + n_atoms]]
        forces = np.array([row[2:5] for row in rows[5 : 5 + n_atoms]], dtype=float)
        entropy_eV = float(energies[-1][0]) - float(energies[-1][1])
    except FileNotFoundError as error:
        raise CalculatorError("it wrote no FORCE_STRESS") from error
    except (ValueError, IndexError) as error:
        raise CalculatorError(f"its FORCE_STRESS cannot be read ({error})") from error
    if found != numbers.tolist():
        raise CalculatorError(
            f"its FORCE_STRESS has forces of {len(found)} atoms, not those of the {len(numbers)} "
            "that were given"
        )
    if forces.shape != (n_atoms, 3) or stress.shape != (3, 3):
        raise CalculatorError("its FORCE_STRESS was cut short")
    return Step(
        energy_eV=free_Ry * Ry + entropy_eV,
        free_energy_eV=free_Ry * Ry,
        forces_eV_A=forces * (Ry / Bohr),
        stress_eV_A3=symmetric_voigt(stress * (Ry / Bohr**3)),
        n_unconverged=int(NOT_CONVERGED in text),
    )


def warning_of_functional(path: Path) -> str | None:
    """Return SIESTA's own warning that a pseudopotential is of another functional, if any."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES).decode("utf-8", errors="replace")
    return " ".join(OTHER_FUNCTIONAL.findall(head)) or None


class GrowingOutput:
    """Watches an output that is still written.

    Attributes
    ----------
    first_cell_bohr
        The cell (3, 3) of the first structure that came over the socket, as SIESTA understood
        it; None until that is printed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0
        self._rest = b""
        self._head = b""
        self._n_printed = self._n_told = 0
        self.first_cell_bohr: NDArray[np.float64] | None = None

    def unconverged(self) -> int:
        """Return how many SCF cycles were reported as unconverged since the call before."""
        new = written_since(self._path, self._read_bytes)
        self._read_bytes += len(new)
        if self.first_cell_bohr is None:
            self._head += new
            found = RECEIVED_CELL.search(self._head)
            if found is not None:
                self.first_cell_bohr = np.array(found[1].split(), dtype=float).reshape(3, 3)
                self._head = b""
        lines = (self._rest + new).split(b"\n")
        # A line that is still being written is looked at when it is whole.
        self._rest = lines.pop()
        self._n_printed += _n_unconverged(lines)
        noted = written_since(self._path.parent / MESSAGES, 0).split(b"\n")
        told, self._n_told = self._n_told, max(self._n_printed, _n_unconverged(noted))
        return self._n_told - told


def _n_unconverged(lines: list[bytes]) -> int:
    return sum(NOT_CONVERGED.encode() in line for line in lines)
