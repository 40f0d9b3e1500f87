"""How well a model predicts rows that it has not learnt from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.model.data.folds import Fold, make_folds
from mlmd.model.fitting import fit_pipeline
from mlmd.model.regressors import regressor_of
from mlmd.model.tuning.tune import tune
from mlmd.model.validation.spread import bootstrap, cross_fitted, raw_spread
from mlmd.numerics.r_squared import r_squared
from mlmd.plain import plain_fields, without_nan

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.model.data.problem import Problem
    from mlmd.model.tuning.tune import Tuning


_SEED = 0


@dataclass(frozen=True)
class Scores:
    """Errors of predictions.

    Attributes
    ----------
    rmse, mae : float
        Root of the mean square, and mean size of the errors, in the unit of the target.
    r2 : float
        Coefficient of determination, 1 - sum of squares of errors / that of the values.
    n : int
        Number of rows.
    held_out : str
        Which rows they are of.
    """

    rmse: float
    mae: float
    r2: float
    n: int
    held_out: str = ""

    @classmethod
    def of(cls, true: FloatArray, predicted: FloatArray, held_out: str = "") -> Scores:
        """Compare predictions with what is true."""
        error = predicted - true
        found = r_squared(predicted, true)
        r2 = float("nan") if found is None else found
        rmse, mae = float(np.sqrt(np.mean(error**2))), float(np.mean(np.abs(error)))
        return cls(rmse, mae, r2, len(true), held_out)


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Predictions of rows that the model had not seen, one after another over all folds.

    Attributes
    ----------
    row : (n,) array of int
        Which row of the problem; a row comes once in each repetition.
    fold : (n,) array of int
        Which of the folds it was left out in.
    true, predicted : (n,) array
        In the unit of the target.
    deviation, half_width_95 : (n,) array, optional
        Standard deviation and half of the interval of 95 % of each prediction, calibrated on the
        other folds of the same repetition. None where the model was not asked, or there is only
        one fold.
    """

    row: IntArray
    fold: IntArray
    true: FloatArray
    predicted: FloatArray
    deviation: FloatArray | None = None
    half_width_95: FloatArray | None = None

    @property
    def coverage_68(self) -> float | None:
        """Share of the rows that are within a standard deviation of what was predicted."""
        return self._within(self.deviation)

    @property
    def coverage_95(self) -> float | None:
        """Share of the rows that are in their interval of 95 %."""
        return self._within(self.half_width_95)

    def _within(self, half_width: FloatArray | None) -> float | None:
        if half_width is None:
            return None
        return float(np.mean(np.abs(self.true - self.predicted) <= half_width))


@dataclass(frozen=True, eq=False)
class Judged:
    """What is found by leaving rows out: which model learnt what, and from which folds.

    Attributes
    ----------
    model, target, unit, folds : str
        What was done; numbers are in `unit`.
    """

    model: str
    target: str
    unit: str
    folds: str

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return plain_fields(self)


@dataclass(frozen=True)
class Report(Judged):
    """Result of a cross-validation.

    Attributes
    ----------
    model, target, unit, folds : str
        What was done.
    rmse, mae, r2 : float
        Mean over the folds, as Zheng et al. 2024 give it.
    rmse_std : float
        Standard deviation of the RMSE over the folds (population).
    rmse_by_repeat : tuple of float
        Mean RMSE of each repetition with shuffled groups.
    by_fold : tuple of Scores
        Every fold of every repetition.
    test : Scores, optional
        Of the rows that no fold has seen, learnt from all the others.
    out_of_fold : OutOfFold
        What the scores of the folds are of; not in `to_dict`, which has how often the intervals
        held the truth.
    """

    rmse: float
    mae: float
    r2: float
    rmse_std: float
    rmse_by_repeat: tuple[float, ...]
    by_fold: tuple[Scores, ...]
    test: Scores | None
    out_of_fold: OutOfFold

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        content = {
            **plain_fields(self, ("out_of_fold",)),
            "test": {} if self.test is None else plain_fields(self.test, ("held_out",)),
            "coverage_68": self.out_of_fold.coverage_68,
            "coverage_95": self.out_of_fold.coverage_95,
        }
        # The R2 of a single row is NaN, which JSON does not have.
        return dict(without_nan(content))


def cross_validate(
    problem: Problem,
    model: str = "random_forest",
    folds: str = "chemical_system",
    n_splits: int = 5,
    n_repeats: int = 1,
    seed: int = 0,
    mobile: str = "Li",
    n_bootstrap: int = 0,
    tuning: Tuning | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Learn from all folds but one, predict that one, in turn.

    Parameters
    ----------
    problem : Problem
        What `TrainingTable.problem` gives.
    model, folds : str
        Names of `REGRESSORS` and `FOLDS`.
    n_splits, n_repeats, seed, mobile
        See `mlmd.model.data.folds.make_folds`. Models keep their own seed.
    n_bootstrap : int
        Models whose spread is the uncertainty of those that do not say it themselves (10 or
        more); none are made by default, since each is a fit.
    tuning : Tuning, optional
        Choose the settings anew in each fold, from the rows learnt from alone.
    progress : callable, optional
        Called with the number of fits (of trials, where settings are tuned) done, and of all.

    Raises
    ------
    InputError
        If a name is unknown or the rows cannot be parted so.
    MissingExtraError
        If scikit-learn or xgboost is not installed.
    """
    regressor_of(model)
    split = make_folds(folds, problem.formulas, n_splits, n_repeats, seed, mobile)
    parts, n_folds = list(split.folds), len(split.folds)
    if split.train is not None and split.test is not None:
        parts.append(Fold(split.train, split.test, "test"))
    per_fit = 1 if tuning is None else tuning.n_trials
    predictions: list[_Predicted] = []

    def trials(done: int, _: int) -> None:
        if progress is not None:
            progress(len(predictions) * per_fit + done, len(parts) * per_fit)

    for fold in parts:
        settings = None
        if tuning is not None:
            settings = tune(problem, model, fold.train, tuning, trials).settings
        predictions.append(_predicted(problem, model, fold, n_bootstrap, settings))
        trials(0, per_fit)
    scores = [
        Scores.of(problem.y[one.fold.test], one.predicted, one.fold.held_out) for one in predictions
    ]
    of_folds = tuple(scores[:n_folds])
    rmse = np.array([one.rmse for one in of_folds])
    n_repeats = 1 if folds in ("published", "element") else n_repeats
    return Report(
        model,
        problem.target,
        problem.unit,
        folds,
        float(rmse.mean()),
        float(np.mean([one.mae for one in of_folds])),
        float(np.mean([one.r2 for one in of_folds])),
        float(rmse.std()),
        tuple(float(part.mean()) for part in np.array_split(rmse, n_repeats)),
        of_folds,
        scores[n_folds] if len(scores) > n_folds else None,
        _out_of_fold(problem.y, predictions[:n_folds], n_repeats),
    )


@dataclass(frozen=True, eq=False)
class _Predicted:
    """What a model said of the rows of a fold."""

    fold: Fold
    predicted: FloatArray
    spread: FloatArray | None


def _predicted(
    problem: Problem, model: str, fold: Fold, n_bootstrap: int, settings: Mapping[str, Any] | None
) -> _Predicted:
    fitted, kind = fit_pipeline(problem, model, fold.train, settings), regressor_of(model).spread
    X, spread = problem.X.iloc[fold.test], None
    members: list[Any] = []
    if kind == "bootstrap" and n_bootstrap:
        members, _ = bootstrap(problem, model, n_bootstrap, _SEED, fold.train, settings)
    if kind != "bootstrap" or members:
        spread = raw_spread(kind, fitted, members, X)
    return _Predicted(fold, np.asarray(fitted.predict(X), dtype=float), spread)


def _out_of_fold(y: FloatArray, found: Sequence[_Predicted], n_repeats: int) -> OutOfFold:
    row = np.concatenate([one.fold.test for one in found])
    fold = np.repeat(np.arange(len(found)), [len(one.predicted) for one in found])
    predicted = np.concatenate([one.predicted for one in found])
    n_splits = len(found) // n_repeats
    spreads = [one.spread for one in found if one.spread is not None]
    if len(spreads) < len(found) or n_splits < 2:
        return OutOfFold(row, fold, y[row], predicted)
    error, spread = y[row] - predicted, np.concatenate(spreads)
    deviation, half_width_95 = np.empty(len(row)), np.empty(len(row))
    # A row comes once in each repetition: another repetition has seen its error.
    for repeat in range(n_repeats):
        part = fold // n_splits == repeat
        known = cross_fitted(error[part], spread[part], fold[part])
        deviation[part], half_width_95[part] = known.deviation, known.half_width_95
    return OutOfFold(row, fold, y[row], predicted, deviation, half_width_95)
