"""What an estimator of the diffusivity is given and gives back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypedDict, TypeVar, get_args

import numpy as np

from mlmd.analysis.diffusion.drift import Drift, check_drift
from mlmd.analysis.diffusion.walkers import checked_atoms
from mlmd.checks import choice, is_number, positive_number, shown
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.estimators.options import EstimatorOptions
    from mlmd.arrays import FloatArray


Options = TypeVar("Options", bound="EstimatorOptions")

Origins = Literal["sliding", "first"]
"""Time origins inside a window: every frame, or its first frame only."""

PUBLISHED_WINDOW_PS = 15.0
"""Length of a window where none is given."""

PUBLISHED_FIT_PS = (1.0, 15.0)
"""Fit inside a window where none is given."""


class DiffusivityOptions(TypedDict, total=False):
    """Keywords of :func:`mlmd.diffusivity`."""

    estimator: str | None
    window_ps: float | None
    fit_ps: tuple[float, float] | None
    drift: Drift
    mobile: str | None
    origins: Origins
    options: EstimatorOptions | None
    atoms: Sequence[int] | None


@dataclass(frozen=True)
class DiffusivitySettings:
    """How a diffusivity was, or is to be, obtained.

    Attributes
    ----------
    estimator : str
        Name in :data:`mlmd.analysis.diffusion.diffusivity.ESTIMATORS`.
    window_ps : float or None
        Length of a window; None where the estimator has none.
    fit_ps : (float, float) or None
        First and last lag of the fit; None where the estimator chooses, and in a result the
        choice that was made.
    origins : str
        Time origins inside a window.
    drift, mobile
        What was held at rest (see :func:`mlmd.analysis.diffusion.drift.drift_A`).
    options : EstimatorOptions or None
        Settings that only this estimator has.
    atoms : tuple of int or None
        Indices of the atoms that are measured, of those of a species; all where None.

    Raises
    ------
    InputError
        If a value is not known or the fit range does not lie within the window.
    """

    estimator: str = "gls"
    window_ps: float | None = None
    fit_ps: tuple[float, float] | None = None
    origins: Origins = "sliding"
    drift: Drift = "cell"
    mobile: str | None = None
    options: EstimatorOptions | None = None
    atoms: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without a trajectory."""
        check_drift(self.drift)
        choice("origins", self.origins, get_args(Origins))
        object.__setattr__(self, "atoms", checked_atoms(self.atoms))
        if self.window_ps is not None:
            window_ps = positive_number("window_ps", self.window_ps, "ps")
            object.__setattr__(self, "window_ps", window_ps)
        if self.fit_ps is not None:
            object.__setattr__(self, "fit_ps", checked_range(self.fit_ps, self.window_ps))

    def options_of(self, kind: type[Options]) -> Options:
        """Return the options of an estimator, by default its own.

        Raises
        ------
        InputError
            If those given are of another kind.
        """
        options = kind() if self.options is None else self.options
        if not isinstance(options, kind):
            raise InputError(
                f"{options} was given for estimator '{self.estimator}'; expected {kind.__name__}"
            )
        return options

    def refuse_unused(self) -> None:
        """Raise InputError for what was given and would change nothing."""
        if self.origins != "sliding" and self.estimator != "windowed":
            raise InputError(
                f"origins '{self.origins}' is of the estimator 'windowed', and D is measured by "
                f"'{self.estimator}'; leave it out, or take estimator 'windowed'"
            )
        if self.mobile is not None and self.drift != "framework":
            raise InputError(
                f"mobile '{self.mobile}' says what is not framework, and drift "
                f"'{self.drift}' asks for no framework; leave it out, or take drift 'framework'"
            )


def checked_range(fit_ps: tuple[float, float], window_ps: float | None) -> tuple[float, float]:
    """Return the range as two floats.

    Raises
    ------
    InputError
        If it is none, or does not lie within the window, if there is one.
    """
    if not isinstance(fit_ps, Sequence) or isinstance(fit_ps, str) or len(fit_ps) != 2:
        raise InputError(f"fit_ps is {shown(fit_ps)}; expected the first and the last lag in ps")
    if not all(is_number(lag_ps) for lag_ps in fit_ps):
        raise InputError(f"fit_ps is {shown(fit_ps)}; expected two numbers in ps")
    start, end = (float(lag) if -1e300 < lag < 1e300 else math.nan for lag in fit_ps)
    if window_ps is None:
        if not (0 <= start < end and math.isfinite(end)):
            raise InputError(
                f"a fit from {start:g} to {end:g} ps was given; expected two lags, the first at "
                "least 0 and the second larger"
            )
    elif not 0 <= start < end <= window_ps * (1 + 1e-9):
        raise InputError(
            f"a fit from {start:g} to {end:g} ps was given with windows of {window_ps:g} ps; "
            f"expected a range inside the window: give both, such as --window-ps {window_ps:g} "
            f"--fit-ps {window_ps / 10:g} {window_ps:g}"
        )
    return start, end


def check_lags(fit_ps: tuple[float, float], n_lags: int, of: str) -> None:
    """Raise InputError where a fit holds fewer than three lags."""
    if n_lags < 3:
        raise InputError(
            f"the fit from {fit_ps[0]:g} to {fit_ps[1]:g} ps holds {n_lags} lag(s) {of} ps; "
            "expected at least 3: widen --fit-ps, or record more often"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Estimate:
    """Diffusivity by one estimator, and the curves it was read from.

    What has a default is so where the estimator has no error and no windows.

    Attributes
    ----------
    D_cm2_s : float
        Tracer diffusivity in cm^2/s.
    D_stderr_cm2_s : float or None
        Its standard error.
    D_interval68_cm2_s : (float, float) or None
        Interval of 68.27 % probability.
    D_axes_cm2_s : (3,)
        Along x, y and z; their mean is D.
    fit_ps : (float, float)
        First and last lag of the fit.
    window_ps : float or None
        Length of a window.
    n_windows : int
        Independent windows or blocks that the error rests on.
    df : float
        Degrees of freedom of the error; infinite where it does not rest on a scatter.
    window_D_cm2_s : (windows,)
        Diffusivity of each window; empty where there are none.
    lag_ps : (lags,)
        Lags of the curves.
    window_msd_A2 : (windows, lags)
        Mean squared displacement of each window, or one row over all origins.
    intercept_A2 : float
        Intercept of the fitted line, whose slope is 6 D.
    details : mapping of str to number
        What the estimator has chosen or found on the way.
    """

    D_cm2_s: float
    D_stderr_cm2_s: float | None = None
    D_interval68_cm2_s: tuple[float, float] | None = None
    D_axes_cm2_s: FloatArray
    fit_ps: tuple[float, float]
    window_ps: float | None = None
    n_windows: int = 1
    df: float = 0.0
    window_D_cm2_s: FloatArray = field(default_factory=lambda: np.empty(0))
    lag_ps: FloatArray
    window_msd_A2: FloatArray
    intercept_A2: float
    details: Mapping[str, float | int | None] = field(default_factory=dict)
