"""What an estimator of the diffusivity is given and gives back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from mlmd.analysis.drift import Drift, check_drift
from mlmd.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.floating[Any]]

Origins = Literal["sliding", "first"]
"""Time origins inside a window: every frame, or its first frame only."""


@dataclass(frozen=True)
class DiffusivitySettings:
    """How a diffusivity was obtained.

    Attributes
    ----------
    estimator : str
        Name in :data:`mlmd.analysis.diffusivity.ESTIMATORS`.
    window_ps : float
        Length of a window.
    fit_ps : (float, float)
        First and last lag of the straight-line fit.
    origins : str
        Time origins inside a window.
    drift, mobile
        What was held at rest (see :func:`mlmd.analysis.drift.drift_A`).

    Raises
    ------
    InputError
        If a value is not known or the fit range does not lie within the window.
    """

    estimator: str = "windowed"
    window_ps: float = 15.0
    fit_ps: tuple[float, float] = (1.0, 15.0)
    origins: Origins = "sliding"
    drift: Drift = "cell"
    mobile: str | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without a trajectory."""
        check_drift(self.drift)
        if self.origins not in get_args(Origins):
            raise InputError(
                f"origins '{self.origins}' is not known; give {', '.join(get_args(Origins))}"
            )
        if not math.isfinite(self.window_ps) or self.window_ps <= 0:
            raise InputError(f"the window is {self.window_ps:g} ps; expected a positive time")
        if len(self.fit_ps) != 2:
            raise InputError(
                f"fit_ps has {len(self.fit_ps)} value(s); expected the first and the last lag in ps"
            )
        start, end = (float(lag_ps) for lag_ps in self.fit_ps)
        object.__setattr__(self, "window_ps", float(self.window_ps))
        object.__setattr__(self, "fit_ps", (start, end))
        if not 0 <= start < end <= self.window_ps * (1 + 1e-9):
            raise InputError(
                f"a fit from {start:g} to {end:g} ps was given with windows of "
                f"{self.window_ps:g} ps; expected a range inside the window: give both, such as "
                f"--window-ps {self.window_ps:g} --fit-ps {self.window_ps / 10:g} "
                f"{self.window_ps:g}"
            )


@dataclass(frozen=True, eq=False)
class Estimate:
    """Diffusivity by one estimator, and the curves it was read from.

    Attributes
    ----------
    D_cm2_s : float
        Tracer diffusivity in cm^2/s.
    D_stderr_cm2_s : float or None
        Its standard error.
    D_interval68_cm2_s : (float, float) or None
        Interval of 68.27 % probability.
    window_D_cm2_s : (windows,)
        Diffusivity of each window.
    lag_ps : (lags,)
        Lags of the curves.
    window_msd_A2 : (windows, lags)
        Mean squared displacement of each window.
    intercept_A2 : float
        Intercept of the fitted line, whose slope is 6 D.
    """

    D_cm2_s: float
    D_stderr_cm2_s: float | None
    D_interval68_cm2_s: tuple[float, float] | None
    window_D_cm2_s: FloatArray
    lag_ps: FloatArray
    window_msd_A2: FloatArray
    intercept_A2: float
