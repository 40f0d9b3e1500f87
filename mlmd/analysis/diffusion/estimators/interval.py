"""Intervals of a diffusivity: chi-squared for the walk, normal for the rest, Student for few."""

from __future__ import annotations

import math

from mlmd.numerics.student import ONE_SIGMA, student_factor


def diffusion_interval(
    D: float,
    walk_variance: float,
    rest_variance: float,
    *,
    scale: float = 1.0,
    df: float = math.inf,
    probability: float = ONE_SIGMA,
) -> tuple[float, float]:
    r"""Central interval of a diffusivity.

    The variance that is the randomness of the walk grows with :math:`D^2`: it is that of
    :math:`D \chi^2_\nu / \nu` with :math:`\nu = 2 D^2 / V`, which for few steps is far from
    symmetric. The rest (vibration, the fitted static part) is normal. Each side's two parts add
    in squares [1]_.

    Parameters
    ----------
    D
        Estimate, in any unit.
    walk_variance, rest_variance
        Its variance in that unit, squared.
    scale, df
        Factor on both sides and degrees of freedom with which it is known.
    probability
        Inside.

    References
    ----------
    .. [1] G. Y. Zou, A. Donner, Statist. Med. 27, 1693 (2008). DOI 10.1002/sim.3095
    """
    from scipy.special import chdtri

    z = student_factor(math.inf, probability)
    factor = scale * student_factor(df, probability) / z
    below = above = 0.0
    if D > 0 and walk_variance > 0:
        # Below two degrees of freedom (one jump) it is not the walk any more that is random: what
        # is far above D^2 is noise about nothing, and symmetric.
        walk = min(walk_variance, D**4 / walk_variance)
        rest_variance += walk_variance - walk
        walk_variance = walk
        nu = 2.0 * D * D / walk_variance
        tail = 0.5 * (1.0 - probability)
        below = D * (1.0 - nu / float(chdtri(nu, tail)))
        above = D * (nu / float(chdtri(nu, 1.0 - tail)) - 1.0)
    else:
        rest_variance = rest_variance + walk_variance
    rest = z * z * rest_variance
    return (
        D - factor * math.sqrt(below**2 + rest),
        D + factor * math.sqrt(above**2 + rest),
    )
