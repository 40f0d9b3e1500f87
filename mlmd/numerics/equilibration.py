"""How much of a time series to discard as equilibration, and whether the rest still drifts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError
from mlmd.numerics.autocorrelation import CorrelatedMean, standard_error

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray

_SHORTEST = 5  # samples that at least remain
_COARSE, _FINE = 24, 8  # origins looked at: over the series, then around the best
_BLOCKS = 10_000  # of which the means are searched where the series is longer


@dataclass(frozen=True)
class Equilibration:
    """Where a time series has forgotten how it began.

    Attributes
    ----------
    n_discarded : int
        Samples to cut off at the beginning.
    n_samples : int
        Length of the whole series.
    mean : CorrelatedMean
        Of the samples that remain.
    is_settled : bool
        Whether at least half of the series remains. If not, it was still relaxing for most of
        its length: what looks settled at its end may be the next piece of the way.
    """

    n_discarded: int
    n_samples: int
    mean: CorrelatedMean
    is_settled: bool


@dataclass(frozen=True)
class Drift:
    """Slope of a time series, with an error that knows the correlation of its noise.

    Attributes
    ----------
    slope_per_ps : float
        Least-squares slope, in units of the series per ps.
    stderr_per_ps : float or None
        Its standard error; None where the series is too short to know it.
    tau_samples : float
        Autocorrelation time of the series about its line, in samples.
    n_samples : int
        Length of the series.
    """

    slope_per_ps: float
    stderr_per_ps: float | None
    tau_samples: float
    n_samples: int

    def is_within(self, n_stderr: float = 2.0) -> bool | None:
        """Whether the slope is zero within `n_stderr` standard errors; None if those are."""
        if self.stderr_per_ps is None:
            return None
        return abs(self.slope_per_ps) <= n_stderr * self.stderr_per_ps


def detect_equilibration(series: ArrayLike, *, min_effective: float = 50.0) -> Equilibration:
    r"""Find how many samples to discard, by the largest number of effective samples left.

    With :math:`t_0` samples discarded of :math:`n`, those that remain are worth
    :math:`N_\mathrm{eff}(t_0) = (n - t_0)/\tau(t_0)` independent ones. A piece of relaxation
    left in raises the autocorrelation time :math:`\tau`, discarding too much lowers
    :math:`n - t_0`; the best :math:`t_0` has the largest :math:`N_\mathrm{eff}` [1]_.

    Parameters
    ----------
    series : (samples,)
        Values at equal intervals from the very beginning.
    min_effective
        As in :func:`~mlmd.numerics.autocorrelation.standard_error`, for ``mean``.

    Returns
    -------
    Equilibration

    Raises
    ------
    InputError
        If the series is empty, not one-dimensional or not finite.

    Notes
    -----
    At most 34 origins are looked at: first in geometric progression, then evenly around the
    best of them, which places it within a few per cent of the series. Series of more than
    20 000 samples are searched in at least 10 000 block means; ``mean`` is of the samples
    themselves. A constant series keeps all of its samples, and so does one of fewer than 10.

    What is left of the relaxation is of the size of the standard error, not zero. With the
    relaxation over 2 % of the series, +-1 standard error of ``mean`` covers 64-70 % in noise
    of :math:`\tau` = 19 from 250 effective samples on, 60 % at 50-100 of them, and 45-60 %
    where the noise is white and the relaxation therefore the slowest motion by far.

    References
    ----------
    .. [1] J. D. Chodera, J. Chem. Theory Comput. 12, 1799 (2016).
       DOI 10.1021/acs.jctc.5b00784
    """
    values = np.asarray(series, dtype=float)
    whole = standard_error(values, min_effective=min_effective)
    block = max(1, values.size // _BLOCKS)
    means = values[: values.size // block * block].reshape(-1, block).mean(axis=1)
    n = means.size
    effective = {0: standard_error(means).n_effective}

    def look(origins: FloatArray) -> int:
        for origin in np.unique(np.rint(origins).astype(int)).tolist():
            if origin not in effective:
                effective[origin] = standard_error(means[origin:]).n_effective
        return min(effective, key=lambda origin: (-effective[origin], origin))

    best = 0
    if n >= 2 * _SHORTEST:
        best = look(np.geomspace(1, n - _SHORTEST, _COARSE))
        tried = sorted(effective)
        at = tried.index(best)
        around = tried[max(at - 1, 0)], tried[min(at + 1, len(tried) - 1)]
        best = look(np.linspace(*around, _FINE + 2))
    cut = best * block
    mean = whole if cut == 0 else standard_error(values[cut:], min_effective=min_effective)
    return Equilibration(cut, values.size, mean, cut <= values.size // 2)


def drift(series: ArrayLike, time_ps: ArrayLike, *, min_effective: float = 50.0) -> Drift:
    r"""Slope of a series against time, with its standard error.

    The error of ordinary least squares, for uncorrelated noise, is widened by the
    autocorrelation time :math:`\tau` of the residuals:
    :math:`\sigma_b^2 = \sigma^2 \tau / \sum_i (t_i - \bar t)^2`.

    Parameters
    ----------
    series : (samples,)
        Values, after equilibration has been cut off.
    time_ps : (samples,)
        Their times, at equal intervals.
    min_effective
        Effective samples below which no error is given.

    Returns
    -------
    Drift

    Raises
    ------
    InputError
        If there are fewer than three samples, a number is not finite, or the times are not
        evenly spaced and increasing.
    """
    values, times = np.asarray(series, dtype=float), np.asarray(time_ps, dtype=float)
    if values.ndim != 1 or values.shape != times.shape or values.size < 3:
        raise InputError(
            f"a series of shape {values.shape} with times of shape {times.shape} was given; "
            "expected one dimension, one time for each value, at least 3 of them"
        )
    if not (np.isfinite(values).all() and np.isfinite(times).all()):
        raise InputError("a value or time of the series is not finite; expected numbers throughout")
    intervals = np.diff(times)
    if intervals.min() <= 0 or np.ptp(intervals) > 1e-3 * intervals.mean():
        raise InputError(
            f"the times lie {intervals.min():g} to {intervals.max():g} ps apart; expected equal "
            "positive intervals"
        )
    n = values.size
    centred = times - times.mean()
    spread = float(centred @ centred)
    slope = float(centred @ values) / spread
    residuals = values - values.mean() - slope * centred
    noise = standard_error(residuals, min_effective=min_effective)
    # A line takes away twice as much of the slow noise as the mean that `noise` allows for.
    tau = noise.tau_samples * (1.0 + (2 * noise.window_samples + 1) / n)
    stderr = None
    if n / tau >= min_effective:
        variance = float(residuals @ residuals) / (n - 2 * tau)
        stderr = math.sqrt(variance * tau / spread)
    return Drift(slope, stderr, tau, n)
