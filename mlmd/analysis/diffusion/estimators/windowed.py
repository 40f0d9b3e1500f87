"""Diffusivity from independent windows of the trajectory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.checks import check_finite
from mlmd.analysis.diffusion.drift import drift_A
from mlmd.analysis.diffusion.estimators.estimate import (
    PUBLISHED_FIT_PS,
    PUBLISHED_WINDOW_PS,
    DiffusivitySettings,
    Estimate,
    check_lags,
    checked_range,
)
from mlmd.analysis.diffusion.units import A2_PS_IN_CM2_S
from mlmd.analysis.diffusion.walkers import chosen_atoms
from mlmd.errors import InputError
from mlmd.numerics.displacement import all_origins_msd_axes, first_origin_msd_axes
from mlmd.numerics.student import independent_mean
from mlmd.numerics.weighted_line import weighted_line

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.msd import MeanSquaredDisplacement
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.trajectory import Trajectory


def windowed(
    trajectory: Trajectory,
    species: str,
    settings: DiffusivitySettings,
    msd: MeanSquaredDisplacement | None = None,
) -> Estimate:
    r"""Mean and scatter of the diffusivities of non-overlapping windows.

    The drift is removed over the whole trajectory. In each window the MSD is averaged over
    atoms and the time origins inside the window, an ordinary straight line is fitted to it
    over ``fit_ps``, and :math:`D = \text{slope} / 6`. The windows are independent, so their
    scatter gives the error, with Student's t for its 68.27 % interval: points within one MSD
    are correlated, and the standard error of the line itself is worthless.

    Parameters
    ----------
    trajectory
        Unwrapped positions at even intervals.
    species
        Chemical symbol of the diffusing atoms.
    settings
        Uses ``window_ps`` (15 ps where not given), ``fit_ps`` (1 to 15 ps where not given),
        ``origins``, ``drift`` and ``mobile``.
    msd
        Not used.

    Raises
    ------
    InputError
        If the window is longer than the trajectory or fewer than three lags are fitted.

    References
    ----------
    A. Maevskiy et al., arXiv:2411.06804 (2024), section II C; the windows are those of
    L. Kahle, A. Marcolongo, N. Marzari, Energy Environ. Sci. 13, 928 (2020).
    DOI 10.1039/C9EE02457C
    """
    interval_ps = trajectory.uniform_interval_fs() / 1000.0
    window_ps = settings.window_ps or PUBLISHED_WINDOW_PS
    if settings.fit_ps is None and window_ps < PUBLISHED_FIT_PS[1]:
        raise InputError(
            f"the usual fit from {PUBLISHED_FIT_PS[0]:g} to {PUBLISHED_FIT_PS[1]:g} ps is longer "
            f"than windows of {window_ps:g} ps; expected a range inside the window: give both, "
            f"such as --window-ps {window_ps:g} --fit-ps {window_ps / 10:g} {window_ps:g}"
        )
    fit_ps = checked_range(settings.fit_ps or PUBLISHED_FIT_PS, window_ps)
    # Adjacent windows share the frame on their boundary. A window that is no multiple of the
    # interval holds whole frames only and starts on the frame at or before its time.
    width = min(window_ps / interval_ps, 2.0 * len(trajectory))  # longer is refused below
    frames = math.floor(width + 1e-6)
    n_windows = math.floor((len(trajectory) - 1) / width + 1e-6)
    if frames == 0 or n_windows == 0:
        _reject_window(trajectory, window_ps, interval_ps)
    atoms = chosen_atoms(trajectory, species, settings.atoms)
    offset = drift_A(trajectory, settings.drift, settings.mobile or species)
    measure = all_origins_msd_axes if settings.origins == "sliding" else first_origin_msd_axes
    curves = []
    for window in range(n_windows):
        first = math.floor(window * width + 1e-6)
        part = slice(first, first + frames + 1)
        drift = None if offset is None else offset[part]
        curves.append(measure(trajectory.positions_A[part], atoms=atoms, offset=drift))
    axes_A2 = np.array(curves)
    check_finite(axes_A2, trajectory)
    window_msd_A2 = axes_A2.sum(axis=2)
    lag_ps = np.arange(frames + 1) * interval_ps
    fitted = fit_range(lag_ps, fit_ps)
    lines = [weighted_line(lag_ps[fitted], curve[fitted]) for curve in window_msd_A2]
    values = np.array([line.slope / 6.0 * A2_PS_IN_CM2_S for line in lines])
    mean = independent_mean(values)
    return Estimate(
        D_cm2_s=mean.mean,
        D_stderr_cm2_s=mean.stderr,
        D_interval68_cm2_s=mean.interval68,
        D_axes_cm2_s=axes_of_line(lag_ps[fitted], axes_A2.mean(axis=0)[fitted]),
        fit_ps=fit_ps,
        window_ps=window_ps,
        n_windows=n_windows,
        df=float(n_windows - 1),
        window_D_cm2_s=values,
        lag_ps=lag_ps,
        window_msd_A2=window_msd_A2,
        intercept_A2=float(np.mean([line.intercept for line in lines])),
    )


def axes_of_line(lag_ps: FloatArray, msd_axes_A2: FloatArray) -> FloatArray:
    """Diffusivity along each axis (cm^2/s) from ordinary straight lines, MSD = 2 D t."""
    slopes = [weighted_line(lag_ps, curve).slope for curve in msd_axes_A2.T]
    return np.array(slopes) / 2.0 * A2_PS_IN_CM2_S


def fit_range(lag_ps: FloatArray, fit_ps: tuple[float, float]) -> slice:
    """Return the lags of the fit, both ends included.

    Raises
    ------
    InputError
        If there are fewer than three.
    """
    slack = 1e-6 * (lag_ps[1] - lag_ps[0])
    first = int(np.searchsorted(lag_ps, fit_ps[0] - slack))
    last = int(np.searchsorted(lag_ps, fit_ps[1] + slack))
    check_lags(fit_ps, last - first, f"of {lag_ps[1] - lag_ps[0]:g}")
    return slice(first, last)


def _reject_window(trajectory: Trajectory, window_ps: float, interval_ps: float) -> None:
    """Raise InputError: no window fits."""
    if window_ps < interval_ps:
        raise InputError(
            f"a window of {window_ps:g} ps was given for frames every {interval_ps:g} ps "
            f"in {trajectory.source}; expected a longer window"
        )
    duration_ps = trajectory.duration_ps
    short = float(f"{duration_ps / 3:.2g}") or duration_ps  # three windows: the least for an error
    raise InputError(
        f"a window of {window_ps:g} ps is longer than the trajectory: "
        f"{trajectory.source} has {duration_ps:g} ps; run longer, or take shorter windows such as "
        f"--window-ps {short:g} --fit-ps {short / 10:g} {short:g}"
    )
