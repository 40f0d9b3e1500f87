"""SIESTA for molecular dynamics: density functional theory with numerical atomic orbitals.

Works with SIESTA 4.1 and 5 (Soler et al., J. Phys.: Condens. Matter 14, 2745 (2002),
doi:10.1088/0953-8984/14/11/302). By default one process serves a whole stage over SIESTA's i-PI
socket and keeps its density matrix from step to step; ``mode="files"`` runs it once per step.
Over the socket SIESTA prints every structure and its forces: its output grows by some 15 kB per
step and 100 atoms.

Options of the spec: ``command`` (else ``MLMD_SIESTA_COMMAND``, else ``siesta`` on PATH),
``preset`` ("maevskiy2025": the settings of that paper, see
:mod:`mlmd.calculators.programs.siesta.settings`), ``quality``, ``other_functional``, and those of
:class:`~mlmd.calculators.programs.siesta.settings.SiestaSettings`.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.calculators.isolation.ipi_server import IpiServer
from mlmd.calculators.programs.base import ProgramCalculator, Step
from mlmd.calculators.programs.functionals import OPTION, functional
from mlmd.calculators.programs.process import Program, ProgramError
from mlmd.calculators.programs.pseudopotentials import needed
from mlmd.calculators.programs.siesta import version
from mlmd.calculators.programs.siesta.fdf import LABEL, species_of, write_fdf
from mlmd.calculators.programs.siesta.headers import read_header
from mlmd.calculators.programs.siesta.output import (
    MESSAGES,
    NOT_CONVERGED,
    read_files,
    warning_of_functional,
)
from mlmd.calculators.programs.siesta.settings import SUFFIXES, VARIABLES, SiestaSettings
from mlmd.calculators.programs.siesta.socket import Session, dialogue_with
from mlmd.errors import CalculatorError, InputError

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.calculators.plain_spec import PlainSpec

# One force call and no moves, whatever was left in the folder.
ONE_CALL: Mapping[str, Any] = {"MD.TypeOfRun": "CG", "MD.Steps": 0, "MD.UseSaveXV": False}
# Results of the run before, and the copies of the input that every run adds.
STALE = (
    *("FORCE_STRESS", MESSAGES, f"{LABEL}.out", f"{LABEL}.FA", f"{LABEL}.XV", f"{LABEL}.EIG"),
    *("fdf-*.log", "fdf.*.log", "INPUT_TMP.*"),
)


class Siesta(ProgramCalculator):
    """SIESTA: a density matrix that is there, of the same atoms and settings, is reused.

    ``energy`` is the Kohn-Sham energy. ``free_energy``, whose derivatives the forces are, is
    given in mode "files" only: the socket does not carry it. The two are the same but for
    metals, or a gap closed by the electronic temperature.
    """

    title, file_name = "SIESTA", LABEL
    settings_type = SiestaSettings
    settings: SiestaSettings
    _running: Session | None = None

    def __init__(self, spec: PlainSpec, directory: Path) -> None:
        super().__init__(spec, directory)
        if self.settings.mode == "socket":
            self.implemented_properties = ["energy", "forces", "stress"]
        self._electrons = self.program.folder / f"{LABEL}.DM"
        # What else is wrong is said without starting it.
        needed(self.settings.library(self.settings.version or 5), "siesta", VARIABLES[0])
        self.program_version = version.ask(self.program)
        self._version = version.settle(
            self.settings.version, self.program_version, self.program.command
        )
        self.parameters["version"] = self._version
        library = self.settings.library(self._version)
        self._pseudopotentials = needed(library, "siesta", VARIABLES[0])
        folder = self._pseudopotentials.folder
        if folder == self.program.folder.resolve():
            raise InputError(
                f"folder of pseudopotentials '{folder}' is the one that SIESTA runs in, where "
                "mlmd writes and deletes; keep them elsewhere"
            )
        if folder is not None and not self._pseudopotentials.checksums():
            raise InputError(
                f"folder '{folder}' has no pseudopotentials of SIESTA {self._version}; "
                f"expected files like Li{SUFFIXES[self._version][0]}"
            )

    def _compute(self, atoms: Atoms) -> Step:
        in_files = self.settings.mode == "files"
        try:
            step = self._run(atoms) if in_files else self._go_on(atoms)
        except CalculatorError as error:
            how = "" if self._running is None else self._running.exit_reason()
            self._kill()
            self._forget()
            said = self._output.read_text(errors="replace") if self._output.is_file() else ""
            if self.settings.scf_unconverged == "stop" and NOT_CONVERGED in said:
                raise self._unconverged() from error
            if isinstance(error, ProgramError):
                raise  # it says how SIESTA ended, and its last words
            words = self.program.last_words(ended=bool(how))
            raise CalculatorError(f"siesta failed: {error}{how}; {words}") from error
        self._heed_warning()
        return step

    def _heed_warning(self) -> None:
        """Refuse a pseudopotential that SIESTA says is of another functional.

        Of the files that :func:`read_header` understands nothing else is left to be said.
        """
        warning = warning_of_functional(self._output)
        wanted = functional(self.settings.authors)
        if warning is not None and wanted != "VDW" and not self._goes_on_with_another:
            raise InputError(
                f"SIESTA warns of a pseudopotential, '{warning}', and the calculation is "
                f"{self.settings.authors}: give one made with that, set xc, or take it "
                f"nevertheless with {OPTION} 'continue'"
            )

    def _missed(self) -> str:
        return (
            f"in {self.settings.max_scf_steps} steps; raise max_scf_steps, mix less (fdf: "
            "SCF.Mixer.Weight), shorten the time step"
        )

    def _run(self, atoms: Atoms) -> Step:
        """Run SIESTA for one structure."""
        arguments, stdin = self._write(atoms, ONE_CALL)
        self.program.run(arguments, stdin=stdin)
        return read_files(self.program.folder, atoms.numbers)

    def _go_on(self, atoms: Atoms) -> Step:
        """Send a structure to SIESTA, which is started where none runs for these atoms."""
        grid = self.settings.grid(atoms.cell.array)
        if self._running is not None and not self._running.can_go_on(atoms, grid):
            self.close()
        if self._running is None:
            server = IpiServer(tcp=self.settings.socket == "inet")
            try:
                arguments, stdin = self._write(atoms, dialogue_with(server))
                self._keep(Session(self.program, server, atoms, grid, arguments, stdin))
            except BaseException:
                server.close()
                raise
        assert self._running is not None  # the lines above
        return self._running.compute(atoms)

    def _check_pseudopotentials(self, atoms: Atoms) -> dict[str, Path]:
        files = {symbol: self._pseudopotentials.file(symbol) for symbol in species_of(atoms)}
        wanted = functional(self.settings.authors)
        for symbol, file in files.items():
            self._check_once(symbol, str(file), partial(read_header, file), wanted)
        return files

    def _write(
        self, atoms: Atoms, dialogue: Mapping[str, Any]
    ) -> tuple[Sequence[str], Path | None]:
        """Lay out the input, and remove the results of an earlier run.

        Returns the arguments and the standard input by which SIESTA finds it.
        """
        folder, files = self.program.folder, {}
        for symbol, source in self._check_pseudopotentials(atoms).items():
            files[symbol] = f"{symbol}{source.suffix}"
            for suffix in SUFFIXES[5]:
                # Another kind from a run before would be found first.
                (folder / f"{symbol}{suffix}").unlink(missing_ok=True)
            shutil.copyfile(source, folder / files[symbol])
        for pattern in STALE:
            for file in folder.glob(pattern):
                file.unlink()
        fdf = write_fdf(folder, self.settings, atoms, files, dialogue)
        return ((), fdf) if self._version == 4 else ((fdf.name,), None)


def model_identity(spec: PlainSpec, elements: Collection[str] | None = None) -> dict[str, Any]:
    """Return the SHA-256 of the pseudopotentials of some elements; None where none are named.

    Without elements, as in runs of before, all of the folder by file name.
    """
    settings = SiestaSettings.of(spec)
    if elements is None:
        library = settings.library(settings.version or 5)
        return {"pseudopotentials": None if library is None else library.checksums()}
    program = Program.of(spec, Path(), LABEL)
    found = version.settle(settings.version, version.ask(program), program.command)
    library = needed(settings.library(found), "siesta", VARIABLES[0])
    return {"settings": settings.physics(), "pseudopotentials": library.checksums(elements)}
