"""Numbers to learn: features, a target, and bounds of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlmd.model.data.composition_columns import with_fractions
from mlmd.model.data.folds import chemical_system

if TYPE_CHECKING:
    import pandas as pd

    from mlmd.arrays import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Problem:
    """Numbers to learn, row by row.

    Attributes
    ----------
    X : pandas.DataFrame
        Features, the one that carries the temperature among them.
    y : (n,) array
        The target in `unit`.
    formulas : tuple of str
        Formula of each row, with which folds are made.
    target, unit : str
        What `y` is.
    weights : (n,) array, optional
        How much each row counts; their mean is 1. None where all count the same.
    bounds : Problem, optional
        Rows of which no more is known than that the target is below `y`. Models learn from them
        (`mlmd.model.fitting.fit_pipeline`); no score is of them.
    """

    X: pd.DataFrame
    y: FloatArray
    formulas: tuple[str, ...]
    target: str
    unit: str
    weights: FloatArray | None = None
    bounds: Problem | None = None

    def only(self, rows: IntArray) -> Problem:
        """Return a problem of some rows, without the bounds of what is left out."""
        return Problem(
            self.X.iloc[rows],
            self.y[rows],
            tuple(self.formulas[i] for i in rows),
            self.target,
            self.unit,
            None if self.weights is None else self.weights[rows],
            self.bounds_beside(rows),
        )

    def bounds_beside(self, rows: IntArray) -> Problem | None:
        """Return the bounds that may be learnt from with these rows.

        None of them is of a chemical system that a row left out is of: it would be seen there.
        """
        if self.bounds is None:
            return None
        left_out = np.setdiff1d(np.arange(len(self.y)), rows)
        systems = {chemical_system(self.formulas[i]) for i in left_out}
        apart = [chemical_system(formula) not in systems for formula in self.bounds.formulas]
        return self.bounds.only(np.flatnonzero(apart)) if any(apart) else None

    @property
    def sha256(self) -> str:
        """Hash of features, target, formulas and weights: the identity of what was learnt from."""
        digest = hashlib.sha256("\n".join((*self.X.columns, *self.formulas, self.target)).encode())
        weights = () if self.weights is None else (self.weights.astype("<f8"),)
        for part in (self.X.to_numpy(dtype="<f8"), self.y.astype("<f8"), *weights):
            digest.update(np.ascontiguousarray(part).tobytes())
        if self.bounds is not None:
            digest.update(self.bounds.sha256.encode())
        return digest.hexdigest()

    def with_elements(self) -> Problem:
        """Add what each composition is made of, at the end of the features, to the bounds too."""
        bounds = None if self.bounds is None else self.bounds.with_elements()
        return replace(self, X=with_fractions(self.X, self.formulas), bounds=bounds)
