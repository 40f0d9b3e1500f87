"""The ASE calculator that runs pw.x once per step."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from mlmd.calculators.programs.espresso.input import input_text, link_name, species_of
from mlmd.calculators.programs.espresso.output import (
    PwResult,
    error_message,
    read_result,
    says_unconverged,
)
from mlmd.calculators.programs.process import reuse_key, run_program
from mlmd.errors import CalculatorError, InputError
from mlmd.numerics.voigt import to_voigt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ase import Atoms

    from mlmd.calculators.programs.espresso.settings import EspressoSettings

logger = logging.getLogger(__name__)

NAME = "pw"
LARGEST_JUMP_A = 1.0
"""Atoms that jump farther than this have nothing to do with the density before."""
POSITION_TOLERANCE_A = 1e-5


class EspressoCalculator(Calculator):
    """Energy, forces and stress by pw.x, in ASE's units and signs.

    Density and wavefunctions come from the step before, so forces depend on it within the SCF
    tolerance: a resumed run repeats an uninterrupted one to that, not to the last bit.

    Parameters
    ----------
    settings
        What is calculated.
    command
        Command line of ``pw.x`` without its input.
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
        settings: EspressoSettings,
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
        if not self.atoms.pbc.all() or self.atoms.cell.rank < 3:
            raise InputError(
                "espresso is run periodic in three directions; the atoms are not: set atoms.cell "
                "and atoms.pbc = True"
            )
        found = self._run(self.atoms)
        if not found.converged:
            self.n_unconverged_scf += 1
            if self.n_unconverged_scf == 1:
                logger.warning("%s; used nevertheless, and counted", self._unconverged())
        results: dict[str, Any] = {
            "energy": found.energy_eV,
            "free_energy": found.energy_eV,
            "forces": found.forces_eV_A,
        }
        if found.stress_eV_A3 is not None:
            stress = 0.5 * (found.stress_eV_A3 + found.stress_eV_A3.T)
            results["stress"] = to_voigt(stress)
        self.results = results

    def _run(self, atoms: Atoms) -> PwResult:
        """Run pw.x from what the step before left, from nothing if that ends in an error."""
        prefix = f"pw-{reuse_key(self._settings.to_dict(), atoms.numbers.tolist())}"
        saved = self._folder / "out" / f"{prefix}.save"
        self._link_pseudopotentials(atoms)
        if self._is_near(saved, atoms):
            try:
                return self._run_once(atoms, prefix, saved, guess_from_file=True)
            except CalculatorError as error:
                if isinstance(error.__cause__, subprocess.TimeoutExpired):
                    raise
                logger.warning("%s; starting without the density in %s", error, saved)
        return self._run_once(atoms, prefix, saved, guess_from_file=False)

    def _run_once(
        self, atoms: Atoms, prefix: str, saved: Path, *, guess_from_file: bool
    ) -> PwResult:
        if not guess_from_file:
            shutil.rmtree(saved, ignore_errors=True)
        result = saved / "data-file-schema.xml"
        if result.exists():
            # pw.x needs it to read the wavefunctions; as old as this, it cannot pass for new.
            os.utime(result, (0, 0))
        text = input_text(self._settings, atoms, prefix, guess_from_file=guess_from_file)
        (self._folder / f"{NAME}.in").write_text(text, encoding="utf-8")
        output = self._folder / f"{NAME}.out"
        try:
            run_program(
                [*self._command, "-in", f"{NAME}.in"],
                self._folder,
                name=NAME,
                timeout_s=self._timeout_s,
                threads=self._threads,
            )
        except CalculatorError as error:
            said = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
            if says_unconverged(said):
                shutil.rmtree(saved, ignore_errors=True)
                raise self._unconverged() from error
            reason = error_message(said)
            if reason is not None:
                raise CalculatorError(f"pw.x stopped: {reason} (see {output})") from error
            raise
        said = output.read_text(encoding="utf-8", errors="replace")
        if says_unconverged(said):
            shutil.rmtree(saved, ignore_errors=True)
            raise self._unconverged()
        if "JOB DONE." not in said:
            raise CalculatorError(
                f"the output of pw.x is cut short ({output}); see disk and limits"
            )
        if result.exists() and result.stat().st_mtime_ns == 0:
            raise CalculatorError(f"pw.x left no result of its own in {result}; see {output}")
        found = read_result(result)
        if (
            found.forces_eV_A.shape != atoms.positions.shape
            or found.positions_A.shape != atoms.positions.shape
            or np.abs(found.positions_A - atoms.positions).max() > POSITION_TOLERANCE_A
        ):
            raise CalculatorError(f"the result of pw.x in {result} is for other atoms")
        if not found.converged and self._settings.scf_unconverged == "stop":
            shutil.rmtree(saved, ignore_errors=True)
            raise self._unconverged()
        return found

    def _is_near(self, saved: Path, atoms: Atoms) -> bool:
        """Tell whether a finished run for almost the same positions left its density."""
        if not any(saved.glob("charge-density.*")):
            return False
        try:
            before = read_result(saved / "data-file-schema.xml").positions_A
        except CalculatorError:
            return False
        if before.shape != atoms.positions.shape:
            return False
        return bool(np.linalg.norm(atoms.positions - before, axis=1).max() <= LARGEST_JUMP_A)

    def _link_pseudopotentials(self, atoms: Atoms) -> None:
        folder = self._folder / "pseudo"
        folder.mkdir(parents=True, exist_ok=True)
        for symbol in species_of(atoms):
            path = self._settings.library.file(symbol)
            link = folder / link_name(symbol, path)
            if not (link.is_symlink() and link.resolve() == path):
                link.unlink(missing_ok=True)
                link.symlink_to(path)

    def _unconverged(self) -> CalculatorError:
        return CalculatorError(
            f"pw.x's SCF did not converge in {self._settings.max_scf_steps} steps to "
            f"{self._settings.conv_thr_Ry_per_atom:g} Ry per atom; raise max_scf_steps, set "
            "smearing (occupations, degauss) or a lower mixing_beta in input, or set "
            f"scf_unconverged to 'continue' (see {self._folder / NAME}.out)"
        )
