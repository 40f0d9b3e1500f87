"""Mean squared displacement over all time origins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.checks import check_finite, check_trajectory
from mlmd.analysis.diffusion.cell_motion import without_cell_motion
from mlmd.analysis.diffusion.drift import Drift, drift_A, settled_drift
from mlmd.analysis.diffusion.walkers import chosen_atoms
from mlmd.checks import positive_number
from mlmd.errors import InputError
from mlmd.numerics.displacement import all_origins_msd_atoms, all_origins_msd_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class MeanSquaredDisplacement:
    """Mean squared displacement against lag time, averaged over atoms and time origins.

    The points of the curve share data and are strongly correlated: an error of a fit to them
    that takes them as independent is far too small.

    Attributes
    ----------
    lag_ps : (lags,)
        Lag times in picoseconds, from 0.
    msd_A2 : (lags,)
        In angstrom^2, the sum over the three axes.
    msd_axes_A2 : (lags, 3)
        Along x, y and z.
    msd_atoms_A2 : (lags, n_atoms) or None
        Of each atom, where asked for.
    n_origins : (lags,)
        Number of time origins that each lag was averaged over.
    species : str or None
        Symbol of the atoms averaged over; None for all atoms.
    n_atoms : int
        Number of those atoms.
    drift, mobile
        What was held at rest (see :func:`mlmd.analysis.drift_A`); ``mobile`` is None
        unless ``drift`` is "framework".
    interval_fs : float
        Time between frames.
    source : str
        Where the trajectory came from.
    """

    lag_ps: FloatArray
    msd_A2: FloatArray
    msd_axes_A2: FloatArray
    n_origins: IntArray
    species: str | None
    n_atoms: int
    drift: Drift
    mobile: str | None
    interval_fs: float
    source: str
    msd_atoms_A2: FloatArray | None = None


def mean_squared_displacement(
    trajectory: Trajectory,
    species: str | None = None,
    *,
    drift: Drift = "cell",
    mobile: str | None = None,
    atoms: Sequence[int] | None = None,
    max_lag_ps: float | None = None,
    per_atom: bool = False,
) -> MeanSquaredDisplacement:
    r"""Mean squared displacement of one species, or of all atoms, over all time origins.

    .. math:: \mathrm{MSD}(t) = \langle |\mathbf r_i(t_0 + t) - \mathbf r_i(t_0)|^2
        \rangle_{i, t_0}

    In three dimensions it grows as :math:`6 D t` at long times (A. Einstein, Ann. Phys. 322,
    549 (1905). DOI 10.1002/andp.19053220806).

    Parameters
    ----------
    trajectory
        Unwrapped positions at even intervals.
    species
        Chemical symbol; all atoms where not given.
    drift
        Reference that is held at rest: "cell" (mass-weighted centre of all atoms),
        "framework" (of all atoms but the mobile species) or "none". Held atoms make it "none".
    mobile
        The species that is not framework; the analysed one where not given.
    atoms
        Indices of the atoms that are measured, of those of the species; all where not given.
    max_lag_ps
        Longest lag in picoseconds; all where not given.
    per_atom
        Also keep the curve of each atom (8 bytes for each lag and atom), at twice the time.

    Notes
    -----
    Positions may be mapped from a file. Beyond them memory is a few megabytes or three
    trajectories of one atom, whichever is more, and the curves that are asked for.

    Raises
    ------
    InputError
        If the frames are not evenly spaced, the species is absent, there is no framework,
        the longest lag does not fit, or a position is not finite.
    """
    check_trajectory(trajectory)
    interval_fs = trajectory.uniform_interval_fs()
    drift = settled_drift(trajectory, drift)
    taken = None if species is None else chosen_atoms(trajectory, species, atoms)
    max_lag = None if max_lag_ps is None else _frames(max_lag_ps, interval_fs, trajectory)
    reference = (species if mobile is None else mobile) if drift == "framework" else None
    trajectory = without_cell_motion(trajectory)
    offset_A = drift_A(trajectory, drift, reference)
    positions_A = trajectory.positions_A
    msd_axes_A2 = all_origins_msd_axes(positions_A, atoms=taken, offset=offset_A, max_lag=max_lag)
    check_finite(msd_axes_A2, trajectory)
    msd_A2 = msd_axes_A2.sum(axis=1)
    msd_atoms_A2 = None
    if per_atom:
        msd_atoms_A2 = all_origins_msd_atoms(
            positions_A, atoms=taken, offset=offset_A, max_lag=max_lag
        )
    lags = np.arange(len(msd_A2))
    return MeanSquaredDisplacement(
        lag_ps=lags * (interval_fs / 1000.0),
        msd_A2=msd_A2,
        msd_axes_A2=msd_axes_A2,
        n_origins=len(trajectory) - lags,
        species=species,
        n_atoms=trajectory.n_atoms if taken is None else len(taken),
        drift=drift,
        mobile=reference,
        interval_fs=interval_fs,
        source=trajectory.source,
        msd_atoms_A2=msd_atoms_A2,
    )


def _frames(max_lag_ps: float, interval_fs: float, trajectory: Trajectory) -> int:
    """Return the longest lag in frames, at least one and at most the trajectory."""
    frames = math.floor(
        positive_number("max_lag_ps", max_lag_ps, "ps") * 1000.0 / interval_fs + 1e-6
    )
    if not 1 <= frames < len(trajectory):
        raise InputError(
            f"a longest lag of {max_lag_ps:g} ps was given for {trajectory.source}; expected "
            f"between {interval_fs / 1000:g} (one frame) and {trajectory.duration_ps:g} ps (all)"
        )
    return frames
