"""How sure a model is: the standard deviation of its predictions, and how far that is true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.checks import whole_number
from mlmd.model.data.folds import groups_of, make_folds, widest_grouping
from mlmd.model.fitting import fit_pipeline
from mlmd.numerics.student import ONE_SIGMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.arrays import FloatArray, IntArray
    from mlmd.model.data.problem import Problem
    from mlmd.model.regressors import Spread


N_SPLITS = 5
FEWEST_MEMBERS = 10
_WITHIN_95 = 0.95


@dataclass(frozen=True)
class Calibration:
    """What the spread of a model is worth on rows that it has not learnt from.

    Attributes
    ----------
    factor, factor_95 : float
        What the spread is multiplied with, so that 68 % and 95 % of the errors are smaller. Errors
        have longer tails than a normal distribution: the second is more than twice the first.
    coverage_68, coverage_95 : float
        Share of the errors that are smaller, with factors from other groups than the row's own.
    rmse : float
        Error of these predictions.
    grouped_by : str
        What a row and those it was predicted from do not share.
    """

    factor: float
    factor_95: float
    coverage_68: float
    coverage_95: float
    rmse: float
    grouped_by: str


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """Calibrated on all parts but a row's own.

    Attributes
    ----------
    deviation, half_width_95 : (n,) array
        Standard deviation of each row, and half of its interval of 95 %.
    """

    deviation: FloatArray
    half_width_95: FloatArray


def cross_fitted(error: FloatArray, spread: FloatArray, part: NDArray[Any]) -> CrossFitted:
    """Calibrate the spread of each part on the errors of the others.

    Parameters
    ----------
    error, spread : (n,) array
        Of rows that the model had not learnt from.
    part : (n,) array
        What each row belongs to; at least two different ones.
    """
    deviation, half_width_95 = np.empty(len(error)), np.empty(len(error))
    for one in np.unique(part):
        own = part == one
        factor, factor_95 = _factors(error[~own], spread[~own])
        deviation[own], half_width_95[own] = factor * spread[own], factor_95 * spread[own]
    return CrossFitted(deviation, half_width_95)


def raw_spread(kind: Spread, pipeline: Any, members: Sequence[Any], X: Any) -> FloatArray:
    """Return the standard deviation over trees, of the posterior, or over bootstrapped models."""
    if kind == "bootstrap":
        guesses = np.array([member.predict(X) for member in members])
        return _deviation(guesses, ddof=1)
    values = pipeline[:-1].transform(X) if len(pipeline) > 1 else X
    if kind == "posterior":
        deviation: FloatArray = pipeline[-1].predict(values, return_std=True)[1]
        return deviation
    plain = np.asarray(values, dtype=float)
    trees = pipeline[-1].estimators_
    return _deviation(np.array([tree.predict(plain) for tree in trees]), ddof=0)


def bootstrap(
    problem: Problem,
    model: str,
    n_members: int,
    seed: int,
    rows: IntArray | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Any], Calibration]:
    """Learn from groups drawn with replacement; calibrate each row on models without its group.

    Parameters
    ----------
    problem : Problem
        What to learn.
    model : str
        Name of one of `REGRESSORS`.
    n_members, seed : int
        Number of draws, at least ten, and their seed.
    rows : array of int, optional
        Rows to learn from; all if not given.
    settings : mapping, optional
        See `fit_pipeline`.
    progress : callable, optional
        Called with the number of models done, and of all.

    Raises
    ------
    InputError
        If fewer than ten members are wanted.
    """
    whole_number("n_bootstrap", n_members, FEWEST_MEMBERS)
    among = np.arange(len(problem.y)) if rows is None else rows
    formulas = [problem.formulas[i] for i in among]
    grouped_by = widest_grouping(formulas, N_SPLITS)
    names, of_row = np.unique(groups_of(grouped_by, formulas), return_inverse=True)
    rng = np.random.default_rng(seed)
    members = []
    without = np.full((n_members, len(of_row)), np.nan)
    for i in range(n_members):
        drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        chosen = among[np.repeat(np.arange(len(of_row)), drawn[of_row])]
        members.append(fit_pipeline(problem, model, chosen, settings))
        left = np.flatnonzero(drawn[of_row] == 0)
        if len(left):
            without[i, left] = members[-1].predict(problem.X.iloc[among[left]])
        if progress is not None:
            progress(i + 1, n_members)
    seen = np.isfinite(without).sum(axis=0) > 1
    predicted = np.nanmean(without[:, seen], axis=0)
    spread = np.nanstd(without[:, seen], axis=0, ddof=1)
    part = rng.permutation(len(names))[of_row[seen]] % N_SPLITS
    error = problem.y[among[seen]] - predicted
    return members, _calibration(error, spread, part, grouped_by)


def calibrate(
    problem: Problem,
    model: str,
    kind: Spread,
    seed: int,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Calibrate a model's own spread on grouped folds; see `bootstrap` for the arguments."""
    grouped_by = widest_grouping(problem.formulas, N_SPLITS)
    error, spread = np.empty(len(problem.y)), np.empty(len(problem.y))
    part = np.empty(len(problem.y), dtype=int)
    folds = make_folds(grouped_by, problem.formulas, N_SPLITS, seed=seed).folds
    for i, fold in enumerate(folds):
        fitted = fit_pipeline(problem, model, fold.train, settings)
        X = problem.X.iloc[fold.test]
        error[fold.test] = problem.y[fold.test] - fitted.predict(X)
        spread[fold.test] = raw_spread(kind, fitted, (), X)
        part[fold.test] = i
        if progress is not None:
            progress(i + 1, len(folds))
    return _calibration(error, spread, part, grouped_by)


def _deviation(guesses: FloatArray, ddof: int) -> FloatArray:
    deviation: FloatArray = np.std(guesses, axis=0, ddof=ddof)
    return deviation


def _calibration(
    error: FloatArray, spread: FloatArray, part: NDArray[Any], grouped_by: str
) -> Calibration:
    checked, size = cross_fitted(error, spread, part), np.abs(error)
    return Calibration(
        *_factors(error, spread),
        float(np.mean(size <= checked.deviation)),
        float(np.mean(size <= checked.half_width_95)),
        float(np.sqrt(np.mean(error**2))),
        grouped_by,
    )


def _factors(error: FloatArray, spread: FloatArray) -> tuple[float, float]:
    """Return what the spread times which 68 % and 95 % of the errors are within."""
    floor = np.finfo(float).tiny + 1e-6 * float(np.abs(error).max(initial=0.0))
    ratio = np.abs(error) / np.maximum(spread, floor)
    # A new error may be the greatest of all: conformal prediction asks for that much more.
    levels = np.minimum(1.0, np.array([ONE_SIGMA, _WITHIN_95]) * (1 + 1 / len(ratio)))
    factor, factor_95 = np.quantile(ratio, levels, method="higher")
    return float(factor), float(factor_95)
