"""Error against how much was learnt from, and the noise of the labels that it cannot fall below."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.descriptors.features import BOLTZMANN_EV_K
from mlmd.errors import InputError
from mlmd.model.data.folds import groups_of, make_folds, reduced_formula
from mlmd.model.fitting import fit_pipeline
from mlmd.model.regressors import regressor_of
from mlmd.model.validation.cross_validation import Judged, Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.arrays import FloatArray, IntArray
    from mlmd.model.data.problem import Problem
    from mlmd.model.data.table import TrainingTable

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, eq=False)
class LearningCurve(Judged):
    """RMSE against the number of groups learnt from.

    Attributes
    ----------
    model, target, unit, folds : str
        What was done; errors are in `unit`.
    learnt, left_out : (shares, fits) array
        RMSE of the rows learnt from, and of those left out, in each fold of each repetition.
    grouped_by : str
        What a group is: rows, formula or chemical_system.
    shares : (shares,) array
        Share of the groups of the other folds that was learnt from.
    n_groups, n_rows : (shares,) array
        Their number, and that of their rows, mean over the fits.
    """

    learnt: FloatArray
    left_out: FloatArray
    grouped_by: str
    shares: FloatArray
    n_groups: FloatArray
    n_rows: FloatArray


def learning_curve(
    problem: Problem,
    model: str = "random_forest",
    folds: str = "chemical_system",
    shares: Sequence[float] = SHARES,
    n_splits: int = 5,
    n_repeats: int = 1,
    seed: int = 0,
    mobile: str = "Li",
    progress: Callable[[int, int], None] | None = None,
) -> LearningCurve:
    """Learn from a part of the groups only, more and more of them; predict the same rows.

    Where the curve is still falling at its end, more compositions would help.

    Parameters
    ----------
    problem : Problem
        What `TrainingTable.problem` gives.
    model, folds : str
        Names of `REGRESSORS` and `FOLDS`.
    shares : sequence of float
        Shares of the groups learnt from, rising. Groups are whole, drawn at random, and each
        part holds the one before.
    n_splits, n_repeats, seed, mobile
        See `mlmd.model.data.folds.make_folds`; the seed draws the groups, too.
    progress : callable, optional
        Called with the number of fits done, and of all.

    Raises
    ------
    InputError
        If the shares are not rising within 0 to 1, a name is unknown, or the rows cannot be
        parted so.
    MissingExtraError
        If scikit-learn or xgboost is not installed.
    """
    regressor_of(model)
    if not (len(shares) and shares[0] > 0 and shares[-1] <= 1 and np.all(np.diff(shares) > 0)):
        raise InputError(f"shares {list(shares)}; expected rising ones above 0, up to 1")
    parts = make_folds(folds, problem.formulas, n_splits, n_repeats, seed, mobile).folds
    grouped_by, groups = _groups(problem, folds)
    rng = np.random.default_rng(seed)
    errors, sizes = np.empty((len(shares), len(parts), 2)), np.empty((len(shares), len(parts), 2))
    done = 0
    for j, fold in enumerate(parts):
        order = rng.permutation(np.unique(groups[fold.train]))
        for i, share in enumerate(shares):
            # Two groups at least: what a model learns from one row is no curve.
            n = min(len(order), max(2, math.ceil(share * len(order) - 1e-9)))
            rows = fold.train[np.isin(groups[fold.train], order[:n])]
            fitted = fit_pipeline(problem, model, rows)
            errors[i, j] = [_rmse(problem, fitted, part) for part in (rows, fold.test)]
            sizes[i, j] = n, len(rows)
            done += 1
            if progress is not None:
                progress(done, len(parts) * len(shares))
    return LearningCurve(
        model,
        problem.target,
        problem.unit,
        folds,
        errors[..., 0],
        errors[..., 1],
        grouped_by,
        np.array(shares, dtype=float),
        sizes[..., 0].mean(axis=1),
        sizes[..., 1].mean(axis=1),
    )


def _groups(problem: Problem, folds: str) -> tuple[str, NDArray[Any]]:
    """Return what is drawn whole, as whole as the folds are."""
    if folds in ("published", "random"):
        return "rows", groups_of("random", problem.formulas)
    name = "formula" if folds == "formula" else "chemical_system"
    return name, groups_of(name, problem.formulas)


def _rmse(problem: Problem, fitted: Any, rows: IntArray) -> float:
    predicted = np.asarray(fitted.predict(problem.X.iloc[rows]), dtype=float)
    return Scores.of(problem.y[rows], predicted).rmse


def arrhenius_scatter(table: TrainingTable) -> float | None:
    """Return the scatter of ln D about a straight line in 1/T of each formula's own.

    Root of the squares' sum over the degrees of freedom, pooled over formulas with at least
    three temperatures; None where there is no such formula. Where ln D is truly bent in 1/T, by
    a glass transition say, that bend counts as noise.
    """
    units = np.array([reduced_formula(formula) for formula in table.formulas])
    x, y = 1 / (BOLTZMANN_EV_K * table.temperature_K), np.log(table.D_cm2_s)
    squares, freedom = 0.0, 0
    for unit in np.unique(units):
        own = units == unit
        if len(np.unique(x[own])) >= 3:
            line = np.polyfit(x[own], y[own], 1)
            squares += float(np.sum((y[own] - np.polyval(line, x[own])) ** 2))
            freedom += int(own.sum()) - 2
    return float(np.sqrt(squares / freedom)) if freedom else None
