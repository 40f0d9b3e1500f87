"""How much each label counts, from its standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray

_RIDGE = 1.0


def label_weights(X: FloatArray, y: FloatArray, sigma: FloatArray) -> FloatArray:
    r"""Return weights of mean 1, in proportion to :math:`1 / (\sigma_i^2 + \sigma_0^2)`.

    A label that is known exactly still lies off whatever the features can say, by
    :math:`\sigma_0`: the scatter about a ridge regression on X beyond what the errors explain,
    for which the weighted sum of squares equals its degrees of freedom (R. C. Paule and J.
    Mandel, J. Res. Natl. Bur. Stand. 87, 377 (1982)), as in a meta-regression. A model that bends
    may explain more: the weights are then flatter than they need be. Errors are estimates too,
    so :math:`\sigma_0` is at least their lower quartile: no label counts more than twice as much
    as one there. An unknown error counts as one at the upper quartile.

    Parameters
    ----------
    X : (n, m) array
        Features.
    y, sigma : (n,) array
        Labels and their standard errors in the same unit; NaN where not known.

    Raises
    ------
    InputError
        If no error is known.
    """
    known = sigma[np.isfinite(sigma)]
    if len(known) == 0:
        raise InputError("no row has an error of D; add D_error_cm2_s, or train unweighted")
    low, high = np.quantile(known, (0.25, 0.75))
    filled = np.where(np.isfinite(sigma), sigma, high)
    variance = filled**2 + max(_unexplained_variance(X, y, filled), float(low) ** 2)
    weights: FloatArray = 1 / variance / np.mean(1 / variance)
    return weights


def _unexplained_variance(X: FloatArray, y: FloatArray, sigma: FloatArray) -> float:
    """Return the variance about a ridge regression beyond that of the errors."""
    from scipy.optimize import brentq

    spread = X.std(axis=0)
    scaled = X[:, spread > 0] / spread[spread > 0]

    def excess(variance: float) -> float:
        precision = 1 / (sigma**2 + variance)
        mean = precision.mean()
        root = np.sqrt(precision / mean)
        about = scaled - np.average(scaled, axis=0, weights=precision)
        t = root * (y - np.average(y, weights=precision))
        left, singular, _ = np.linalg.svd(root[:, None] * about, full_matrices=False)
        shrunk = singular**2 / (singular**2 + _RIDGE)
        rest = t - left @ (shrunk * (left.T @ t))
        # Expected of pure noise: the trace of the square of 1 - hat matrix, less the constant.
        expected = len(y) - 1 - float(np.sum(2 * shrunk - shrunk**2))
        return float(mean * (rest @ rest)) - expected

    if np.ptp(y) == 0 or excess(0.0) <= 0:
        return 0.0
    upper = float(np.var(y))
    while excess(upper) > 0:
        upper *= 2
    return float(brentq(excess, 0.0, upper, rtol=1e-6))
