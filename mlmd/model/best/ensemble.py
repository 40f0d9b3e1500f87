"""The model `best`: a process that knows what ln D looks like, and trees beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.descriptors.features import BOLTZMANN_EV_K
from mlmd.errors import InputError, MissingExtraError
from mlmd.model.best.process import fit_robust_process, process_inputs
from mlmd.model.best.products import with_products
from mlmd.model.data.composition_columns import element_coordinates, fraction_columns
from mlmd.model.data.labelled_file import INVERSE_KBT, TEMPERATURE
from mlmd.model.extra import import_extra

try:
    from sklearn.base import BaseEstimator, RegressorMixin
except ImportError as error:
    raise MissingExtraError("scikit-learn", "model") from error

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray


_MOST_ROWS = 5000  # the process holds ten matrices of that size squared
_ROUNDING = 1e-12


class ArrheniusEnsemble(RegressorMixin, BaseEstimator):
    """Mean of a robust Gaussian process with trees on what it leaves, and of boosted trees.

    The process (`fit_robust_process`) learns prefactor and slope of ln D over 1/(kB T) together
    with the noise of the labels, which is several times greater at 1000 K than at 2500 K, and
    finds labels that are far off. What it says of the noise are the weights of the trees:
    extremely randomised ones on its residuals, each row left out, and boosted ones on the labels.
    Features are joined by `mlmd.model.best.products` and, where the table has the columns of
    `element_fractions`, by what the composition is made of.

    Parameters
    ----------
    learns_log : bool
        Learn the logarithm of a target that is above zero, and give the target back.
    n_trees : int
        Randomised trees.
    min_samples_leaf : int
        Rows in a leaf of these, at least.
    max_features : float
        Share of the columns that they look at in each split.
    n_boosted, max_depth, learning_rate
        Of the boosted trees (xgboost).
    boosted_share : float
        What the boosted trees count in the mean, 0 to 1.
    seed : int
        Of both kinds of trees.
    """

    def __init__(
        self,
        learns_log: bool = False,
        n_trees: int = 200,
        min_samples_leaf: int = 4,
        max_features: float = 0.5,
        n_boosted: int = 400,
        max_depth: int = 4,
        learning_rate: float = 0.04,
        boosted_share: float = 0.25,
        seed: int = 0,
    ) -> None:
        self.learns_log = learns_log
        self.n_trees = n_trees
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.n_boosted = n_boosted
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.boosted_share = boosted_share
        self.seed = seed

    def fit(
        self, X: pd.DataFrame, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> ArrheniusEnsemble:
        """Learn from a data frame of features and their labels.

        Rows of weight zero count for nothing; only ratios of weights matter.

        Raises
        ------
        InputError
            If X has no column names, numbers are not finite or too few or too many, a label is
            not above zero where its logarithm is learnt, or a weight is below zero.
        MissingExtraError
            If xgboost is not installed.
        """
        if not 0 <= self.boosted_share <= 1:
            raise InputError(f"boosted_share is {self.boosted_share}; expected 0 to 1")
        rows, target, given = _checked(X, y, sample_weight)
        if self.learns_log and not (target > 0).all():
            raise InputError("a label is not above zero; its logarithm cannot be learnt")
        target = np.log(target) if self.learns_log else target
        self.feature_names_in_ = np.array(rows.columns, dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        self.coordinates_ = element_coordinates()
        self._fit_scales(rows, target, given)
        t, x, z = self._columns(rows)
        scaled = (target - self.mean_) / self.deviation_
        fit = fit_robust_process(x, t, z, scaled, given)
        self.process_ = fit.process
        # Inverse variances, no row counting for much more than most: trees need many rows. The
        # boosted trees' penalty, reg_lambda, is the inverse variance of a leaf.
        usual = fit.process.kernel_.noise_of(process_inputs(x, t, z)).mean()
        weight = 1 / (fit.noise + usual)
        self._fit_trees(np.column_stack([t, x, z]), scaled, fit.left_out, weight)
        return self

    def predict(self, X: pd.DataFrame, return_std: bool = False) -> Any:
        """Return the target, and its standard deviation where wanted.

        The variance is that of the process, noise of a label included, and that between it and
        the boosted trees. Where the logarithm is learnt, the target is its median, and its
        deviation that of the logarithm times the target.

        Raises
        ------
        InputError
            If X lacks a column that was learnt from, or a number is not finite.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        t, x, z = self._columns(_known(X, self.feature_names_in_))
        columns = np.column_stack([t, x, z])
        inputs = process_inputs(x, t, z)
        first = self.process_.predict(inputs) + self.trees_.predict(columns)
        second = self.boosted_.predict(columns)
        share = self.boosted_share
        value = self.mean_ + self.deviation_ * ((1 - share) * first + share * second)
        if self.learns_log:
            value = np.exp(value)
        if not return_std:
            return value
        deviation = self.process_.predict(inputs, return_std=True)[1]
        between = share * (1 - share) * (first - second) ** 2
        spread = self.deviation_ * np.sqrt(deviation**2 + between)
        return value, spread * value if self.learns_log else spread

    def _fit_scales(self, X: pd.DataFrame, target: FloatArray, given: FloatArray) -> None:
        self.mean_ = float(np.average(target, weights=given))
        self.deviation_ = float(_spread(target, given)) or 1.0
        raw = self._raw(X)
        self.offsets_ = tuple(part.mean(axis=0) for part in raw)
        t, x, _ = raw
        spread = _spread(x)
        # A column that is the same in all rows says nothing, whatever it is in another one.
        self.scales_ = (float(_spread(t)) or 1.0, np.where(spread > 0, spread, np.inf))

    def _columns(self, X: pd.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the scaled 1/(kB T), the scaled features, and the composition."""
        t, x, z = (part - offset for part, offset in zip(self._raw(X), self.offsets_, strict=True))
        return t / self.scales_[0], x / self.scales_[1], z

    def _raw(self, X: pd.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray]:
        thermal = np.zeros(len(X))
        if INVERSE_KBT in X:
            thermal = X[INVERSE_KBT].to_numpy(dtype=float)
        elif TEMPERATURE in X:
            thermal = 1 / (BOLTZMANN_EV_K * X[TEMPERATURE].to_numpy(dtype=float))
        known = [i for i, name in enumerate(fraction_columns()) if name in X]
        elements = [fraction_columns()[i] for i in known]
        features = X.drop(columns=[*elements, INVERSE_KBT, TEMPERATURE], errors="ignore")
        composition = np.zeros((len(X), 0))
        if elements:
            composition = X[elements].to_numpy(dtype=float) @ self.coordinates_[known]
        return thermal, with_products(features).to_numpy(dtype=float), composition

    def _fit_trees(
        self, columns: FloatArray, y: FloatArray, left_out: FloatArray, weight: FloatArray
    ) -> None:
        from sklearn.ensemble import ExtraTreesRegressor

        xgboost = import_extra("xgboost", "xgboost-cpu")
        self.trees_ = ExtraTreesRegressor(
            self.n_trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            random_state=self.seed,
        ).fit(columns, left_out, sample_weight=weight)
        # One thread: more of them add in another order, and so give other last digits.
        self.boosted_ = xgboost.XGBRegressor(
            n_estimators=self.n_boosted,
            max_depth=self.max_depth,
            learning_rate=self.learning_rate,
            subsample=0.7,
            colsample_bytree=0.4,
            reg_lambda=3.0,
            random_state=self.seed,
            n_jobs=1,
        ).fit(columns, y, sample_weight=weight)


def _checked(
    X: Any, y: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[pd.DataFrame, FloatArray, FloatArray]:
    """Return the rows that count, their labels, and weights of mean 1."""
    if not hasattr(X, "columns"):
        raise InputError("no names of features; give them as columns of a data frame")
    target = np.asarray(y, dtype=float)
    given = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    if target.shape != (len(X),) or given.shape != (len(X),):
        raise InputError(
            f"{len(X)} row(s), {target.size} label(s), {given.size} weight(s); expected as many"
        )
    if not (np.isfinite(given) & (given >= 0)).all():
        raise InputError("a weight is below zero or no number; expected zero or more")
    counts = given > 0
    if not 2 <= counts.sum() <= _MOST_ROWS:
        raise InputError(
            f"{counts.sum()} row(s) to learn from; this model takes 2 to {_MOST_ROWS}, for more "
            "take random_forest or xgboost"
        )
    rows, target, given = _known(X[counts], X.columns), target[counts], given[counts]
    if not np.isfinite(target).all():
        raise InputError("a label is no finite number; leave out its row")
    return rows, target, given / given.mean()


def _known(X: pd.DataFrame, columns: Any) -> pd.DataFrame:
    missing = [str(name) for name in columns if name not in X]
    if missing:
        raise InputError(f"no column {', '.join(missing)}; this model has learnt from it")
    rows = X[list(columns)]
    if not np.isfinite(rows.to_numpy(dtype=float)).all():
        raise InputError("a feature is no finite number; leave out its row or column")
    return rows


def _spread(values: FloatArray, weights: FloatArray | float = 1.0) -> Any:
    """Return standard deviations with weights of mean 1, those that are but rounding as zero."""
    n = len(values)
    away = values - values.T @ np.full(n, weights) / n
    spread = np.sqrt((away**2).T @ np.full(n, weights) / n)
    return np.where(spread > _ROUNDING * np.abs(values).max(axis=0), spread, 0.0)
