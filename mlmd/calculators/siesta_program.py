"""SIESTA as a program: run once per force call, or kept running behind a socket."""

from __future__ import annotations

import contextlib
import os
import subprocess
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.units import Bohr

from mlmd.calculators.ipi_server import IpiServer
from mlmd.calculators.program import (
    GRACE_S,
    end_program,
    exit_reason,
    output_ends,
    run_program,
    start_program,
)
from mlmd.calculators.siesta_fdf import LABEL, grid_of, species_of, write_fdf
from mlmd.calculators.siesta_output import (
    NOT_CONVERGED,
    GrowingOutput,
    SiestaForces,
    read_files,
)
from mlmd.calculators.siesta_pseudopotentials import place
from mlmd.calculators.siesta_settings import SiestaSettings
from mlmd.errors import CalculatorError

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

# One force call and no moves, whatever was left in the folder.
ONE_CALL: Mapping[str, Any] = {"MD.TypeOfRun": "CG", "MD.Steps": 0, "MD.UseSaveXV": False}
# Results of the run before, and the copies of the input that every run adds.
STALE = (
    *("FORCE_STRESS", "MESSAGES", f"{LABEL}.out", f"{LABEL}.FA", f"{LABEL}.XV", f"{LABEL}.EIG"),
    *("fdf-*.log", "fdf.*.log", "INPUT_TMP.*"),
)


@dataclass(frozen=True)
class SiestaProgram:
    """Where and how SIESTA runs.

    Attributes
    ----------
    command
        Program and arguments, without the input.
    folder
        Where it runs and leaves its files.
    pseudopotentials
        Folder that they are copied from.
    threads, timeout_s
        As of :class:`mlmd.CalculatorSpec`.
    """

    command: tuple[str, ...]
    folder: Path
    pseudopotentials: Path
    threads: int
    timeout_s: float | None

    def write(self, settings: SiestaSettings, atoms: Atoms, dialogue: Mapping[str, Any]) -> Path:
        """Lay out input and pseudopotentials, and remove the results of an earlier run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = place(species_of(atoms), self.pseudopotentials, settings.version, self.folder)
        for pattern in STALE:
            for file in self.folder.glob(pattern):
                file.unlink()
        return write_fdf(self.folder, settings, atoms, files, dialogue)

    def arguments(self, settings: SiestaSettings, fdf: Path) -> tuple[list[str], Path | None]:
        """Return the command line, and the file for standard input where it takes that."""
        if settings.version == 4:
            return [*self.command], fdf
        return [*self.command, fdf.name], None

    def failure(self, settings: SiestaSettings, reason: str) -> CalculatorError:
        """Return the error of a call, and forget a density matrix that may be damaged."""
        (self.folder / f"{LABEL}.DM").unlink(missing_ok=True)
        output = self.folder / f"{LABEL}.out"
        stops = settings.scf_unconverged == "stop" and output.is_file()
        if stops and NOT_CONVERGED in output.read_text(errors="replace"):
            return CalculatorError(
                f"SIESTA's SCF did not converge in {settings.max_scf_steps} steps; raise "
                "max_scf_steps, mix less (fdf: SCF.Mixer.Weight), shorten the time step, or "
                f"accept it with scf_unconverged 'continue' (output in {output})"
            )
        return CalculatorError(reason)


class FilesEngine:
    """One run of SIESTA per force call; the density matrix is taken over from the last."""

    def __init__(self, program: SiestaProgram, settings: SiestaSettings) -> None:
        self._program = program
        self._settings = settings

    def compute(self, atoms: Atoms) -> SiestaForces:
        """Run SIESTA for a structure."""
        program, settings = self._program, self._settings
        fdf = program.write(settings, atoms, ONE_CALL)
        command, stdin_file = program.arguments(settings, fdf)
        try:
            run_program(
                command,
                program.folder,
                name=LABEL,
                timeout_s=program.timeout_s,
                threads=program.threads,
                stdin_file=stdin_file,
            )
        except CalculatorError as error:
            raise program.failure(settings, str(error)) from error
        try:
            forces = read_files(program.folder, atoms.numbers)
        except CalculatorError as error:
            ends = output_ends(program.folder, LABEL)
            raise program.failure(settings, f"siesta failed: {error}; {ends}") from error
        if forces.n_unconverged and settings.scf_unconverged == "stop":
            raise program.failure(settings, "SIESTA's SCF did not converge")
        return forces

    def close(self) -> None:
        """Nothing runs between two calls."""


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
        # Also when the calculator is collected, or the interpreter ends.
        self._end = weakref.finalize(self, _end, server, process, os.getpid(), GRACE_S)

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
            _end(self._server, self._process, os.getpid(), wait_s)

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
