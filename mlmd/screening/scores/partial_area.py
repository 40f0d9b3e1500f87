"""The ranking score of Maevskiy et al.: the area under the ROC curve up to 10 % false positives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import whole_number
from mlmd.errors import InputError
from mlmd.screening.scores.labels import Labels

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray

FALSE_POSITIVES = 0.1
"""Rate up to which the curve counts: purity at the top of the list, whatever is below."""
RANDOM = FALSE_POSITIVES / 2
"""The score of an order at random, and of one that ties everything."""


@dataclass(frozen=True)
class Score:
    """A score and how far it is known.

    Attributes
    ----------
    value
        1 where all good materials come before 10 % of the bad ones; `RANDOM` by chance.
    error
        Standard deviation over bootstrap samples.
    low, high
        Between which 95 % of them lie.
    """

    value: float
    error: float
    low: float
    high: float


def ranking_score(
    descriptor: ArrayLike, labels: Labels, rng: Generator, n_bootstrap: int = 1000
) -> Score:
    """Return how purely a descriptor fills the top of its list.

    Parameters
    ----------
    descriptor : (materials,)
        The higher, the better. Infinite values are allowed (no way out at any energy).
    labels
        From :func:`smoothed_labels`.
    rng
        Of the bootstrap, which draws among the good and among the others by themselves.
    n_bootstrap
        Samples.

    Raises
    ------
    InputError
        If lengths differ, there is a NaN, or nothing counts as good, or as bad.
    """
    values = np.asarray(descriptor, dtype=float)
    good, bad = labels.good, labels.bad
    if values.shape != good.shape or np.isnan(values).any():
        raise InputError(
            f"{values.shape} values of a descriptor were given for {len(good)} labels; expected a "
            "number for each"
        )
    if not (good.sum() > 0 and bad.sum() > 0):
        raise InputError(
            f"the labels hold {good.sum():g} good and {bad.sum():g} bad materials; expected some "
            "of both, look at the thresholds"
        )
    strata = [np.flatnonzero(good > bad), np.flatnonzero(good <= bad)]
    found = []
    for _ in range(whole_number("n_bootstrap", n_bootstrap, least=2)):
        drawn = np.concatenate([rng.choice(one, len(one)) for one in strata if len(one)])
        found.append(partial_area(values[drawn], good[drawn], bad[drawn]))
    low, high = np.quantile(found, (0.025, 0.975))
    value = partial_area(values, good, bad)
    return Score(value, float(np.std(found, ddof=1)), float(low), float(high))


def partial_area(values: FloatArray, good: FloatArray, bad: FloatArray) -> float:
    """Return the area under the weighted ROC curve up to `FALSE_POSITIVES`, divided by that.

    Materials of one value are passed together, along a straight line: their order is by chance.
    """
    _, group = np.unique(-values, return_inverse=True)
    true = np.append(0.0, np.cumsum(np.bincount(group, good))) / good.sum()
    false = np.append(0.0, np.cumsum(np.bincount(group, bad))) / bad.sum()
    n_within = int(np.searchsorted(false, FALSE_POSITIVES, side="right"))
    at_end = float(np.interp(FALSE_POSITIVES, false[n_within - 1 :], true[n_within - 1 :]))
    x = np.append(false[:n_within], FALSE_POSITIVES)
    y = np.append(true[:n_within], at_end)
    return float(np.trapezoid(y, x) / FALSE_POSITIVES)
