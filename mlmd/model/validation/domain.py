"""Whether a model has learnt from anything like what it is asked about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.model.data.composition_columns import PREFIX
from mlmd.structure.composition import Composition

if TYPE_CHECKING:
    import pandas as pd

    from mlmd.arrays import FloatArray
    from mlmd.model.data.problem import Problem


COMBINATION = "combination of features"
_ROUNDING = 1e-9
_WITHIN = 0.99
_ROWS_PER_DIRECTION = 10
_LEAST_VARIANCE = 1e-8


@dataclass(frozen=True, eq=False)
class Domain:
    """What a model has learnt from.

    Attributes
    ----------
    elements : tuple of str
        Elements in the formulas.
    columns : tuple of str
        Features, without those that say what the composition is made of.
    lower, upper : (m,) array
        Range of each.
    mean, whitening : (m,) and (m, k) array
        Take features to principal components of unit variance.
    limit : float
        Distance from the others (Mahalanobis', squared, over n: h / (1 - h) with h the leverage)
        that one row in a hundred exceeds.
    """

    elements: tuple[str, ...]
    columns: tuple[str, ...]
    lower: FloatArray
    upper: FloatArray
    mean: FloatArray
    whitening: FloatArray
    limit: float

    @classmethod
    def of(cls, problem: Problem) -> Domain:
        """Return the domain of the rows of a problem."""
        columns = tuple(str(c) for c in problem.X.columns if not str(c).startswith(PREFIX))
        values = problem.X[list(columns)].to_numpy(dtype=float)
        mean, spread = values.mean(axis=0), values.std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)
        _, singular, directions = np.linalg.svd((values - mean) / scale, full_matrices=False)
        kept = singular**2 > _LEAST_VARIANCE * max(float(np.sum(singular**2)), 1e-300)
        # Rows cannot tell how they scatter in as many directions as there are rows.
        kept[max(1, len(values) // _ROWS_PER_DIRECTION) :] = False
        whitening = (directions[kept] / singular[kept, None]).T / scale[:, None]
        leverage = np.sum(((values - mean) @ whitening) ** 2, axis=1) + 1 / len(values)
        apart = leverage / np.maximum(1 - leverage, _ROUNDING)
        symbols = {s for f in set(problem.formulas) for s in Composition.parse(f).reduced}
        return cls(
            tuple(sorted(symbols)),
            columns,
            values.min(axis=0),
            values.max(axis=0),
            mean,
            whitening,
            float(np.quantile(apart, _WITHIN)),
        )

    def outside(self, symbols: Iterable[str], row: pd.Series[Any]) -> tuple[str, ...]:
        """Return elements and features that lie outside, or that their combination does.

        A row is outside by combination where it lies further from the rows learnt from than 99 %
        of these do from the others, though each feature for itself is within its range.
        """
        values = row[list(self.columns)].to_numpy(dtype=float)
        slack = _ROUNDING * np.maximum(np.abs(self.lower), np.abs(self.upper))
        beyond = (values < self.lower - slack) | (values > self.upper + slack)
        found = [*sorted(set(symbols) - set(self.elements))]
        found += [c for c, is_out in zip(self.columns, beyond, strict=True) if is_out]
        distance = float(np.sum(((values - self.mean) @ self.whitening) ** 2))
        if not beyond.any() and distance > self.limit * (1 + _ROUNDING):
            found.append(COMBINATION)
        return tuple(found)

    def to_arrays(self) -> dict[str, Any]:
        """Return everything as plain values and arrays, to be saved."""
        return {**vars(self), "elements": list(self.elements), "columns": list(self.columns)}

    @classmethod
    def from_arrays(cls, content: dict[str, Any]) -> Domain:
        """Return what `to_arrays` was called on."""
        names = {key: tuple(content[key]) for key in ("elements", "columns")}
        return cls(**{**content, **names})
