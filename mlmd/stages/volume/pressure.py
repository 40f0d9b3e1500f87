"""The pressure of one run at one volume, with an error that knows its correlation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from mlmd.errors import SimulationError
from mlmd.numerics.autocorrelation import standard_error
from mlmd.numerics.equilibration import Drift, detect_equilibration, drift
from mlmd.trajectory.h5md.reader import read_scalars

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray

RELIABLE = 50.0
"""Effective samples from which on a standard error decides a convergence."""
FLOOR_GPa = 1e-6  # an ideal gas has a constant virial; the fit needs an error
_BLOCKS = 8


@dataclass(frozen=True)
class PressureMeasurement:
    """Averages over the equilibrated part of a run.

    Attributes
    ----------
    pressure_GPa, stderr_GPa
        Mean and its standard error, an estimate where `n_effective` is small.
    n_effective
        Independent samples that the mean is worth.
    temperature_K
        Kinetic.
    energy_drift
        Slope of the potential energy of the cell, eV/ps.
    half_energy_difference
        Difference of the mean potential energies of the two halves of the whole run over the
        mean of all. It depends on the zero of energy.
    is_settled
        Whether the equilibration was found to take no more than half of the run. A detector
        that would keep less has found a quiet end by chance; half is kept then.
    n_discarded, n_frames, duration_ps
        Frames left out, of how many, and the simulated time, those included.
    """

    pressure_GPa: float
    stderr_GPa: float
    n_effective: float
    temperature_K: float
    energy_drift: Drift
    half_energy_difference: float
    is_settled: bool
    n_discarded: int
    n_frames: int
    duration_ps: float

    @property
    def averaged_ps(self) -> float:
        """Simulated time without the frames left out."""
        return self.duration_ps * (1.0 - self.n_discarded / self.n_frames)

    @property
    def is_reliable(self) -> bool:
        """Whether the standard error can be trusted."""
        return self.is_settled and self.n_effective >= RELIABLE


def measure_pressure(
    path: Path, n_frames: int, *, n_atoms: int, convention: str, second_half: bool
) -> PressureMeasurement:
    """Average over the first `n_frames` frames of a trajectory.

    Parameters
    ----------
    path
        The trajectory, of constant volume.
    n_frames
        Frames that count: a run that was lengthened later gives its earlier numbers again.
    n_atoms
        Atoms in the cell.
    convention
        ``total``, or ``virial``: less N kB T / V with the temperature of each frame.
    second_half
        Average over the second half, as published, instead of what a detector leaves.

    Raises
    ------
    SimulationError
        If a pressure or energy is not finite.
    """
    read = read_scalars(path, trusted=True)
    scalars = {name: values[:n_frames] for name, values in read.items()}
    pressures = scalars["pressures_GPa"]
    temperatures, energies = scalars["temperatures_K"], scalars["energies_eV"]
    if not (np.isfinite(pressures).all() and np.isfinite(energies).all()):
        raise SimulationError(f"{path} has pressures or energies that are not finite")
    if convention == "virial":
        volume_A3 = abs(float(np.linalg.det(scalars["cell_A"][0])))
        pressures = pressures - n_atoms * units.kB * temperatures / volume_A3 / units.GPa
    middle = len(pressures) // 2
    detected = middle if second_half else detect_equilibration(pressures).n_discarded
    discarded = min(detected, middle)
    mean, stderr, n_effective = _mean(pressures[discarded:])
    time_ps = scalars["time_fs"] / 1000.0
    halves = float(energies[middle:].mean() - energies[:middle].mean())
    total = abs(float(energies.mean()))
    return PressureMeasurement(
        pressure_GPa=mean,
        stderr_GPa=max(stderr, FLOOR_GPa),
        n_effective=n_effective,
        temperature_K=float(temperatures[discarded:].mean()),
        energy_drift=drift(energies[discarded:], time_ps[discarded:]),
        half_energy_difference=abs(halves) / total if total > 0 else math.inf,
        is_settled=detected <= middle,
        n_discarded=discarded,
        n_frames=len(pressures),
        duration_ps=float(time_ps[-1] - time_ps[0]),
    )


def _mean(series: FloatArray) -> tuple[float, float, float]:
    """Return mean, standard error and effective samples.

    Oscillations can end the sum over the autocorrelation function before a slow part of it (the
    exchange of heat with the thermostat) has come to bear: the means of blocks see that too, and
    the larger error counts.
    """
    known = standard_error(series, min_effective=0.0)
    stderr, n_effective = known.stderr or 0.0, known.n_effective
    if len(series) >= 2 * _BLOCKS:
        means = [float(block.mean()) for block in np.array_split(series, _BLOCKS)]
        of_blocks = float(np.std(means, ddof=1)) / math.sqrt(_BLOCKS)
        if of_blocks > stderr:
            n_effective = float(np.var(series)) / of_blocks**2
            stderr = of_blocks
    return known.mean, stderr, n_effective
