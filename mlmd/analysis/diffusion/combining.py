"""One diffusivity from several independent runs of the same system."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.analysis.diffusion.gate import JUMP_LENGTH_A
from mlmd.analysis.diffusion.units import A2_PS_IN_CM2_S
from mlmd.analysis.diffusion.upper_bound import PROBABILITY
from mlmd.errors import InputError
from mlmd.numerics.student import independent_mean, student_factor

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.diffusivity import Diffusivity
    from mlmd.analysis.diffusion.gate import MotionVerdict

_CONSISTENT = 0.05  # below this probability of chi-squared the runs' own errors are too small


@dataclass(frozen=True, eq=False)
class CombinedDiffusivity:
    """Tracer diffusivity of one species from several runs.

    Attributes
    ----------
    species : str
        Chemical symbol.
    D_raw_cm2_s : float
        Mean of the runs, weighted by atoms times duration.
    D_stderr_cm2_s : float or None
        Its standard error.
    D_interval68_cm2_s : (float, float) or None
        Its interval of 68.27 %.
    D_axes_cm2_s : (3,)
        Along x, y and z.
    D_upper_bound_cm2_s : float or None
        Where the motion is not diffusive: what D is below with 95 %, all runs together.
    verdict : {"diffusive", "localised", "subdiffusive", "too_short"}
        That of the first run that is not diffusive; ``diffusive`` where every run is.
    needs_ps : float or None
        The longest run that one of them needs to tell.
    reason : str
        What was found, in words.
    chi2_per_df, p_value : float or None
        Consistency of the runs: squared deviations over their own errors, and the probability of
        more if only those errors are at work; None without errors.
    error_scale : float
        Factor on the propagated error: sqrt(chi2/df) where the runs are not consistent, else 1.
    results : tuple of Diffusivity
        The runs.
    """

    species: str
    D_raw_cm2_s: float
    D_stderr_cm2_s: float | None
    D_interval68_cm2_s: tuple[float, float] | None
    D_axes_cm2_s: np.ndarray[Any, Any]
    D_upper_bound_cm2_s: float | None
    verdict: MotionVerdict
    needs_ps: float | None
    reason: str
    chi2_per_df: float | None
    p_value: float | None
    error_scale: float
    results: tuple[Diffusivity, ...]

    @property
    def is_diffusive(self) -> bool:
        """Whether every run is."""
        return self.verdict == "diffusive"

    @property
    def D_lower_bound_cm2_s(self) -> float | None:
        """As of one run: 0 where the motion is not diffusive."""
        return None if self.is_diffusive else 0.0

    @property
    def D_cm2_s(self) -> float | None:
        """The diffusivity; None where the motion of a run is not diffusive."""
        return self.D_raw_cm2_s if self.is_diffusive else None


def combine(results: Sequence[Diffusivity]) -> CombinedDiffusivity:
    """Combine the diffusivities of independent runs (seeds) of the same system.

    Runs are weighted by their atoms times their duration, not by their own errors: those grow
    with D, so that runs that happen to be slow would count for more. The errors are propagated;
    where chi-squared says that the runs differ by more (p < 0.05), the error is multiplied by
    sqrt(chi2/df), with Student's t. Runs without errors get theirs from the scatter between runs.

    Parameters
    ----------
    results
        One or more, of the same species.

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
    errors = [result.D_stderr_cm2_s for result in results]
    known = [error for error in errors if error is not None and error > 0]
    chi2_per_df = p_value = stderr = interval = None
    scale = 1.0
    if len(known) == len(results):
        sigma = np.array(known)
        stderr = float(np.sqrt(weights**2 @ sigma**2))
        half = _half_widths(results, weights)
        df = len(results) - 1
        if df:
            chi2_per_df, p_value = _consistency(values, sigma, sizes)
            if p_value < _CONSISTENT:
                scale = math.sqrt(max(1.0, chi2_per_df))
                half = half * (scale * student_factor(df))
                stderr *= scale
        interval = (D - float(half[0]), D + float(half[1]))
    elif len(results) > 1:
        mean = independent_mean(values)
        assert mean.interval68 is not None
        stderr = mean.stderr
        width = (mean.interval68[1] - mean.interval68[0]) / 2.0
        interval = (D - width, D + width)
    still = [r for r in results if not r.is_diffusive]
    return CombinedDiffusivity(
        species=species[0],
        D_raw_cm2_s=D,
        D_stderr_cm2_s=stderr,
        D_interval68_cm2_s=interval,
        D_axes_cm2_s=weights @ np.array([result.D_axes_cm2_s for result in results]),
        D_upper_bound_cm2_s=_bound(D, interval, float(sizes.sum())) if still else None,
        verdict=still[0].verdict if still else "diffusive",
        needs_ps=max((r.needs_ps for r in still if r.needs_ps is not None), default=None),
        reason=f"{len(still)} of {len(results)} runs are not diffusive: {still[0].reason}"
        if still
        else f"all {len(results)} runs are diffusive",
        chi2_per_df=chi2_per_df,
        p_value=p_value,
        error_scale=scale,
        results=tuple(results),
    )


def _half_widths(
    results: Sequence[Diffusivity], weights: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Lower and upper half of the interval, each added in squares."""
    halves = []
    for result in results:
        assert result.D_interval68_cm2_s is not None
        low, high = result.D_interval68_cm2_s
        halves.append((result.D_raw_cm2_s - low, high - result.D_raw_cm2_s))
    combined: np.ndarray[Any, Any] = np.sqrt(weights**2 @ np.array(halves) ** 2)
    return combined


def _consistency(
    values: np.ndarray[Any, Any], sigma: np.ndarray[Any, Any], sizes: np.ndarray[Any, Any]
) -> tuple[float, float]:
    """Chi-squared per degree of freedom about the common value, and its probability.

    The variances are those of one mean D: they fall as one over atoms times duration.
    """
    from scipy.special import chdtrc

    variances = float((sigma**2 * sizes).mean()) / sizes
    best = (values * sizes).sum() / sizes.sum()
    chi2, df = float(((values - best) ** 2 / variances).sum()), len(values) - 1
    return chi2 / df, float(chdtrc(df, chi2))


def _bound(D: float, interval: tuple[float, float] | None, atom_ps: float) -> float:
    """As :func:`mlmd.analysis.diffusion.upper_bound.upper_bound_cm2_s`, for the sum of the runs."""
    from scipy.special import chdtri

    one_jump = JUMP_LENGTH_A**2 / (6.0 * atom_ps) * A2_PS_IN_CM2_S
    seen = max(D, 0.0)
    jumps = one_jump * 0.5 * float(chdtri(2.0 * seen / one_jump + 2.0, 1.0 - PROBABILITY))
    one_sided = student_factor(math.inf, 2.0 * PROBABILITY - 1.0)
    return max(jumps, seen + (0.0 if interval is None else (interval[1] - D) * one_sided))
