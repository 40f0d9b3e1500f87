"""The coefficient of determination, one formula for all that is called R2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray


def r_squared(predicted: FloatArray, true: FloatArray) -> float | None:
    r"""Coefficient of determination of values against those that they should be.

    .. math:: R^2 = 1 - \frac{\sum_k (p_k - t_k)^2}{\sum_k (t_k - \bar t)^2}

    over all points of all curves that are given, with one common mean: *pooled* where there are
    several. The two sides are not interchangeable. None where what should be is constant.
    """
    total = float(np.sum((true - true.mean()) ** 2))
    if not total > 0:
        return None
    return 1.0 - float(np.sum((predicted - true) ** 2)) / total
