"""Average precision at the top of a list: how much of the best is among the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import finite_series, fraction, whole_number
from mlmd.errors import InputError

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import ArrayLike


def average_precision(
    descriptor: ArrayLike,
    values: ArrayLike,
    errors: ArrayLike,
    rng: Generator,
    *,
    top: float = 0.1,
    n_samples: int = 200,
) -> float:
    """Return the mean over k of the share of the k first that are among the k best.

    For k from 1 to a tenth of the materials, as in the code of Maevskiy et al.

    Parameters
    ----------
    descriptor : (materials,)
        The higher, the better; infinite values are allowed.
    values, errors : (materials,)
        What was measured, the higher the better, and its standard errors: the best are drawn
        again in each sample. Ties of the descriptor are put in order at random.
    rng
        Of the samples.
    top
        Up to which part of the list.
    n_samples
        Over how many samples the mean is taken.

    Raises
    ------
    InputError
        If lengths differ or numbers cannot be used.
    """
    x = np.asarray(descriptor, dtype=float)
    v, e = finite_series(values, least=2), finite_series(errors, least=2)
    if not (x.shape == v.shape == e.shape) or np.isnan(x).any() or (e < 0).any():
        raise InputError(
            f"{x.shape} values of a descriptor, {len(v)} measured ones and {len(e)} errors were "
            "given; expected as many of each, and errors of at least zero"
        )
    n_top = int(np.ceil(fraction("top", top) * len(v)))
    total = 0.0
    for _ in range(whole_number("n_samples", n_samples)):
        best = np.argsort(-(v + e * rng.normal(size=len(v))), kind="stable")
        chance = rng.permutation(len(x))
        first = np.lexsort((chance, -x))
        total += float(
            np.mean([len(set(first[:k]) & set(best[:k])) / k for k in range(1, n_top + 1)])
        )
    return total / n_samples
