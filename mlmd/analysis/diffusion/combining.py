"""One diffusivity from several independent runs of the same system."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.diffusion.bounds import larger_bound_cm2_s
from mlmd.analysis.diffusion.estimators.interval import diffusion_interval
from mlmd.analysis.diffusion.gate import Exponent, judge, upper_relative_stderr
from mlmd.errors import InputError
from mlmd.numerics.student import independent_mean

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.diffusivity import Diffusivity
    from mlmd.analysis.diffusion.gate import Motion
    from mlmd.arrays import FloatArray

FEWEST_REPLICAS = 3
"""From so many runs on their spread is the error."""


def combine(results: Sequence[Diffusivity]) -> Diffusivity:
    """Combine the diffusivities of independent runs (seeds) of the same system.

    Runs are weighted by their atoms times their duration, not by their own errors: those grow
    with D, so that runs that happen to be slow would count for more. From three runs on the spread
    between them is the error, with Student's t: it knows all that differs between runs. With two,
    the errors of the runs and their spread are pooled by their degrees of freedom.

    Parameters
    ----------
    results
        One or more, of the same species.

    Returns
    -------
    Diffusivity
        ``window_D_cm2_s`` and ``window_msd_A2`` are those of the runs, ``details`` has the number
        of runs and the error of the mean by each source, ``within_stderr_cm2_s`` (the runs' own
        errors) and ``between_stderr_cm2_s`` (their spread). The verdict is on all runs together:
        their mean exponents, and all their relaxation times.

    Raises
    ------
    InputError
        If there is none, or species or estimators differ.
    """
    if not results:
        raise InputError("no diffusivity was given to combine; expected at least one")
    species = sorted({result.species for result in results})
    estimators = sorted({result.settings.estimator for result in results})
    if len(species) > 1 or len(estimators) > 1:
        raise InputError(
            f"diffusivities of {', '.join(species)} by {', '.join(estimators)} were given; "
            "expected one species and one estimator"
        )
    sizes = np.array([result.n_atoms * result.duration_ps for result in results])
    weights = sizes / sizes.sum()
    values = np.array([result.D_raw_cm2_s for result in results])
    D = float(weights @ values)
    within, df_within = _within(results, weights)
    between = None
    if len(results) > 1:
        # Each run's variance about the mean is that of a run of average size over its own.
        shares = sizes * len(sizes) / sizes.sum()
        between = math.sqrt(
            float((shares * (values - D) ** 2).sum()) / (len(results) - 1) / len(results)
        )
    stderr, df = _joined(within, df_within, between, len(results))
    interval = None
    if stderr is not None and stderr > 0:
        interval = diffusion_interval(D, stderr**2, 0.0, df=df)
    motion = _pooled(results, weights, D, stderr, df)
    lag_ps = _shared_lags_ps(results)
    curves_A2 = np.array([np.interp(lag_ps, one.lag_ps, one.msd_A2) for one in results])
    return replace(
        results[0],
        D_raw_cm2_s=D,
        D_stderr_cm2_s=stderr,
        D_interval68_cm2_s=interval,
        df=df,
        D_axes_cm2_s=weights @ np.array([result.D_axes_cm2_s for result in results]),
        D_upper_bound_cm2_s=None
        if motion.is_diffusive
        else larger_bound_cm2_s(max(D, 0.0), stderr or 0.0, df, float(sizes.sum())),
        D_lower_bound_cm2_s=None if motion.is_diffusive else _lower(results),
        n_windows=len(results),
        motion=motion,
        window_D_cm2_s=values,
        lag_ps=lag_ps,
        msd_A2=weights @ curves_A2,
        msd_spread_A2=curves_A2.std(axis=0, ddof=1) if len(results) > 1 else None,
        window_msd_A2=curves_A2,
        intercept_A2=float(weights @ np.array([result.intercept_A2 for result in results])),
        details={
            "n_runs": len(results),
            "within_stderr_cm2_s": within,
            "between_stderr_cm2_s": between,
        },
        duration_ps=float(np.mean([result.duration_ps for result in results])),
        source=", ".join(result.source for result in results),
    )


def _shared_lags_ps(results: Sequence[Diffusivity]) -> FloatArray:
    """Return the lags of the coarsest curve that all reach: runs may differ in their interval."""
    longest = min(float(one.lag_ps[-1]) for one in results if len(one.lag_ps))
    coarsest = max((one.lag_ps for one in results), key=lambda lags: float(lags[1] - lags[0]))
    return np.asarray(coarsest[coarsest <= longest * (1 + 1e-9)])


def _within(results: Sequence[Diffusivity], weights: FloatArray) -> tuple[float | None, float]:
    """Error that the runs' own errors give the mean, and its degrees of freedom."""
    errors = [result.D_stderr_cm2_s for result in results]
    if any(error is None or error <= 0 for error in errors):
        return None, 0.0
    parts = (weights * np.array(errors, dtype=float)) ** 2
    # Satterthwaite: the degrees of freedom of a sum of variances.
    spread = sum(part**2 / r.df for part, r in zip(parts, results, strict=True) if r.df > 0)
    variance = float(parts.sum())
    return math.sqrt(variance), float(variance**2 / spread) if spread > 0 else math.inf


def _joined(
    within: float | None, df_within: float, between: float | None, n: int
) -> tuple[float | None, float]:
    """The error that is given: between three runs or more their spread; else both pooled."""
    if between is None:
        return within, df_within
    if n >= FEWEST_REPLICAS or within is None:
        return between, n - 1.0
    df = min(df_within, 1e6)
    pooled = (df * within**2 + (n - 1) * between**2) / (df + n - 1)
    return math.sqrt(pooled), df + n - 1


def _pooled(
    results: Sequence[Diffusivity], weights: FloatArray, D: float, stderr: float | None, df: float
) -> Motion:
    """Judge the runs as one: mean exponents, all relaxation times together."""
    motions = [result.motion for result in results]
    if len(motions) == 1:
        return motions[0]
    if all(motion.verdict == "localised" for motion in motions):
        return motions[0]
    turning = next((motion for motion in motions if motion.rotation is not None), None)
    if turning is not None:
        return turning
    reached = float(weights @ np.array([motion.msd_reached_A2 for motion in motions]))
    early = _mean([motion.log_log_slope for motion in motions])
    late = _mean([None if motion.late is None else motion.late.value for motion in motions])
    known = [motion.relaxation for motion in motions]
    relaxed = [one for one in known if one is not None]
    times = [one.time_ps for one in relaxed if one.time_ps is not None]
    relaxation = None
    if relaxed:
        total = sum(one.relaxations for one in relaxed)
        mean_ps = float(np.mean(times)) if len(times) == len(relaxed) else None
        relaxation = replace(relaxed[0], time_ps=mean_ps, relaxations=total)
    relative = None
    if stderr is not None and D > 0:
        relative = upper_relative_stderr(stderr / D, df)
    motion = judge(
        reached,
        None if early is None else early.value,
        late,
        sum(result.n_atoms for result in results),
        relaxation,
        relative,
    )
    n_diffusive = sum(one.is_diffusive for one in motions)
    text = f"{n_diffusive} of {len(motions)} runs are diffusive by themselves; together: "
    return replace(motion, reason=text + motion.reason)


def _mean(values: Sequence[float | None]) -> Exponent | None:
    """Mean of the runs' exponents, and its error from their spread."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    mean = independent_mean(known)
    return Exponent(mean.mean, mean.stderr)


def _lower(results: Sequence[Diffusivity]) -> float:
    """The lowest of the runs' bounds: one that is above it all cannot be had from a part."""
    return min(result.D_lower_bound_cm2_s or 0.0 for result in results)
