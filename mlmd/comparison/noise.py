"""Agreement of two sets of curves, and the best that noise allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.arrays import FloatArray

    BoolArray = NDArray[np.bool_]

_CHANCE = 0.005
"""That noise alone makes a no, in each system: a study of a few has less than 5 % in all."""


@dataclass(frozen=True, eq=False)
class Noise:
    """How far the curves of two runs of one potential are apart.

    Attributes
    ----------
    variance : (curves,)
        Of the difference of the two, summed over the points of each curve.
    in_time : (curves,)
        The part of it that blocks of time show: all of it in a liquid, little in a glass, whose
        structure relaxes more slowly than the run is long.
    n_independent : (curves,)
        How many independent values the points are worth.
    is_known : (curves,)
        Whether there are atoms enough to know it.
    length_ps : float or None
        Length of the two runs, the noisier counting for more; None where times are not known.
    source : str
        What told the variance: ``atoms``, or ``seeds`` where runs differ by more.
    is_reliable : bool
        Whether there are five blocks of time, and a curve whose noise is known.
    """

    variance: FloatArray
    in_time: FloatArray
    n_independent: FloatArray
    is_known: BoolArray
    length_ps: float | None
    source: str
    is_reliable: bool = True

    @property
    def in_time_share(self) -> float:
        """Share of the noise that blocks of time show, of all curves together."""
        total = float(self.variance.sum())
        return min(float(self.in_time.sum()) / total, 1.0) if total > 0 else 1.0

    def ratio(
        self, surrogate: FloatArray, reference: FloatArray, *, in_time: bool = False
    ) -> float:
        """Return squared differences of curves (curves, points) over their noise.

        The mean over the curves, each over its own noise: summed up, the noisiest would drown the
        others. Curves whose noise is not known count only where there is no other.
        """
        squares = np.sum((surrogate - reference) ** 2, axis=-1)[self._judged]
        noise = (self.in_time if in_time else self.variance)[self._judged]
        ratios = np.divide(squares, noise, out=np.full(len(noise), np.inf), where=noise > 0)
        return float(np.where(squares > 0, ratios, 0.0).mean())

    def largest_ratio(self) -> float:
        """Ratio that a perfect surrogate has less than in 99.5 % of cases.

        chi-squared over its degrees of freedom: 3.3 for 5 independent values, 2.0 for 20.
        """
        from scipy.special import chdtri

        each = np.maximum(self.n_independent[self._judged], 1.0)
        n = len(each) ** 2 / float(np.sum(1.0 / each))
        return float(chdtri(n, _CHANCE)) / n

    @property
    def _judged(self) -> BoolArray:
        return self.is_known if self.is_known.any() else np.ones_like(self.is_known)


def noise_ceiling(variance: float, reference: FloatArray) -> float | None:
    r"""Expect this R^2 of a perfect surrogate.

    .. math:: 1 - C = \frac{v}{\sum_k (r_k - \bar r)^2}

    Parameters
    ----------
    variance
        v, of the difference of two sides of one potential, summed over all points of all curves
        (:meth:`mlmd.comparison.structure.runs.RdfRuns.noise`).
    reference : (...)
        Curves of the reference.

    Returns
    -------
    float or None
        None where the reference is constant.
    """
    total = float(np.sum((reference - reference.mean()) ** 2))
    return 1.0 - variance / total if total > 0 else None


def excess(r2: float | None, ceiling: float | None) -> float | None:
    """Disagreement in units of what noise explains, (1 - R^2) / (1 - C): about 1 if perfect.

    0 for identical curves. None where either is not known, or the reference has no noise.
    """
    if r2 is None or ceiling is None:
        return None
    if r2 == 1.0:
        return 0.0
    return (1.0 - r2) / (1.0 - ceiling) if ceiling < 1.0 else None
