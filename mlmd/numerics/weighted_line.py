"""Weighted linear least squares, and the straight line as its commonest case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray


@dataclass(frozen=True, eq=False)
class LinearFit:
    """Solution of a weighted linear least-squares problem.

    Attributes
    ----------
    parameters : (m,)
        Coefficients of the columns of the design matrix.
    covariance : (m, m)
        Their covariance, taking the given sigmas as absolute (1 where none were given):
        not scaled by ``chi2 / df``.
    chi2 : float
        Sum of squared residuals, each over its sigma.
    """

    parameters: FloatArray
    covariance: FloatArray
    chi2: float


@dataclass(frozen=True, eq=False)
class WeightedLine:
    """Straight line ``y = intercept + slope x``; errors take the sigmas as absolute.

    ``covariance`` is that of (intercept, slope).
    """

    slope: float
    intercept: float
    covariance: FloatArray
    chi2: float


def weighted_least_squares(
    design: ArrayLike, y: ArrayLike, sigma: ArrayLike | None = None
) -> LinearFit:
    """Minimise the sum of ``((y - design @ p) / sigma)**2`` over ``p``.

    Parameters
    ----------
    design : (n, m)
        Columns of the model.
    y : (n,)
        Data.
    sigma : (n,), optional
        Standard deviation of each datum; all equal (1) where not given.

    Raises
    ------
    InputError
        If shapes differ, a number is not finite, a sigma is not positive, or the points do
        not determine the parameters.
    """
    matrix, data = np.asarray(design, dtype=float), np.asarray(y, dtype=float)
    errors = np.ones_like(data) if sigma is None else np.asarray(sigma, dtype=float)
    if matrix.ndim != 2 or data.shape != matrix.shape[:1] or errors.shape != data.shape:
        raise InputError(
            f"shapes {matrix.shape}, {data.shape} and {errors.shape} were given; expected "
            "(n, m) for the design, (n,) for the data and their errors"
        )
    if not all(np.isfinite(array).all() for array in (matrix, data, errors)):
        raise InputError("the data of a fit are not finite; expected numbers throughout")
    if (errors <= 0).any():
        raise InputError(f"the smallest error is {errors.min():g}; expected positive errors")
    weighted, target = matrix / errors[:, None], data / errors
    # Scaled columns: the rank is then a statement about the points, not about the units.
    scale = np.linalg.norm(weighted, axis=0)
    scale[scale == 0] = 1.0
    left, singular, right = np.linalg.svd(weighted / scale, full_matrices=False)
    if len(data) < matrix.shape[1] or singular[-1] <= 1e-13 * singular[0]:
        raise InputError(
            f"{len(data)} point(s) do not determine {matrix.shape[1]} parameters; "
            "give more, different points"
        )
    inverse = right.T / singular
    parameters = (inverse @ (left.T @ target)) / scale
    covariance = (inverse @ inverse.T) / np.outer(scale, scale)
    residuals = target - weighted @ parameters
    return LinearFit(parameters, covariance, float(residuals @ residuals))


def weighted_line(x: ArrayLike, y: ArrayLike, sigma: ArrayLike | None = None) -> WeightedLine:
    """Fit ``y = intercept + slope x`` by weighted least squares.

    Parameters
    ----------
    x, y : (n,)
        At least two different ``x``.
    sigma : (n,), optional
        Standard deviation of each ``y``; an ordinary fit where not given.

    Raises
    ------
    InputError
        As :func:`weighted_least_squares`.
    """
    abscissa = np.asarray(x, dtype=float)
    fit = weighted_least_squares(np.column_stack([np.ones_like(abscissa), abscissa]), y, sigma)
    intercept, slope = (float(value) for value in fit.parameters)
    return WeightedLine(slope, intercept, fit.covariance, fit.chi2)


def slope_weights(x: FloatArray) -> FloatArray:
    """Return w with sum of w y the slope of the ordinary line through y at x."""
    centred = x - x.mean()
    weights: FloatArray = centred / float(centred @ centred)
    return weights
