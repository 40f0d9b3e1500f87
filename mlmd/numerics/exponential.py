"""Weighted fit of a decaying exponential, in the data and not in their logarithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError
from mlmd.numerics.weighted_line import weighted_least_squares

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray


# The largest |rate| looked at, in units of 1 / (range of x): a factor of e^200 between the ends.
_STEEPEST = 200.0
_GRID = 2001
_TOLERANCE = 1e-15


@dataclass(frozen=True, eq=False)
class ExponentialFit:
    """Solution of ``y = exp(log_amplitude - rate * x)``.

    Attributes
    ----------
    log_amplitude, rate : float
        The parameters.
    covariance : (2, 2)
        Of (log_amplitude, rate), linearised at the solution, sigmas taken as absolute.
    chi2 : float
        Sum of squared residuals, each over its sigma.
    """

    log_amplitude: float
    rate: float
    covariance: FloatArray
    chi2: float


def fit_exponential(x: ArrayLike, y: ArrayLike, sigma: ArrayLike) -> ExponentialFit:
    """Minimise the sum of ``((y - exp(a - b x)) / sigma)**2`` over ``a`` and ``b``.

    The amplitude is positive; single data may be negative. For every rate the best amplitude
    is known in closed form, so a scan over the rate finds the valley of the global minimum
    (starts from a guess can end in another); Levenberg and Marquardt's steps then finish.

    Parameters
    ----------
    x, y, sigma : (n,)
        Abscissa, data and their standard deviations.

    Raises
    ------
    InputError
        If the data do not determine both parameters: a single point stands out of the noise,
        say, and any steeper law fits as well.
    """
    from scipy.optimize import least_squares

    abscissa, data, errors = (np.asarray(values, dtype=float) for values in (x, y, sigma))
    middle = float(abscissa.mean())
    centred = abscissa - middle
    span = float(np.ptp(centred))
    if span == 0 or not (data > 0).any():
        raise InputError(
            f"{int((data > 0).sum())} positive value(s) at {len(set(abscissa.tolist()))} "
            "abscissa(s); an exponential needs two different abscissas and a positive value"
        )
    rates = np.linspace(-_STEEPEST, _STEEPEST, _GRID) / span
    chi2, logs = _profile(rates, centred, data, errors)
    best = int(np.argmin(chi2))

    def model(parameters: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):  # a step too far is infinitely bad, and taken back
            return np.asarray(np.exp(parameters[0] - parameters[1] * centred))

    def tangents(parameters: FloatArray) -> FloatArray:
        return np.column_stack([np.ones_like(centred), -centred]) * model(parameters)[:, None]

    solution = least_squares(
        lambda parameters: (model(parameters) - data) / errors,
        [logs[best], rates[best]],
        lambda parameters: tangents(parameters) / errors[:, None],
        method="lm",
        x_scale="jac",
        ftol=_TOLERANCE,
        xtol=_TOLERANCE,
        gtol=_TOLERANCE,
    )
    a, b = (float(parameter) for parameter in solution.x)
    try:
        tangent = weighted_least_squares(tangents(solution.x), data - model(solution.x), errors)
        # At a minimum the next step is none; on a plateau, where any steeper law fits as well, the
        # search ends anywhere, and the step from there leads out.
        steepest = max(abs(b), abs(b + tangent.parameters[1])) * span
    except InputError:
        steepest = np.inf
    if steepest > _STEEPEST:
        raise InputError(
            "the points do not determine an exponential law: beyond the errors at most one of "
            "them differs from zero; give more points or smaller errors"
        )
    shift = np.array([[1.0, middle], [0.0, 1.0]])  # from the centred to the given abscissa
    covariance = shift @ tangent.covariance @ shift.T
    return ExponentialFit(a + b * middle, b, covariance, 2.0 * solution.cost)


def _profile(
    rates: FloatArray, x: FloatArray, y: FloatArray, sigma: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Chi-squared at the best positive amplitude for each rate, and that amplitude's log."""
    target = y / sigma
    exponents = -rates[:, None] * x - np.log(sigma)
    largest = exponents.max(axis=1, keepdims=True)
    shape = np.exp(exponents - largest)  # at most 1: no overflow however steep the law
    amplitude = (shape @ target) / (shape**2).sum(axis=1)
    chi2 = ((target - amplitude[:, None] * shape) ** 2).sum(axis=1)
    positive = amplitude > 0
    logs = np.log(np.where(positive, amplitude, 1.0)) - largest[:, 0]
    return np.where(positive, chi2, np.inf), logs
