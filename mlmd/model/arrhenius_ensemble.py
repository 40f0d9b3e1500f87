"""The model `best`: a process that knows what ln D looks like, and trees beside it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError, MissingExtraError
from mlmd.model.composition_columns import PREFIX, element_coordinates, fraction_columns
from mlmd.model.products import with_products
from mlmd.model.robust_process import RobustFit, fit_robust_process, process_inputs
from mlmd.model.table import INVERSE_KBT, TEMPERATURE

try:
    from sklearn.base import BaseEstimator, RegressorMixin
except ImportError as error:
    raise MissingExtraError("scikit-learn", "model") from error

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.floating[Any]]


class ArrheniusEnsemble(RegressorMixin, BaseEstimator):
    """Mean of a robust Gaussian process with trees on what it leaves, and of boosted trees.

    The process (`fit_robust_process`) learns prefactor and slope of ln D over 1/(kB T) together
    with the noise of the labels, which is several times greater at 1000 K than at 2500 K, and
    finds labels that are far off. What it says of the noise are the weights of the trees:
    extremely randomised ones on its residuals, each row left out, and boosted ones on the labels.
    Features are joined by `mlmd.model.products` and, where the table has the columns of
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

        Raises
        ------
        InputError
            If X has no column names, or a label is not above zero where its logarithm is learnt.
        MissingExtraError
            If xgboost is not installed.
        """
        target = np.asarray(y, dtype=float)
        if not hasattr(X, "columns"):
            raise InputError("this model needs a data frame with names of features")
        if self.learns_log and not (target > 0).all():
            raise InputError("a label is not above zero; its logarithm cannot be learnt")
        target = np.log(target) if self.learns_log else target
        given = np.ones(len(target)) if sample_weight is None else np.asarray(sample_weight, float)
        self.feature_names_in_ = np.array(X.columns, dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        self.coordinates_ = element_coordinates()
        self._fit_scales(X, target)
        t, x, z = self._columns(X)
        scaled = (target - self.mean_) / self.deviation_
        with warnings.catch_warnings():
            # An amplitude at its bound says that the kernel does not need that term.
            warnings.simplefilter("ignore")
            fit = fit_robust_process(x, t, z, scaled, given)
        self.process_ = fit.process
        self._fit_trees(np.column_stack([t, x, z]), scaled, fit)
        return self

    def predict(self, X: pd.DataFrame, return_std: bool = False) -> Any:
        """Return the target, and its standard deviation where wanted.

        The variance is that of the process, noise of a label included, and that between it and
        the boosted trees.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        t, x, z = self._columns(X)
        columns = np.column_stack([t, x, z])
        smooth, deviation = self.process_.predict(process_inputs(x, t, z), return_std=True)
        first, second = smooth + self.trees_.predict(columns), self.boosted_.predict(columns)
        share = self.boosted_share
        value = self.mean_ + self.deviation_ * ((1 - share) * first + share * second)
        if self.learns_log:
            value = np.exp(value)
        if not return_std:
            return value
        between = share * (1 - share) * (first - second) ** 2
        spread = self.deviation_ * np.sqrt(deviation**2 + between)
        return value, spread * value if self.learns_log else spread

    def _fit_scales(self, X: pd.DataFrame, target: FloatArray) -> None:
        self.mean_, self.deviation_ = float(target.mean()), float(target.std()) or 1.0
        raw = self._raw(X)
        self.offsets_ = tuple(part.mean(axis=0) for part in raw)
        t, x, _ = raw
        self.scales_ = (_scale(t), _scale(x))

    def _columns(self, X: pd.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the scaled 1/(kB T), the scaled features, and the composition."""
        raw = self._raw(X[list(self.feature_names_in_)])
        t, x, z = (part - offset for part, offset in zip(raw, self.offsets_, strict=True))
        return t / self.scales_[0], x / self.scales_[1], z

    def _raw(self, X: pd.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray]:
        thermal = np.zeros(len(X))
        if INVERSE_KBT in X:
            thermal = X[INVERSE_KBT].to_numpy(dtype=float)
        elif TEMPERATURE in X:
            thermal = 1 / X[TEMPERATURE].to_numpy(dtype=float)
        elements = [c for c in X.columns if str(c).startswith(PREFIX)]
        features = X.drop(columns=[*elements, INVERSE_KBT, TEMPERATURE], errors="ignore")
        composition = np.zeros((len(X), 0))
        if elements:
            composition = X[fraction_columns()].to_numpy(dtype=float) @ self.coordinates_
        return thermal, with_products(features).to_numpy(dtype=float), composition

    def _fit_trees(self, columns: FloatArray, y: FloatArray, fit: RobustFit) -> None:
        from sklearn.ensemble import ExtraTreesRegressor

        try:
            from xgboost import XGBRegressor
        except ImportError as error:
            raise MissingExtraError("xgboost-cpu", "model") from error
        weight = 1 / (fit.noise + fit.noise.mean())
        self.trees_ = ExtraTreesRegressor(
            self.n_trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            random_state=self.seed,
        ).fit(columns, fit.left_out, sample_weight=weight)
        # One thread: more of them add in another order, and so give other last digits.
        self.boosted_ = XGBRegressor(
            n_estimators=self.n_boosted,
            max_depth=self.max_depth,
            learning_rate=self.learning_rate,
            subsample=0.7,
            colsample_bytree=0.4,
            reg_lambda=3.0,
            random_state=self.seed,
            n_jobs=1,
        ).fit(columns, y, sample_weight=weight)


def _scale(values: FloatArray) -> Any:
    spread = values.std(axis=0)
    return np.where(spread > 0, spread, 1.0)
