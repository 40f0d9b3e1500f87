"""SIESTA kept running behind its i-PI socket: one process for many structures."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.units import Bohr

from mlmd.calculators.isolation.ipi_server import IpiServer
from mlmd.calculators.programs.base import Step
from mlmd.calculators.programs.process import GRACE_S, Program, end_program, exit_reason
from mlmd.calculators.programs.siesta.output import GrowingOutput
from mlmd.errors import CalculatorError
from mlmd.numerics.voigt import symmetric_voigt

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms


def dialogue_with(server: IpiServer) -> dict[str, Any]:
    """Return the keys that tell SIESTA to get its structures from a server."""
    return {
        "MD.TypeOfRun": "Master",
        "MD.UseSaveXV": False,
        "Master.code": "i-pi",
        "Master.interface": "socket",
        "Master.socketType": "unix" if server.port is None else "inet",
        "Master.address": server.name,
        "Master.port": server.port or 0,
    }


class Session:
    """A running SIESTA and the socket to it.

    Parameters
    ----------
    program
        Where and how it runs; ``timeout_s`` holds for its first connection and for each call.
    server
        Its own, which ends with it.
    atoms, grid
        Elements and moments that it is started for, and its k-points.
    arguments, stdin
        See :meth:`mlmd.calculators.programs.process.Program.start`.
    """

    def __init__(
        self,
        program: Program,
        server: IpiServer,
        atoms: Atoms,
        grid: tuple[int, int, int],
        arguments: Sequence[str],
        stdin: Path | None,
    ) -> None:
        self.process = program.start(arguments, stdin=stdin)
        self._server, self._timeout_s = server, program.timeout_s
        self._output = GrowingOutput(program.out)
        self._fixed = _fixed(atoms, grid)
        self._first_cell_A = atoms.cell.array.copy()
        self._connected = self._cell_is_checked = False

    def can_go_on(self, atoms: Atoms, grid: tuple[int, int, int]) -> bool:
        """Tell whether only positions and cell differ."""
        return self._fixed == _fixed(atoms, grid)

    def compute(self, atoms: Atoms) -> Step:
        """Send a structure, return what SIESTA makes of it."""
        if not self._connected:
            self._server.accept(self._timeout_s, self._alive)
            self._connected = True
        answer = self._server.force_call(
            atoms.positions, atoms.cell.array, timeout_s=self._timeout_s, alive=self._alive
        )
        n_unconverged = self._output.unconverged()
        self._check_cell()
        return Step(
            energy_eV=answer.energy_eV,
            free_energy_eV=None,
            forces_eV_A=answer.forces_eV_A,
            stress_eV_A3=symmetric_voigt(-answer.virial_eV / atoms.get_volume()),
            n_unconverged=n_unconverged,
        )

    def exit_reason(self) -> str:
        """Return how the process ended, as the end of a sentence; nothing where it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            # A closed connection is seen a moment before the end of the process.
            self.process.wait(0.2)
        code = self.process.returncode
        return "" if code is None else f"; it {exit_reason(code)}"

    def finish(self) -> None:
        """Tell SIESTA to end, and see that it does."""
        self._server.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE_S)
        end_program(self.process)

    def kill(self) -> None:
        """End SIESTA and all of its group now."""
        self._server.close()
        end_program(self.process)

    def _check_cell(self) -> None:
        """See that SIESTA took the rows of the first cell for its vectors.

        Early versions with a socket (4.1 before its release) take the columns, which changes a
        triclinic cell without a word.
        """
        found = self._output.first_cell_bohr
        if not self._cell_is_checked and found is not None:
            if not np.allclose(found, self._first_cell_A / Bohr, atol=1e-5):
                raise CalculatorError(
                    "this version of SIESTA takes another cell from the socket than it was sent "
                    "(transposed); use mode 'files' or a newer version"
                )
            self._cell_is_checked = True

    def _alive(self) -> bool:
        return self.process.poll() is None


def _fixed(atoms: Atoms, grid: tuple[int, int, int]) -> tuple[Any, ...]:
    """Return what has to stay in a session."""
    return atoms.numbers.tobytes(), atoms.get_initial_magnetic_moments().tobytes(), grid
