"""Does a series drift, and how much of its beginning is equilibration?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError
from mlmd.numerics.autocorrelation import standard_error
from mlmd.numerics.equilibration import Equilibration, detect_equilibration
from mlmd.plain import plain_fields

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray


SIGNIFICANCE = 0.002
"""Probability without a drift, or a change, below which one is reported: about five are looked for
in a stage, so that one stage of a hundred is doubted wrongly."""

_PARTS = 3
_MIN_EFFECTIVE = 8.0  # in each part: Student's t allows for so few, not for fewer


@dataclass(frozen=True, eq=False)
class Stationarity:
    """First against last third of a series, and its equilibration.

    Attributes
    ----------
    name, unit : str
        Of the quantity.
    time_ps, values : (n,)
        The series, from the first frame.
    mean_first, mean_last : float
        Means of the first and the last third.
    stderr_first, stderr_last : float or None
        Their standard errors, which know the autocorrelation; None below 8 independent samples.
    difference, stderr : float, float or None
        Last minus first, and its standard error.
    p_value : float or None
        Probability of such a difference without a drift, by Student's t.
    discard_ps : float
        Equilibration to discard, by the largest number of effective samples left
        (:func:`mlmd.numerics.equilibration.detect_equilibration`). It is not discarded.
    discard_sigmas : float
        By how many standard errors its mean differs from that of the rest.
    is_settled : bool
        Whether at least half of the series remains after that.
    """

    name: str
    unit: str
    time_ps: FloatArray
    values: FloatArray
    mean_first: float
    mean_last: float
    stderr_first: float | None
    stderr_last: float | None
    difference: float
    stderr: float | None
    p_value: float | None
    discard_ps: float
    discard_sigmas: float
    is_settled: bool

    @property
    def is_stationary(self) -> bool | None:
        """Whether the thirds agree; None where that cannot be told."""
        return None if self.p_value is None else self.p_value > SIGNIFICANCE

    @property
    def reason(self) -> str:
        """What was found, in words."""
        thirds = f"{self.mean_first:.6g} in the first third, {self.mean_last:.6g} in the last"
        if self.p_value is None:
            return f"{self.name}: {thirds} ({self.unit}), too few independent samples to judge"
        verdict = "is stationary" if self.is_stationary else "drifts"
        return f"{self.name} {verdict}: {thirds} ({self.unit}; p = {self.p_value:.2g})"

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain types for JSON; what is not known is None."""
        left_out = ("name", "time_ps", "values", "stderr_first", "stderr_last")
        return {
            "is_stationary": self.is_stationary,
            "reason": self.reason,
            **plain_fields(self, left_out),
        }


def stationarity(
    name: str, unit: str, values: FloatArray, time_ps: FloatArray, *, from_ps: float = 0.0
) -> Stationarity:
    """Compare the first with the last third of a series, each with its own error.

    Parameters
    ----------
    name, unit
        For messages and plots.
    values, time_ps : (n,)
        At equal intervals.
    from_ps
        Start of the run, from which ``discard_ps`` is counted.

    Raises
    ------
    InputError
        If there are fewer than three values or one is not finite.
    """
    if len(values) < _PARTS or not np.isfinite(values).all():
        raise InputError(
            f"{name}: {len(values)} value(s) were given; expected at least {_PARTS}, all finite"
        )
    size = len(values) // _PARTS
    first = standard_error(values[:size], min_effective=_MIN_EFFECTIVE)
    last = standard_error(values[-size:], min_effective=_MIN_EFFECTIVE)
    difference = last.mean - first.mean
    stderr = p_value = None
    if first.stderr is not None and last.stderr is not None:
        stderr = math.hypot(first.stderr, last.stderr)
        df = min(first.n_effective, last.n_effective) - 1.0
        p_value = _two_sided(difference, stderr, df)
    start = detect_equilibration(values)
    interval_ps = float(time_ps[1] - time_ps[0])
    discard_ps = 0.0
    if start.n_discarded:
        discard_ps = float(time_ps[start.n_discarded]) - 0.5 * interval_ps - from_ps
    return Stationarity(
        name=name,
        unit=unit,
        time_ps=time_ps,
        values=values,
        mean_first=first.mean,
        mean_last=last.mean,
        stderr_first=first.stderr,
        stderr_last=last.stderr,
        difference=difference,
        stderr=stderr,
        p_value=p_value,
        discard_ps=discard_ps,
        discard_sigmas=_sigmas(values, start),
        is_settled=start.is_settled,
    )


def _sigmas(values: FloatArray, start: Equilibration) -> float:
    """Difference of the discarded part from the rest, by the noise and memory of the rest."""
    rest = values[start.n_discarded :]
    if start.n_discarded == 0:
        return 0.0
    tau = start.mean.tau_samples
    variance = float(rest.var()) * (min(1.0, tau / start.n_discarded) + tau / len(rest))
    difference = abs(float(values[: start.n_discarded].mean() - rest.mean()))
    return difference / math.sqrt(variance) if variance > 0 else 0.0


def _two_sided(difference: float, stderr: float, df: float) -> float:
    """Probability of a larger difference, by Student's t."""
    from scipy.special import stdtr

    if stderr == 0.0:
        return 1.0 if difference == 0.0 else 0.0
    return 2.0 * float(stdtr(df, -abs(difference) / stderr))
