"""Tracer diffusivity: one result, one function, several estimators by name."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from mlmd.analysis.checks import check_trajectory
from mlmd.analysis.diffusion.bounds import lower_bound_cm2_s, upper_bound_cm2_s
from mlmd.analysis.diffusion.cell_motion import without_cell_motion
from mlmd.analysis.diffusion.drift import Drift, settled_drift
from mlmd.analysis.diffusion.estimators.blocks import blocks
from mlmd.analysis.diffusion.estimators.estimate import DiffusivitySettings, Estimate, Origins
from mlmd.analysis.diffusion.estimators.gls import FEWEST_FRAMES, gls
from mlmd.analysis.diffusion.estimators.kinisi_posterior import kinisi_posterior
from mlmd.analysis.diffusion.estimators.lag import lag
from mlmd.analysis.diffusion.estimators.weighted import weighted
from mlmd.analysis.diffusion.estimators.windowed import windowed
from mlmd.analysis.diffusion.gate import (
    LATE,
    MSD_REQUIRED_A2,
    Motion,
    MotionVerdict,
    exponent_weights,
    judge_motion,
    late_lags,
    upper_relative_stderr,
)
from mlmd.analysis.diffusion.msd import MeanSquaredDisplacement, mean_squared_displacement
from mlmd.analysis.diffusion.relaxation import relaxation
from mlmd.analysis.diffusion.rotation import rotation
from mlmd.analysis.diffusion.scatter import scatter
from mlmd.analysis.diffusion.walkers import Walkers, checked_atoms
from mlmd.checks import shown
from mlmd.errors import InputError
from mlmd.trajectory.thermal_speed import refuse_impossible_speed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlmd.analysis.diffusion.estimators.options import EstimatorOptions
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.trajectory import Trajectory

    Estimator = Callable[[Trajectory, str, DiffusivitySettings, MeanSquaredDisplacement], Estimate]

ESTIMATORS: dict[str, Estimator] = {
    "gls": gls,
    "windowed": windowed,
    "lag": lag,
    "kinisi": kinisi_posterior,
    "blocks": blocks,
    "weighted": weighted,
}
"""Estimators by name; each takes (trajectory, species, settings, msd) and gives an Estimate."""
WITH_OPTIONS = ("kinisi", "blocks", "weighted")
"""Those that have options of their own, and ask for them by ``settings.options_of``."""


@dataclass(frozen=True, eq=False)
class Diffusivity:
    """Tracer diffusivity of one species, its uncertainty, and how it was obtained.

    Attributes
    ----------
    species : str
        Chemical symbol.
    D_raw_cm2_s : float
        What the estimator gives, in cm^2/s and with its sign, whether or not the motion is
        diffusive.
    D_stderr_cm2_s : float or None
        Its standard error; None where the estimator has none.
    D_interval68_cm2_s : (float, float) or None
        Its interval of 68.27 %; None where there is no error.
    df : float
        Degrees of freedom of the standard error, for Student's t; infinite where it is known, 0
        where there is none.
    D_axes_cm2_s : (3,)
        Along x, y and z.
    D_upper_bound_cm2_s, D_lower_bound_cm2_s : float or None
        If the motion is not diffusive: what D is below with 95 %
        (:func:`mlmd.analysis.diffusion.bounds.upper_bound_cm2_s`), and what it is above
        (:func:`mlmd.analysis.diffusion.bounds.lower_bound_cm2_s`).
    n_windows : int
        Number of independent windows, or blocks of time, that the error rests on.
    motion : Motion
        The verdict on the MSD over all time origins, with its numbers.
    window_D_cm2_s : (windows,)
        Diffusivity of each window; empty where the estimator has none.
    lag_ps : (lags,)
        Lags of the curves that follow.
    msd_A2, msd_spread_A2 : (lags,)
        Mean over the windows of their MSD, and its standard deviation over the windows (not
        of the mean); the latter None with fewer than two.
    window_msd_A2 : (windows, lags)
        MSD of each window, or one row over all origins.
    intercept_A2 : float
        Intercept of the mean fitted line; its slope is 6 D.
    settings : DiffusivitySettings
        Estimator, window, fit range, origins and drift, as they were used.
    details : mapping of str to number
        What the estimator has found on the way (see there).
    n_atoms, duration_ps, interval_fs, source
        The data: diffusing atoms, length, time between frames, and where they came from.
    """

    species: str
    D_raw_cm2_s: float
    D_stderr_cm2_s: float | None
    D_interval68_cm2_s: tuple[float, float] | None
    df: float
    D_axes_cm2_s: FloatArray
    D_upper_bound_cm2_s: float | None
    D_lower_bound_cm2_s: float | None
    n_windows: int
    motion: Motion
    window_D_cm2_s: FloatArray
    lag_ps: FloatArray
    msd_A2: FloatArray
    msd_spread_A2: FloatArray | None
    window_msd_A2: FloatArray
    intercept_A2: float
    settings: DiffusivitySettings
    details: Mapping[str, float | int | None]
    n_atoms: int
    duration_ps: float
    interval_fs: float
    source: str

    @property
    def D_cm2_s(self) -> float | None:
        """The diffusivity; None where the motion is not diffusive."""
        return self.D_raw_cm2_s if self.is_diffusive else None

    @property
    def D_half_width68_cm2_s(self) -> float | None:
        """Half the 68 % interval: an error for a fit that allows for few windows."""
        if self.D_interval68_cm2_s is None:
            return None
        low, high = self.D_interval68_cm2_s
        return (high - low) / 2.0

    @property
    def is_diffusive(self) -> bool:
        """Whether the motion is diffusive by :func:`mlmd.analysis.diffusion.gate.judge_motion`."""
        return self.motion.is_diffusive

    @property
    def verdict(self) -> MotionVerdict:
        """What the motion is: diffusive, localised, subdiffusive, or too_short to tell."""
        return self.motion.verdict

    @property
    def needs_ps(self) -> float | None:
        """Length of a run that would tell, by :attr:`Motion.needs_times`; None where unknown."""
        times = self.motion.needs_times
        return None if times is None else times * self.duration_ps

    @property
    def reason(self) -> str:
        """The verdict on the motion in words."""
        return self.motion.reason

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain types for JSON; what is not known is None.

        The standard error and the interval are those of ``D_raw_cm2_s``.
        """
        interval, settings = self.D_interval68_cm2_s, self.settings
        relaxed = self.motion.relaxation
        options = {} if settings.options is None else asdict(settings.options)
        return {
            "D_cm2_s": self.D_cm2_s,
            "D_stderr_cm2_s": self.D_stderr_cm2_s,
            "D_interval68_cm2_s": None if interval is None else list(interval),
            "D_stderr_df": None if math.isinf(self.df) else self.df,
            "D_raw_cm2_s": self.D_raw_cm2_s,
            "D_axes_cm2_s": self.D_axes_cm2_s.tolist(),
            "D_upper_bound_cm2_s": self.D_upper_bound_cm2_s,
            "D_lower_bound_cm2_s": self.D_lower_bound_cm2_s,
            "is_diffusive": self.is_diffusive,
            "verdict": self.verdict,
            "needs_ps": self.needs_ps,
            "reason": self.reason,
            "relaxation_time_ps": None if relaxed is None else relaxed.time_ps,
            "run_over_relaxation_time": (
                None if relaxed is None or relaxed.time_ps is None else relaxed.relaxations
            ),
            "gate": self.motion.to_dict(),
            "n_windows": self.n_windows,
            "estimator": settings.estimator,
            "settings": {
                "window_ps": settings.window_ps,
                "fit_ps": None if settings.fit_ps is None else list(settings.fit_ps),
                "origins": settings.origins,
                "drift": settings.drift,
                "mobile": settings.mobile,
                **({} if settings.atoms is None else {"atoms": list(settings.atoms)}),
                **options,
                **self.details,
            },
        }


def diffusivity_settings(
    estimator: str | None = None,
    window_ps: float | None = None,
    fit_ps: tuple[float, float] | None = None,
    drift: Drift = "cell",
    mobile: str | None = None,
    origins: Origins = "sliding",
    options: EstimatorOptions | None = None,
    atoms: Sequence[int] | None = None,
) -> DiffusivitySettings:
    """Return how :func:`diffusivity` is to measure, checked as far as it goes without data.

    Raises
    ------
    InputError
        If the estimator is not known, or something does not go with it.
    """
    if estimator is None:
        estimator = "gls" if window_ps is None else "windowed"
    if not isinstance(estimator, str) or estimator not in ESTIMATORS:
        raise InputError(f"estimator {shown(estimator)} is not known; give {', '.join(ESTIMATORS)}")
    if window_ps is not None and estimator != "windowed":
        raise InputError(
            f"a window of {shown(window_ps)} ps was given for the estimator '{estimator}', which "
            "has none; leave it out, or take estimator 'windowed'"
        )
    if options is not None and estimator not in WITH_OPTIONS:
        raise InputError(
            f"{options} was given for estimator '{estimator}', which has none of its own"
        )
    return DiffusivitySettings(
        estimator=estimator,
        window_ps=window_ps,
        fit_ps=fit_ps,
        origins=origins,
        drift=drift,
        mobile=mobile,
        options=options,
        atoms=checked_atoms(atoms),
    )


def diffusivity(
    trajectory: Trajectory,
    species: str,
    *,
    estimator: str | None = None,
    window_ps: float | None = None,
    fit_ps: tuple[float, float] | None = None,
    drift: Drift = "cell",
    mobile: str | None = None,
    origins: Origins = "sliding",
    options: EstimatorOptions | None = None,
    atoms: Sequence[int] | None = None,
) -> Diffusivity:
    r"""Tracer diffusivity of one species, :math:`\mathrm{MSD}(t) \to 6 D t`.

    Parameters
    ----------
    trajectory
        Unwrapped positions at even intervals.
    species
        Chemical symbol of the diffusing atoms.
    estimator
        ========== ============================================================================
        "gls"      generalised least squares with the full covariance: the default.
                   :func:`mlmd.analysis.diffusion.estimators.gls.gls`
        "windowed" scatter of independent windows; the default where ``window_ps`` is given.
                   :func:`mlmd.analysis.diffusion.estimators.windowed.windowed`
        "lag"      a line on the upper half of the lags up to half the run, without an error.
                   :func:`mlmd.analysis.diffusion.estimators.lag.lag`
        "kinisi"   posterior of the package kinisi.
                   :func:`mlmd.analysis.diffusion.estimators.kinisi_posterior.kinisi_posterior`
        "blocks"   as mpmorph. :func:`mlmd.analysis.diffusion.estimators.blocks.blocks`
        "weighted" as pymatgen-analysis-diffusion. See its own module.
        ========== ============================================================================
    window_ps
        Length of a window in picoseconds, for "windowed" only. There are
        floor(duration / window) of them.
    fit_ps
        First and last lag of the fit in picoseconds; chosen by the estimator where not given. A
        fit from 0 takes vibration for diffusion.
    drift, mobile
        Reference that is held at rest over the whole trajectory: "cell" (mass-weighted centre
        of all atoms), "framework" (of all atoms but ``mobile``, the analysed species where
        not given) or "none". Atoms that were held in place make it "none".
    origins
        Time origins inside a window: "sliding" (all) or "first"; for "windowed" only.
    options
        Settings that only this estimator has: ``BlocksOptions``, ``WeightedOptions`` or
        ``KinisiOptions``.
    atoms
        Indices of the atoms that are measured, of those of the species; all where not given. The
        drift is that of all atoms.

    Returns
    -------
    Diffusivity
        ``D_cm2_s`` is None where the motion is not diffusive; ``D_raw_cm2_s`` may be negative.

    Raises
    ------
    InputError
        If the estimator or the species is not known, the frames are not evenly spaced, the
        window is longer than the trajectory, or the fit range is outside the window or holds
        fewer than three lags.
    """
    check_trajectory(trajectory)
    settings = diffusivity_settings(
        estimator, window_ps, fit_ps, drift, mobile, origins, options, atoms
    )
    settings.refuse_unused()
    drift = settled_drift(trajectory, settings.drift)
    settings = replace(
        settings, drift=drift, mobile=(mobile or species) if drift == "framework" else None
    )
    refuse_impossible_speed(trajectory, None)
    trajectory = without_cell_motion(trajectory)
    msd = mean_squared_displacement(trajectory, species, drift=drift, mobile=mobile, atoms=atoms)
    estimate = ESTIMATORS[settings.estimator](trajectory, species, settings, msd)
    walkers = Walkers.of(trajectory, species, drift, settings.mobile, atoms)
    known = estimate
    if (settings.estimator, settings.fit_ps) != ("gls", None) and len(trajectory) >= FEWEST_FRAMES:
        plain = replace(settings, estimator="gls", window_ps=None, fit_ps=None, options=None)
        known = gls(trajectory, species, plain, msd)
    motion = _judge(trajectory, walkers, known, msd)
    if motion.is_diffusive and estimate.D_cm2_s <= 0:
        reason = f"the fitted line does not rise, though the {motion.reason}"
        motion = replace(motion, verdict="too_short", reason=reason)
    upper = lower = None
    if not motion.is_diffusive:
        upper = upper_bound_cm2_s(
            estimate, motion, n_atoms=msd.n_atoms, duration_ps=trajectory.duration_ps
        )
        lower = lower_bound_cm2_s(estimate, walkers, msd, motion)
    curves_A2 = estimate.window_msd_A2
    return Diffusivity(
        species=species,
        D_raw_cm2_s=estimate.D_cm2_s,
        D_stderr_cm2_s=estimate.D_stderr_cm2_s,
        D_interval68_cm2_s=estimate.D_interval68_cm2_s,
        df=estimate.df,
        D_axes_cm2_s=estimate.D_axes_cm2_s,
        D_upper_bound_cm2_s=upper,
        D_lower_bound_cm2_s=lower,
        n_windows=estimate.n_windows,
        motion=motion,
        window_D_cm2_s=estimate.window_D_cm2_s,
        lag_ps=estimate.lag_ps,
        msd_A2=curves_A2.mean(axis=0),
        msd_spread_A2=curves_A2.std(axis=0, ddof=1) if len(curves_A2) > 1 else None,
        window_msd_A2=curves_A2,
        intercept_A2=estimate.intercept_A2,
        settings=replace(settings, fit_ps=estimate.fit_ps, window_ps=estimate.window_ps),
        details=estimate.details,
        n_atoms=msd.n_atoms,
        duration_ps=trajectory.duration_ps,
        interval_fs=msd.interval_fs,
        source=trajectory.source,
    )


def _judge(
    trajectory: Trajectory, walkers: Walkers, estimate: Estimate, msd: MeanSquaredDisplacement
) -> Motion:
    """Judge the late motion, with an estimate by the default estimator whatever D is read by."""
    lags = late_lags(len(walkers), LATE)
    late_stderr = relative = None
    if len(lags) > 1 and (msd.msd_A2[lags] > 0).all():
        found = scatter(walkers, lags, exponent_weights(lags) / msd.msd_A2[lags])
        late_stderr = math.sqrt(found.variance)
    D, df = estimate.D_cm2_s, estimate.df
    if estimate.D_stderr_cm2_s is not None and D > 0:
        relative = upper_relative_stderr(estimate.D_stderr_cm2_s / D, df)
    motion = judge_motion(
        msd.msd_A2,
        msd.n_atoms,
        late_stderr=late_stderr,
        relaxation=relaxation(walkers, msd.interval_fs / 1000.0),
        relative_stderr=relative,
    )
    if motion.msd_reached_A2 >= MSD_REQUIRED_A2 and motion.verdict != "localised":
        turning = rotation(trajectory, walkers)
        if turning is not None:
            reason = (
                f"groups rotate in place: {100 * turning.share:.0f} % of the MSD is of atoms at a "
                f"constant {turning.distance_A:.2f} A from a {turning.partner}"
            )
            return replace(
                motion, verdict="localised", reason=reason, needs_times=None, rotation=turning
            )
    return motion
