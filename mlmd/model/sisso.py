"""SISSO: the few features, or formulas of features, that a linear model needs most.

Ouyang et al. 2018 (doi:10.1103/PhysRevMaterials.2.083802): sure independence screening (SIS)
keeps the candidates that correlate best with what is not explained yet, and the best subset of
them (L0) is found by trying all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError, MissingExtraError
from mlmd.model.sisso_space import Expression, Space

try:
    from sklearn.base import BaseEstimator, RegressorMixin
except ImportError as error:
    raise MissingExtraError("scikit-learn", "model") from error

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.floating[Any]]

_MOST_SUBSETS = 50_000_000
_BATCH = 100_000
_CHECKED = 20
_MOST_TERMS = 4
_JITTER = 1e-13


@dataclass(frozen=True)
class SissoModel:
    """A linear model of few terms.

    Attributes
    ----------
    terms : tuple of str
        Features or formulas of features.
    coefficients : tuple of float
        One for each term.
    intercept : float
        The constant.
    rmse, max_abs_error : float
        On the rows learnt from, in the unit of the target.
    """

    terms: tuple[str, ...]
    coefficients: tuple[float, ...]
    intercept: float
    rmse: float
    max_abs_error: float

    def __str__(self) -> str:
        """Write the equation."""
        pairs = zip(self.coefficients, self.terms, strict=True)
        return f"{self.intercept:.6g}" + "".join(f" {c:+.6g} * {term}" for c, term in pairs)


class SissoRegressor(RegressorMixin, BaseEstimator):
    """Sure independence screening and best-subset regression, with scikit-learn's interface.

    Parameters
    ----------
    dimension : int or None
        Number of terms; None chooses 1 to 4 by five-fold cross-validation over rows.
    n_screened : int
        Candidates kept by each screening; the published run has 20.
    operators : tuple of str
        Of `mlmd.model.sisso_space.OPERATORS`. Without any (the published run built no formulas)
        it is best-subset regression on the features.
    max_operators : int
        Most operators in a formula.
    units : mapping of str to str, optional
        Unit of each column as `mlmd.descriptors.features.UNITS` writes it. With it sums are of
        like units only, and exponentials and logarithms of pure numbers. Without it every column
        is a pure number.

    Attributes
    ----------
    models_ : tuple of SissoModel
        The best model of each dimension up to the one chosen.
    terms_ : tuple of tuple of Expression
        The terms of each of them.
    """

    def __init__(
        self,
        dimension: int | None = 4,
        n_screened: int = 20,
        operators: tuple[str, ...] = (),
        max_operators: int = 2,
        units: Mapping[str, str] | None = None,
    ) -> None:
        self.dimension = dimension
        self.n_screened = n_screened
        self.operators = operators
        self.max_operators = max_operators
        self.units = units

    def fit(self, X: Any, y: ArrayLike) -> SissoRegressor:
        """Find the models; `X` is a data frame or (n, features), `y` is (n,)."""
        from sklearn.utils.validation import validate_data

        try:
            values, target = validate_data(self, X, y, dtype=float, y_numeric=True)
        except (ValueError, TypeError) as error:
            raise InputError(" ".join(str(error).split())) from error
        names = self._names()
        if self.n_screened < 1 or self.max_operators < 0:
            raise InputError("expected n_screened of at least 1 and max_operators of at least 0")
        dimension = self.dimension
        if dimension is None:
            dimension = self._chosen_dimension(names, values, target)
        if not 1 <= dimension < len(values) - 1:
            raise InputError(
                f"dimension {dimension} for n_samples = {len(values)}; expected 1 or more, and "
                "more rows than that"
            )
        self.terms_, self.models_ = self._solve(names, values, target, dimension)
        return self

    def predict(self, X: Any) -> FloatArray:
        """Return the target by the model with most terms."""
        from sklearn.utils.validation import check_is_fitted, validate_data

        check_is_fitted(self)
        try:
            values = validate_data(self, X, dtype=float, reset=False)
        except (ValueError, TypeError) as error:
            raise InputError(" ".join(str(error).split())) from error
        return _predict(self.terms_[-1], self.models_[-1], values)

    def _names(self) -> list[str]:
        unnamed = [f"x{i}" for i in range(self.n_features_in_)]
        return [str(name) for name in getattr(self, "feature_names_in_", unnamed)]

    def _solve(
        self, names: list[str], values: FloatArray, y: FloatArray, dimension: int
    ) -> tuple[tuple[tuple[Expression, ...], ...], tuple[SissoModel, ...]]:
        space = Space(names, values, self.operators, self.max_operators, self.units)
        kept: list[Expression] = []
        columns: list[FloatArray] = []
        all_terms, models = [], []
        residual = y - y.mean()
        for n_terms in range(1, dimension + 1):
            for expression, column in space.screen(residual, self.n_screened, columns):
                kept.append(expression)
                columns.append(column)
            if len(kept) < n_terms:
                break
            table = np.column_stack(columns)
            best = _best_subset(table, y, n_terms)
            solved, residual = _least_squares(table[:, best], y)
            terms = tuple(kept[i] for i in best)
            all_terms.append(terms)
            models.append(
                SissoModel(
                    tuple(term.name for term in terms),
                    tuple(map(float, solved[:-1])),
                    float(solved[-1]),
                    float(np.sqrt(np.mean(residual**2))),
                    float(np.abs(residual).max()),
                )
            )
        if not models:
            raise InputError("no feature varies with the target; there is nothing to learn from")
        return tuple(all_terms), tuple(models)

    def _chosen_dimension(self, names: list[str], values: FloatArray, y: FloatArray) -> int:
        from sklearn.model_selection import KFold

        squares = np.zeros(_MOST_TERMS)
        for train, test in KFold(5, shuffle=True, random_state=0).split(values):
            solved = self._solve(names, values[train], y[train], _MOST_TERMS)
            errors = [
                float(np.sum((_predict(terms, model, values[test]) - y[test]) ** 2))
                for terms, model in zip(*solved, strict=True)
            ]
            # Where more terms are not to be had, they bring nothing.
            squares += np.array(errors + errors[-1:] * (_MOST_TERMS - len(errors)))
        return int(np.argmin(squares)) + 1


def _predict(terms: Sequence[Expression], model: SissoModel, values: FloatArray) -> FloatArray:
    columns = np.column_stack([term.evaluate(values) for term in terms])
    predicted: FloatArray = columns @ np.array(model.coefficients) + model.intercept
    return predicted


def _least_squares(columns: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return coefficients with the constant last, and what is left of `y`."""
    # Centred and scaled: formulas differ by many orders of magnitude.
    mean, scale = columns.mean(axis=0), columns.std(axis=0)
    slopes = np.linalg.lstsq((columns - mean) / scale, y - y.mean(), rcond=None)[0] / scale
    constant = y.mean() - slopes @ mean
    return np.append(slopes, constant), y - columns @ slopes - constant


def _best_subset(columns: FloatArray, y: FloatArray, n_terms: int) -> list[int]:
    """Try all subsets: normal equations for all, least squares for the best of them."""
    n = columns.shape[1]
    if comb(n, n_terms) > _MOST_SUBSETS:
        raise InputError(
            f"{comb(n, n_terms)} subsets of {n_terms} terms; give a smaller n_screened or dimension"
        )
    centred = columns - columns.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=0)
    gram = centred.T @ centred + _JITTER * np.eye(n)
    aims = centred.T @ (y - y.mean())
    found: list[tuple[float, list[int]]] = []
    for subsets in _batches(n, n_terms):
        matrices = gram[subsets[:, :, None], subsets[:, None, :]]
        sides = aims[subsets]
        explained = np.sum(sides * np.linalg.solve(matrices, sides[..., None])[..., 0], axis=1)
        for i in np.argsort(explained)[-_CHECKED:]:
            found.append((float(explained[i]), subsets[i].tolist()))
    found = sorted(found, reverse=True)[:_CHECKED]
    left = [float(np.sum(_least_squares(columns[:, s], y)[1] ** 2)) for _, s in found]
    return found[int(np.argmin(left))][1]


def _batches(n: int, n_terms: int) -> Iterator[NDArray[np.intp]]:
    subsets = combinations(range(n), n_terms)
    while batch := list(islice(subsets, _BATCH)):
        yield np.array(batch, dtype=np.intp)
