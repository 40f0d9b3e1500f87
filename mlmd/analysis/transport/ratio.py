"""Interval of a ratio from the intervals of its two parts."""

from __future__ import annotations

import math


def ratio_interval(
    numerator: tuple[float, float, float], denominator: tuple[float, float, float]
) -> tuple[float, float] | None:
    r"""Interval of a ratio of two independent positive quantities.

    Each side recovers the variance from the two parts' own, asymmetric limits [1]_. Positive
    correlation, as that of a tracer and a charge diffusivity of one trajectory, would narrow it.

    Parameters
    ----------
    numerator, denominator
        Value, lower and upper limit.

    Returns
    -------
    (float, float) or None
        None where the denominator is not known to differ from zero: nothing bounds the ratio.

    References
    ----------
    .. [1] A. Donner, G. Y. Zou, Stat. Methods Med. Res. 21, 347 (2012).
       DOI 10.1177/0962280210383082
    """
    (a, a_low, a_high), (b, b_low, b_high) = numerator, denominator
    if b_low <= 0:
        return None
    product = a * b
    part = a_low * (2 * a - a_low)
    low = product**2 - part * b_high * (2 * b - b_high)
    high = product**2 - a_high * b_low * (2 * a - a_high) * (2 * b - b_low)
    return (
        part / (product + math.sqrt(max(low, 0.0))),
        (product + math.sqrt(max(high, 0.0))) / (b_low * (2 * b - b_low)),
    )
