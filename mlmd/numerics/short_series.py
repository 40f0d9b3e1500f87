"""Mean of a series too short for its autocorrelation function, as of ten snapshots."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmd.checks import finite_series

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SHORTEST = 6
"""With fewer values the correlation of neighbours cannot be told from chance."""
LARGEST_CORRELATION = 0.9
"""The mean of ten values that are more alike than that is one value: its error is a guess."""


@dataclass(frozen=True)
class ShortSeriesMean:
    r"""Mean of a few values that may be correlated, in the unit of the values.

    Attributes
    ----------
    mean
        Arithmetic mean.
    std
        Sample standard deviation (ddof = 1); None for one value.
    stderr
        Standard error of the mean; None for one value.
    correlation
        Correlation of neighbours that `stderr` allows for, from 0 to 0.9.
    n
        Number of values.
    method
        How `stderr` was made, in words.
    """

    mean: float
    std: float | None
    stderr: float | None
    correlation: float
    n: int
    method: str


def short_series_mean(values: ArrayLike) -> ShortSeriesMean:
    r"""Mean and standard error of a few values at equal intervals.

    The values are taken for a process whose correlation falls by :math:`\rho` from one to the
    next (AR(1)). Then the mean of n has the variance :math:`\sigma^2 g / n` with

    .. math::

        g = \frac{1 + \rho}{1 - \rho} - \frac{2 \rho (1 - \rho^n)}{n (1 - \rho)^2}, \quad
        \sigma^2 = s^2 \frac{n - 1}{n - g},

    s the sample standard deviation, too small for correlated values. :math:`\rho` is the
    correlation of neighbours in the sample, corrected for the subtracted mean:
    :math:`(n \hat\rho + 1) / (n - 4)` [1]_, and not below zero nor above 0.9. With fewer than
    six values they are taken for independent.

    Simulated with ten values and rho = 0, 0.2, 0.4, 0.6, 0.8, the mean and one `stderr` to
    either side cover the truth in 75, 70, 69, 67 and 61 % of the cases (68 is right); s / sqrt(n)
    covers 67, 55, 46, 34 and 22 %.

    Parameters
    ----------
    values : (n,)
        In the order of time.

    Raises
    ------
    InputError
        If there is no value, or one is not finite.

    References
    ----------
    .. [1] From the bias :math:`-(1 + 4\rho)/n`: M. G. Kendall, Biometrika 41, 403 (1954),
       DOI 10.1093/biomet/41.3-4.403; F. H. C. Marriott, J. A. Pope, Biometrika 41, 390 (1954),
       DOI 10.1093/biomet/41.3-4.390.
    """
    array = finite_series(values)
    n, mean = int(array.size), float(array.mean())
    if n == 1:
        return ShortSeriesMean(mean, None, None, 0.0, 1, "one value has no error")
    centred = array - mean
    squares = float(centred @ centred)
    if (array == array[0]).all():  # the mean of equal numbers can differ in the last digit
        return ShortSeriesMean(float(array[0]), 0.0, 0.0, 0.0, n, "all values are the same")
    std = math.sqrt(squares / (n - 1))
    if n < SHORTEST:
        method = f"{n} values taken for independent: too few to see a correlation"
        return ShortSeriesMean(mean, std, std / math.sqrt(n), 0.0, n, method)
    sample = float(centred[1:] @ centred[:-1]) / squares
    rho = min(max(0.0, (n * sample + 1.0) / (n - 4.0)), LARGEST_CORRELATION)
    g = (1 + rho) / (1 - rho) - 2 * rho * (1 - rho**n) / (n * (1 - rho) ** 2)
    stderr = std * math.sqrt((n - 1) / (n - g) * g / n)
    method = f"{n} values, each correlated by {rho:.2f} with the next (AR(1) of the sample)"
    return ShortSeriesMean(mean, std, stderr, rho, n, method)
