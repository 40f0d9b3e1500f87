"""Agreement of two sets of curves, and the best that noise allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray


def r_squared(surrogate: FloatArray, reference: FloatArray) -> float | None:
    r"""Coefficient of determination of the surrogate's values against the reference's.

    .. math:: R^2 = 1 - \frac{\sum_k (s_k - r_k)^2}{\sum_k (r_k - \bar r)^2}

    over all points of all curves that are given, with one common mean: *pooled* where there are
    several. The two sides are not interchangeable. None where the reference is constant.
    """
    total = float(np.sum((reference - reference.mean()) ** 2))
    if not total > 0:
        return None
    return 1.0 - float(np.sum((surrogate - reference) ** 2)) / total


@dataclass(frozen=True, eq=False)
class Noise:
    """What tells how much noise the reference's curves have.

    Attributes
    ----------
    parts : (K, ...)
        Curves of K equally long, independent parts of the reference.
    part_share : float
        Length of one part over that of the whole reference.
    length_ratio : float
        Length of the reference over that of the surrogate.
    source : str
        What the parts are: ``halves`` or ``seeds``.
    is_reliable : bool
        Whether the parts are long enough to be independent.
    """

    parts: FloatArray
    part_share: float
    length_ratio: float
    source: str
    is_reliable: bool = True


def halves(blocks: FloatArray) -> FloatArray:
    """Average blocks of time (blocks, ...) into two halves; the middle of an odd number is left.

    Empty with fewer than two blocks.
    """
    n = len(blocks) // 2
    if n == 0:
        return blocks[:0]
    return np.stack([blocks[:n].mean(axis=0), blocks[-n:].mean(axis=0)])


def noise_ceiling(noise: Noise, reference: FloatArray) -> float | None:
    r"""Expect this R^2 of a perfect surrogate, from independent parts of the reference.

    Let v be the variance, summed over all points, of the curves of the whole reference. A perfect
    surrogate that is :math:`1/\rho` times as long has :math:`\rho v`; the two are independent, so
    that :math:`1 - R^2` is :math:`(1 + \rho) v / \sum (r - \bar r)^2` in the mean. A part of the
    share f of the length has :math:`v / f`, which the sample variance :math:`s^2` between the
    parts estimates:

    .. math:: 1 - C = \frac{(1 + \rho) \, f \sum_k s_k^2}{\sum_k (r_k - \bar r)^2}

    With two halves :math:`s^2 = (h_1 - h_2)^2 / 2` and :math:`f = 1/2`: their difference has the
    variance 4 v, twice that of two curves of full length, and :math:`1 - C` is half of what R^2
    between the halves says (:math:`\rho = 1`). The parts must be longer than what they sample is
    correlated. With Lennard-Jones runs that differ in their seed alone :math:`(1 - R^2)/(1 - C)`
    is 0.35 to 2.5 in 90 of 100 pairs, its median 0.95.

    Parameters
    ----------
    noise
        Parts of the reference.
    reference : (...)
        Curves of the whole reference.

    Returns
    -------
    float or None
        None with fewer than two parts, or where the reference is constant.
    """
    total = float(np.sum((reference - reference.mean()) ** 2))
    if len(noise.parts) < 2 or not total > 0:
        return None
    variance = noise.part_share * float(np.sum(noise.parts.var(axis=0, ddof=1)))
    return 1.0 - (1.0 + noise.length_ratio) * variance / total


def excess(r2: float | None, ceiling: float | None) -> float | None:
    """Disagreement in units of what noise explains, (1 - R^2) / (1 - C): about 1 if perfect.

    0 for identical curves. None where either is not known, or the reference has no noise.
    """
    if r2 is None or ceiling is None:
        return None
    if r2 == 1.0:
        return 0.0
    return (1.0 - r2) / (1.0 - ceiling) if ceiling < 1.0 else None
