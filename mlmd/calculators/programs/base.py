"""What the calculators of all programs share: one structure in, one step out, errors, the end."""

from __future__ import annotations

import logging
import os
import re
import shutil
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from mlmd.calculators.programs.functionals import check_pseudopotential, goes_on_with_another
from mlmd.calculators.programs.process import Program
from mlmd.errors import CalculatorError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ase import Atoms

    from mlmd.arrays import FloatArray
    from mlmd.calculators.plain_spec import PlainSpec
    from mlmd.calculators.programs.dialogue import Kept
    from mlmd.calculators.programs.functionals import Pseudopotential
    from mlmd.calculators.programs.options import ProgramSettings

logger = logging.getLogger(__name__)

LARGEST_JUMP_A = 1.0
"""Atoms that jump farther than this have nothing to do with the electrons of the call before."""
HEAD_CHARACTERS = 4096
"""Of an output, in which a program says what it is."""


@dataclass(frozen=True)
class Step:
    """What a program found for one structure, in the order of its atoms.

    Attributes
    ----------
    energy_eV
        Extrapolated to no smearing where the program does that.
    free_energy_eV
        What forces and stress derive from; None where the program does not give it.
    forces_eV_A
        (atoms, 3).
    stress_eV_A3
        Voigt order xx yy zz yz xz xy, positive under tension, without the kinetic part; None
        where the program gives none.
    n_unconverged
        How often the SCF was reported as not converged.
    positions_A
        What it was computed for, (atoms, 3); None where the program does not say.
    """

    energy_eV: float
    free_energy_eV: float | None
    forces_eV_A: FloatArray
    stress_eV_A3: FloatArray | None
    n_unconverged: int = 0
    positions_A: FloatArray | None = None

    def __post_init__(self) -> None:
        """See that all are numbers."""
        if not all(np.isfinite(value).all() for value in self.results().values()):
            raise CalculatorError(
                "the program's energy, forces or stress are not finite; the atoms may be too "
                "close: see its output"
            )

    def results(self) -> dict[str, Any]:
        """Return the results of an ASE calculator."""
        found = {
            "energy": self.energy_eV,
            "free_energy": self.free_energy_eV,
            "forces": self.forces_eV_A,
            "stress": self.stress_eV_A3,
        }
        return {name: value for name, value in found.items() if value is not None}


def is_near(positions_A: FloatArray, before_A: FloatArray) -> bool:
    """Tell whether the electrons of positions before are a start for those of new ones."""
    if positions_A.shape != before_A.shape:
        return False
    moved_A = np.linalg.norm(positions_A - before_A, axis=1)
    return bool(moved_A.max() <= LARGEST_JUMP_A)


class ProgramCalculator(Calculator):
    """A program in a folder of its own: energy, forces and stress in ASE's units and signs.

    Its electrons start from those of the call before, or of an earlier calculator in the same
    folder, so that forces depend on them within the SCF tolerance: a resumed run repeats an
    uninterrupted one to that, not to the last bit. No other result is ever read that the
    present call did not make.

    Parameters
    ----------
    spec
        Its options are those of ``settings_type``; ``timeout_s`` holds for one call.
    directory
        Folder of the program's files.

    Attributes
    ----------
    n_unconverged_scf : int
        Calls whose SCF did not converge, and whose forces are used nevertheless.
    program_version : str or None
        As the program says it; None until it has.

    Raises
    ------
    InputError
        If an option cannot be used, or the program or a pseudopotential is not there.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012
    title: ClassVar[str]
    """Name in messages."""
    file_name: ClassVar[str]
    """Name of the program's own output; see :class:`mlmd.calculators.programs.process.Program`."""
    settings_type: ClassVar[type[ProgramSettings]]
    settings: ProgramSettings
    _running: Kept | None = None
    _electrons: Path
    """File or folder that the next call starts from, for each program to set."""

    def __init__(self, spec: PlainSpec, directory: Path) -> None:
        self.settings = self.settings_type.of(spec)
        self.program = Program.of(spec, directory, self.file_name)
        super().__init__(directory=self.program.folder)
        # ASE's name for what a ready-made calculator is known by.
        self.parameters.update(self.settings.to_dict())
        self.n_unconverged_scf = self._n_unconverged_now = 0
        self.program_version: str | None = None
        self._goes_on_with_another = goes_on_with_another(spec)
        self._checked: set[tuple[str, str]] = set()
        self._at_end: weakref.finalize[..., ProgramCalculator] | None = None
        self._output = self.program.out

    def _compute(self, atoms: Atoms) -> Step:
        """Have the program compute; CalculatorError if it fails."""
        raise NotImplementedError

    def _missed(self) -> str:
        """Say what the SCF did not converge to in how many steps, and what helps."""
        raise NotImplementedError

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Compute energy and free energy (eV), forces (eV/A) and stress (eV/A^3, Voigt).

        Raises
        ------
        InputError
            If the atoms are not periodic in three directions, or an element has no
            pseudopotential.
        CalculatorError
            If the program fails, hangs, does not converge or leaves less than a whole result.
            The next call starts afresh.
        """
        super().calculate(atoms, properties, system_changes)
        self.results = {}
        assert self.atoms is not None  # the line above copies them
        self._check_cell(self.atoms)
        self.program.folder.mkdir(parents=True, exist_ok=True)
        try:
            step = self._compute(self.atoms)
            self._refuse_unconverged(step)
        except BaseException:
            # Also when interrupted: half an answer is on its way, so the process is of no use.
            self._kill()
            raise
        if step.n_unconverged and not self.n_unconverged_scf:
            logger.warning("%s; used nevertheless, and counted", self._unconverged())
        self._n_unconverged_now = step.n_unconverged
        self.n_unconverged_scf += step.n_unconverged
        self.results = step.results()

    def check_atoms(self, atoms: Atoms) -> None:
        """See that the program can be run on atoms, without running it.

        Raises
        ------
        InputError
            If they are not periodic in three directions, or an element has no pseudopotential, or
            one of another element or functional.
        """
        self._check_cell(atoms)
        self._check_pseudopotentials(atoms)

    def _check_cell(self, atoms: Atoms) -> None:
        if not len(atoms) or not atoms.pbc.all() or atoms.cell.rank < 3:
            raise InputError(
                f"{self.title} is run periodic in three directions; the atoms are not: set "
                "atoms.cell (with vacuum where wanted) and atoms.pbc = True"
            )

    def _check_pseudopotentials(self, atoms: Atoms) -> Any:
        """See that the elements have pseudopotentials that are theirs; InputError if not."""
        raise NotImplementedError

    def unconverged_scf_at(self, atoms: Atoms) -> int:
        """Return how often the results kept for these very atoms did not converge."""
        known = bool(self.results) and not self.check_state(atoms)
        return self._n_unconverged_now if known else 0

    def get_spin_polarized(self) -> bool:
        """Return whether it is spin-polarised.

        Where a class has no such method ASE stores a bound one in the instance, and a
        calculator that refers to itself is not freed when the last user lets it go.
        """
        return self.settings.spin not in (None, False, "non-polarized")

    @property
    def pid(self) -> int | None:
        """Process of the program while one is kept running."""
        return None if self._running is None else self._running.process.pid

    def close(self) -> None:
        """End a program that is kept running; the next call starts it again.

        Done by itself when the calculator is no longer referred to and at the end of Python.
        """
        if self._at_end is not None:
            self._at_end()
        self._running = self._at_end = None

    def _keep(self, running: Kept) -> None:
        """Have a program kept running until :meth:`close`."""
        self._running = running
        self._at_end = weakref.finalize(self, _finish, running, os.getpid())

    def _kill(self) -> None:
        if self._at_end is not None:
            self._at_end.detach()
        if self._running is not None:
            self._running.kill()
        self._running = self._at_end = None

    def _forget(self) -> None:
        """Remove electrons that may be damaged, or are of no use."""
        if self._electrons.is_dir():
            shutil.rmtree(self._electrons, ignore_errors=True)
        else:
            self._electrons.unlink(missing_ok=True)

    def _refuse_unconverged(self, step: Step) -> None:
        if step.n_unconverged and self.settings.scf_unconverged == "stop":
            self._kill()
            self._forget()
            raise self._unconverged()

    def _unconverged(self) -> CalculatorError:
        return CalculatorError(
            f"{self.title}'s SCF did not converge {self._missed()}, or accept such steps with "
            f"scf_unconverged 'continue' (see {self._output})"
        )

    def _note_version(self, output: Path, line: re.Pattern[str]) -> None:
        """Take the version that a program says at the beginning of its output."""
        if self.program_version is None and output.is_file():
            with output.open(encoding="utf-8", errors="replace") as file:
                found = line.search(file.read(HEAD_CHARACTERS))
            self.program_version = None if found is None else found[1]

    def _check_once(
        self,
        symbol: str,
        file: str,
        header: Callable[[], Pseudopotential],
        functional: str | None,
    ) -> None:
        """See once that a file is a pseudopotential of an element and made with a functional."""
        if (symbol, file) in self._checked:
            return
        goes_on = self._goes_on_with_another
        check_pseudopotential(file, symbol, header(), functional, goes_on=goes_on)
        self._checked.add((symbol, file))

    def _check_positions(self, step: Step, atoms: Atoms, tolerance_A: float) -> None:
        """See that a step is for these atoms, but for rounding and whole lattice vectors."""
        found = step.positions_A
        if found is None or found.shape != atoms.positions.shape:
            raise CalculatorError(f"{self.title}'s result is for other atoms (see {self._output})")
        apart = np.linalg.solve(atoms.cell.array.T, (found - atoms.positions).T).T
        distance_A = np.linalg.norm((apart - np.rint(apart)) @ atoms.cell.array, axis=1).max()
        if not distance_A < tolerance_A:
            raise CalculatorError(
                f"{self.title}'s result is for other atoms: one is {distance_A:.3g} A from where "
                f"it was put; expected less than {tolerance_A} A (see {self._output})"
            )


def _finish(running: Kept, owner: int) -> None:
    # A forked copy of this process does not own the program.
    if os.getpid() == owner:
        running.finish()
