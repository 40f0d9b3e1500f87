"""CP2K: density functional theory with Gaussians and plane waves, kept running between steps.

CP2K's shell mode (``cp2k_shell``) stays alive from step to step, so that each step starts from
the wavefunctions extrapolated from the ones before.

Options of the spec: ``command`` (the shell's; else ``MLMD_CP2K_COMMAND`` or
``ASE_CP2K_COMMAND``, else ``cp2k_shell`` on PATH; with MPI ``"mpirun -n 16 cp2k.psmp -s"``), and
those of :class:`~mlmd.calculators.programs.cp2k.settings.Cp2kSettings`.

The energy is CP2K's total energy, which with smearing is the free energy, so that the forces are
its derivatives in every case.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlmd.calculators.programs.base import ProgramCalculator, Step
from mlmd.calculators.programs.cp2k.entries import Entry, read_entry
from mlmd.calculators.programs.cp2k.input import input_text, name_in_kind
from mlmd.calculators.programs.cp2k.settings import Cp2kSettings, data_file
from mlmd.calculators.programs.cp2k.shell import Cp2kShell, abort_message
from mlmd.calculators.programs.functionals import functional
from mlmd.calculators.programs.last_words import last_lines
from mlmd.calculators.programs.process import (
    ProgramEndedError,
    ProgramTimeoutError,
    written_since,
)
from mlmd.calculators.weights import sha256_of
from mlmd.errors import CalculatorError

if TYPE_CHECKING:
    from collections.abc import Collection

    from ase import Atoms

    from mlmd.calculators.plain_spec import PlainSpec

logger = logging.getLogger(__name__)

_VERDICT = re.compile(
    r"(?P<converged>SCF run converged in|outer SCF loop converged in)"
    r"|SCF run NOT converged|outer SCF loop FAILED to converge"
)


class Cp2k(ProgramCalculator):
    """CP2K: wavefunctions are extrapolated from step to step.

    Those of the same settings and atoms found in the folder are where the first step starts from.
    """

    title, file_name = "CP2K", "cp2k_shell"
    settings_type = Cp2kSettings
    settings: Cp2kSettings
    _running: Cp2kShell | None = None

    def _compute(self, atoms: Atoms) -> Step:
        project = f"cp2k-{self.settings.reuse_key(atoms)}"
        self._output = self.program.folder / f"{project}.out"
        self._electrons = self.program.folder / f"{project}-RESTART.wfn"
        shell = self._running
        if shell is not None:
            shell.begin()
            if shell.environment is not None and not shell.environment.goes_on_with(atoms):
                if shell.environment.jumped(atoms):
                    self._forget()
                shell.release()
        from_file = (shell is None or shell.environment is None) and self._electrons.exists()
        try:
            return self._step(atoms, project, from_file)
        except ProgramEndedError as error:
            if not from_file:
                raise
            # A file that was cut short when its run was killed ends every new CP2K.
            logger.warning("%s; starting without the wavefunctions in %s", error, self._electrons)
            self._kill()
            self._forget()
            return self._step(atoms, project, from_file=False)

    def _missed(self) -> str:
        return (
            f"to {self.settings.eps_scf:g} in {self.settings.max_scf_steps} steps; raise "
            "max_scf_steps, have a solver for small gaps in inp (&OT MINIMIZER CG, or &SMEAR with "
            "ADDED_MOS)"
        )

    def _step(self, atoms: Atoms, project: str, from_file: bool) -> Step:
        read_from = self._output.stat().st_size if self._output.exists() else 0
        if self._running is None or self._running.environment is None:
            self._check_pseudopotentials(atoms)
        try:
            if self._running is None:
                shell = Cp2kShell(self.program)
                self._keep(shell)
                self.program_version = (
                    ".".join(map(str, shell.version)) if shell.version[0] else None
                )
            assert self._running is not None  # the line above
            if self._running.environment is None:
                self._load(self._running, atoms, project, from_file)
            step = self._running.compute(atoms)
        except ProgramTimeoutError as error:
            done = " | ".join(last_lines(self._output))
            raise ProgramTimeoutError(f"{error}; it was at: {done or 'nothing yet'}") from error
        except ProgramEndedError as error:
            said = written_since(self._output, read_from).decode("utf-8", errors="replace")
            if _converged(said) is False:
                raise self._unconverged() from error
            reason = abort_message(said)
            if reason is None:
                raise
            raise ProgramEndedError(
                f"{self.program.name} stopped, saying: {reason} (see {self._output})"
            ) from error
        said = written_since(self._output, read_from).decode("utf-8", errors="replace")
        converged = _converged(said)
        if converged is None and self.settings.scf_unconverged == "stop":
            self._forget()
            raise CalculatorError(
                f"CP2K's output {self._output} does not say whether the SCF converged; take what "
                "silences it out of inp, or set scf_unconverged to 'continue'"
            )
        return replace(step, n_unconverged=int(not converged))

    def _load(self, shell: Cp2kShell, atoms: Atoms, project: str, from_file: bool) -> None:
        # Versions before 2024.1 go on by themselves and do not know the keyword.
        go_on = self.settings.scf_unconverged == "continue" and shell.version >= (2024, 1)
        text = input_text(
            self.settings, atoms, project, guess_from_file=from_file, continue_unconverged=go_on
        )
        (self.program.folder / f"{project}.inp").write_text(text, encoding="utf-8")
        shell.load(project, atoms)

    def _check_pseudopotentials(self, atoms: Atoms) -> None:
        """See that the potentials are made with the functional, where their file is seen here."""
        words = self.settings.functionals
        wanted = functional(words[0]) if len(words) == 1 else None
        for symbol in sorted(set(atoms.get_chemical_symbols())):
            entry = entry_of(self.settings, symbol, "POTENTIAL")
            if entry is not None:
                self._check_once(symbol, entry.names[0], entry.header, wanted)


def _converged(said: str) -> bool | None:
    """Tell whether the SCF converged; None where the output does not say."""
    verdicts = [found["converged"] is not None for found in _VERDICT.finditer(said)]
    # The last one counts: an inner loop may fail where the outer one succeeds.
    return verdicts[-1] if verdicts else None


def model_identity(spec: PlainSpec, elements: Collection[str] | None = None) -> dict[str, Any]:
    """Return every setting, defaults too, and the SHA-256 of what is used of the data files.

    Of the entries of some elements; of the whole files, as in runs of before, without elements.
    """
    settings = Cp2kSettings.of(spec)
    files: dict[str, Any] = {}
    for name in (settings.basis_set_file, settings.potential_file):
        path = data_file(name)
        files[name.rpartition("/")[2]] = None if path is None else sha256_of(path)
    if elements is not None:
        files = {}
        for symbol in sorted(set(elements)):
            entries = {key: entry_of(settings, symbol, key) for key in ("BASIS_SET", "POTENTIAL")}
            files[symbol] = {key: entry and entry.sha256 for key, entry in entries.items()}
    return {"settings": settings.physics(), "data_files": files}


def entry_of(settings: Cp2kSettings, symbol: str, key: str) -> Entry | None:
    """Return an element's entry in the data files, by keyword of its KIND; None if not seen."""
    of_basis = key == "BASIS_SET"
    path = data_file(settings.basis_set_file if of_basis else settings.potential_file)
    name = name_in_kind(settings, symbol, key)
    return None if path is None or name is None else read_entry(path, symbol, name)
