"""Quantum ESPRESSO: density functional theory with plane waves, one run of ``pw.x`` per step.

Each run starts from density and wavefunctions of the one before, in files.

Options, all plain data:

``ecutwfc_Ry``
    Cutoff of the wavefunctions; it belongs to the pseudopotentials and has no default.
``ecutrho_Ry``
    Of the density: by default 4 times that, 8 times with ultrasoft or PAW pseudopotentials.
``pseudopotentials``
    A folder in which each element has one file, or a mapping from symbol to file (found as
    given or in the folder ``ESPRESSO_PSEUDO``); that folder where not given.
``command``
    Command line, without its input; else ``MLMD_ESPRESSO_COMMAND`` or ``ASE_ESPRESSO_COMMAND``,
    else ``pw.x`` on PATH. With MPI: ``"mpirun -n 16 pw.x -nk 2"``.
``xc``
    ``input_dft``; that of the pseudopotentials where not given.
``kspacing_per_A`` or ``kpoints``
    Largest distance of k-points (2 pi in it) or the grid; the Gamma point where neither is given.
``conv_thr_Ry_per_atom``, ``max_scf_steps``, ``scf_unconverged``
    Convergence (1e-10), the limit of steps (100), and ``"stop"`` or ``"continue"`` beyond it.
``charge``, ``spin``
    Of the cell; ``spin`` maps symbols to initial magnetic moments in Bohr magnetons per atom, and
    the calculation is polarised where it is given.
``input``
    Further keywords by namelist: ``{"system": {"occupations": "smearing", ...}}``.

The energy is what pw.x marks with ``!``: with smearing it has the entropy term in it, so that the
forces are its derivatives in every case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmd.calculators.programs.espresso.settings import settings_of
from mlmd.calculators.programs.process import find_command

if TYPE_CHECKING:
    from pathlib import Path

    from ase.calculators.calculator import Calculator

    from mlmd.calculators.spec import CalculatorSpec


def build(spec: CalculatorSpec, directory: Path) -> Calculator:
    """Make the calculator; pw.x runs in each step.

    Parameters
    ----------
    spec
        See above for its options. ``timeout_s`` holds for one run of pw.x.
    directory
        Where pw.x keeps its input, output, density and wavefunctions. Those of the same
        settings and atoms found there are where the first step starts from.

    Raises
    ------
    InputError
        If an option cannot be used, or there is no such program or pseudopotential.
    """
    from mlmd.calculators.programs.espresso.calculator import EspressoCalculator

    settings = settings_of(spec)
    command = find_command(spec)
    return EspressoCalculator(
        settings, command, directory, threads=spec.threads, timeout_s=spec.timeout_s
    )


def model_identity(spec: CalculatorSpec) -> dict[str, Any]:
    """Return every setting, defaults too, and the SHA-256 of the pseudopotentials."""
    settings = settings_of(spec)
    plain = settings.to_dict()
    for key in ("scf_unconverged", "pseudopotentials"):  # the files are there by content
        del plain[key]
    return {"settings": plain, "pseudopotentials": settings.library.checksums()}
