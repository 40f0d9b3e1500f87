"""Error while a model grows: by trees, boosting rounds or epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.checks import whole_number
from mlmd.errors import InputError
from mlmd.model.data.folds import Fold, make_folds
from mlmd.model.fitting import fit_pipeline
from mlmd.model.regressors import make_regressor, regressor_of
from mlmd.model.validation.cross_validation import Judged

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.model.data.problem import Problem

Errors = tuple[float, float]

STEPS = {"random_forest": "trees", "xgboost": "boosting rounds", "mlp": "epochs"}
"""Models that grow in steps, and what those are called."""

_GROWTH = 1.3


@dataclass(frozen=True, eq=False)
class LossCurve(Judged):
    """RMSE while a model grows, as Supplementary Fig. 12 of Zheng et al. 2024.

    Attributes
    ----------
    model, target, unit, folds : str
        What was done; errors are in `unit`.
    learnt, left_out : (steps, folds) array
        RMSE of the rows learnt from, and of those left out.
    step : str
        What the model grows by: trees, boosting rounds or epochs.
    steps : (steps,) array of int
        How many of them. A network that stopped early in a fold stays as it was there.
    chosen : int
        How many the model has by its own settings; for a network the most epochs.
    """

    learnt: FloatArray
    left_out: FloatArray
    step: str
    steps: IntArray
    chosen: int


def loss_curve(
    problem: Problem,
    model: str = "random_forest",
    folds: str = "published",
    n_steps: int | None = None,
    n_splits: int = 5,
    seed: int = 0,
    mobile: str = "Li",
    progress: Callable[[int, int], None] | None = None,
) -> LossCurve:
    """Follow the error while trees, rounds or epochs are added.

    Parameters
    ----------
    problem : Problem
        What `TrainingTable.problem` gives.
    model, folds : str
        Name of one of `STEPS`, and of `FOLDS`.
    n_steps : int, optional
        How far to go; the model's own number where not given. Trees and rounds up to that number
        are the same whatever follows.
    n_splits, seed, mobile
        See `mlmd.model.data.folds.make_folds`.
    progress : callable, optional
        Called with the number of folds done, and of all.

    Raises
    ------
    InputError
        If the model does not grow in steps, a name is unknown, or the rows cannot be parted so.
    MissingExtraError
        If scikit-learn or xgboost is not installed.
    """
    regressor_of(model)
    if model not in STEPS:
        raise InputError(f"model '{model}' has no loss curve; expected one of {', '.join(STEPS)}")
    name = "max_iter" if model == "mlp" else "n_estimators"
    own = make_regressor(model).get_params()
    key = next(k for k in own if k.endswith(f"__{name}"))
    most = own[key] if n_steps is None else whole_number("n_steps", n_steps)
    parts = make_folds(folds, problem.formulas, n_splits, seed=seed, mobile=mobile).folds
    found = []
    for done, fold in enumerate(parts, start=1):
        found.append(dict(_staged(problem, model, fold, key, most)))
        if progress is not None:
            progress(done, len(parts))
    steps = sorted(frozenset().union(*found))
    both = np.array([[_latest(one, step) for one in found] for step in steps])
    return LossCurve(
        model,
        problem.target,
        problem.unit,
        folds,
        both[..., 0],
        both[..., 1],
        STEPS[model],
        np.array(steps),
        int(own[key]),
    )


def _staged(
    problem: Problem, model: str, fold: Fold, key: str, most: int
) -> Iterator[tuple[int, Errors]]:
    """Give the errors of the rows learnt from and left out after each step."""

    def fitted(number: int) -> Any:
        return fit_pipeline(problem, model, fold.train, {key: number})

    def errors(predicted: FloatArray) -> Errors:
        squares = (np.asarray(predicted, dtype=float) - problem.y) ** 2
        learnt, left_out = (np.sqrt(squares[part].mean()) for part in (fold.train, fold.test))
        return float(learnt), float(left_out)

    if model == "random_forest":
        for step, predicted in _of_forest(fitted(most), problem):
            yield step, errors(predicted)
    elif model == "xgboost":
        whole = fitted(most)
        for step in range(1, most + 1):
            yield step, errors(whole.predict(problem.X, iteration_range=(0, step)))
    else:
        last = fitted(most)
        n_epochs = int(last[-1].regressor_.n_iter_)
        # The same seed takes the same way: one that is stopped earlier is the same network then.
        for step in _spaced(n_epochs):
            yield step, errors(_in_parts(fitted(step), problem, fold))
        yield n_epochs, errors(_in_parts(last, problem, fold))


def _of_forest(whole: Any, problem: Problem) -> Iterator[tuple[int, FloatArray]]:
    """Average over more and more trees, added in the order in which the forest adds them."""
    inner = whole[:-1].transform(problem.X) if len(whole) > 1 else problem.X.to_numpy()
    sums = np.zeros(len(problem.y))
    for step, tree in enumerate(whole[-1].estimators_, start=1):
        sums += tree.predict(inner)
        yield step, sums / step


def _in_parts(whole: Any, problem: Problem, fold: Fold) -> FloatArray:
    """Predict the rows together that `cross_validate` does, for the same last digits."""
    predicted = np.zeros(len(problem.y))
    for part in (fold.train, fold.test):
        predicted[part] = whole.predict(problem.X.iloc[part])
    return predicted


def _spaced(n: int) -> list[int]:
    """Return numbers below n that grow by the same factor."""
    found = [1.0]
    while found[-1] * _GROWTH < n:
        found.append(found[-1] * _GROWTH)
    return sorted({round(x) for x in found} - {n})


def _latest(errors: dict[int, Errors], step: int) -> Errors:
    """Return what a fold has at a step, or what it stopped with before."""
    return errors[max(n for n in errors if n <= step)]
