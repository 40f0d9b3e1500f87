"""Quantum ESPRESSO: density functional theory with plane waves, one run of ``pw.x`` per step.

Each run starts from density and wavefunctions of the one before, in files.

Options of the spec: ``command`` (without its input; else ``MLMD_ESPRESSO_COMMAND`` or
``ASE_ESPRESSO_COMMAND``, else ``pw.x`` on PATH; with MPI ``"mpirun -n 16 pw.x -nk 2"``), and
those of :class:`~mlmd.calculators.programs.espresso.settings.EspressoSettings`.

The energy is what pw.x marks with ``!``: with smearing it has the entropy term in it, so that the
forces are its derivatives in every case.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from mlmd.calculators.programs.base import ProgramCalculator, Step, is_near
from mlmd.calculators.programs.espresso.input import (
    input_text,
    link_name,
    read_header,
    species_of,
)
from mlmd.calculators.programs.espresso.output import (
    error_message,
    read_result,
    says_unconverged,
)
from mlmd.calculators.programs.espresso.settings import EspressoSettings
from mlmd.calculators.programs.functionals import functional
from mlmd.calculators.programs.process import ProgramEndedError, ProgramTimeoutError
from mlmd.errors import CalculatorError

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms

    from mlmd.calculators.plain_spec import PlainSpec

logger = logging.getLogger(__name__)

INPUT = "pw.in"
POSITION_TOLERANCE_A = 1e-5
VERSION = re.compile(r"Program PWSCF v\.\s*(\S+)")


class Espresso(ProgramCalculator):
    """pw.x: density and wavefunctions of the same settings and atoms are reused."""

    title, file_name = "pw.x", "pw"
    settings_type = EspressoSettings
    settings: EspressoSettings

    def __init__(self, spec: PlainSpec, directory: Path) -> None:
        super().__init__(spec, directory)
        self._library = self.settings.library()

    def _compute(self, atoms: Atoms) -> Step:
        """Run pw.x from what the step before left, from nothing if that ends in an error."""
        prefix = f"pw-{self.settings.reuse_key(atoms)}"
        self._electrons = self.program.folder / "out" / f"{prefix}.save"
        files = self._link_pseudopotentials(atoms)
        if self._has_density(atoms):
            try:
                return self._run(atoms, prefix, files, guess_from_file=True)
            except ProgramTimeoutError:
                raise
            except CalculatorError as error:
                logger.warning("%s; starting without the density in %s", error, self._electrons)
        return self._run(atoms, prefix, files, guess_from_file=False)

    def _missed(self) -> str:
        return (
            f"in {self.settings.max_scf_steps} steps to {self.settings.conv_thr_Ry_per_atom:g} Ry "
            "per atom; raise max_scf_steps, set smearing (occupations, degauss) or a lower "
            "mixing_beta in input"
        )

    def _run(
        self, atoms: Atoms, prefix: str, files: Mapping[str, Path], *, guess_from_file: bool
    ) -> Step:
        if not guess_from_file:
            self._forget()
        result = self._electrons / "data-file-schema.xml"
        if result.exists():
            # pw.x needs it to read the wavefunctions; as old as this, it cannot pass for new.
            os.utime(result, (0, 0))
        text = input_text(self.settings, atoms, prefix, files, guess_from_file=guess_from_file)
        (self.program.folder / INPUT).write_text(text, encoding="utf-8")
        failure = None
        try:
            self.program.run(["-in", INPUT])
        except ProgramEndedError as error:
            failure = error
        said = self._output.read_text(encoding="utf-8", errors="replace")
        self._note_version(self._output, VERSION)
        if says_unconverged(said):
            self._forget()
            raise self._unconverged() from failure
        if failure is not None:
            reason = error_message(said)
            if reason is None:
                raise failure
            raise CalculatorError(f"pw.x stopped: {reason} (see {self._output})") from failure
        if "JOB DONE." not in said:
            raise CalculatorError(
                f"the output of pw.x is cut short ({self._output}); see disk and limits"
            )
        if result.exists() and result.stat().st_mtime_ns == 0:
            raise CalculatorError(f"pw.x left no result of its own in {result}; see {self._output}")
        step = read_result(result)
        self._check_positions(step, atoms, POSITION_TOLERANCE_A)
        self._refuse_unconverged(step)
        return step

    def _has_density(self, atoms: Atoms) -> bool:
        """Tell whether a finished run for almost the same positions left its density."""
        if not any(self._electrons.glob("charge-density.*")):
            return False
        try:
            before_A = read_result(self._electrons / "data-file-schema.xml").positions_A
        except CalculatorError:
            return False
        return before_A is not None and is_near(atoms.positions, before_A)

    def _check_pseudopotentials(self, atoms: Atoms) -> dict[str, Path]:
        """See that all are of their element, and made with one functional, that of ``xc``."""
        files = {symbol: self._library.file(symbol) for symbol in species_of(atoms)}
        headers = {symbol: read_header(path).made_for for symbol, path in files.items()}
        # Where xc is not given pw.x takes it from the files, which then have to agree.
        first = next((header.functional for header in headers.values() if header.functional), None)
        wanted = first if self.settings.xc is None else functional(self.settings.xc)
        for symbol, path in files.items():
            self._check_once(symbol, str(path), partial(headers.__getitem__, symbol), wanted)
        return files

    def _link_pseudopotentials(self, atoms: Atoms) -> dict[str, Path]:
        """Have the files of the elements that are there, by element, in the folder of pw.x."""
        files = self._check_pseudopotentials(atoms)
        folder = self.program.folder / "pseudo"
        folder.mkdir(exist_ok=True)
        for symbol, path in files.items():
            link = folder / link_name(symbol, path)
            if not (link.is_symlink() and link.resolve() == path):
                link.unlink(missing_ok=True)
                link.symlink_to(path)
        return files


def model_identity(spec: PlainSpec, elements: Collection[str] | None = None) -> dict[str, Any]:
    """Return every setting, defaults too, and the SHA-256 of the pseudopotentials.

    Of some elements, or as in runs of before of all in the folder.
    """
    settings = EspressoSettings.of(spec)
    checksums = settings.library().checksums(elements)
    return {"settings": settings.physics(), "pseudopotentials": checksums}
