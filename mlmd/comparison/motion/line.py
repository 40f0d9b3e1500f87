"""A straight line through points with errors in both coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray


_ITERATIONS = 200


@dataclass(frozen=True)
class Line:
    """Line ``y = intercept + slope x`` and the standard error of its slope.

    The error is multiplied by sqrt(chi2/df) where that exceeds 1; None where two points leave
    nothing to tell a common error from.
    """

    slope: float
    intercept: float
    slope_stderr: float | None


def line_with_errors_in_both(
    x: FloatArray,
    y: FloatArray,
    x_stderr: FloatArray | None = None,
    y_stderr: FloatArray | None = None,
) -> Line | None:
    r"""Fit a line by least squares in both coordinates [1]_.

    .. math:: \chi^2 = \sum_i \frac{(y_i - a - b x_i)^2}{\sigma_{y,i}^2 + b^2 \sigma_{x,i}^2}

    An ordinary fit of y on x takes x for exact, and its slope is too small by the share that
    errors have in the variance of x. Without errors all are taken as equal: orthogonal regression.

    Parameters
    ----------
    x, y : (n,)
        Points.
    x_stderr, y_stderr : (n,), optional
        Their standard errors, positive and independent; both or none.

    Returns
    -------
    Line or None
        None for fewer than three points, or where all x are the same.

    References
    ----------
    .. [1] D. York, N. M. Evensen, M. Lopez Martinez, J. De Basabe Delgado, Am. J. Phys. 72, 367
       (2004), equations 13. DOI 10.1119/1.1632486
    """
    if len(x) < 3 or np.ptp(x) < 1e-12 * max(1.0, float(np.abs(x).max())):
        return None
    known = x_stderr is not None and y_stderr is not None
    vx = np.ones(len(x)) if x_stderr is None or y_stderr is None else x_stderr**2
    vy = np.ones(len(x)) if x_stderr is None or y_stderr is None else y_stderr**2
    slope = _orthogonal(x, y)
    for _ in range(_ITERATIONS):
        weight = 1.0 / (vy + slope**2 * vx)
        mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
        u, v = x - mean_x, y - mean_y
        beta = weight * (u * vy + slope * v * vx)
        before, slope = slope, float((weight * beta) @ v / ((weight * beta) @ u))
        if abs(slope - before) <= 1e-13 * max(1.0, abs(slope)):
            break
    adjusted = beta - np.average(beta, weights=weight)
    variance = 1.0 / float(weight @ adjusted**2)
    intercept = float(mean_y - slope * mean_x)
    chi2 = float(weight @ (y - intercept - slope * x) ** 2)
    scatter = chi2 / (len(x) - 2)
    scale = scatter if not known else max(1.0, scatter)
    return Line(slope, intercept, float(np.sqrt(variance * scale)))


def _orthogonal(x: FloatArray, y: FloatArray) -> float:
    """Slope with equal errors: the longest axis of the cloud."""
    u, v = x - x.mean(), y - y.mean()
    difference, product = float(v @ v - u @ u), float(u @ v)
    if product == 0.0:
        return 0.0
    return (difference + float(np.hypot(difference, 2.0 * product))) / (2.0 * product)
