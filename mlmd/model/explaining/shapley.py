"""SHAP values: how much of a prediction is due to each feature.

A prediction is its mean over other rows (the base) plus a share for each feature, Shapley's value
of game theory: the mean effect of learning the feature's value after a random subset of the
others (S. Lundberg, S.-I. Lee 2017, arXiv:1705.07874).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlmd.checks import whole_number
from mlmd.errors import InputError
from mlmd.model.data.composition_columns import players
from mlmd.model.data.folds import make_folds
from mlmd.model.explaining.importance import Importance
from mlmd.model.extra import import_extra
from mlmd.model.fitting import fit_pipeline
from mlmd.model.regressors import regressor_of

if TYPE_CHECKING:
    import pandas as pd

    from mlmd.arrays import FloatArray, IntArray
    from mlmd.model.data.problem import Problem

Method = Literal["trees", "sampled"]


@dataclass(frozen=True, eq=False)
class ShapValues:
    """Shares of the features in predictions of rows that the model has not learnt from.

    Attributes
    ----------
    problem : Problem
        What was learnt.
    model, folds : str
        What learnt it, and how rows were left out.
    method : {"trees", "sampled"}
        Exact along the paths of the trees, or sampled with rows learnt from as background.
    row, fold : (n,) array of int
        Which row of the problem, and the fold that it was left out in.
    values : (n, features) array
        In the unit of the target, by `features`.
    base, predicted : (n,) array
        ``base + values.sum(axis=1)`` is the prediction. The base is another one in each fold.
    """

    problem: Problem
    model: str
    folds: str
    method: Method
    row: IntArray
    fold: IntArray
    values: FloatArray
    base: FloatArray
    predicted: FloatArray

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features: columns, and "composition" for what that is made of."""
        return tuple(players(self.problem.X.columns))

    def importance(self) -> Importance:
        """Return the mean size of each feature's value; its deviation is over the folds."""
        folds = np.unique(self.fold)
        sizes = np.array([np.abs(self.values[self.fold == one]).mean(axis=0) for one in folds])
        squares = (self.predicted - self.problem.y[self.row]) ** 2
        rmse = np.mean([np.sqrt(squares[self.fold == one].mean()) for one in folds])
        return Importance.ranked("shap", self.problem, self.model, self.folds, sizes, float(rmse))


def shap_values(
    problem: Problem,
    model: str = "random_forest",
    folds: str = "chemical_system",
    seed: int = 0,
    n_splits: int = 5,
    mobile: str = "Li",
    method: Method | None = None,
    n_background: int = 40,
    progress: Callable[[int, int], None] | None = None,
) -> ShapValues:
    """Share out the prediction of every row, by a model that has not learnt from its group.

    Correlated features share what they say together: in a forest, which may take either, it is
    split between them, and in "sampled" they are varied as if they were independent. Compare
    such features with the Pearson table before a cause is read from them. Columns that say what a
    composition is made of count as one feature, revealed at once; of trees their values are summed.

    Parameters
    ----------
    problem : Problem
        What `TrainingTable.problem` gives.
    model, folds : str
        Names of `REGRESSORS` and `FOLDS`.
    seed : int
        Of folds and background.
    n_splits, mobile
        See `mlmd.model.data.folds.make_folds`.
    method : {"trees", "sampled"}, optional
        "trees", for forests and xgboost: exact, and the default where it can be.
        "sampled", for any model: features are revealed in random orders, each order against a
        row learnt from (E. Strumbelj, I. Kononenko 2014, doi:10.1007/s10115-013-0679-x). The
        shares add up exactly; each has a statistical error.
    n_background : int
        Rows of the background, as many as orders.
    progress : callable, optional
        Called with the number of fits done, and of all.

    Raises
    ------
    InputError
        If a name is unknown, the rows cannot be parted so, or "trees" is wanted of no trees.
    MissingExtraError
        If scikit-learn, xgboost or, for the trees of a forest, shap is not installed.
    """
    regressor_of(model)
    whole_number("n_background", n_background, least=2)
    parts = make_folds(folds, problem.formulas, n_splits, seed=seed, mobile=mobile).folds
    rng = np.random.default_rng(seed)
    found = []
    used: Method = "sampled"
    for done, fold in enumerate(parts, start=1):
        fitted, X = fit_pipeline(problem, model, fold.train), problem.X.iloc[fold.test]
        explain = None if method == "sampled" else _tree_explainer(fitted)
        if explain is None and method == "trees":
            raise InputError(f"model '{model}' is not made of trees; take method 'sampled'")
        used = "sampled" if explain is None else "trees"
        if explain is not None:
            by_column, base = explain(fitted, X)
            together = players(X.columns).values()
            values = np.column_stack([by_column[:, columns].sum(axis=1) for columns in together])
        else:
            drawn = rng.choice(fold.train, min(n_background, len(fold.train)), replace=False)
            values, base = _sampled(fitted, X, problem.X.iloc[drawn].to_numpy(), rng)
        predicted = np.asarray(fitted.predict(X), dtype=float)
        found.append((fold.test, np.full(len(X), done - 1), values, base, predicted))
        if progress is not None:
            progress(done, len(parts))
    row, of_fold, shares, bases, predictions = (
        np.concatenate(list(part)) for part in zip(*found, strict=True)
    )
    return ShapValues(problem, model, folds, used, row, of_fold, shares, bases, predictions)


def _tree_explainer(
    fitted: Any,
) -> Callable[[Any, pd.DataFrame], tuple[FloatArray, FloatArray]] | None:
    """Return what explains trees exactly, by how many rows learnt from took each branch."""
    from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

    if hasattr(fitted[-1], "get_booster"):
        return _of_xgboost
    if isinstance(fitted[-1], RandomForestRegressor | ExtraTreesRegressor):
        return _of_forest
    return None


def _of_xgboost(fitted: Any, X: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    from xgboost import DMatrix

    inner = fitted[:-1].transform(X) if len(fitted) > 1 else X
    shares = fitted[-1].get_booster().predict(DMatrix(inner), pred_contribs=True).astype(float)
    return shares[:, :-1], shares[:, -1]


def _of_forest(fitted: Any, X: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    shap = import_extra("shap")
    inner = fitted[:-1].transform(X) if len(fitted) > 1 else X.to_numpy(dtype=float)
    explainer = shap.TreeExplainer(fitted[-1], feature_perturbation="tree_path_dependent")
    shares = np.asarray(explainer.shap_values(inner, check_additivity=False), dtype=float)
    return shares, np.full(len(X), float(np.ravel(explainer.expected_value)[0]))


def _sampled(
    fitted: Any, X: pd.DataFrame, background: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Walk from each row of the background to each row of X, a feature at a time."""
    import pandas

    rows, together = X.to_numpy(dtype=float), list(players(X.columns).values())
    n, p = len(rows), len(together)
    shares, base = np.zeros((n, p)), 0.0
    order = rng.permutation(p)
    for i, start in enumerate(background):
        # Every other order is the one before backwards: what comes first then comes last.
        order = order[::-1] if i % 2 else rng.permutation(p)
        known = np.zeros((p + 1, len(start)), dtype=bool)
        for step, feature in enumerate(order, start=1):
            known[step:, together[feature]] = True
        points = np.where(known[None], rows[:, None, :], start).reshape(-1, len(start))
        path = np.asarray(fitted.predict(pandas.DataFrame(points, columns=X.columns)), dtype=float)
        path = path.reshape(n, p + 1)
        shares[:, order] += np.diff(path, axis=1)
        base += float(path[0, 0])
    return shares / len(background), np.full(n, base / len(background))
