"""What the relaxation of snapshots found: one inherent structure each, and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlmd.numerics.short_series import short_series_mean


@dataclass(frozen=True)
class InherentStructure:
    """A snapshot after its relaxation.

    Attributes
    ----------
    time_ps
        Of the snapshot, in the stage that it is from.
    energy_eV_atom
        Potential energy after the relaxation.
    snapshot_energy_eV_atom
        And before.
    volume_A3_atom
        After the relaxation.
    max_force_eV_A, max_stress_GPa
        What is left; the latter, a component's largest size, None at fixed cell.
    n_steps, converged
        Steps taken, and whether both are below their thresholds.
    """

    time_ps: float
    energy_eV_atom: float
    snapshot_energy_eV_atom: float
    volume_A3_atom: float
    max_force_eV_A: float
    max_stress_GPa: float | None
    n_steps: int
    converged: bool


@dataclass(frozen=True)
class InherentStructuresResult:
    """Inherent structures of a stage.

    Attributes
    ----------
    structures
        In the order of time.
    n_steps, n_converged
        Steps in all, and how many structures converged; the others are in the averages too.
    energy_eV_atom, energy_std_eV_atom
        Mean energy and the standard deviation of single structures (ddof = 1).
    energy_stderr_eV_atom, stderr_method
        Standard error of the mean, which allows for the correlation of neighbouring snapshots,
        and how it was made (:func:`mlmd.numerics.short_series.short_series_mean`).
    lowest_energy_eV_atom
        Of the structure that is lowest.
    volume_A3
        Mean volume of the cell.
    """

    structures: tuple[InherentStructure, ...]
    n_steps: int
    n_converged: int
    energy_eV_atom: float
    energy_std_eV_atom: float | None
    energy_stderr_eV_atom: float | None
    stderr_method: str
    lowest_energy_eV_atom: float
    volume_A3: float


def sum_up(structures: Sequence[InherentStructure], n_atoms: int) -> InherentStructuresResult:
    """Return the averages over inherent structures of so many atoms."""
    energies = [structure.energy_eV_atom for structure in structures]
    mean = short_series_mean(energies)
    return InherentStructuresResult(
        structures=tuple(structures),
        n_steps=sum(structure.n_steps for structure in structures),
        n_converged=sum(structure.converged for structure in structures),
        energy_eV_atom=mean.mean,
        energy_std_eV_atom=mean.std,
        energy_stderr_eV_atom=mean.stderr,
        stderr_method=mean.method,
        lowest_energy_eV_atom=min(energies),
        volume_A3=n_atoms * float(np.mean([s.volume_A3_atom for s in structures])),
    )
