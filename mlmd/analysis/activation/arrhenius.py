"""Activation energy from diffusivities at several temperatures."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from mlmd.analysis.activation.deviance import fit_deviance, lowest_E_a_eV
from mlmd.analysis.activation.points import (
    Fit,
    Points,
    Values,
    check_logarithms,
    check_prefactor,
    check_temperatures,
    check_two_temperatures,
    points_of,
)
from mlmd.analysis.diffusion.units import BOLTZMANN_EV_K
from mlmd.checks import choice
from mlmd.errors import InputError
from mlmd.numerics.exponential import fit_exponential
from mlmd.numerics.student import student_factor
from mlmd.numerics.weighted_line import weighted_line

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray


ErrorScaling = Literal["up", "always", "never"]
"""When the fit's errors are multiplied by sqrt(chi2/df): where that is above 1, or so."""


@dataclass(frozen=True)
class ArrheniusValue:
    """Diffusivity of an Arrhenius law at one temperature.

    ``D_stderr_cm2_s`` is linearised; ``D_interval68_cm2_s`` is symmetric in ln D, so that it
    never reaches 0. Far outside the temperatures measured only the latter makes sense. Its upper
    end is None where the errors allow more than a number can say: there is no upper bound then.
    """

    temperature_K: float
    D_cm2_s: float
    D_stderr_cm2_s: float | None
    D_interval68_cm2_s: tuple[float, float | None] | None


@dataclass(frozen=True, eq=False)
class Arrhenius:
    r"""Arrhenius law :math:`D = D_0 \exp(-E_a / k_B T)`, its uncertainty and its points.

    Attributes
    ----------
    E_a_eV, E_a_stderr_eV : float, float or None
        Activation energy and its standard error in eV; the latter None where two points
        without errors leave nothing to estimate it from. Where errors of points are estimates or
        points are bounds: half of the interval.
    E_a_interval68_eV : (float, float) or None
        Interval of 68.27 %; Student's t where the error rests on the scatter alone. With bounds it
        reaches further up than down.
    D0_cm2_s, D0_stderr_cm2_s : float, float or None
        Prefactor and its linearised standard error in cm^2/s.
    covariance : (2, 2) or None
        Of (ln D0, E_a in eV), after scaling.
    chi2_per_df : float or None
        Chi-squared of the measured points over its degrees of freedom; None for two points or
        without errors.
    p_value : float or None
        Probability of a larger chi-squared if the law and the errors are right.
    df : int
        Measured points minus two.
    error_scale : float or None
        Factor applied to the errors of the fit; None where nothing tells how large they are.
    method : str
        What was done, in words.
    fit, error_scaling
        The settings.
    points : Points
        What was fitted, bounds with it.
    """

    E_a_eV: float
    E_a_stderr_eV: float | None
    E_a_interval68_eV: tuple[float, float] | None
    D0_cm2_s: float
    D0_stderr_cm2_s: float | None
    covariance: FloatArray | None
    chi2_per_df: float | None
    p_value: float | None
    df: int
    error_scale: float | None
    method: str
    fit: Fit
    error_scaling: ErrorScaling
    points: Points

    @property
    def temperatures_K(self) -> FloatArray:
        """Temperatures of the points that were measured."""
        return self.measured.temperatures_K

    @property
    def D_cm2_s(self) -> FloatArray:
        """What was measured."""
        return self.measured.D_cm2_s

    @property
    def D_stderr_cm2_s(self) -> FloatArray | None:
        """Its standard errors, where all are known."""
        return self.measured.D_stderr_cm2_s if self.measured.have_errors else None

    @property
    def measured(self) -> Points:
        """The points without the bounds."""
        return self.points.of(~self.points.censored)

    @property
    def coverage_factor(self) -> float:
        """Half-width of a 68.27 % interval in standard errors."""
        return 1.0 if self.D_stderr_cm2_s is not None else student_factor(self.df)

    def at(self, temperature_K: float) -> ArrheniusValue:
        """Diffusivity at any temperature, with the uncertainty of both parameters together.

        Raises
        ------
        InputError
            If the temperature is not positive, or D there is larger than a number can say.
        """
        check_temperatures(np.array([temperature_K], dtype=float))
        beta = 1.0 / (BOLTZMANN_EV_K * temperature_K)
        log_D = math.log(self.D0_cm2_s) - self.E_a_eV * beta
        D_cm2_s = _exp(log_D)
        if D_cm2_s is None:
            raise InputError(
                f"D at {temperature_K:g} K is exp({log_D:.3g}) cm^2/s by this law, which means "
                "nothing; give a temperature nearer to those measured"
            )
        if self.covariance is None:
            return ArrheniusValue(temperature_K, D_cm2_s, None, None)
        gradient = np.array([1.0, -beta])
        # Far from the points the two terms nearly cancel; rounding must not go below 0.
        sigma = math.sqrt(max(0.0, float(gradient @ self.covariance @ gradient)))
        half = self.coverage_factor * sigma
        interval = (_exp(log_D - half) or 0.0, _exp(log_D + half))
        return ArrheniusValue(temperature_K, D_cm2_s, _finite(D_cm2_s * sigma), interval)


def arrhenius(
    temperatures_K: ArrayLike,
    D_cm2_s: Values | ArrayLike,
    D_stderr_cm2_s: Values | FloatArray | None = None,
    *,
    df: Values | FloatArray | None = None,
    D_upper_bound_cm2_s: Values | FloatArray | None = None,
    fit: Fit | None = None,
    error_scaling: ErrorScaling = "up",
) -> Arrhenius:
    r"""Fit :math:`D = D_0 \exp(-E_a / k_B T)` to diffusivities at several temperatures.

    Keywords are named as the attributes of a :class:`mlmd.analysis.Diffusivity`: give a list of
    each.

    Parameters
    ----------
    temperatures_K, D_cm2_s : (n,)
        Points measured at two different temperatures or more. Several points may share one. With
        "linear", single diffusivities may be negative: leaving them out would bias the law.
    D_stderr_cm2_s : (n,), optional
        Standard errors. Where one is None (or NaN) or none are given, all points count alike
        in ln D, the error comes from their scatter, and ``method`` says so.
    df : (n,), optional
        Degrees of freedom of each error: two for three windows. Infinite where not given. A
        residual then counts by the probability of its Student's t (:func:`normal_score`), and
        chi-squared is the sum of squares of these.
    D_upper_bound_cm2_s : (n,), optional
        Upper bounds of 95 % where D was not measured, None where it was. Leaving such points out
        biases the law: near the limit of what a run can see, only those runs pass that fluctuate
        upwards. A law counts by the probability that an estimate would be below the bound
        (a Tobit model [3]_), so that it is made of all runs and not of the lucky ones.
        ``D_cm2_s`` is not used there; ``D_stderr_cm2_s`` and ``df`` are those of the estimate.
    fit
        "linear": weighted least squares in D itself, as in [1]_; the errors of a diffusivity
        are about normal in D and not in ln D. "log": in ln D. "linear" if not given, and "log"
        with ``df`` or bounds: an estimated error is nearly proportional to its D.
    error_scaling
        When to multiply the errors by sqrt(chi2/df). "up", the default: where it exceeds 1,
        that is where points scatter more than their errors allow [2]_. "always": also where
        it is below 1, as [1]_ did; with one or two degrees of freedom chi2/df is small by
        chance, and such errors are then far too small. "never": errors as given. With two
        points (df = 0) there is nothing to scale by, and errors stay as given.

    Raises
    ------
    InputError
        If shapes differ, a temperature is not positive, fewer than two are distinct, an
        error is not positive, no diffusivity is positive (with "log" or without errors: one is
        not), or the points do not determine the law.

    References
    ----------
    .. [1] A. Maevskiy et al., arXiv:2411.06804 (2024), section II C and Table I.
    .. [2] Particle Data Group, Review of Particle Physics, introduction, section 5.2.
    .. [3] J. Tobin, Econometrica 26, 24 (1958). DOI 10.2307/1907382
    """
    from scipy.special import chdtrc

    choice("error_scaling", error_scaling, get_args(ErrorScaling))
    points = points_of(temperatures_K, D_cm2_s, D_stderr_cm2_s, df, D_upper_bound_cm2_s)
    check_two_temperatures(points)
    if fit is None:
        fit = "linear" if points.are_plain else "log"
    choice("fit", fit, get_args(Fit))
    if not points.have_errors:  # nothing says how much a bound counts against a point
        points = points.of(~points.censored)
    known, free = points.have_errors, int((~points.censored).sum()) - 2
    T, D, beta = points.temperatures_K, points.D_cm2_s, points.beta
    interval = None
    if known and not points.are_plain:
        if fit == "log":
            check_logarithms(T, D, "fit 'log'")
        found = fit_deviance(points, fit)
        log_D0, E_a, chi2 = found.log_D0, found.E_a_eV, found.chi2
        scale = _error_scale(chi2, free, error_scaling)
        covariance = scale**2 * found.covariance
        low, high = found.interval_eV
        interval = (E_a - scale * (E_a - low), E_a + scale * (high - E_a))
        method = f"Student's t in {'D' if fit == 'linear' else 'ln D'}"
        if points.censored.any():
            method += f", with {int(points.censored.sum())} bound(s) (Tobit)"
    elif known and fit == "linear":
        curve = fit_exponential(beta, D, points.D_stderr_cm2_s)
        log_D0, E_a, chi2 = curve.log_amplitude, curve.rate, curve.chi2
        scale = _error_scale(chi2, free, error_scaling)
        covariance, method = scale**2 * curve.covariance, "weighted least squares in D"
    else:
        check_logarithms(T, D, "fit 'log'" if known else "a fit without all errors")
        line = weighted_line(beta, np.log(D), points.D_stderr_cm2_s / D if known else None)
        log_D0, E_a, chi2 = line.intercept, -line.slope, line.chi2
        # Without errors the scatter is the error, and two points have none.
        scale = _error_scale(chi2, free, error_scaling if known else "always")
        covariance = scale**2 * line.covariance * np.array([[1.0, -1.0], [-1.0, 1.0]])
        method = "weighted least squares in ln D"
        if not known:
            method = "unweighted least squares in ln D, since errors are not known for every point"
    check_prefactor(log_D0, E_a)
    D0, has_error = math.exp(log_D0), known or free > 0
    E_a_stderr = math.sqrt(covariance[1, 1])
    if interval is None:
        half = E_a_stderr * (1.0 if known else student_factor(free) if free else math.nan)
        interval = (E_a - half, E_a + half)
    has_chi2 = known and free > 0
    return Arrhenius(
        E_a_eV=E_a,
        E_a_stderr_eV=E_a_stderr if has_error else None,
        E_a_interval68_eV=interval if has_error else None,
        D0_cm2_s=D0,
        D0_stderr_cm2_s=_finite(D0 * math.sqrt(covariance[0, 0])) if has_error else None,
        covariance=covariance if has_error else None,
        chi2_per_df=chi2 / free if has_chi2 else None,
        p_value=float(chdtrc(free, chi2)) if has_chi2 else None,
        df=free,
        error_scale=scale if has_error else None,
        method=method,
        fit=fit,
        error_scaling=error_scaling,
        points=points,
    )


def activation_energy_bound(
    temperatures_K: ArrayLike,
    D_cm2_s: Values | ArrayLike,
    D_stderr_cm2_s: Values | FloatArray,
    *,
    df: Values | FloatArray | None = None,
    D_upper_bound_cm2_s: Values | FloatArray,
) -> float | None:
    """Lower bound of 95 % of the activation energy in eV, from one temperature and bounds.

    Where D was measured at the hottest temperature alone, and is bounded from above at colder ones,
    the law is as steep as that at least. Parameters are those of :func:`arrhenius`.

    Returns
    -------
    float or None
        None where nothing is said: no bound is at a colder temperature, an error is not known, or
        D was measured at two temperatures.

    Raises
    ------
    InputError
        As :func:`arrhenius`.
    """
    points = points_of(temperatures_K, D_cm2_s, D_stderr_cm2_s, df, D_upper_bound_cm2_s)
    measured = points.of(~points.censored)
    one = len(set(measured.temperatures_K.tolist())) == 1
    if not one or not points.have_errors or not (measured.D_cm2_s > 0).all():
        return None
    return lowest_E_a_eV(points)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _exp(exponent: float) -> float | None:
    """Exponential, None where it is larger than a number can say."""
    return None if not exponent < math.log(sys.float_info.max) else math.exp(exponent)


def _error_scale(chi2: float, df: int, scaling: ErrorScaling) -> float:
    """Return the factor on the fit's errors."""
    if not df or scaling == "never":
        return 1.0
    scatter = math.sqrt(chi2 / df)
    return max(1.0, scatter) if scaling == "up" else scatter
