"""Fitting a model to rows of a problem, the same way everywhere."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.descriptors.table_file import import_pandas
from mlmd.errors import InputError
from mlmd.model.data.folds import groups_of
from mlmd.model.regressors import make_regressor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.model.data.problem import Problem

_MOST_ROUNDS = 3
"""Of fitting again: later ones change little."""


def fit_pipeline(
    problem: Problem,
    model: str,
    rows: NDArray[Any],
    settings: Mapping[str, Any] | None = None,
) -> Any:
    """Return the model, fitted to some rows of a problem.

    Parameters
    ----------
    problem : Problem
        With its weights. A model that parts the rows once more is told their chemical systems. Of
        its bounds, those of other chemical systems than rows left out are learnt from: the model is
        fitted again with the bounds that its predictions break as labels, until it breaks no more.
    model : str
        Name of one of `REGRESSORS`.
    rows : array of int
        Rows to learn from; one may come more than once.
    settings : mapping, optional
        Other settings than the model's own, as ``set_params`` of its pipeline takes them.

    Raises
    ------
    InputError
        If the model is unknown or cannot weigh rows, or there are fewer than two.
    MissingExtraError
        If scikit-learn or xgboost is not installed.
    """
    if len(rows) < 2:
        raise InputError(f"{len(rows)} row(s) to learn from; expected at least 2")
    fitted = _fitted(problem, model, rows, settings)
    bounds = problem.bounds_beside(np.unique(rows))
    if bounds is None:
        return fitted
    # A bound that is kept says nothing more; one that is broken pulls as a label would.
    broken = np.zeros(len(bounds.y), dtype=bool)
    for _ in range(_MOST_ROUNDS):
        found = broken | (np.asarray(fitted.predict(bounds.X)) > bounds.y)
        if (found == broken).all():
            break
        broken = found
        both = _joined(problem, bounds.only(np.flatnonzero(broken)))
        every = np.concatenate([rows, np.arange(len(problem.y), len(both.y))])
        fitted = _fitted(both, model, every, settings)
    return fitted


def _joined(problem: Problem, bounds: Problem) -> Problem:
    """Return the rows of a problem, and bounds after them as if they were labels."""
    weights = problem.weights
    return replace(
        problem,
        X=import_pandas().concat([problem.X, bounds.X], ignore_index=True),
        y=np.concatenate([problem.y, bounds.y]),
        formulas=(*problem.formulas, *bounds.formulas),
        weights=None if weights is None else np.concatenate([weights, np.ones(len(bounds.y))]),
        bounds=None,
    )


def _fitted(
    problem: Problem, model: str, rows: NDArray[Any], settings: Mapping[str, Any] | None
) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    pipeline = make_regressor(model, target=problem.target).set_params(**(settings or {}))
    with warnings.catch_warnings():
        # A length at its bound and a network stopped early are seen in the scores.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return pipeline.fit(
            problem.X.iloc[rows], problem.y[rows], **_about_rows(problem, model, pipeline, rows)
        )


def _about_rows(problem: Problem, model: str, pipeline: Any, rows: NDArray[Any]) -> dict[str, Any]:
    """Return weights of the rows, and their groups where the last step takes them."""
    from sklearn.utils.validation import has_fit_parameter

    name, last = pipeline.steps[-1]
    last = getattr(last, "regressor", last)
    found: dict[str, Any] = {}
    if problem.weights is not None:
        if not has_fit_parameter(last, "sample_weight"):
            raise InputError(
                f"model '{model}' cannot weigh rows; train it without weights, or take another"
            )
        found[f"{name}__sample_weight"] = problem.weights[rows]
    if has_fit_parameter(last, "groups"):
        found[f"{name}__groups"] = groups_of(
            "chemical_system", [problem.formulas[i] for i in rows]
        ).tolist()
    return found
