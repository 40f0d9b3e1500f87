"""What a volume search found: the volume with its error, or what was seen instead."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError
from mlmd.files import write_atomically
from mlmd.stages.dynamics.results import UNCONVERGED_SCF
from mlmd.stages.volume.zero_pressure import fit_around_zero

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.stages.volume.birch_murnaghan import BirchMurnaghan

TABLE = "volumes.csv"
UNCONVERGED = "unconverged_volume"
VIRIAL = "virial_pressure_volume"
"""The flag of everything that is computed at a volume that was accepted as it was."""


@dataclass(frozen=True)
class VolumeResult:
    """Result of :class:`~mlmd.stages.equilibrate_volume.EquilibrateVolume`.

    Attributes
    ----------
    status
        ``converged``; ``unconverged``: the search ended before its criteria were met;
        ``no_equilibrium_volume``: there is no zero pressure within the limits.
    reason
        Why, in one line with the numbers.
    volume_A3, volume_stderr_A3, volume_per_atom_A3
        Volume of zero pressure by the equation of state, of the cell, with its standard error
        (see :func:`mlmd.stages.volume.zero_pressure`). None where P = 0 is not bracketed.
    cell_volume_A3
        Volume of the cell in the verification run, which later stages have. None without one.
    bulk_modulus_GPa, bulk_modulus_stderr_GPa
        At `volume_A3`.
    pressure_convention
        ``total`` or ``virial``.
    pressure_GPa, pressure_stderr_GPa, temperature_K
        Averages of the verification run.
    energy_drift_eV_ps, energy_drift_stderr_eV_ps
        Slope of its potential energy, the whole cell; the error is None where the run is too
        short to know it.
    n_runs, n_steps
        Runs, and the steps of those that gave a pressure.
    points
        One mapping per run, as :class:`VolumePoint`.
    criteria
        The settings that decided.
    """

    status: str
    reason: str
    volume_A3: float | None
    volume_stderr_A3: float | None
    volume_per_atom_A3: float | None
    cell_volume_A3: float | None
    bulk_modulus_GPa: float | None
    bulk_modulus_stderr_GPa: float | None
    pressure_convention: str
    pressure_GPa: float | None
    pressure_stderr_GPa: float | None
    temperature_K: float | None
    energy_drift_eV_ps: float | None
    energy_drift_stderr_eV_ps: float | None
    n_runs: int
    n_steps: int
    points: list[dict[str, Any]]
    criteria: dict[str, Any]

    @property
    def flags(self) -> list[str]:
        """What every later number is to be marked with."""
        flags = [UNCONVERGED] if self.status == "unconverged" else []
        if any(point.get("n_unconverged_scf") for point in self.points):
            flags.append(UNCONVERGED_SCF)
        # Not the volume at ambient pressure: the kinetic part N kB T / V is left over.
        return [*flags, VIRIAL] if self.pressure_convention == "virial" else flags

    def equation_of_state(self) -> BirchMurnaghan | None:
        """Return the curve that the volume was taken from; None with fewer than two volumes."""
        return equation_of_state(self.points, self.criteria["B0_prime"])


@dataclass(frozen=True)
class VolumePoint:
    """One run at one volume.

    Attributes
    ----------
    run
        Its folder in that of the stage.
    scale, volume_A3
        Volume over the starting volume, and in cubic angstrom, the cell.
    pressure_GPa, stderr_GPa, temperature_K
        Averages after the equilibration; None where the run failed.
    n_discarded
        Frames at the beginning that were left out.
    duration_ps
        Time simulated, equilibration and lengthening included.
    averaged_ps
        Time that is left of it, over which the pressure is averaged.
    n_unconverged_scf
        As of :class:`mlmd.stages.dynamics.results.DynamicsResult`.
    error
        What the run failed with.
    """

    run: str
    scale: float
    volume_A3: float
    pressure_GPa: float | None = None
    stderr_GPa: float | None = None
    temperature_K: float | None = None
    n_discarded: int | None = None
    duration_ps: float | None = None
    n_unconverged_scf: int = 0
    error: str | None = None
    averaged_ps: float | None = None


def equation_of_state(
    points: Sequence[Mapping[str, Any]], B0_prime: float | None
) -> BirchMurnaghan | None:
    """Return the curve through the points that have a pressure, weighted around P = 0."""
    try:
        return fit_around_zero(*pressure_columns(points), B0_prime=B0_prime)
    except InputError:  # too few points
        return None


def pressure_columns(points: Sequence[Mapping[str, Any]]) -> tuple[FloatArray, ...]:
    """Return volumes (A3), pressures, their errors (GPa) and averaged times (ps) of good runs."""
    good = [point for point in points if point["pressure_GPa"] is not None]
    volumes, pressures, errors = (
        np.array([float(point[key]) for point in good])
        for key in ("volume_A3", "pressure_GPa", "stderr_GPa")
    )
    times = np.array([point.get("averaged_ps") or point["duration_ps"] for point in good])
    return volumes, pressures, errors, times


def write_table(path: Path, points: Sequence[VolumePoint], n_atoms: int) -> None:
    """Write the runs as a table of comma-separated values, atomically."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        (
            "run",
            "scale",
            "volume_A3",
            "volume_per_atom_A3",
            "pressure_GPa",
            "pressure_stderr_GPa",
            "temperature_K",
            "frames_discarded",
            "duration_ps",
            "error",
        )
    )
    for point in points:
        numbers = (
            point.scale,
            point.volume_A3,
            point.volume_A3 / n_atoms,
            point.pressure_GPa,
            point.stderr_GPa,
            point.temperature_K,
        )
        table.writerow(
            (
                point.run,
                *("" if number is None else f"{number:.6g}" for number in numbers),
                "" if point.n_discarded is None else point.n_discarded,
                "" if point.duration_ps is None else f"{point.duration_ps:g}",
                point.error or "",
            )
        )
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))
