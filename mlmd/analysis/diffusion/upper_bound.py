"""The most that D can be where a run was too short, or too still, to measure it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlmd.analysis.diffusion.gate import JUMP_LENGTH_A
from mlmd.analysis.diffusion.units import A2_PS_IN_CM2_S
from mlmd.numerics.student import ONE_SIGMA, student_factor

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.estimators.estimate import Estimate
    from mlmd.analysis.diffusion.gate import Motion

PROBABILITY = 0.95
"""One-sided probability of the bound."""


def upper_bound_cm2_s(
    estimate: Estimate, motion: Motion, *, n_atoms: int, duration_ps: float
) -> float | None:
    r"""Upper bound of the diffusivity at 95 %, the larger of two.

    *Jumps.* N atoms in a time T make :math:`6 N D T / a^2` jumps of length a on the average, by a
    Poisson distribution. An estimate D stands for :math:`n = 6 N \max(D, 0) T / a^2` of them; the
    mean is below :math:`n_{95} = \tfrac12 \chi^2_{0.95}(2 n + 2)` with 95 %, thus

    .. math:: D \le \frac{a^2 n_{95}}{6 N T}, \qquad a = 3\,\text{A}.

    Without a single jump :math:`n_{95} = 3.0`: nothing is known of what happens less often.

    *Error.* The one-sided limit of the estimate itself: D, or 0 if that is more, and the upper
    half of its 68 % interval, scaled from 84.13 to 95 % by Student's t. Without an error of its
    own the relative deviation of He et al. stands for it.

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
    from scipy.special import chdtri

    if motion.log_log_slope is not None and motion.log_log_slope > motion.slope_range[1]:
        return None
    D = max(estimate.D_cm2_s, 0.0)
    one_jump = JUMP_LENGTH_A**2 / (6.0 * n_atoms * duration_ps) * A2_PS_IN_CM2_S
    by_jumps = one_jump * 0.5 * float(chdtri(2.0 * D / one_jump + 2.0, 1.0 - PROBABILITY))
    one_sided = 2.0 * PROBABILITY - 1.0
    if estimate.D_interval68_cm2_s is not None:
        half = estimate.D_interval68_cm2_s[1] - estimate.D_cm2_s
        half *= student_factor(estimate.df, one_sided) / student_factor(estimate.df, ONE_SIGMA)
    else:
        half = D * (motion.relative_deviation or 0.0) * student_factor(math.inf, one_sided)
    return max(by_jumps, D + half)
