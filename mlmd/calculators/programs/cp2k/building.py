"""CP2K: density functional theory with Gaussians and plane waves, kept running between steps.

CP2K's shell mode (``cp2k_shell``) stays alive from step to step, so that each step starts from
the wavefunctions extrapolated from the ones before.

Options, all plain data:

``command``
    Command line of the shell; else ``MLMD_CP2K_COMMAND`` or ``ASE_CP2K_COMMAND``, else
    ``cp2k_shell`` on PATH. With MPI: ``"mpirun -n 16 cp2k.psmp -s"``.
``xc``
    Functional sections of CP2K or libxc, by spaces: ``"PBE"`` (default), ``"LDA"``,
    ``"MGGA_X_SCAN MGGA_C_SCAN"``.
``cutoff_Ry``, ``rel_cutoff_Ry``
    Of the grid (400) and of the Gaussians on it (50).
``basis_set``, ``basis_set_file``, ``potential``, ``potential_file``
    A name for all elements or a mapping from symbol to name; by default
    ``DZVP-MOLOPT-SR-GTH`` in ``BASIS_MOLOPT`` and ``GTH-<xc>`` in ``GTH_POTENTIALS``.
``eps_scf``, ``max_scf_steps``, ``scf_unconverged``
    Convergence (1e-6), the limit of steps (200), and ``"stop"`` or ``"continue"`` beyond it.
``charge``, ``spin``, ``multiplicity``
    Of the cell. ``spin`` maps symbols to initial magnetic moments in Bohr magnetons per atom;
    where it is given, the calculation is polarised.
``inp``
    Further CP2K input, in which what it names wins over the defaults here (k-points,
    smearing, dispersion, ...).

The energy is CP2K's total energy, which with smearing is the free energy, so that the forces are
its derivatives in every case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmd.calculators.programs.cp2k.settings import data_file, settings_of
from mlmd.calculators.programs.process import find_command
from mlmd.calculators.weights import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from ase.calculators.calculator import Calculator

    from mlmd.calculators.spec import CalculatorSpec


def build(spec: CalculatorSpec, directory: Path) -> Calculator:
    """Make the calculator; CP2K itself starts with the first step.

    Parameters
    ----------
    spec
        See above for its options. ``timeout_s`` holds for one step; a new shell's first step
        is one of them.
    directory
        Where CP2K keeps its input, output and wavefunctions. Wavefunctions of the same
        settings and atoms found there are where the first step starts from.

    Raises
    ------
    InputError
        If an option cannot be used, or there is no such program.
    """
    from mlmd.calculators.programs.cp2k.calculator import Cp2kCalculator

    settings = settings_of(spec)
    command = find_command(spec)
    return Cp2kCalculator(
        settings, command, directory, threads=spec.threads, timeout_s=spec.timeout_s
    )


def model_identity(spec: CalculatorSpec) -> dict[str, Any]:
    """Return every setting, defaults too, and the SHA-256 of the data files where found."""
    settings = settings_of(spec)
    files = {}
    for name in (settings.basis_set_file, settings.potential_file):
        path = data_file(name)
        files[name.rpartition("/")[2]] = None if path is None else sha256_of(path)
    plain = settings.to_dict()
    # Neither decides the forces, and the files are there by content.
    for key in ("scf_unconverged", "basis_set_file", "potential_file"):
        del plain[key]
    return {"settings": plain, "data_files": files}
