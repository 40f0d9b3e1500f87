"""Tracer diffusivity: one result, one function, several estimators by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.analysis.drift import Drift
from mlmd.analysis.estimate import DiffusivitySettings, Estimate, Origins
from mlmd.analysis.motion import Motion, judge_motion
from mlmd.analysis.msd import mean_squared_displacement
from mlmd.analysis.windowed import fit_range, windowed
from mlmd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlmd.trajectory.trajectory import Trajectory

    FloatArray = NDArray[np.floating[Any]]
    Estimator = Callable[[Trajectory, str, DiffusivitySettings], Estimate]

ESTIMATORS: dict[str, Estimator] = {"windowed": windowed}
"""Estimators by name; each takes (trajectory, species, settings) and gives an Estimate."""


@dataclass(frozen=True, eq=False)
class Diffusivity:
    """Tracer diffusivity of one species, its uncertainty, and how it was obtained.

    Attributes
    ----------
    species : str
        Chemical symbol.
    D_cm2_s : float
        Tracer diffusivity in cm^2/s. It is given, with its sign, whether or not the motion
        is diffusive: read it together with ``is_diffusive``.
    D_stderr_cm2_s : float or None
        Standard error over the windows; None with fewer than two.
    D_interval68_cm2_s : (float, float) or None
        Student-t interval of 68.27 %; None with fewer than two windows.
    n_windows : int
        Number of independent windows.
    motion : Motion
        The verdict on the MSD over all time origins, with its numbers.
    window_D_cm2_s : (windows,)
        Diffusivity of each window.
    lag_ps : (lags,)
        Lags of the curves that follow.
    msd_A2, msd_spread_A2 : (lags,)
        Mean over the windows of their MSD, and its standard deviation over the windows (not
        of the mean); the latter None with fewer than two.
    window_msd_A2 : (windows, lags)
        MSD of each window.
    intercept_A2 : float
        Intercept of the mean fitted line; its slope is 6 D.
    settings : DiffusivitySettings
        Estimator, window, fit range, origins and drift.
    n_atoms, duration_ps, interval_fs, source
        The data: diffusing atoms, length, time between frames, and where they came from.
    """

    species: str
    D_cm2_s: float
    D_stderr_cm2_s: float | None
    D_interval68_cm2_s: tuple[float, float] | None
    n_windows: int
    motion: Motion
    window_D_cm2_s: FloatArray
    lag_ps: FloatArray
    msd_A2: FloatArray
    msd_spread_A2: FloatArray | None
    window_msd_A2: FloatArray
    intercept_A2: float
    settings: DiffusivitySettings
    n_atoms: int
    duration_ps: float
    interval_fs: float
    source: str

    @property
    def D_half_width68_cm2_s(self) -> float | None:
        """Half the 68 % interval: an error for a fit that allows for few windows."""
        if self.D_interval68_cm2_s is None:
            return None
        low, high = self.D_interval68_cm2_s
        return (high - low) / 2.0

    @property
    def is_diffusive(self) -> bool:
        """Whether the motion is diffusive by :func:`mlmd.analysis.motion.judge_motion`."""
        return self.motion.is_diffusive

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain types for JSON; what is not known is None."""
        interval = self.D_interval68_cm2_s
        return {
            "D_cm2_s": self.D_cm2_s,
            "D_stderr_cm2_s": self.D_stderr_cm2_s,
            "D_interval68_cm2_s": None if interval is None else list(interval),
            "is_diffusive": self.is_diffusive,
            "n_windows": self.n_windows,
            "estimator": self.settings.estimator,
        }


def diffusivity(
    trajectory: Trajectory,
    species: str,
    *,
    estimator: str = "windowed",
    window_ps: float = 15.0,
    fit_ps: tuple[float, float] = (1.0, 15.0),
    drift: Drift = "cell",
    mobile: str | None = None,
    origins: Origins = "sliding",
) -> Diffusivity:
    r"""Tracer diffusivity of one species, :math:`\mathrm{MSD}(t) \to 6 D t`.

    Parameters
    ----------
    trajectory
        Unwrapped positions at even intervals.
    species
        Chemical symbol of the diffusing atoms.
    estimator
        "windowed": see :func:`mlmd.analysis.windowed.windowed`.
    window_ps
        Length of a window in picoseconds. There are floor(duration / window) of them.
    fit_ps
        First and last lag of the fit in picoseconds. A fit from 0 takes vibration for
        diffusion.
    drift, mobile
        Reference that is held at rest over the whole trajectory: "cell" (mass-weighted centre
        of all atoms), "framework" (of all atoms but ``mobile``, the analysed species where
        not given) or "none".
    origins
        Time origins inside a window: "sliding" (all) or "first".

    Returns
    -------
    Diffusivity
        With fewer than two windows the errors are None. The value may be negative.

    Raises
    ------
    InputError
        If the estimator or the species is not known, the frames are not evenly spaced, the
        window is longer than the trajectory, or the fit range is outside the window or holds
        fewer than three lags.
    """
    if estimator not in ESTIMATORS:
        raise InputError(f"estimator '{estimator}' is not known; give {', '.join(ESTIMATORS)}")
    settings = DiffusivitySettings(
        estimator=estimator,
        window_ps=window_ps,
        fit_ps=fit_ps,
        origins=origins,
        drift=drift,
        mobile=(mobile or species) if drift == "framework" else None,
    )
    estimate = ESTIMATORS[estimator](trajectory, species, settings)
    n_windows = len(estimate.window_D_cm2_s)
    overall = mean_squared_displacement(
        trajectory, species, drift=drift, mobile=mobile, max_lag_ps=settings.fit_ps[1]
    )
    fitted = fit_range(overall.lag_ps, settings.fit_ps)
    return Diffusivity(
        species=species,
        D_cm2_s=estimate.D_cm2_s,
        D_stderr_cm2_s=estimate.D_stderr_cm2_s,
        D_interval68_cm2_s=estimate.D_interval68_cm2_s,
        n_windows=n_windows,
        motion=judge_motion(overall.lag_ps[fitted], overall.msd_A2[fitted]),
        window_D_cm2_s=estimate.window_D_cm2_s,
        lag_ps=estimate.lag_ps,
        msd_A2=estimate.window_msd_A2.mean(axis=0),
        msd_spread_A2=estimate.window_msd_A2.std(axis=0, ddof=1) if n_windows > 1 else None,
        window_msd_A2=estimate.window_msd_A2,
        intercept_A2=estimate.intercept_A2,
        settings=settings,
        n_atoms=overall.n_atoms,
        duration_ps=trajectory.duration_ps,
        interval_fs=overall.interval_fs,
        source=trajectory.source,
    )
