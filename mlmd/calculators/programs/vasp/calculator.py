"""VASP, with settings for molecular dynamics.

``energy`` is ASE's: extrapolated to no smearing (E0). ``free_energy`` is F, from which VASP's
forces and stress derive and which therefore is conserved with the kinetic energy; mlmd's
dynamics takes ``free_energy`` wherever a calculator has it.

Stress has ASE's sign, positive under tension, without the kinetic (ideal gas) part: mlmd adds
that where it needs the pressure.
"""

from __future__ import annotations

import logging
import os
import weakref
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from mlmd.calculators.programs.process import find_command, output_ends, run_program
from mlmd.calculators.programs.vasp.dialogue import Dialogue
from mlmd.calculators.programs.vasp.files import Layout, mark_finished, write_inputs
from mlmd.calculators.programs.vasp.potcars import PotcarLibrary
from mlmd.calculators.programs.vasp.reading import FINISHED, IonicStep, read_step
from mlmd.calculators.programs.vasp.settings import INTERACTIVE_STEPS, Settings
from mlmd.errors import CalculatorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from mlmd.calculators.spec import CalculatorSpec

logger = logging.getLogger(__name__)

# OUTCAR has five decimals of positions; more than rounding means that VASP read others.
POSITION_TOLERANCE_A = 1e-3


class Vasp(Calculator):
    """VASP in a folder of its own.

    Parameters
    ----------
    settings
        What to compute.
    potcars
        Where the pseudopotentials are.
    command
        Program and arguments.
    directory
        Folder of VASP's files. WAVECAR and CHGCAR that an earlier calculator left there are
        reused where they fit; no result is ever read that the present call did not make.
    timeout_s
        Wall time for one call; no limit where None.
    threads
        ``OMP_NUM_THREADS`` where the user has set none.

    Attributes
    ----------
    n_unconverged_scf
        Calls whose SCF did not converge but was accepted (``scf_unconverged: continue``).
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(
        self,
        settings: Settings,
        potcars: PotcarLibrary,
        command: Sequence[str],
        directory: Path,
        *,
        timeout_s: float | None = None,
        threads: int = 1,
    ) -> None:
        # ASE keeps the settings as `parameters`, by which a ready-made calculator is known.
        super().__init__(directory=str(directory), **{**asdict(settings), **potcars.identity()})
        self.n_unconverged_scf = 0
        self._settings, self._potcars = settings, potcars
        self._command, self._folder = list(command), Path(directory)
        self._timeout_s, self._threads = timeout_s, threads
        self._running: _Running | None = None
        self._at_end: weakref.finalize[..., Vasp] | None = None

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
            If an element has no POTCAR, or the atoms are not periodic.
        CalculatorError
            If VASP fails, hangs, does not converge or leaves less than a whole result. The
            next call starts afresh.
        """
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None  # the line above copies them
        self.results = {}
        layout = Layout.of(self.atoms, self._settings.grid(self.atoms.cell.array))
        tags = self._settings.tags(
            layout.species, len(self.atoms), layout.magnetic_moments.tolist()
        )
        text = self._step(layout, tags) if tags["IBRION"] == 11 else self._run(layout, tags)
        try:
            step = read_step(text, len(self.atoms), int(tags["NELM"]))
            _check_positions(step, layout)
            self._check_convergence(step)
        except CalculatorError:
            self._kill()
            raise
        if self._running is None:
            mark_finished(self._folder, layout)
        forces = np.empty_like(step.forces_eV_A)
        forces[layout.order] = step.forces_eV_A
        self.results = {
            "energy": step.energy_eV,
            "free_energy": step.free_energy_eV,
            "forces": forces,
            "stress": step.stress_eV_A3,
        }

    def get_spin_polarized(self) -> bool:
        """Return whether it is spin-polarised.

        Where a class has no such method ASE stores a bound one in the instance, and a
        calculator that refers to itself is not freed when the last user lets it go.
        """
        return self._settings.spin

    def close(self) -> None:
        """End the process of interactive mode, which writes WAVECAR; harmless without one.

        Done by itself when the calculator is no longer referred to and at the end of Python.
        """
        if self._at_end is not None:
            self._at_end()
        self._running = self._at_end = None

    def _run(self, layout: Layout, tags: dict[str, Any]) -> str:
        """Run VASP once and return its OUTCAR."""
        self._write(layout, tags)
        run_program(
            self._command,
            self._folder,
            name="vasp",
            timeout_s=self._timeout_s,
            threads=self._threads,
        )
        outcar = self._folder / "OUTCAR"
        text = outcar.read_text("ascii", "replace") if outcar.is_file() else ""
        if FINISHED not in text:
            raise CalculatorError(
                f"vasp left {'a truncated' if text else 'no'} OUTCAR though it ended without an "
                f"error code; {output_ends(self._folder, 'vasp')}; see whether the disk is full"
            )
        return text

    def _step(self, layout: Layout, tags: dict[str, Any]) -> str:
        """Make one step of interactive mode and return its part of the OUTCAR."""
        running = self._running
        # VASP does not ask again after its last step; it is ended before, with its WAVECAR.
        if running is not None and (
            running.dialogue.n_steps >= INTERACTIVE_STEPS - 1
            or not layout.continues(running.layout)
        ):
            self.close()
        coordinates = layout.coordinates()
        if self._running is None:
            self._write(layout, tags)
            coordinates = ""
            dialogue = Dialogue(self._command, self._folder, self._timeout_s, self._threads)
            self._running = _Running(dialogue, self._folder, layout)
            self._at_end = weakref.finalize(self, self._running.finish)
        try:
            text = self._running.dialogue.step(coordinates)
        except BaseException:
            self._kill()
            raise
        self._running.layout = layout
        return text

    def _write(self, layout: Layout, tags: dict[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._potcars.write(layout.species, self._folder)
        write_inputs(self._folder, layout, tags)

    def _kill(self) -> None:
        if self._running is not None:
            self._running.dialogue.kill()
        if self._at_end is not None:
            self._at_end.detach()
        self._running = self._at_end = None

    def _check_convergence(self, step: IonicStep) -> None:
        if step.converged:
            return
        what = f"vasp's SCF did not converge in {step.electronic_steps} steps (NELM)"
        remedy = "raise NELM or give another ALGO (Normal, All) by the option incar"
        if self._settings.scf_unconverged == "stop":
            raise CalculatorError(
                f"{what} in {self._folder}; {remedy}, or accept such steps by scf_unconverged: "
                "continue"
            )
        if self.n_unconverged_scf == 0:
            logger.warning("%s; the run goes on and counts such steps; %s", what, remedy)
        self.n_unconverged_scf += 1


class _Running:
    """A dialogue and the structure it is at; apart from the calculator, which it outlives."""

    def __init__(self, dialogue: Dialogue, directory: Path, layout: Layout) -> None:
        self.dialogue, self.directory, self.layout = dialogue, directory, layout
        self._owner = os.getpid()

    def finish(self) -> None:
        # A forked copy of this process does not own VASP.
        if os.getpid() == self._owner and self.dialogue.close(self.layout.coordinates()):
            mark_finished(self.directory, self.layout)


def _check_positions(step: IonicStep, layout: Layout) -> None:
    """See that the forces are those at the positions that were asked for, in their order."""
    found = np.linalg.solve(layout.cell_A.T, step.positions_A.T).T
    apart = found - layout.fractional
    distance_A = np.linalg.norm((apart - np.rint(apart)) @ layout.cell_A, axis=1).max()
    if not distance_A < POSITION_TOLERANCE_A:
        raise CalculatorError(
            f"VASP's OUTCAR has an atom {distance_A:.3g} A from where it was put; expected less "
            f"than {POSITION_TOLERANCE_A} A; the output is not of this call"
        )


def build(spec: CalculatorSpec, directory: Path) -> Vasp:
    """Make the calculator; nothing is run or written yet."""
    settings = Settings.of(spec)
    potcars = PotcarLibrary.of(settings.functional()[0], settings.setups)
    command = find_command(spec)
    potcars.folder()
    return Vasp(
        settings,
        potcars,
        command,
        directory,
        timeout_s=spec.timeout_s,
        threads=spec.threads,
    )


def model_identity(spec: CalculatorSpec) -> dict[str, Any]:
    """Return the family of pseudopotentials and the setups.

    Which files they are is known with the elements: ``potcars.json`` in VASP's folder then
    holds TITEL and checksum of each, and a call with other files is refused.
    """
    settings = Settings.of(spec)
    return PotcarLibrary.of(settings.functional()[0], settings.setups).identity()
