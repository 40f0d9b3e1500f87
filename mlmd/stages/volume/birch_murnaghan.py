"""Third-order Birch-Murnaghan equation of state, fitted to pressures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlmd.errors import InputError
from mlmd.numerics.weighted_line import weighted_least_squares

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray


MAX_EXTRAPOLATION = 0.2
"""A zero-pressure volume further outside the measured volumes than this fraction is not given."""

_MAX_RELATIVE_STDERR = 0.2  # nor is one that the pressures determine no better than this
SIGNIFICANT = 2.0  # standard errors from zero at which a pressure has a sign
_POWERS = np.array([5.0, 7.0, 9.0]) / 3.0  # of 1/V in P(V)
_CHORD = 0.03  # relative distance in volume from which on two pressures define a slope
_SPAN, _GRID = 30.0, 681  # V0 is looked for up to this factor away, in steps of 1 %


@dataclass(frozen=True, eq=False)
class BirchMurnaghan:
    r"""Third-order Birch-Murnaghan equation of state [1]_ through measured pressures.

    .. math::

        P(V) = \tfrac{3}{2} B_0 \left(x^7 - x^5\right)
               \left[1 + \tfrac{3}{4} (B_0' - 4)(x^2 - 1)\right], \quad x = (V_0/V)^{1/3}

    Attributes
    ----------
    status : {"interpolated", "extrapolated", "none"}
        ``interpolated``: P = 0 is bracketed and V0 among the volumes. ``extrapolated``: it is
        not, but V0 is at most 20 % outside of them. ``none``: these points have no
        zero-pressure volume that could be trusted; ``V0_A3`` and ``B0_GPa`` are None.
    reason : str
        Why, in one line.
    V0_A3, V0_stderr_A3 : float or None
        Volume at zero pressure, per cell or per atom as the volumes given.
    B0_GPa, B0_stderr_GPa : float or None
        Bulk modulus at V0.
    B0_prime, B0_prime_stderr : float or None
        Pressure derivative of the bulk modulus at V0: as given (error None) or fitted, also where
        it was known with an error beforehand.
    covariance : (2, 2) or (3, 3) array or None
        Of (V0, B0) or (V0, B0, B0'). Given errors are absolute; without them the scatter about
        the fit, ``chi2 / df``, sets the scale. None, like the standard errors, where there are
        neither errors nor degrees of freedom, or no V0.
    chi2 : float
        Sum of squared residuals over their standard errors (over 1 GPa where not given). Far
        above ``df`` the curve does not describe the points, and the errors are too small.
    df : int
        Points minus fitted parameters; a B0' known beforehand is a point.
    is_bracketed : bool
        Whether a pressure above zero was measured at a smaller volume than one below zero,
        both by two standard errors (by their sign where no errors were given).
    reference_A3, terms_GPa : float, (3,) array
        The curve itself, :math:`P = \sum_k c_k (V_\mathrm{ref}/V)^{k/3}`, k = 5, 7, 9: there to
        be plotted also where it never is zero.

    References
    ----------
    .. [1] F. Birch, Phys. Rev. 71, 809 (1947). DOI 10.1103/PhysRev.71.809
    """

    status: Literal["interpolated", "extrapolated", "none"]
    reason: str
    V0_A3: float | None
    V0_stderr_A3: float | None
    B0_GPa: float | None
    B0_stderr_GPa: float | None
    B0_prime: float | None
    B0_prime_stderr: float | None
    covariance: FloatArray | None
    chi2: float
    df: int
    is_bracketed: bool
    reference_A3: float
    terms_GPa: FloatArray

    def pressure_GPa(self, volume_A3: ArrayLike) -> FloatArray:
        """Pressure of the fitted curve, of the shape of `volume_A3`."""
        return self._ratios(volume_A3) @ self.terms_GPa

    def bulk_modulus_GPa(self, volume_A3: ArrayLike) -> FloatArray:
        """Bulk modulus ``-V dP/dV`` of the fitted curve at `volume_A3`, not only at V0."""
        return self._ratios(volume_A3) @ (_POWERS * self.terms_GPa)

    def _ratios(self, volume_A3: ArrayLike) -> FloatArray:
        ratios: FloatArray = (
            self.reference_A3 / np.asarray(volume_A3, dtype=float)[..., None]
        ) ** _POWERS
        return ratios


def fit_birch_murnaghan(
    volumes_A3: ArrayLike,
    pressures_GPa: ArrayLike,
    stderr_GPa: ArrayLike | None = None,
    *,
    B0_prime: float | None = 4.0,
    B0_prime_stderr: float = 0.0,
    misfit_GPa: ArrayLike | None = None,
) -> BirchMurnaghan:
    r"""Fit :class:`BirchMurnaghan` to pressures at several volumes by weighted least squares.

    Parameters
    ----------
    volumes_A3 : (n,)
        Volumes in cubic angstrom, in any order, repeated ones allowed.
    pressures_GPa : (n,)
        Pressure at each of them; positive where the material wants to expand.
    stderr_GPa : (n,), optional
        Standard error of each pressure; all equal and unknown where not given.
    B0_prime
        Kept at this value, which takes two points (three for a chi2). With None it is fitted,
        which takes four.
    B0_prime_stderr
        Above zero a B0' that is given is fitted too, as if it had been measured with this error.
    misfit_GPa : (n,), optional
        Standard deviation of each pressure about a curve that only resembles the true one. It
        lowers weights and raises errors; it is no noise, so that signs of pressures keep their
        significance.

    Returns
    -------
    BirchMurnaghan
        Look at ``status`` before the numbers.

    Raises
    ------
    InputError
        If shapes differ, numbers are not finite or not positive, or there are too few volumes.

    Notes
    -----
    P is linear in the coefficients of :math:`V^{-5/3}, V^{-7/3}, V^{-9/3}`: with a free
    :math:`B_0'` there is one minimum, and :math:`V_0^{-2/3}` is the root of a parabola. With
    :math:`B_0'` fixed, a scan over :math:`V_0` finds the global minimum.

    The pressures of a boiling melt stay positive and flatten; a curve through them may still
    cross zero. P(V) is convex on the way to V0, so that V0 cannot be nearer than the zero of
    the chord through the last two volumes (at least 3 % apart, two standard errors in the
    chord's favour). A fit that is, or a chord that ends more than 20 % outside, is not believed.
    """
    volumes, pressures, errors, margin = checked_points(volumes_A3, pressures_GPa, stderr_GPa)
    n_parameters, n_points = (2, 2) if B0_prime is not None else (3, 4)
    different = len(np.unique(volumes))
    if len(volumes) < n_points or different < n_parameters:
        raise InputError(
            f"{len(volumes)} point(s) at {different} volume(s) were given; expected at least "
            f"{n_points} at {n_parameters} different volumes for B0_prime={B0_prime}"
        )
    if B0_prime is not None and not math.isfinite(B0_prime):
        raise InputError(f"B0_prime is {B0_prime!r}; expected a number, or None to fit it")
    reference = math.exp(float(np.log(volumes).mean()))
    relative = volumes / reference  # the fit knows no cell size
    sigma = np.ones_like(pressures) if errors is None else errors
    if misfit_GPa is not None:
        sigma = np.hypot(sigma, misfit_GPa)
    if B0_prime is None:
        terms, solution = _free(relative, pressures, sigma)
    else:
        terms, solution = _fixed(relative, pressures, sigma, B0_prime)
        if solution is not None and B0_prime_stderr > 0:
            known = B0_prime, B0_prime_stderr
            terms, solution = _with_known_derivative(relative, pressures, sigma, solution, known)
            n_parameters = 3
    residuals = (pressures - relative[:, None] ** -_POWERS @ terms) / sigma
    tangent = None
    if solution is not None:
        tangent = _tangent(relative, *solution)[:, :n_parameters] / sigma[:, None]
        if B0_prime is not None and n_parameters == 3:  # what is known beforehand counts as a datum
            tangent = np.vstack([tangent, [0.0, 0.0, 1.0 / B0_prime_stderr]])
            residuals = np.append(residuals, (B0_prime - solution[2]) / B0_prime_stderr)
    chi2, df = float(residuals @ residuals), len(residuals) - n_parameters
    covariance = None
    stderr: list[float | None] = [None, None, None]
    if tangent is not None and (errors is not None or df > 0):
        unit = np.array([reference, 1.0, 1.0])[:n_parameters]
        covariance = weighted_least_squares(tangent, residuals).covariance
        covariance *= np.outer(unit, unit) * (1.0 if errors is not None else chi2 / df)
        stderr[:n_parameters] = np.sqrt(np.diag(covariance)).tolist()
    is_bracketed = tightest_bracket(volumes, pressures, margin) is not None
    V0 = None if solution is None else solution[0] * reference
    status, reason = _judge(V0, stderr[0], volumes, pressures, margin, is_bracketed)
    if solution is None or status == "none":
        V0, B0, prime, covariance, stderr = None, None, B0_prime, None, [None, None, None]
    else:
        _, B0, prime = solution
    values = V0, stderr[0], B0, stderr[1], prime, stderr[2]
    return BirchMurnaghan(
        status, reason, *values, covariance, chi2, df, is_bracketed, reference, terms
    )


def checked_points(
    volumes_A3: ArrayLike, pressures_GPa: ArrayLike, stderr_GPa: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray | None, FloatArray]:
    """Return volumes, pressures, errors, and how far from zero a pressure is significant."""
    volumes = np.asarray(volumes_A3, dtype=float)
    pressures = np.asarray(pressures_GPa, dtype=float)
    errors = None if stderr_GPa is None else np.asarray(stderr_GPa, dtype=float)
    shapes = {array.shape for array in (volumes, pressures, errors) if array is not None}
    if len(shapes) != 1 or volumes.ndim != 1 or volumes.size == 0:
        raise InputError(f"volumes and pressures have shapes {sorted(shapes)}; expected one, (n,)")
    margin = np.zeros_like(volumes) if errors is None else SIGNIFICANT * errors
    if not np.isfinite([volumes, pressures, margin]).all():
        raise InputError("a volume, pressure or error is not finite; leave out such points")
    if (volumes <= 0).any() or (errors is not None and (errors <= 0).any()):
        raise InputError("a volume or an error is not positive; expected positive numbers")
    return volumes, pressures, errors, margin


def tightest_bracket(
    volumes: FloatArray, pressures: FloatArray, margin: FloatArray
) -> tuple[float, float] | None:
    """Return the tightest pair of volumes with P > 0 at the smaller, P < 0 at the larger one."""
    negative = volumes[pressures < -margin]
    positive = volumes[(pressures > margin) & (volumes < negative.max(initial=0.0))]
    if positive.size == 0:
        return None
    return float(positive.max()), float(negative[negative > positive.max()].min())


def _terms(V0: float | FloatArray, B0: float, prime: float) -> FloatArray:
    """Coefficients of (1/V)**(5/3), (7/3), (9/3); for V0 of shape (n, 1) of n curves."""
    xi = 0.75 * (prime - 4.0)
    shape = np.array([xi - 1.0, 1.0 - 2.0 * xi, xi])
    terms: FloatArray = 1.5 * B0 * shape * V0**_POWERS
    return terms


def _tangent(volumes: FloatArray, V0: float, B0: float, prime: float) -> FloatArray:
    """Derivatives of P by V0, B0 and B0', shape (n, 3)."""
    by_B0 = _terms(V0, 1.0, prime)
    by_prime = 1.125 * B0 * np.array([1.0, -2.0, 1.0]) * V0**_POWERS
    return volumes[:, None] ** -_POWERS @ np.column_stack(
        [B0 * _POWERS * by_B0 / V0, by_B0, by_prime]
    )


def _free(
    volumes: FloatArray, pressures: FloatArray, sigma: FloatArray
) -> tuple[FloatArray, tuple[float, float, float] | None]:
    """Terms of the best curve, and (V0, B0, B0') where it falls through zero."""
    terms = weighted_least_squares(volumes[:, None] ** -_POWERS, pressures, sigma).parameters
    c5, c7, c9 = (float(term) for term in terms)
    discriminant = c7**2 - 4.0 * c9 * c5
    if discriminant <= 0:
        return terms, None
    root = math.sqrt(discriminant)
    # Of the two zeros in u = V**(-2/3) the one with dP/dV < 0, without cancellation.
    u = -2.0 * c5 / (c7 + root) if c7 > 0 else (root - c7) / (2.0 * c9)
    if u <= 0:
        return terms, None
    B0 = 2.0 / 3.0 * u**3.5 * root
    return terms, (u**-1.5, B0, 4.0 + 8.0 / 9.0 * c9 * u**4.5 / B0)


def _fixed(
    volumes: FloatArray, pressures: FloatArray, sigma: FloatArray, prime: float
) -> tuple[FloatArray, tuple[float, float, float] | None]:
    """As `_free`, with B0' given."""
    from scipy.optimize import least_squares

    grid = np.geomspace(volumes.min() / _SPAN, volumes.max() * _SPAN, _GRID)
    shapes = _terms(grid[:, None], 1.0, prime)
    curves = (shapes @ (volumes[:, None] ** -_POWERS).T) / sigma
    target = pressures / sigma
    moduli = (curves @ target) / (curves**2).sum(axis=1)
    chi2 = ((target - moduli[:, None] * curves) ** 2).sum(axis=1)
    best = int(np.argmin(np.where(moduli > 0, chi2, np.inf)))
    if moduli[best] <= 0 or best in (0, _GRID - 1):
        best = int(np.argmin(chi2))
        return moduli[best] * shapes[best], None
    powers = volumes[:, None] ** -_POWERS / sigma[:, None]

    def residuals(p: FloatArray) -> FloatArray:
        misfit: FloatArray = powers @ _terms(math.exp(p[0]), p[1], prime) - target
        return misfit

    def jacobian(p: FloatArray) -> FloatArray:
        by_both = _tangent(volumes, math.exp(p[0]), p[1], prime)[:, :2] / sigma[:, None]
        by_both[:, 0] *= math.exp(p[0])
        return by_both

    start = np.array([math.log(grid[best]), moduli[best]])
    solution = least_squares(
        residuals, start, jacobian, method="lm", x_scale="jac", ftol=1e-15, xtol=1e-15
    )
    V0, B0 = math.exp(solution.x[0]), float(solution.x[1])
    return _terms(V0, B0, prime), (V0, B0, prime) if B0 > 0 else None


def _with_known_derivative(
    volumes: FloatArray,
    pressures: FloatArray,
    sigma: FloatArray,
    start: tuple[float, float, float],
    known: tuple[float, float],
) -> tuple[FloatArray, tuple[float, float, float] | None]:
    """As `_free`, with B0' known to be `known`, value and standard error."""
    from scipy.optimize import least_squares

    powers = volumes[:, None] ** -_POWERS

    def residuals(p: FloatArray) -> FloatArray:
        misfit = (powers @ _terms(math.exp(p[0]), p[1], p[2]) - pressures) / sigma
        return np.append(misfit, (p[2] - known[0]) / known[1])

    def jacobian(p: FloatArray) -> FloatArray:
        by_all = _tangent(volumes, math.exp(p[0]), p[1], p[2]) / sigma[:, None]
        by_all[:, 0] *= math.exp(p[0])
        return np.vstack([by_all, [0.0, 0.0, 1.0 / known[1]]])

    first = np.array([math.log(start[0]), start[1], start[2]])
    solution = least_squares(residuals, first, jacobian, method="lm", x_scale="jac")
    V0, B0, prime = math.exp(solution.x[0]), float(solution.x[1]), float(solution.x[2])
    return _terms(V0, B0, prime), (V0, B0, prime) if B0 > 0 else None


def _judge(
    V0: float | None,
    stderr: float | None,
    volumes: FloatArray,
    pressures: FloatArray,
    margin: FloatArray,
    is_bracketed: bool,
) -> tuple[Literal["interpolated", "extrapolated", "none"], str]:
    """Status of a zero-pressure volume and the reason for it."""
    if V0 is None:
        return "none", "the curve through the pressures does not fall through zero"
    smallest, largest = float(volumes.min()), float(volumes.max())
    furthest = largest * (1 + MAX_EXTRAPOLATION)
    nearest = _chord_zero(volumes, pressures, margin)
    fault = None
    if stderr is not None and stderr > _MAX_RELATIVE_STDERR * V0:
        fault = f"the pressures do not determine V0 ({V0:.4g} +- {stderr:.2g} A3)"
    elif not smallest / (1 + MAX_EXTRAPOLATION) <= V0 <= furthest:
        span = f"{smallest:.4g} to {largest:.4g} A3"
        fault = f"the curve is zero only at {V0:.4g} A3, too far from the measured {span}"
    elif is_bracketed and not smallest <= V0 <= largest:
        fault = f"the curve misses the measured change of sign (it is zero at {V0:.4g} A3)"
    elif not is_bracketed and (nearest > furthest or nearest > V0 * (1 + 1e-9)):
        where = "no volume" if math.isinf(nearest) else f"{nearest:.4g} A3 or beyond"
        fault = f"the pressures flatten before they reach zero; the last ones point to {where}"
    if fault is not None:
        return "none", fault
    if is_bracketed:
        return "interpolated", "pressures of both signs were measured around V0"
    missing = "negative" if (pressures > margin).any() else "positive"
    return "extrapolated", f"no pressure is {missing} beyond its error: V0 is not bracketed"


def _chord_zero(volumes: FloatArray, pressures: FloatArray, margin: FloatArray) -> float:
    """Volume that the zero of a convex P(V) cannot precede; 0 where the data do not say."""
    last = int(np.argmax(volumes))
    before = np.flatnonzero(volumes <= volumes[last] * (1 - _CHORD))
    end = float(pressures[last] - margin[last])
    if end <= 0 or before.size == 0:
        return 0.0
    nearest = before[volumes[before] == volumes[before].max()]
    start = float((pressures + margin)[nearest].max())
    if start <= end:
        return math.inf
    step = float(volumes[last] - volumes[nearest[0]])
    return float(volumes[last]) + end * step / (start - end)
