"""Diffusivity by the smoothing and weights of pymatgen-analysis-diffusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.diffusion.estimators.estimate import DiffusivitySettings, Estimate
from mlmd.analysis.diffusion.estimators.options import WeightedOptions
from mlmd.analysis.diffusion.units import A2_PS_IN_CM2_S
from mlmd.analysis.diffusion.walkers import chosen_atoms
from mlmd.errors import InputError
from mlmd.numerics.weighted_line import weighted_line

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.msd import MeanSquaredDisplacement
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.trajectory import Trajectory


_SHORTEST_PS = 1.0  # with "max": first lag, and
_N_LAGS = 200  # about this many lags


def weighted(
    trajectory: Trajectory,
    species: str,
    settings: DiffusivitySettings,
    msd: MeanSquaredDisplacement,
) -> Estimate:
    """Weighted line through an MSD that is smoothed over time origins.

    To compare with published numbers. With ``smoothed="max"`` lags run from 1 ps to the longest
    that has ``min_obs`` observations (atoms times independent origins), each is averaged over all
    origins, and weighted by 1/lag; with "constant" each is averaged over the first ``avg_nsteps``
    origins; with False the displacement from the first frame is fitted from lag 0 on.

    The framework's drift is removed as there: the plain average over its atoms, not weighted by
    mass, whatever ``drift`` says other than "none". The published standard deviation of the slope
    takes the correlated points as independent and is not given.

    Parameters
    ----------
    trajectory, species
        What is measured.
    settings
        Uses ``options`` (:class:`WeightedOptions`), ``drift`` and ``mobile``.
    msd
        Gives the time between frames.

    Raises
    ------
    InputError
        If the trajectory is too short for the options.

    References
    ----------
    S. P. Ong, Y. Mo, W. D. Richards, L. Miara, H. S. Lee, G. Ceder, Energy Environ. Sci. 6, 148
    (2013). DOI 10.1039/C2EE23355J
    """
    options = settings.options_of(WeightedOptions)
    moved_A = _displacements(trajectory, species, settings)
    frames, interval_ps = len(moved_A), msd.interval_fs / 1000.0
    lags = _lags(options, frames, moved_A.shape[1], interval_ps, trajectory.source)
    axes_A2 = np.array([_squares(moved_A, lag, options) for lag in lags])
    lag_ps = lags * interval_ps
    sigma = np.sqrt(lag_ps) if options.smoothed == "max" else None
    line = weighted_line(lag_ps, axes_A2.sum(axis=1), sigma)
    slopes = np.array([weighted_line(lag_ps, curve, sigma).slope for curve in axes_A2.T])
    return Estimate(
        D_cm2_s=line.slope / 6.0 * A2_PS_IN_CM2_S,
        D_axes_cm2_s=slopes / 2.0 * A2_PS_IN_CM2_S,
        fit_ps=(float(lag_ps[0]), float(lag_ps[-1])),
        lag_ps=lag_ps,
        window_msd_A2=axes_A2.sum(axis=1)[None],
        intercept_A2=line.intercept,
    )


def _displacements(
    trajectory: Trajectory, species: str, settings: DiffusivitySettings
) -> FloatArray:
    """Displacements (frames, n, 3) since the first frame, without the framework's drift."""
    positions_A = trajectory.positions_A
    atoms = chosen_atoms(trajectory, species, settings.atoms)
    moved: FloatArray = positions_A[:, atoms].astype(np.float64)
    moved -= moved[0].copy()
    framework = np.setdiff1d(
        np.arange(trajectory.n_atoms), trajectory.indices(settings.mobile or species)
    )
    if settings.drift != "none" and len(framework):
        centre = np.array(
            [frame[framework].mean(axis=0, dtype=np.float64) for frame in positions_A]
        )
        moved -= (centre - centre[0])[:, None, :]
    return moved


def _lags(
    options: WeightedOptions, frames: int, n_atoms: int, interval_ps: float, source: str
) -> IntArray:
    """Lags of the fit in frames."""
    if options.smoothed == "max":
        first = int(_SHORTEST_PS / interval_ps + 1e-9)
        last = min(n_atoms * frames // options.min_obs, frames)
        if 0 < first < last - 2:
            return np.arange(first, last, max((last - first) // _N_LAGS, 1))
    else:
        last = frames - options.avg_nsteps if options.smoothed else frames
        if last >= 3:
            return np.arange(last)
    raise InputError(
        f"{options} leaves no lag to fit in {source} of {frames} frames every {interval_ps:g} ps; "
        "run longer, or ask for fewer observations"
    )


def _squares(moved_A: FloatArray, lag: int, options: WeightedOptions) -> FloatArray:
    """Mean squared displacement along each axis at one lag."""
    if options.smoothed == "max":
        steps: FloatArray = moved_A[lag:] - moved_A[: len(moved_A) - lag]
    elif options.smoothed == "constant":
        n = options.avg_nsteps
        steps = moved_A[lag : lag + n] - moved_A[:n]
    else:
        steps = moved_A[lag : lag + 1]
    mean: FloatArray = (steps**2).mean(axis=(0, 1))
    return mean
