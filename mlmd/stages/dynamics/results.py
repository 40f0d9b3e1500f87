"""What a stage of dynamics found, from what it recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.numerics.autocorrelation import standard_error
from mlmd.trajectory.h5md.reader import read_scalars

if TYPE_CHECKING:
    from numpy.typing import NDArray


UNCONVERGED_SCF = "unconverged_scf"
"""Flag of a stage with force calls that did not converge."""
FIXED_ATOMS = "fixed_atoms"
"""Flag of a stage that held atoms in place."""
LANGEVIN_FRICTION = "langevin_friction"
"""Flag of a stage whose motion friction slows down."""
OWN_FLAGS = (LANGEVIN_FRICTION,)
"""Flags that say nothing about stages that go on from where this one ended."""


@dataclass(frozen=True)
class DynamicsResult:
    """Averages over the frames of a stage.

    Standard errors know the correlation of the series; None where the series is too short to
    tell (:func:`mlmd.numerics.autocorrelation.standard_error`) or nothing was recorded.

    Attributes
    ----------
    n_frames, duration_ps
        Recorded frames and simulated time.
    volume_A3
        Mean volume of the cell.
    temperature_K, temperature_stderr_K
        Kinetic temperature over 3N - 3 degrees of freedom, 3M where all but M atoms are held.
    pressure_GPa, pressure_stderr_GPa
        Total pressure, virial and kinetic part; None too where a direction is not periodic.
    potential_energy_eV, potential_energy_stderr_eV
        Of the whole cell.
    conserved_energy_drift_eV_ps
        Slope of the conserved quantity, the whole cell.
    guard_trips
        Why guards tripped; each time the time step was halved for the rest of the stage.
    n_unconverged_scf
        Force calls whose self-consistency did not converge, and which were gone on from.
    n_held_atoms
        Atoms that ``FixAtoms`` held in place.
    friction_per_ps
        Of Langevin dynamics; None for any other.
    """

    n_frames: int
    duration_ps: float
    volume_A3: float
    temperature_K: float
    temperature_stderr_K: float | None
    pressure_GPa: float | None
    pressure_stderr_GPa: float | None
    potential_energy_eV: float
    potential_energy_stderr_eV: float | None
    conserved_energy_drift_eV_ps: float | None
    guard_trips: tuple[str, ...] = ()
    n_unconverged_scf: int = 0
    n_held_atoms: int = 0
    friction_per_ps: float | None = None

    @property
    def flags(self) -> list[str]:
        """What this and, but for :data:`OWN_FLAGS`, every later number is to be marked with."""
        flags = {
            UNCONVERGED_SCF: self.n_unconverged_scf,
            FIXED_ATOMS: self.n_held_atoms,
            LANGEVIN_FRICTION: self.friction_per_ps,
        }
        return [flag for flag, cause in flags.items() if cause]


def dynamics_result(
    path: Path,
    guard_trips: Sequence[str] = (),
    n_unconverged_scf: int = 0,
    *,
    n_held_atoms: int = 0,
    friction_per_ps: float | None = None,
) -> DynamicsResult:
    """Sum up a recorded trajectory.

    Computed from the file alone, so that a run that was interrupted gives the same numbers as
    one that was not.
    """
    scalars = read_scalars(path, trusted=True)
    time_ps = scalars["time_fs"] / 1000.0
    temperature = standard_error(scalars["temperatures_K"])
    energy = standard_error(scalars["energies_eV"])
    pressure = None
    if np.isfinite(scalars["pressures_GPa"]).all():
        pressure = standard_error(scalars["pressures_GPa"])
    return DynamicsResult(
        n_frames=len(time_ps),
        duration_ps=float(time_ps[-1] - time_ps[0]),
        volume_A3=float(np.abs(np.linalg.det(scalars["cell_A"])).mean()),
        temperature_K=temperature.mean,
        temperature_stderr_K=temperature.stderr,
        pressure_GPa=pressure.mean if pressure else None,
        pressure_stderr_GPa=pressure.stderr if pressure else None,
        potential_energy_eV=energy.mean,
        potential_energy_stderr_eV=energy.stderr,
        conserved_energy_drift_eV_ps=_slope(time_ps, scalars["conserved_energies_eV"]),
        guard_trips=tuple(guard_trips),
        n_unconverged_scf=n_unconverged_scf,
        n_held_atoms=n_held_atoms,
        friction_per_ps=friction_per_ps,
    )


def _slope(x: NDArray[Any], y: NDArray[Any]) -> float | None:
    """Return the slope of a straight line; None with fewer than three points."""
    if len(x) < 3:
        return None
    x = x - x.mean()
    return float(x @ (y - y.mean()) / (x @ x))
