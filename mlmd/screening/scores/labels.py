"""Labels that know their uncertainty: how far a conductivity counts as good, and as bad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from mlmd.checks import finite_number, finite_series
from mlmd.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray


@dataclass(frozen=True, eq=False)
class Labels:
    """Weights with which each material counts as good and as bad.

    Attributes
    ----------
    good, bad : (materials,)
        Between 0 and 1; what lies between the two thresholds counts as neither.
    """

    good: FloatArray
    bad: FloatArray


def smoothed_labels(
    values: ArrayLike, errors: ArrayLike, good_above: float, bad_below: float
) -> Labels:
    r"""Return weights of measured values, as Maevskiy et al. smooth them.

    .. math::

        w_+ = P(x > \sigma_+), \quad w_- = P(x < \sigma_-), \quad x \sim N(v, e)

    Parameters
    ----------
    values, errors : (materials,)
        Conductivities and their standard errors (100 % of the value where none is known, in the
        paper); zero for a value that is certain.
    good_above, bad_below
        The thresholds, in the unit of the values.

    Raises
    ------
    InputError
        If numbers are not finite, errors negative, or the thresholds in the wrong order.
    """
    v, e = finite_series(values), finite_series(errors)
    high, low = finite_number("good_above", good_above), finite_number("bad_below", bad_below)
    if v.shape != e.shape or (e < 0).any() or low > high:
        raise InputError(
            f"{len(v)} values and {len(e)} errors were given, and thresholds {low:g} and {high:g}; "
            "expected an error of at least zero for each value, and bad_below <= good_above"
        )
    return Labels(_above(v - high, e), _above(low - v, e))


def _above(excess: FloatArray, error: FloatArray) -> FloatArray:
    """Return the probabilities that values with an error are above zero."""
    certain = error == 0
    weights: FloatArray = ndtr(excess / np.where(certain, 1.0, error))
    weights[certain] = excess[certain] > 0
    return weights
