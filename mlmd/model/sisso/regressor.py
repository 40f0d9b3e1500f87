"""SISSO: the few features, or formulas of features, that a linear model needs most.

Ouyang et al. 2018 (doi:10.1103/PhysRevMaterials.2.083802): sure independence screening (SIS)
keeps the candidates that correlate best with what is not explained yet, and the best subset of
them (L0) is found by trying all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError, MissingExtraError
from mlmd.model.sisso.screening import screen
from mlmd.model.sisso.space import Expression, Space

try:
    from sklearn.base import BaseEstimator, RegressorMixin
except ImportError as error:
    raise MissingExtraError("scikit-learn", "model") from error

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray


_MOST_SUBSETS = 50_000_000
_CHECKED = 20
_MOST_TERMS = 4
_SINGULAR = 1e-10


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
        Number of terms; None chooses 1 to 4 by five-fold cross-validation: the fewest whose error
        is within one standard error of the least (Breiman et al. 1984).
    n_screened : int
        Candidates kept by each screening; the published run has 20.
    operators : tuple of str
        Of `mlmd.model.sisso.space.OPERATORS`. Without any (the published run built no formulas)
        it is best-subset regression on the features.
    max_operators : int
        Most operators in a formula. With 43 features and ``+ - * / ^-1 ^2`` a screening of 2 takes
        a second, of 3 half a minute.
    units : mapping of str to str, optional
        Unit of each column as `mlmd.descriptors.features.UNITS` writes it. With it sums are of
        like units only, and exponentials and logarithms of pure numbers; a column that is not
        in it has a unit of its own. Without it every column is a pure number.

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

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> SissoRegressor:
        """Find the models.

        Parameters
        ----------
        X : data frame or (n, features) array
            The features.
        y : (n,) array
            The target.
        groups : (n,) array, optional
            Rows of one group, as of one formula at several temperatures, stay together in the
            folds that choose the dimension. Without it these are of single rows.

        Raises
        ------
        InputError
            If numbers are not finite, or settings, rows and groups do not fit together.
        """
        values, target = self._validated(X, y, y_numeric=True)
        names = self._names()
        if self.n_screened < 1 or self.max_operators < 0:
            raise InputError("expected n_screened of at least 1 and max_operators of at least 0")
        dimension = self.dimension
        if dimension is None:
            dimension = self._chosen_dimension(names, values, target, groups)
        if not 1 <= dimension < len(values) - 1:
            raise InputError(
                f"dimension {dimension} for n_samples = {len(values)}; expected 1 or more, and "
                "more rows than that"
            )
        self.terms_, self.models_ = self._solve(names, values, target, dimension)
        return self

    def predict(self, X: Any) -> FloatArray:
        """Return the target by the model with most terms."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        values = self._validated(X, reset=False)
        predicted = _predict(self.terms_[-1], self.models_[-1], values)
        bad = np.flatnonzero(~np.isfinite(predicted))
        if len(bad):
            raise InputError(
                f"row {bad[0]}: {' or '.join(self.models_[-1].terms)} has no finite value there; "
                "it is outside of what was learnt from, leave it out or learn with fewer operators"
            )
        return predicted

    def _validated(self, *given: Any, **options: Any) -> Any:
        from sklearn.utils.validation import validate_data

        try:
            return validate_data(self, *given, dtype=float, **options)
        except (ValueError, TypeError) as error:
            raise InputError(" ".join(str(error).split())) from error

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
            for expression, column in screen(space, residual, self.n_screened, columns):
                kept.append(expression)
                columns.append(column)
            if len(kept) < n_terms:
                break
            table = np.column_stack(columns)
            best = _best_subset(table, y, n_terms)
            if not best:
                break
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

    def _chosen_dimension(
        self, names: list[str], values: FloatArray, y: FloatArray, groups: ArrayLike | None
    ) -> int:
        from sklearn.model_selection import GroupKFold, KFold

        folds = KFold(5, shuffle=True, random_state=0) if groups is None else GroupKFold(5)
        try:
            parts = list(folds.split(values, y, groups))
        except (ValueError, TypeError) as error:
            raise InputError(f"no dimension can be chosen: {error}; give one") from error
        squares = np.zeros((len(parts), _MOST_TERMS))
        for i, (train, test) in enumerate(parts):
            solved = self._solve(names, values[train], y[train], _MOST_TERMS)
            errors = [
                float(np.mean((_predict(terms, model, values[test]) - y[test]) ** 2))
                for terms, model in zip(*solved, strict=True)
            ]
            # Where more terms are not to be had, they bring nothing.
            squares[i] = errors + errors[-1:] * (_MOST_TERMS - len(errors))
        mean = np.nan_to_num(squares.mean(axis=0), nan=np.inf)
        best = int(np.argmin(mean))
        allowance = squares[:, best].std(ddof=1) / np.sqrt(len(parts))
        return int(np.argmax(mean <= mean[best] + allowance)) + 1


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
    """Try all subsets; return none if none of them is linearly independent.

    All but two of a subset are projected out of all other columns, and what any two of these
    explain has a closed form; least squares decide among the best.
    """
    n = columns.shape[1]
    if comb(n, n_terms) > _MOST_SUBSETS:
        raise InputError(
            f"{comb(n, n_terms)} subsets of {n_terms} terms; give a smaller n_screened or dimension"
        )
    centred = columns - columns.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=0)
    gram, aims = centred.T @ centred, centred.T @ (y - y.mean())
    if n_terms == 1:
        return [int(np.argmax(np.abs(aims)))]
    found: list[tuple[float, list[int]]] = []
    for first in combinations(range(n - 2), n_terms - 2):
        fixed, rest = list(first), slice(first[-1] + 1 if first else 0, n)
        inner = gram[np.ix_(fixed, fixed)]
        if fixed and np.linalg.eigvalsh(inner)[0] < _SINGULAR:
            continue
        along = np.linalg.solve(inner, gram[fixed, rest])
        slopes = np.linalg.solve(inner, aims[fixed])
        explained = float(aims[fixed] @ slopes) + _explained_by_two(
            gram[rest, rest] - gram[rest, fixed] @ along, aims[rest] - gram[rest, fixed] @ slopes
        )
        least = found[-1][0] if len(found) >= _CHECKED else -np.inf
        for i, j in np.argwhere(explained > least):
            found.append(
                (float(explained[i, j]), [*fixed, rest.start + int(i), rest.start + int(j)])
            )
        found = sorted(found, reverse=True)[:_CHECKED]
    if not found:
        return []
    left = [float(np.sum(_least_squares(columns[:, s], y)[1] ** 2)) for _, s in found]
    return found[int(np.argmin(left))][1]


def _explained_by_two(gram: FloatArray, aims: FloatArray) -> FloatArray:
    """Return the squares that each pair of columns explains, as (i, j) with i < j."""
    size = np.diag(gram)
    independent = size[:, None] * size - gram**2
    alone = aims**2
    with np.errstate(all="ignore"):
        both = (
            alone[:, None] * size + alone * size[:, None] - 2 * aims[:, None] * aims * gram
        ) / independent
    sound = np.minimum(size[:, None], size) > _SINGULAR
    sound &= independent > _SINGULAR * size[:, None] * size
    return np.where(np.triu(sound, 1), both, -np.inf)
