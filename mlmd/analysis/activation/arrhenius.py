"""Activation energy from diffusivities at several temperatures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from mlmd.analysis.activation.points import (
    check_errors,
    check_logarithms,
    check_points,
    check_prefactor,
    check_temperatures,
)
from mlmd.analysis.diffusion.units import BOLTZMANN_EV_K
from mlmd.checks import choice
from mlmd.numerics.exponential import fit_exponential
from mlmd.numerics.student import student_factor
from mlmd.numerics.weighted_line import weighted_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray


Fit = Literal["linear", "log"]
"""Least squares in D, or in ln D."""

ErrorScaling = Literal["up", "always", "never"]
"""When the fit's errors are multiplied by sqrt(chi2/df): where that is above 1, or so."""


@dataclass(frozen=True)
class ArrheniusValue:
    """Diffusivity of an Arrhenius law at one temperature.

    ``D_stderr_cm2_s`` is linearised; ``D_interval68_cm2_s`` is symmetric in ln D, so that it
    never reaches 0. Far outside the temperatures measured only the latter makes sense.
    """

    temperature_K: float
    D_cm2_s: float
    D_stderr_cm2_s: float | None
    D_interval68_cm2_s: tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class Arrhenius:
    r"""Arrhenius law :math:`D = D_0 \exp(-E_a / k_B T)`, its uncertainty and its points.

    Attributes
    ----------
    E_a_eV, E_a_stderr_eV : float, float or None
        Activation energy and its standard error in eV; the latter None where two points
        without errors leave nothing to estimate it from.
    E_a_interval68_eV : (float, float) or None
        Interval of 68.27 %; Student's t where the error rests on the scatter alone.
    D0_cm2_s, D0_stderr_cm2_s : float, float or None
        Prefactor and its linearised standard error in cm^2/s.
    covariance : (2, 2) or None
        Of (ln D0, E_a in eV), after scaling.
    chi2_per_df : float or None
        Chi-squared over its degrees of freedom; None for two points or without errors.
    p_value : float or None
        Probability of a larger chi-squared if the law and the errors are right.
    df : int
        Points minus two.
    error_scale : float or None
        Factor applied to the errors of the fit; None where nothing tells how large they are.
    method : str
        What was done, in words.
    fit, error_scaling
        The settings.
    temperatures_K, D_cm2_s : (n,)
        The points.
    D_stderr_cm2_s : (n,) or None
        Their errors, where all are known.
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
    temperatures_K: FloatArray
    D_cm2_s: FloatArray
    D_stderr_cm2_s: FloatArray | None

    @property
    def coverage_factor(self) -> float:
        """Half-width of a 68.27 % interval in standard errors."""
        return 1.0 if self.D_stderr_cm2_s is not None else student_factor(self.df)

    def at(self, temperature_K: float) -> ArrheniusValue:
        """Diffusivity at any temperature, with the uncertainty of both parameters together.

        Raises
        ------
        InputError
            If the temperature is not positive.
        """
        check_temperatures(np.array([temperature_K], dtype=float))
        beta = 1.0 / (BOLTZMANN_EV_K * temperature_K)
        log_D = math.log(self.D0_cm2_s) - self.E_a_eV * beta
        D_cm2_s = math.exp(log_D)
        if self.covariance is None:
            return ArrheniusValue(temperature_K, D_cm2_s, None, None)
        gradient = np.array([1.0, -beta])
        # Far from the points the two terms nearly cancel; rounding must not go below 0.
        sigma = math.sqrt(max(0.0, float(gradient @ self.covariance @ gradient)))
        half = self.coverage_factor * sigma
        interval = (math.exp(log_D - half), math.exp(log_D + half))
        return ArrheniusValue(temperature_K, D_cm2_s, D_cm2_s * sigma, interval)


def arrhenius(
    temperatures_K: ArrayLike,
    D_cm2_s: ArrayLike,
    D_stderr_cm2_s: Sequence[float | None] | FloatArray | None = None,
    *,
    fit: Fit = "linear",
    error_scaling: ErrorScaling = "up",
) -> Arrhenius:
    r"""Fit :math:`D = D_0 \exp(-E_a / k_B T)` to diffusivities at several temperatures.

    Parameters
    ----------
    temperatures_K, D_cm2_s : (n,)
        Points at two different temperatures or more. Several points may share one. With
        "linear", single diffusivities may be negative: leaving them out would bias the law.
    D_stderr_cm2_s : (n,), optional
        Standard errors. Where one is None (or NaN) or none are given, all points count alike
        in ln D, the error comes from their scatter, and ``method`` says so.
    fit
        "linear": weighted least squares in D itself, as in [1]_; the errors of a diffusivity
        are about normal in D and not in ln D. "log": weighted least squares in ln D.
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
    """
    from scipy.special import chdtrc

    choice("fit", fit, get_args(Fit))
    choice("error_scaling", error_scaling, get_args(ErrorScaling))
    T, D = check_points(temperatures_K, D_cm2_s)
    sigma = check_errors(D_stderr_cm2_s, D)
    beta, df = 1.0 / (BOLTZMANN_EV_K * T), len(T) - 2
    if sigma is not None and fit == "linear":
        curve = fit_exponential(beta, D, sigma)
        log_D0, E_a, chi2 = curve.log_amplitude, curve.rate, curve.chi2
        covariance, method = curve.covariance, "weighted least squares in D"
    else:
        check_logarithms(T, D, "fit 'log'" if sigma is not None else "a fit without all errors")
        line = weighted_line(beta, np.log(D), None if sigma is None else sigma / D)
        log_D0, E_a, chi2 = line.intercept, -line.slope, line.chi2
        covariance = line.covariance * np.array([[1.0, -1.0], [-1.0, 1.0]])
        method = "weighted least squares in ln D"
        if sigma is None:
            method = "unweighted least squares in ln D, since errors are not known for every point"
    check_prefactor(log_D0, E_a)
    D0 = math.exp(log_D0)
    scale = _error_scale(chi2, df, sigma is not None, error_scaling)
    E_a_stderr, D0_stderr, E_a_interval = None, None, None
    if scale is not None:
        covariance = covariance * scale**2
        E_a_stderr = math.sqrt(covariance[1, 1])
        D0_stderr = D0 * math.sqrt(covariance[0, 0])
        half = E_a_stderr * (1.0 if sigma is not None else student_factor(df))
        E_a_interval = (E_a - half, E_a + half)
    has_chi2 = sigma is not None and df > 0
    return Arrhenius(
        E_a_eV=E_a,
        E_a_stderr_eV=E_a_stderr,
        E_a_interval68_eV=E_a_interval,
        D0_cm2_s=D0,
        D0_stderr_cm2_s=D0_stderr,
        covariance=None if scale is None else covariance,
        chi2_per_df=chi2 / df if has_chi2 else None,
        p_value=float(chdtrc(df, chi2)) if has_chi2 else None,
        df=df,
        error_scale=scale,
        method=method,
        fit=fit,
        error_scaling=error_scaling,
        temperatures_K=T,
        D_cm2_s=D,
        D_stderr_cm2_s=sigma,
    )


def _error_scale(chi2: float, df: int, errors_known: bool, scaling: ErrorScaling) -> float | None:
    """Return the factor on the fit's errors; None where nothing tells how large they are."""
    if not errors_known:
        return math.sqrt(chi2 / df) if df else None  # unit weights: the scatter is the error
    if not df or scaling == "never":
        return 1.0
    scatter = math.sqrt(chi2 / df)
    return max(1.0, scatter) if scaling == "up" else scatter
