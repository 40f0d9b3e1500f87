"""SIESTA for molecular dynamics: density functional theory with numerical atomic orbitals.

Works with SIESTA 4.1 and 5 (Soler et al., J. Phys.: Condens. Matter 14, 2745 (2002),
doi:10.1088/0953-8984/14/11/302). By default one process serves a whole stage over SIESTA's i-PI
socket and keeps its density matrix from step to step; ``mode="files"`` runs it once per step.
Over the socket SIESTA prints every structure and its forces: its output grows by some 15 kB per
step and 100 atoms.

Options of the spec: ``command`` (else ``MLMD_SIESTA_COMMAND``, else ``siesta`` on PATH),
``pseudopotentials`` (a folder; else ``SIESTA_PP_PATH``), ``preset`` ("maevskiy2025": the settings
of that paper, see :mod:`mlmd.calculators.programs.siesta.settings`), and those of
:class:`~mlmd.calculators.programs.siesta.settings.SiestaSettings`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from mlmd.calculators.plain_spec import refuse_unknown
from mlmd.calculators.programs.process import find_command
from mlmd.calculators.programs.siesta.program import FilesEngine, SiestaProgram
from mlmd.calculators.programs.siesta.pseudopotentials import (
    SUFFIXES,
    checksums,
    pseudopotential_folder,
    require_folder,
)
from mlmd.calculators.programs.siesta.settings import SETTINGS, SiestaSettings
from mlmd.calculators.programs.siesta.socket import SocketEngine
from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.calculators.spec import CalculatorSpec

logger = logging.getLogger(__name__)

OPTIONS = ("command", "pseudopotentials", "preset", *SETTINGS)


class Siesta(Calculator):
    """An ASE calculator: energy (eV), forces (eV/A), stress (eV/A^3).

    ``energy`` is the Kohn-Sham energy. ``free_energy``, whose derivatives the forces are, is
    given in mode "files" only: the socket does not carry it. The two are the same but for
    metals, or a gap closed by the electronic temperature.

    Parameters
    ----------
    program
        Where and how it runs.
    settings
        What decides the forces.

    Attributes
    ----------
    n_unconverged_scf : int
        Force calls whose SCF did not converge, where that is accepted.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, program: SiestaProgram, settings: SiestaSettings) -> None:
        super().__init__()
        if settings.mode == "socket":
            self.implemented_properties = ["energy", "forces", "stress"]
        self.n_unconverged_scf = 0
        engine = SocketEngine if settings.mode == "socket" else FilesEngine
        self._engine: SocketEngine | FilesEngine = engine(program, settings)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Compute all properties at once.

        Raises
        ------
        InputError
            If the atoms are not periodic in three directions, or an element has no
            pseudopotential.
        CalculatorError
            If SIESTA crashed, hung, did not converge or left incomplete results. The next call
            starts it anew.
        """
        super().calculate(atoms, properties, system_changes)
        self.results = {}
        assert self.atoms is not None  # the line above copies them
        if not self.atoms.pbc.all() or self.atoms.cell.rank < 3:
            raise InputError(
                "SIESTA is periodic in three directions; the atoms are not: set atoms.cell (with "
                "vacuum where wanted) and atoms.pbc = True"
            )
        found = self._engine.compute(self.atoms)
        if found.n_unconverged:
            if not self.n_unconverged_scf:
                logger.warning(
                    "SIESTA's SCF did not converge in a force call; its forces are used, as "
                    "scf_unconverged is 'continue'; further ones are counted, not reported"
                )
            self.n_unconverged_scf += found.n_unconverged
        self.results = {
            "energy": found.energy_eV,
            "forces": found.forces_eV_A,
            "stress": full_3x3_to_voigt_6_stress(found.stress_eV_A3),
        }
        if found.free_energy_eV is not None:
            self.results["free_energy"] = found.free_energy_eV

    def close(self) -> None:
        """End the SIESTA that waits for the next structure; a further call starts it again."""
        self._engine.close()


def build(spec: CalculatorSpec, directory: Path) -> Siesta:
    """Make the calculator; SIESTA itself starts with the first force call.

    Parameters
    ----------
    spec
        Its options are described above.
    directory
        Where SIESTA keeps its files. A density matrix that is there, of the same atoms and
        settings, is where the first SCF begins; no other result is ever read from it.
    """
    settings = _settings(spec)
    program = SiestaProgram(
        command=tuple(find_command(spec)),
        folder=Path(directory).absolute(),
        pseudopotentials=require_folder(spec),
        threads=spec.threads,
        timeout_s=spec.timeout_s,
    )
    if program.pseudopotentials == program.folder.resolve():
        raise InputError(
            f"folder of pseudopotentials '{program.pseudopotentials}' is the one that SIESTA runs "
            "in, where mlmd writes and deletes; keep them elsewhere"
        )
    if not checksums(program.pseudopotentials, settings.version):
        raise InputError(
            f"folder '{program.pseudopotentials}' has no pseudopotentials of SIESTA "
            f"{settings.version}; expected files like Li{SUFFIXES[settings.version][0]}"
        )
    return Siesta(program, settings)


def model_identity(spec: CalculatorSpec) -> dict[str, Any]:
    """Return the pseudopotentials by file name and SHA-256; None where no folder is named."""
    settings = _settings(spec)
    folder = pseudopotential_folder(spec)
    files = None if folder is None else checksums(folder, settings.version)
    return {"pseudopotentials": files}


def _settings(spec: CalculatorSpec) -> SiestaSettings:
    if spec.model is not None:
        raise InputError(
            f"calculator 'siesta' has no models; given '{spec.model}': name the folder of "
            "pseudopotentials in the option pseudopotentials"
        )
    refuse_unknown(spec, OPTIONS)
    return SiestaSettings.from_options(spec.options)
