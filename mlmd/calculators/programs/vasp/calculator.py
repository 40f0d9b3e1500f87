"""VASP, with settings for molecular dynamics.

``energy`` is ASE's: extrapolated to no smearing (E0). ``free_energy`` is F, from which VASP's
forces and stress derive and which therefore is conserved with the kinetic energy; mlmd's
dynamics takes ``free_energy`` wherever a calculator has it.

Stress has ASE's sign, positive under tension, without the kinetic (ideal gas) part: mlmd adds
that where it needs the pressure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlmd.calculators.programs.base import ProgramCalculator, Step
from mlmd.calculators.programs.vasp.dialogue import VaspDialogue
from mlmd.calculators.programs.vasp.files import (
    WAVEFUNCTIONS,
    Layout,
    mark_finished,
    write_inputs,
)
from mlmd.calculators.programs.vasp.potcars import Potcar, write_potcars
from mlmd.calculators.programs.vasp.reading import FINISHED, read_step
from mlmd.calculators.programs.vasp.settings import VaspSettings
from mlmd.errors import CalculatorError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from ase import Atoms

    from mlmd.calculators.plain_spec import PlainSpec

# OUTCAR has five decimals of positions; more than rounding means that VASP read others.
POSITION_TOLERANCE_A = 1e-3
VERSION = re.compile(r"^\s*(vasp\.\S+)", re.MULTILINE)


class Vasp(ProgramCalculator):
    """VASP: WAVECAR and CHGCAR are reused where they fit."""

    title, file_name = "VASP", "vasp"
    settings_type = VaspSettings
    settings: VaspSettings
    _running: VaspDialogue | None = None

    def __init__(self, spec: PlainSpec, directory: Path) -> None:
        super().__init__(spec, directory)
        self._potcars = self.settings.potcars()
        self._potcars.folder()
        self.parameters.update(self._potcars.identity())
        self._output = self.program.folder / "OUTCAR"
        self._electrons = self.program.folder / WAVEFUNCTIONS

    def _compute(self, atoms: Atoms) -> Step:
        layout = Layout.of(atoms, self.settings.grid(atoms.cell.array))
        moments = layout.magnetic_moments.tolist()
        tags = self.settings.tags(layout.species, len(atoms), moments)
        one_process = self.settings.mode == "interactive"
        text = self._go_on(layout, tags) if one_process else self._run(layout, tags)
        self._note_version(self._output, VERSION)
        step = layout.in_callers_order(read_step(text, len(atoms), self.settings.nelm))
        self._check_positions(step, atoms, POSITION_TOLERANCE_A)
        self._refuse_unconverged(step)
        if not one_process:
            mark_finished(self.program.folder, layout)
        return step

    def _missed(self) -> str:
        return (
            f"in {self.settings.nelm} steps (NELM); raise NELM or give another ALGO (Normal, All) "
            "by the option incar"
        )

    def _run(self, layout: Layout, tags: dict[str, Any]) -> str:
        """Run VASP once and return its OUTCAR."""
        self._write(layout, tags)
        self.program.run()
        text = self._output.read_text("ascii", "replace") if self._output.is_file() else ""
        if FINISHED not in text:
            raise CalculatorError(
                f"vasp left {'a truncated' if text else 'no'} OUTCAR though it ended without an "
                f"error code; {self.program.last_words()}; see whether the disk is full"
            )
        return text

    def _go_on(self, layout: Layout, tags: dict[str, Any]) -> str:
        """Make one step of interactive mode and return its part of the OUTCAR."""
        if self._running is not None and not self._running.can_go_on(layout):
            self.close()
        if self._running is None:
            self._write(layout, tags)
            self._keep(VaspDialogue(self.program))
        assert self._running is not None  # the line above
        return self._running.step(layout)

    def _check_pseudopotentials(self, atoms: Atoms) -> None:
        self._checked_potcars(dict.fromkeys(atoms.symbols))

    def _checked_potcars(self, species: Iterable[str]) -> dict[str, Potcar]:
        potcars = {symbol: self._potcars.find(symbol) for symbol in species}
        for symbol, potcar in potcars.items():
            wanted = self.settings.potcar_functional
            self._check_once(symbol, str(potcar.path), potcar.header, wanted)
        return potcars

    def _write(self, layout: Layout, tags: dict[str, Any]) -> None:
        write_potcars(self._checked_potcars(layout.species), self.program.folder)
        write_inputs(self.program.folder, layout, tags)


def model_identity(spec: PlainSpec, elements: Collection[str] | None = None) -> dict[str, Any]:
    """Return the SHA-256 of the POTCARs of some elements, and the settings.

    Without elements, as in runs of before, their family and the setups. ``potcars.json`` in
    VASP's folder holds TITEL and checksum of each, and a call with other files is refused.
    """
    settings = VaspSettings.of(spec)
    found = settings.potcars().identity(elements)
    return found if elements is None else {"settings": settings.physics(), **found}
