"""What an Arrhenius fit can be made of: checks that say what to do instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlmd.analysis.diffusion.bounds import PROBABILITY
from mlmd.analysis.diffusion.units import BOLTZMANN_EV_K
from mlmd.errors import InputError
from mlmd.numerics.student import student_factor

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlmd.arrays import BoolArray, FloatArray

Fit = Literal["linear", "log"]
"""Errors are those of D, or, relative to D, those of ln D."""
Values = Sequence[float | None]
"""One number per point; None (or NaN) where it is not known."""

ONE_SIDED = NormalDist().inv_cdf(PROBABILITY)
"""Normal deviate of a bound of 95 %, 1.64."""
WIDEST = 1.0 / ONE_SIDED
"""Standard error over upper bound where the estimate itself is 0. It cannot be more."""


def normal_score(t: FloatArray, df: FloatArray) -> FloatArray:
    r"""Turn Student's t into the normal deviate of the same probability.

    .. math:: z = \frac{8 f + 1}{8 f + 3} \sqrt{f \ln(1 + t^2 / f)}

    and t itself for infinite f.
    Within 0.03 up to t = 4 with two degrees of freedom or more, and smooth (D. L. Wallace, Ann.
    Math. Stat. 30, 1121 (1959)). The squares of such residuals add up
    to a chi-squared as those of known errors do: three windows whose error is small by chance
    no longer make a point many standard errors off.
    """
    known = np.isinf(df)
    f = np.where(known, 1.0, df)
    score = np.sign(t) * (8.0 * f + 1.0) / (8.0 * f + 3.0) * np.sqrt(f * np.log1p(t**2 / f))
    return np.asarray(np.where(known, t, score))


@dataclass(frozen=True, eq=False)
class Points:
    """Diffusivities with their errors, and bounds of those that were not measured.

    Attributes
    ----------
    temperatures_K : (n,)
        Of all points.
    D_cm2_s : (n,)
        What was measured; the upper bound of 95 % where ``censored``.
    D_stderr_cm2_s, df : (n,)
        Standard errors, NaN where one of a measured point is not known, and their degrees of
        freedom. Of a bound: that of the estimate which it is the bound of.
    censored : (n,)
        Which points are bounds.
    """

    temperatures_K: FloatArray
    D_cm2_s: FloatArray
    D_stderr_cm2_s: FloatArray
    df: FloatArray
    censored: BoolArray

    @property
    def beta(self) -> FloatArray:
        """1 / (kB T) in 1/eV."""
        return np.asarray(1.0 / (BOLTZMANN_EV_K * self.temperatures_K))

    @property
    def have_errors(self) -> bool:
        """Whether the error of every measured point is known."""
        return bool(np.isfinite(self.D_stderr_cm2_s).all())

    @property
    def are_plain(self) -> bool:
        """Whether all are measured, with errors that are known and not estimates."""
        return self.have_errors and not self.censored.any() and bool(np.isinf(self.df).all())

    @property
    def half_width68_cm2_s(self) -> FloatArray:
        """Half of the 68.27 % interval of each D."""
        factors = [student_factor(float(f)) for f in self.df]
        return np.asarray(self.D_stderr_cm2_s * factors)

    def of(self, chosen: BoolArray) -> Points:
        """Return some of the points."""
        return replace(self, **{name: value[chosen] for name, value in vars(self).items()})

    def residuals(self, log_D: FloatArray, fit: Fit) -> FloatArray:
        """Square roots of the deviances of a law that gives ``log_D`` (..., n) at the points.

        That of a measured point is the normal score of its residual. That of a bound U is
        :math:`-2 \\ln P`, with P the probability that an estimate with its error is below U
        (Tobin, Econometrica 26, 24 (1958), DOI 10.2307/1907382): a law far below it costs
        nothing, one that gives U costs 2 ln 2.
        """
        from scipy.special import log_ndtr

        in_log = self.censored | (fit == "log")
        relative = self.D_stderr_cm2_s / np.abs(self.D_cm2_s)
        with np.errstate(all="ignore"):  # what overflows is not chosen
            logs = (np.log(np.abs(self.D_cm2_s)) - log_D) / relative
            plain = (self.D_cm2_s - np.exp(np.minimum(log_D, 700.0))) / self.D_stderr_cm2_s
            score = normal_score(np.where(in_log, logs, plain), self.df)
        return np.asarray(np.where(self.censored, np.sqrt(-2.0 * log_ndtr(score)), score))


def check_temperatures(T: FloatArray) -> None:
    """Raise InputError unless all temperatures are positive."""
    if not (np.isfinite(T) & (T > 0)).all():
        raise InputError(
            f"temperatures {', '.join(f'{t:g}' for t in T)} K were given; expected positive ones"
        )


def points_of(
    temperatures_K: ArrayLike,
    D_cm2_s: Values | ArrayLike,
    D_stderr_cm2_s: Values | FloatArray | None,
    df: Values | FloatArray | None,
    D_upper_bound_cm2_s: Values | FloatArray | None,
) -> Points:
    """Return copies of the points; censored where there is a bound, whatever D is there.

    Raises
    ------
    InputError
        If shapes differ, a number cannot be, or no D is positive.
    """
    T = np.array(temperatures_K, dtype=float)
    D = _values("diffusivities", D_cm2_s, T)
    upper = _values("upper bounds", D_upper_bound_cm2_s, T)
    sigma = _values("errors", D_stderr_cm2_s, T)
    freedom = _values("degrees of freedom", df, T)
    check_temperatures(T)
    censored = np.isfinite(upper)
    if np.isnan(D[~censored]).any():
        unknown = ", ".join(f"{t:g}" for t in T[~censored & np.isnan(D)])
        raise InputError(
            f"D is None at {unknown} K, where the motion is not diffusive; give its "
            "D_upper_bound_cm2_s, leave those points out, or fit D_raw_cm2_s, what was not measured"
        )
    measured = D[~censored]
    if not np.isfinite(measured).all() or not (measured > 0).any():
        raise InputError(
            f"diffusivities {', '.join(f'{d:.3g}' for d in measured) or 'at no temperature'} "
            "cm^2/s were given; expected finite numbers, at least one of them positive"
        )
    if not (upper[censored] > 0).all():
        raise InputError(
            f"upper bounds {', '.join(f'{u:.3g}' for u in upper[censored])} cm^2/s were given; "
            "expected positive ones (None where D was measured)"
        )
    given = sigma[~np.isnan(sigma) & ~censored]
    if not (np.isfinite(given) & (given > 0)).all():
        raise InputError(
            f"errors {', '.join(f'{s:.3g}' for s in given)} cm^2/s were given; expected positive, "
            "finite ones (None where not known)"
        )
    freedom = np.where(np.isnan(freedom), np.inf, freedom)
    unknown_error = ~(sigma > 0)
    # A bound without an error, or with one too wide for it, is that of an estimate of 0.
    too_wide = censored & (unknown_error | (sigma > WIDEST * upper))
    sigma = np.where(too_wide, WIDEST * upper, sigma)
    freedom = np.where(unknown_error, np.inf, freedom)
    if not (freedom > 0).all():
        raise InputError(
            f"degrees of freedom {', '.join(f'{f:g}' for f in freedom)} were given; expected "
            "positive ones (None where the error is known)"
        )
    return Points(T, np.where(censored, upper, D), sigma, freedom, censored)


def check_two_temperatures(points: Points) -> None:
    """Raise InputError unless D was measured at two temperatures or more."""
    different = len(set(points.temperatures_K[~points.censored].tolist()))
    if different < 2:
        more = "; activation_energy_bound tells what it is above" if points.censored.any() else ""
        raise InputError(
            f"{different} different temperature(s) were given{' with a D' * bool(more)}; an "
            f"activation energy needs two or more{more}"
        )


def _values(what: str, given: Values | ArrayLike | None, T: FloatArray) -> FloatArray:
    """Return one number per temperature, NaN where it is not known."""
    if given is None:
        return np.full(T.shape, np.nan)
    values = np.array(given, dtype=float)  # None becomes NaN
    if T.ndim != 1 or values.shape != T.shape:
        raise InputError(
            f"temperatures of shape {T.shape} and {what} of shape {values.shape} were given; "
            "expected one of each per point"
        )
    return values


def check_logarithms(T: FloatArray, D: FloatArray, what: str) -> None:
    """Raise InputError if a diffusivity has no logarithm."""
    if (D <= 0).any():
        worst = int(np.argmin(D))
        raise InputError(
            f"D is {D[worst]:.3g} cm^2/s at {T[worst]:g} K and {what} needs ln D; give an error "
            "for every point and take fit 'linear', which keeps such points"
        )


def check_prefactor(log_D0: float, E_a_eV: float) -> None:
    """Raise InputError if the prefactor is no number that can be written down."""
    if not abs(log_D0) < 700.0:  # the largest double is exp(709)
        raise InputError(
            f"the prefactor is exp({log_D0:.3g}) cm^2/s with E_a = {E_a_eV:.3g} eV: these points "
            "do not follow an Arrhenius law; check temperatures and units"
        )
