"""The ASE calculator that drives a running CP2K."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from ase.calculators.calculator import Calculator, all_changes

from mlmd.calculators.programs.cp2k.environment import Environment, exchange, numbers_in
from mlmd.calculators.programs.cp2k.input import input_text
from mlmd.calculators.programs.cp2k.shell import Cp2kShell, DeadShellError, abort_message
from mlmd.calculators.programs.process import reuse_key
from mlmd.errors import CalculatorError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ase import Atoms

    from mlmd.calculators.programs.cp2k.settings import Cp2kSettings

logger = logging.getLogger(__name__)

_VERDICT = re.compile(
    r"(?P<converged>SCF run converged in|outer SCF loop converged in)"
    r"|SCF run NOT converged|outer SCF loop FAILED to converge"
)


class Cp2kCalculator(Calculator):
    """Energy, forces and stress by CP2K, in ASE's units and signs.

    Wavefunctions are extrapolated from step to step, so forces depend on the steps before within
    the SCF tolerance: a resumed run repeats an uninterrupted one to that, not to the last bit.

    Parameters
    ----------
    settings
        What is calculated.
    command
        Command line of ``cp2k_shell``.
    directory
        Where its files are.
    threads, timeout_s
        See :class:`mlmd.CalculatorSpec`.

    Attributes
    ----------
    n_unconverged_scf : int
        Steps whose SCF did not converge and that were used nevertheless.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(
        self,
        settings: Cp2kSettings,
        command: Sequence[str],
        directory: Path,
        *,
        threads: int = 1,
        timeout_s: float | None = None,
    ) -> None:
        super().__init__()
        self.parameters.update(settings.to_dict())
        self.n_unconverged_scf = 0
        self._settings, self._command, self._folder = settings, list(command), directory
        self._threads, self._timeout_s = threads, timeout_s
        self._shell: Cp2kShell | None = None
        self._environment: Environment | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Compute energy (eV), forces (eV/A) and stress (eV/A^3, Voigt, positive in tension)."""
        super().calculate(atoms, properties, system_changes)
        self.results = {}
        assert self.atoms is not None  # the line above copies them
        _check_periodic(self.atoms)
        try:
            self.results = self._evaluate(self.atoms)
        except BaseException:
            # Also when interrupted: half an answer is in the pipe, so this CP2K is of no use.
            self._kill()
            raise

    def close(self) -> None:
        """End CP2K; the next call starts it again."""
        self._environment = None
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    @property
    def pid(self) -> int | None:
        """Process of the running CP2K; None while there is none."""
        return None if self._shell is None else self._shell.pid

    def _kill(self) -> None:
        self._environment = None
        if self._shell is not None:
            self._shell.kill()
            self._shell = None

    def _evaluate(self, atoms: Atoms) -> dict[str, Any]:
        project = f"cp2k-{reuse_key(self._settings.to_dict(), atoms.numbers.tolist())}"
        wavefunctions = self._folder / f"{project}-RESTART.wfn"
        environment = self._environment
        if environment is not None and not environment.goes_on_with(atoms):
            if environment.jumped(atoms):
                wavefunctions.unlink(missing_ok=True)
            self._release()
            environment = None
        from_file = environment is None and wavefunctions.exists()
        try:
            return self._one_step(atoms, project, from_file)
        except DeadShellError as error:
            if not from_file or self._output_says_unconverged():
                raise
            # A file that was cut short when its run was killed ends every new CP2K.
            logger.warning("%s; starting without the wavefunctions in %s", error, wavefunctions)
            wavefunctions.unlink(missing_ok=True)
            self._kill()
            return self._one_step(atoms, project, from_file=False)

    def _one_step(self, atoms: Atoms, project: str, from_file: bool) -> dict[str, Any]:
        self._output = self._folder / f"{project}.out"
        self._read_from = self._output.stat().st_size if self._output.exists() else 0
        try:
            if self._shell is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._shell = Cp2kShell(
                    self._command, self._folder, threads=self._threads, timeout_s=self._timeout_s
                )
                self._shell.ask("UNITS_EV_A")
            else:
                self._shell.begin()
            if self._environment is None:
                self._environment = self._load(self._shell, atoms, project, from_file)
            results = exchange(self._shell, self._environment.number, atoms)
        except DeadShellError as error:
            said = self._new_output()
            if self._verdict(said) is False:
                raise self._unconverged_error() from error
            aborted = abort_message(said)
            raise DeadShellError(
                error.reason, f", saying: {aborted}" if aborted else error.last_said
            ) from error
        self._environment.went_to(atoms)
        self._judge()
        return results

    def _load(self, shell: Cp2kShell, atoms: Atoms, project: str, from_file: bool) -> Environment:
        # Versions before 2024.1 go on by themselves and do not know the keyword.
        go_on = self._settings.scf_unconverged == "continue" and shell.version >= (2024, 1)
        text = input_text(
            self._settings, atoms, project, guess_from_file=from_file, continue_unconverged=go_on
        )
        (self._folder / f"{project}.inp").write_text(text, encoding="utf-8")
        answer = shell.ask(f"LOAD {project}.inp {project}.out")
        return Environment(int(numbers_in(answer, 1)[0]), atoms)

    def _release(self) -> None:
        if self._shell is not None and self._environment is not None:
            self._shell.begin()
            self._shell.ask(f"DESTROY {self._environment.number}")
        self._environment = None

    def _new_output(self) -> str:
        """Return what CP2K has written into its output since this step began."""
        try:
            with self._output.open("rb") as file:
                file.seek(self._read_from)
                return file.read().decode("utf-8", errors="replace")
        except OSError:
            return ""

    @staticmethod
    def _verdict(said: str) -> bool | None:
        """Tell whether the SCF converged; None where the output does not say."""
        verdicts = [found["converged"] is not None for found in _VERDICT.finditer(said)]
        # The last one counts: an inner loop may fail where the outer one succeeds.
        return verdicts[-1] if verdicts else None

    def _judge(self) -> None:
        """Refuse or count a step whose SCF did not converge."""
        converged = self._verdict(self._new_output())
        if converged:
            return
        if self._settings.scf_unconverged == "stop":
            (self._folder / f"{self._output.stem}-RESTART.wfn").unlink(missing_ok=True)
            raise self._unconverged_error(known=converged is not None)
        self.n_unconverged_scf += 1
        if self.n_unconverged_scf == 1:
            logger.warning("%s; used nevertheless, and counted", self._unconverged_error())

    def _output_says_unconverged(self) -> bool:
        return self._verdict(self._new_output()) is False

    def _unconverged_error(self, known: bool = True) -> CalculatorError:
        if not known:
            return CalculatorError(
                f"CP2K's output {self._output} does not say whether the SCF converged; take what "
                "silences it out of inp, or set scf_unconverged to 'continue'"
            )
        return CalculatorError(
            f"CP2K's SCF did not converge to {self._settings.eps_scf:g} in "
            f"{self._settings.max_scf_steps} steps; raise max_scf_steps, have a solver for small "
            "gaps in inp (&OT MINIMIZER CG, or &SMEAR with ADDED_MOS), or set scf_unconverged to "
            f"'continue' (see {self._output})"
        )


def _check_periodic(atoms: Atoms) -> None:
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise InputError(
            "cp2k is run periodic in three directions; the atoms are not: set atoms.cell and "
            "atoms.pbc = True"
        )
