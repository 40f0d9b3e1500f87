"""What a model leans on: how much worse it predicts when a feature is shuffled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlmd.checks import whole_number
from mlmd.model.data.composition_columns import players
from mlmd.model.data.folds import make_folds
from mlmd.model.fitting import fit_pipeline
from mlmd.model.regressors import regressor_of
from mlmd.model.validation.cross_validation import Judged

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.model.data.problem import Problem


@dataclass(frozen=True)
class Importance(Judged):
    """What each feature is worth to a model, measured on rows that it has not learnt from.

    Attributes
    ----------
    model, target, unit, folds : str
        What was measured; numbers are in `unit`.
    kind : {"permutation", "shap"}
        Increase of the RMSE when the feature is shuffled, or mean size of its SHAP value.
    features : tuple of str
        The most important first. Columns that say what a composition is made of are one of them,
        "composition".
    mean, deviation : tuple of float
        Of each feature: mean and standard deviation over the folds and, where columns were
        shuffled, over the shuffles.
    rmse : float
        Mean over the folds with nothing shuffled.
    """

    kind: Literal["permutation", "shap"]
    features: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    rmse: float

    @classmethod
    def ranked(
        cls,
        kind: Literal["permutation", "shap"],
        problem: Problem,
        model: str,
        folds: str,
        samples: FloatArray,
        rmse: float,
    ) -> Importance:
        """Sort features by the mean of their samples, an array (samples, features).

        Features are `mlmd.model.data.composition_columns.players` of the columns.
        """
        names = list(players(problem.X.columns))
        mean, deviation = samples.mean(axis=0), samples.std(axis=0)
        order = np.argsort(-mean, kind="stable")
        return cls(
            model,
            problem.target,
            problem.unit,
            folds,
            kind,
            tuple(names[i] for i in order),
            tuple(float(mean[i]) for i in order),
            tuple(float(deviation[i]) for i in order),
            rmse,
        )


def permutation_importance(
    problem: Problem,
    model: str = "random_forest",
    folds: str = "chemical_system",
    n_repeats: int = 5,
    seed: int = 0,
    n_splits: int = 5,
    mobile: str = "Li",
    progress: Callable[[int, int], None] | None = None,
) -> Importance:
    """Shuffle one feature of the rows left out at a time; say by how much the RMSE grows.

    Breiman 2001 (doi:10.1023/A:1010933404324), but on rows of other groups than those learnt
    from: on rows learnt from, a forest seems to need what it merely remembers.

    Correlated features stand in for each other: with one of them shuffled the model still has
    the rest, so each of them seems to matter less than all together do. A small number says that
    the model does without the feature, not that the feature has no influence on diffusion. What
    compositions are made of is shuffled as a whole.

    Parameters
    ----------
    problem : Problem
        What `TrainingTable.problem` gives.
    model, folds : str
        Names of `REGRESSORS` and `FOLDS`.
    n_repeats : int
        How often each column is shuffled in each fold.
    seed : int
        Of folds and shuffles.
    n_splits, mobile
        See `mlmd.model.data.folds.make_folds`.
    progress : callable, optional
        Called with the number of fits done, and of all.

    Raises
    ------
    InputError
        If a name is unknown, or the rows cannot be parted so.
    MissingExtraError
        If scikit-learn or xgboost is not installed.
    """
    regressor_of(model)
    whole_number("n_repeats", n_repeats)
    parts = make_folds(folds, problem.formulas, n_splits, seed=seed, mobile=mobile).folds
    rng = np.random.default_rng(seed)
    increases, plain = [], []
    for done, fold in enumerate(parts, start=1):
        fitted = fit_pipeline(problem, model, fold.train)
        X, y = problem.X.iloc[fold.test], problem.y[fold.test]
        plain.append(float(_rmse(fitted, X, y)[0]))
        together = players(X.columns).values()
        shuffled = [_shuffled(fitted, X, y, columns, n_repeats, rng) for columns in together]
        increases.append(np.transpose(shuffled) - plain[-1])
        if progress is not None:
            progress(done, len(parts))
    samples = np.concatenate(increases)
    return Importance.ranked("permutation", problem, model, folds, samples, float(np.mean(plain)))


def _shuffled(
    fitted: Any, X: Any, y: FloatArray, columns: list[int], n_repeats: int, rng: np.random.Generator
) -> FloatArray:
    """Return the RMSE of each shuffle of columns; all are predicted in one call."""
    n = len(X)
    many = X.iloc[np.tile(np.arange(n), n_repeats)].reset_index(drop=True)
    drawn = np.concatenate([rng.permutation(n) for _ in range(n_repeats)])
    many.iloc[:, columns] = X.iloc[drawn, columns].to_numpy()
    return _rmse(fitted, many, y, n_repeats)


def _rmse(fitted: Any, X: Any, y: FloatArray, n_blocks: int = 1) -> FloatArray:
    error = np.asarray(fitted.predict(X), dtype=float).reshape(n_blocks, len(y)) - y
    found: FloatArray = np.sqrt(np.mean(error**2, axis=1))
    return found
