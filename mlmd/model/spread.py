"""How sure a model is: the standard deviation of its predictions, and how far that is true."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError
from mlmd.model.fitting import fit_pipeline
from mlmd.model.folds import chemical_system, make_folds, reduced_formula

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.model.regressors import Spread
    from mlmd.model.table import Problem

    FloatArray = NDArray[np.floating[Any]]

N_SPLITS = 5
_FEWEST_MEMBERS = 10
_WITHIN_ONE_SIGMA = 0.6827
_SIGMA_95 = 1.959964


@dataclass(frozen=True)
class Calibration:
    """What the spread of a model is worth on rows that it has not learnt from.

    Attributes
    ----------
    factor : float
        What the spread is multiplied with, so that 68 % of the errors are smaller.
    coverage_95 : float
        Share of the errors below 1.96 standard deviations then; 0.95 if they are normal.
    rmse : float
        Error of these predictions.
    grouped_by : str
        What a row and those it was predicted from do not share.
    """

    factor: float
    coverage_95: float
    rmse: float
    grouped_by: str


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
    problem: Problem, model: str, n_members: int, seed: int
) -> tuple[list[Any], Calibration]:
    """Learn from groups drawn with replacement; calibrate each row on models without its group.

    Raises
    ------
    InputError
        If fewer than ten members are wanted.
    """
    if n_members < _FEWEST_MEMBERS:
        raise InputError(f"{n_members} bootstrapped models; expected at least {_FEWEST_MEMBERS}")
    grouped_by, groups = _groups(problem)
    names, of_row = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    members = []
    without = np.full((n_members, len(of_row)), np.nan)
    for i in range(n_members):
        drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        rows = np.repeat(np.arange(len(of_row)), drawn[of_row])
        members.append(fit_pipeline(problem, model, rows))
        left = np.flatnonzero(drawn[of_row] == 0)
        if len(left):
            without[i, left] = members[-1].predict(problem.X.iloc[left])
    seen = np.isfinite(without).sum(axis=0) > 1
    predicted = np.nanmean(without[:, seen], axis=0)
    spread = np.nanstd(without[:, seen], axis=0, ddof=1)
    return members, _calibration(problem.y[seen] - predicted, spread, grouped_by)


def calibrate(problem: Problem, model: str, kind: Spread, seed: int) -> Calibration:
    """Calibrate a model's own spread on grouped folds."""
    grouped_by, _ = _groups(problem)
    error, spread = np.empty(len(problem.y)), np.empty(len(problem.y))
    for fold in make_folds(grouped_by, problem.formulas, N_SPLITS, seed=seed).folds:
        fitted, X = fit_pipeline(problem, model, fold.train), problem.X.iloc[fold.test]
        error[fold.test] = problem.y[fold.test] - fitted.predict(X)
        spread[fold.test] = raw_spread(kind, fitted, (), X)
    return _calibration(error, spread, grouped_by)


def _deviation(guesses: FloatArray, ddof: int) -> FloatArray:
    deviation: FloatArray = np.std(guesses, axis=0, ddof=ddof)
    return deviation


def _groups(problem: Problem) -> tuple[str, NDArray[Any]]:
    """Return the widest groups of which there are enough."""
    for name, group in _groupings(problem):
        if len(np.unique(group)) >= N_SPLITS:
            return name, group
    raise InputError(f"{len(problem.y)} row(s) to learn from; expected at least {N_SPLITS}")


def _groupings(problem: Problem) -> Iterator[tuple[str, NDArray[Any]]]:
    yield "chemical_system", np.array([chemical_system(f) for f in problem.formulas])
    yield "formula", np.array([reduced_formula(f) for f in problem.formulas])
    yield "random", np.arange(len(problem.y))


def _calibration(error: FloatArray, spread: FloatArray, grouped_by: str) -> Calibration:
    floor = np.finfo(float).tiny + 1e-6 * float(np.abs(error).max(initial=0.0))
    ratio = np.abs(error) / np.maximum(spread, floor)
    factor = float(np.quantile(ratio, _WITHIN_ONE_SIGMA))
    coverage = float(np.mean(ratio <= _SIGMA_95 * factor))
    return Calibration(factor, coverage, float(np.sqrt(np.mean(error**2))), grouped_by)
