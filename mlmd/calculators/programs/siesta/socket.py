"""SIESTA kept running behind its i-PI socket: one process for many structures."""

from __future__ import annotations

import contextlib
import os
import subprocess
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.units import Bohr

from mlmd.calculators.isolation.ipi_server import IpiServer
from mlmd.calculators.programs.process import (
    GRACE_S,
    end_program,
    exit_reason,
    output_ends,
    start_program,
)
from mlmd.calculators.programs.siesta.fdf import LABEL, grid_of
from mlmd.calculators.programs.siesta.output import GrowingOutput, SiestaForces
from mlmd.errors import CalculatorError

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from mlmd.calculators.programs.siesta.program import SiestaProgram
    from mlmd.calculators.programs.siesta.settings import SiestaSettings


class SocketEngine:
    """One SIESTA that is sent structures; another where atoms, moments or k-points differ."""

    def __init__(self, program: SiestaProgram, settings: SiestaSettings) -> None:
        self._program = program
        self._settings = settings
        self._session: _Session | None = None
        self._key: tuple[Any, ...] = ()

    def compute(self, atoms: Atoms) -> SiestaForces:
        """Send a structure to SIESTA, which is started where none runs for these atoms."""
        program, settings = self._program, self._settings
        moments = atoms.get_initial_magnetic_moments()
        key = (atoms.numbers.tobytes(), moments.tobytes(), grid_of(settings, atoms))
        if self._session is None or key != self._key:
            self.close()
            self._session = _Session(program, settings, atoms)
            self._key = key
        session = self._session
        try:
            forces = session.compute(atoms)
            if forces.n_unconverged and settings.scf_unconverged == "stop":
                raise CalculatorError("SIESTA's SCF did not converge")
        except CalculatorError as error:
            reason = session.explain(str(error))
            self.close(wait_s=0.0)
            raise program.failure(settings, reason) from error
        except BaseException:
            # Interrupted between two messages: the dialogue is out of step.
            self.close(wait_s=0.0)
            raise
        return forces

    def close(self, wait_s: float = GRACE_S) -> None:
        """End SIESTA, which gets some time to do so by itself."""
        if self._session is not None:
            self._session.close(wait_s)
            self._session = None


class _Session:
    """A running SIESTA and the socket to it."""

    def __init__(self, program: SiestaProgram, settings: SiestaSettings, atoms: Atoms) -> None:
        self._program = program
        inet = settings.socket == "inet"
        server = IpiServer(tcp=inet)
        try:
            dialogue = {
                "MD.TypeOfRun": "Master",
                "MD.UseSaveXV": False,
                "Master.code": "i-pi",
                "Master.interface": "socket",
                "Master.socketType": settings.socket,
                "Master.address": server.name,
                "Master.port": server.port or 0,
            }
            fdf = program.write(settings, atoms, dialogue)
            command, stdin_file = program.arguments(settings, fdf)
            with contextlib.ExitStack() as files:
                stdin: Any = subprocess.DEVNULL
                if stdin_file is not None:
                    stdin = files.enter_context(stdin_file.open("rb"))
                process = start_program(
                    command, program.folder, name=LABEL, threads=program.threads, stdin=stdin
                )
        except BaseException:
            server.close()
            raise
        self._server = server
        self._process = process
        self._connected = False
        self._first_cell_A: NDArray[np.float64] | None = atoms.cell.array.copy()
        self._output = GrowingOutput(program.folder / f"{LABEL}.out")
        self._owner = os.getpid()
        # Also when the calculator is collected, or the interpreter ends.
        self._end = weakref.finalize(self, _end, server, process, self._owner, GRACE_S)

    def compute(self, atoms: Atoms) -> SiestaForces:
        timeout_s = self._program.timeout_s
        if not self._connected:
            self._server.accept(timeout_s, self._alive)
            self._connected = True
        answer = self._server.force_call(
            atoms.positions, atoms.cell.array, timeout_s=timeout_s, alive=self._alive
        )
        n_unconverged = self._output.unconverged()
        self._check_cell()
        return SiestaForces(
            energy_eV=answer.energy_eV,
            free_energy_eV=None,
            forces_eV_A=answer.forces_eV_A,
            stress_eV_A3=-answer.virial_eV / atoms.get_volume(),
            n_unconverged=n_unconverged,
        )

    def explain(self, reason: str) -> str:
        """Add how the process ended, and its last lines."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            # A closed connection is seen a moment before the end of the process.
            self._process.wait(0.2)
        code = self._process.returncode
        ended = "" if code is None else f"; it {exit_reason(code)}"
        return f"siesta failed: {reason}{ended}; {output_ends(self._program.folder, LABEL)}"

    def close(self, wait_s: float) -> None:
        if self._end.detach():
            _end(self._server, self._process, self._owner, wait_s)

    def _check_cell(self) -> None:
        """See that SIESTA took the rows of the first cell for its vectors.

        Early versions with a socket (4.1 before its release) take the columns, which changes a
        triclinic cell without a word.
        """
        found = self._output.first_cell_bohr
        if self._first_cell_A is None or found is None:
            return
        if not np.allclose(found, self._first_cell_A / Bohr, atol=1e-5):
            raise CalculatorError(
                "this version of SIESTA takes another cell from the socket than it was sent "
                "(transposed); use mode 'files' or a newer version"
            )
        self._first_cell_A = None

    def _alive(self) -> bool:
        return self._process.poll() is None


def _end(server: IpiServer, process: subprocess.Popen[bytes], owner: int, wait_s: float) -> None:
    if os.getpid() != owner:
        return  # a forked child holds a copy; the process is its parent's
    server.close()
    # SIESTA ends by itself when it is told EXIT.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(wait_s)
    end_program(process)
