"""How well a model predicts rows that it has not learnt from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError
from mlmd.model.folds import Split, make_folds
from mlmd.model.regressors import make_regressor, regressor_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.model.table import Problem

    FloatArray = NDArray[np.floating[Any]]


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
    """

    rmse: float
    mae: float
    r2: float
    n: int

    @classmethod
    def of(cls, true: FloatArray, predicted: FloatArray) -> Scores:
        """Compare predictions with what is true."""
        error = predicted - true
        squares = float(np.sum((true - true.mean()) ** 2))
        r2 = 1 - float(np.sum(error**2)) / squares if squares > 0 else float("nan")
        rmse, mae = float(np.sqrt(np.mean(error**2))), float(np.mean(np.abs(error)))
        return cls(rmse, mae, r2, len(true))


@dataclass(frozen=True)
class FoldScores(Scores):
    """Scores of a fold; `held_out` says which rows were predicted."""

    held_out: str = ""


@dataclass(frozen=True)
class Report:
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
    by_fold : tuple of FoldScores
        Every fold of every repetition.
    test : Scores, optional
        Of the rows that no fold has seen, learnt from all the others.
    """

    model: str
    target: str
    unit: str
    folds: str
    rmse: float
    mae: float
    r2: float
    rmse_std: float
    rmse_by_repeat: tuple[float, ...]
    by_fold: tuple[FoldScores, ...]
    test: Scores | None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        content: dict[str, Any] = _without_nan(asdict(self))
        return {**content, "test": content["test"] or {}}


def _without_nan(value: Any) -> Any:
    """Replace NaN, which JSON does not have, as the R2 of a single row is."""
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def cross_validate(
    problem: Problem,
    model: str = "random_forest",
    folds: str = "chemical_system",
    n_splits: int = 5,
    n_repeats: int = 1,
    seed: int = 0,
    mobile: str = "Li",
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
        See `mlmd.model.folds.make_folds`. Models keep their own seed.
    progress : callable, optional
        Called with the number of fits done, and of all.

    Raises
    ------
    InputError
        If a name is unknown or the rows cannot be parted so.
    MissingExtraError
        If scikit-learn or xgboost is not installed.
    """
    regressor_of(model)
    split = make_folds(folds, problem.formulas, n_splits, n_repeats, seed, mobile)
    n_fits = len(split.folds) + (split.test is not None)
    scores = []
    for done, one in enumerate(_scores(problem, model, split), start=1):
        scores.append(one)
        if progress is not None:
            progress(done, n_fits)
    of_folds, test = scores[: len(split.folds)], scores[len(split.folds) :]
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
        tuple(of_folds),
        Scores(*(getattr(test[0], k) for k in ("rmse", "mae", "r2", "n"))) if test else None,
    )


def _scores(problem: Problem, model: str, split: Split) -> Iterator[FoldScores]:
    for fold in split.folds:
        yield _score(problem, model, fold.train, fold.test, fold.held_out)
    if split.train is not None and split.test is not None:
        yield _score(problem, model, split.train, split.test, "test")


def _score(
    problem: Problem, model: str, train: NDArray[np.intp], test: NDArray[np.intp], held_out: str
) -> FoldScores:
    fitted = fit_pipeline(problem, model, train)
    predicted = np.asarray(fitted.predict(problem.X.iloc[test]), dtype=float)
    scores = Scores.of(problem.y[test], predicted)
    return FoldScores(scores.rmse, scores.mae, scores.r2, scores.n, held_out)


def fit_pipeline(problem: Problem, model: str, rows: NDArray[np.intp]) -> Any:
    """Return the model, fitted to some rows of a problem."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    if len(rows) < 2:
        raise InputError(f"{len(rows)} row(s) to learn from; expected at least 2")
    with warnings.catch_warnings():
        # A length at its bound and a network stopped early are seen in the scores.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_regressor(model).fit(problem.X.iloc[rows], problem.y[rows])
