"""The most and the least that D can be where a run was too short, or too still, to measure it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlmd.analysis.diffusion.estimators.interval import diffusion_interval
from mlmd.analysis.diffusion.gate import LATE, late_lags
from mlmd.analysis.diffusion.scatter import scatter
from mlmd.analysis.diffusion.units import A2_PS_IN_CM2_S, JUMP_LENGTH_A
from mlmd.numerics.weighted_line import slope_weights

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.estimators.estimate import Estimate
    from mlmd.analysis.diffusion.gate import Motion
    from mlmd.analysis.diffusion.msd import MeanSquaredDisplacement
    from mlmd.analysis.diffusion.walkers import Walkers

PROBABILITY = 0.95
"""One-sided probability of a bound."""


def upper_bound_cm2_s(
    estimate: Estimate, motion: Motion, *, n_atoms: int, duration_ps: float
) -> float | None:
    r"""Upper bound of the diffusivity at 95 %, the larger of two.

    *Jumps.* N atoms in a time T make :math:`6 N D T / a^2` jumps of length a on the average, by a
    Poisson distribution. An estimate D stands for :math:`n = 6 N \max(D, 0) T / a^2` of them; the
    mean is below :math:`n_{95} = \tfrac12 \chi^2_{0.95}(2 n + 2)` with 95 %, thus

    .. math:: D \le \frac{a^2 n_{95}}{6 N T}, \qquad a = 3\,\text{A}.

    Without a single jump :math:`n_{95} = 3.0`: nothing is known of what happens less often.

    *Error.* The upper end of the chi-squared interval of 90 % about D, or 0 if that is more
    (:func:`mlmd.analysis.diffusion.estimators.interval.diffusion_interval`): the rate of a run that
    happened to be slow fluctuates less, so that its error must be taken in proportion. Without an
    error of its own the relative deviation of He et al. stands for it.

    An MSD that bends downwards, as any motion in cages does, is steeper at the lags that were
    fitted than in the limit: the bound holds for it too. Where it bends upwards (log-log slope
    above 1.5) nothing bounds D, and None is given.

    Parameters
    ----------
    estimate, motion
        The diffusivity, and the verdict on the motion.
    n_atoms, duration_ps
        Size of the data.
    """
    if motion.log_log_slope is not None and motion.log_log_slope > motion.slope_range[1]:
        return None
    D, df = max(estimate.D_cm2_s, 0.0), estimate.df
    if estimate.D_stderr_cm2_s is None:
        stderr, df = D * (motion.relative_deviation or 0.0), math.inf
    else:
        stderr = estimate.D_stderr_cm2_s
    return larger_bound_cm2_s(D, stderr, df, n_atoms * duration_ps)


def larger_bound_cm2_s(D_cm2_s: float, stderr_cm2_s: float, df: float, atom_ps: float) -> float:
    """Larger of the bounds from the error and from the jumps in so many atoms times picoseconds."""
    from scipy.special import chdtri

    one_jump = JUMP_LENGTH_A**2 / (6.0 * atom_ps) * A2_PS_IN_CM2_S
    jumps = 0.5 * float(chdtri(2.0 * D_cm2_s / one_jump + 2.0, 1.0 - PROBABILITY))
    return max(one_jump * jumps, _ends(D_cm2_s, stderr_cm2_s, df)[1])


def lower_bound_cm2_s(
    estimate: Estimate, walkers: Walkers, msd: MeanSquaredDisplacement, motion: Motion
) -> float:
    r"""Lower bound of the diffusivity at 95 %; 0 where motion stays where it is.

    The lower end of the interval of 90 % about the slope at the latest lags, a sixth to a half of
    the run, or about the estimate if that is lower. If the MSD bends downwards there as
    :math:`t^n`, the slope falls on, by :math:`s^{n - 1}` in a run s times as long: s is what a run
    needs to tell, and if that is not known the bound is 0.
    """
    if motion.verdict == "localised" or motion.needs_times is None or motion.late is None:
        return 0.0
    lags = late_lags(len(walkers), LATE)
    lag_ps = msd.lag_ps[lags]
    weights = slope_weights(lag_ps) * (A2_PS_IN_CM2_S / 6.0)
    D = float(weights @ msd.msd_A2[lags])
    found = scatter(walkers, lags, weights)
    low = _ends(D, math.sqrt(found.variance), found.df)[0]
    if estimate.D_stderr_cm2_s is not None:
        low = min(low, _ends(estimate.D_cm2_s, estimate.D_stderr_cm2_s, estimate.df)[0])
    fall = min(1.0, float(motion.needs_times ** (motion.late.value - 1.0)))
    return max(0.0, low * fall)


def _ends(D_cm2_s: float, stderr_cm2_s: float, df: float) -> tuple[float, float]:
    """Both bounds from a standard error."""
    two_sided = 2.0 * PROBABILITY - 1.0
    return diffusion_interval(D_cm2_s, stderr_cm2_s**2, 0.0, df=df, probability=two_sided)
