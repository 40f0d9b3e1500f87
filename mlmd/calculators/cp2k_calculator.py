"""The ASE calculator that drives a running CP2K."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from mlmd.calculators.cp2k_input import input_text
from mlmd.calculators.cp2k_shell import Cp2kShell, DeadShellError, abort_message
from mlmd.errors import CalculatorError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ase import Atoms
    from numpy.typing import NDArray

    from mlmd.calculators.cp2k_settings import Cp2kSettings

    FloatArray = NDArray[np.floating[Any]]

logger = logging.getLogger(__name__)

LARGEST_JUMP_A = 1.0
"""Atoms that jump farther than this have nothing to do with the steps before."""
LARGEST_STRAIN_PER_STEP = 0.01
LARGEST_STRAIN = 0.05
"""CP2K keeps the number of grid points of the first cell; beyond this it gets a new grid."""

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
        self._environment: _Environment | None = None

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
        project = f"cp2k-{self._key(atoms)}"
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

    def _key(self, atoms: Atoms) -> str:
        """Name what wavefunctions have to share: settings and species in their order."""
        plain = json.dumps([self._settings.to_dict(), atoms.numbers.tolist()], sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()[:8]

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
            results = _exchange(self._shell, self._environment.number, atoms)
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

    def _load(self, shell: Cp2kShell, atoms: Atoms, project: str, from_file: bool) -> _Environment:
        # Versions before 2024.1 go on by themselves and do not know the keyword.
        go_on = self._settings.scf_unconverged == "continue" and shell.version >= (2024, 1)
        text = input_text(
            self._settings, atoms, project, guess_from_file=from_file, continue_unconverged=go_on
        )
        (self._folder / f"{project}.inp").write_text(text, encoding="utf-8")
        answer = shell.ask(f"LOAD {project}.inp {project}.out")
        return _Environment(int(_numbers(answer, 1)[0]), atoms)

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


class _Environment:
    """CP2K's own state: where its wavefunctions and its grid come from."""

    def __init__(self, number: int, atoms: Atoms) -> None:
        self.number = number
        self._first_cell = atoms.cell.array.copy()
        self.went_to(atoms)

    def went_to(self, atoms: Atoms) -> None:
        self._numbers, self._positions = atoms.numbers.copy(), atoms.positions.copy()
        self._cell = atoms.cell.array.copy()

    def goes_on_with(self, atoms: Atoms) -> bool:
        """Tell whether these atoms are a step from the last ones, in a cell like the first."""
        return (
            not self.jumped(atoms)
            and _strain(self._cell, atoms.cell.array) <= LARGEST_STRAIN_PER_STEP
            and _strain(self._first_cell, atoms.cell.array) <= LARGEST_STRAIN
        )

    def jumped(self, atoms: Atoms) -> bool:
        """Tell whether the wavefunctions are those of something else."""
        if not np.array_equal(self._numbers, atoms.numbers):
            return True
        moved = np.linalg.norm(atoms.positions - self._positions, axis=1)
        return bool(moved.max() > LARGEST_JUMP_A)


def _strain(before: FloatArray, after: FloatArray) -> float:
    return float(np.abs(np.linalg.solve(before, after) - np.eye(3)).max())


def _exchange(shell: Cp2kShell, number: int, atoms: Atoms) -> dict[str, Any]:
    """Tell CP2K where the atoms are and read what it makes of them."""
    rows = [" ".join(f"{x:.18e}" for x in row) for row in atoms.positions]
    shell.ask(f"SET_CELL {number}", [" ".join(f"{x:.18e}" for x in row) for row in atoms.cell])
    shell.ask(f"SET_POS {number}", [str(atoms.positions.size), *rows, "*END"])
    shell.ask(f"EVAL_EF {number}")
    energy = float(_numbers(shell.ask(f"GET_E {number}"), 1)[0])
    # The number of values, one line per atom, and "* END".
    forces = _numbers(shell.ask(f"GET_F {number}")[1:-1], atoms.positions.size)
    stress = _numbers(shell.ask(f"GET_STRESS {number}"), 9).reshape(3, 3)
    results = {"energy": energy, "free_energy": energy, "forces": forces.reshape(-1, 3)}
    # A method without a stress gives zeros, which would pass for a measured one.
    if np.any(stress != 0.0):
        symmetric = -0.5 * (stress + stress.T)  # CP2K: positive under compression
        results["stress"] = symmetric[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return results


def _numbers(lines: list[str], count: int) -> FloatArray:
    """Return the numbers in an answer; CalculatorError unless as many finite ones as expected."""
    words = " ".join(lines).split()
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        values = np.array([])
    if len(values) != count or not np.isfinite(values).all():
        raise CalculatorError(
            f"CP2K answered '{' '.join(words)[:120]}'; expected {count} finite numbers"
        )
    return values


def _check_periodic(atoms: Atoms) -> None:
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise InputError(
            "cp2k is run periodic in three directions; the atoms are not: set atoms.cell and "
            "atoms.pbc = True"
        )
