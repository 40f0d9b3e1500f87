"""An Arrhenius law through diffusivities whose errors are estimates, and through bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.activation.points import ONE_SIDED
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.analysis.activation.points import Fit, Points
    from mlmd.arrays import FloatArray

STEEPEST_EV = 1e3
"""Where an activation energy is taken as infinite, or as not determined."""


@dataclass(frozen=True, eq=False)
class DevianceFit:
    """Arrhenius law of the least deviance.

    ``interval_eV`` of 68.27 % holds the activation energies whose least deviance is at most 1 above
    the minimum; ``covariance`` is that of (ln D0, E_a), and as wide. ``chi2`` is the deviance of
    the measured points alone: a bound that is kept has one too, but no degree of freedom.
    """

    log_D0: float
    E_a_eV: float
    interval_eV: tuple[float, float]
    covariance: FloatArray
    chi2: float


def fit_deviance(points: Points, fit: Fit) -> DevianceFit:
    """Minimise the sum of deviances (:meth:`Points.residuals`), and profile it over E_a.

    Parameters
    ----------
    points
        Measured at two temperatures or more, with all errors.
    fit
        What the errors are about.

    Raises
    ------
    InputError
        If the points do not determine a law.
    """
    from scipy.optimize import least_squares

    middle = float(points.beta[~points.censored].mean())
    x = points.beta - middle
    # Student's t has several valleys: the deepest lies near a law through two of the points.
    starts = np.array([*_through_pairs(points, x)])
    if not len(starts):
        raise _undetermined()
    deviances = (points.residuals(starts[:, :1] - starts[:, 1:] * x, fit) ** 2).sum(axis=1)
    best = least_squares(
        lambda law: points.residuals(law[0] - law[1] * x, fit),
        starts[int(np.argmin(deviances))],
        x_scale="jac",
    )
    log_D, E_a = (float(value) for value in best.x)
    least = 2.0 * float(best.cost)
    ends = [_where_risen(points, x, fit, E_a, least + 1.0, way) for way in (-1.0, 1.0)]
    covariance = np.linalg.pinv(best.jac.T @ best.jac)
    if not np.isfinite(ends).all() or not covariance[1, 1] > 0:
        raise _undetermined()
    # The curvature at the minimum knows nothing of the tails; the interval does.
    covariance *= ((ends[1] - ends[0]) / 2.0) ** 2 / covariance[1, 1]
    shift = np.array([[1.0, middle], [0.0, 1.0]])  # from the middle to 1/T = 0
    return DevianceFit(
        log_D0=log_D + E_a * middle,
        E_a_eV=E_a,
        interval_eV=(ends[0], ends[1]),
        covariance=shift @ covariance @ shift.T,
        chi2=float((best.fun[~points.censored] ** 2).sum()),
    )


def lowest_E_a_eV(points: Points) -> float | None:
    """Activation energy that one measured temperature and bounds of colder ones are above.

    They allow any that is high enough: where it is infinite the deviance is lowest. At the one
    given (95 %) it is higher by the square of a one-sided normal deviate. None if there is none.
    """
    x = points.beta - float(points.beta[~points.censored].max())
    used = points.of(points.censored <= (x > 0))
    x = x[points.censored <= (x > 0)]
    if not used.censored.any():
        return None
    level = _at_slope(used, x, "log", STEEPEST_EV)
    end = _where_risen(used, x, "log", STEEPEST_EV, level + ONE_SIDED**2, -1.0)
    return end if math.isfinite(end) else None


def _undetermined() -> InputError:
    return InputError(
        "the points do not determine an Arrhenius law: beyond the errors at most one of them "
        "differs from zero; give more points or smaller errors"
    )


def _through_pairs(points: Points, x: FloatArray) -> Iterator[tuple[float, float]]:
    """Laws, as ln D at x = 0 and E_a, through two positive points at different temperatures."""
    used = np.flatnonzero(~points.censored & (points.D_cm2_s > 0))
    y = np.log(points.D_cm2_s[used])
    for i, j in combinations(range(len(used)), 2):
        apart = x[used[j]] - x[used[i]]
        if apart != 0:
            E_a = float((y[i] - y[j]) / apart)
            yield float(y[i] + E_a * x[used[i]]), E_a


def _at_slope(points: Points, x: FloatArray, fit: Fit, E_a_eV: float) -> float:
    """Least deviance of the laws with that activation energy."""
    from scipy.optimize import minimize_scalar

    def deviance(log_D: FloatArray) -> FloatArray:
        law = np.asarray(log_D)[..., None] - E_a_eV * x
        return np.asarray((points.residuals(law, fit) ** 2).sum(axis=-1))

    used = ~points.censored & (points.D_cm2_s > 0)
    through = np.log(points.D_cm2_s[used]) + E_a_eV * x[used]
    start = float(through[int(np.argmin(deviance(through)))])
    step = float(np.max(points.D_stderr_cm2_s[used] / points.D_cm2_s[used]))
    found = minimize_scalar(deviance, bracket=(start - step, start), tol=1e-6)
    return float(found.fun)


def _where_risen(
    points: Points, x: FloatArray, fit: Fit, best_eV: float, level: float, way: float
) -> float:
    """Activation energy on one side at which the least deviance reaches a level; inf if none."""
    from scipy.optimize import brentq

    def above(E_a_eV: float) -> float:
        return _at_slope(points, x, fit, E_a_eV) - level

    if not above(best_eV) < 0:  # numbers so far apart that no valley is found where the best lies
        raise _undetermined()
    near, step = best_eV, way * max(1e-6, 1e-3 * abs(best_eV))
    while above(near + step) < 0:
        near, step = near + step, 2.0 * step
        if abs(near) > 2.0 * STEEPEST_EV:
            return way * math.inf
    return float(brentq(above, near, near + step, xtol=1e-5))
