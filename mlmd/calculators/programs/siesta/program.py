"""SIESTA as a program: its command and folder, and one run of it per force call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.calculators.programs.process import output_ends, run_program
from mlmd.calculators.programs.siesta.fdf import LABEL, species_of, write_fdf
from mlmd.calculators.programs.siesta.output import NOT_CONVERGED, SiestaForces, read_files
from mlmd.calculators.programs.siesta.pseudopotentials import place
from mlmd.calculators.programs.siesta.settings import SiestaSettings
from mlmd.errors import CalculatorError

if TYPE_CHECKING:
    from ase import Atoms

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
