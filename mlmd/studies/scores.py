"""What to know about the scores of a model before they are believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlmd.findings import Finding

if TYPE_CHECKING:
    from mlmd.model.data.problem import Problem
    from mlmd.model.validation.cross_validation import Report

_OPTIMISTIC = ("published", "random", "formula")
"""Folds that leave the chemistry of what is left out in what is learnt from."""


def about_scores(problem: Problem, reports: Sequence[Report]) -> tuple[Finding, ...]:
    """Return what is to be said of cross-validations of a model, for every face."""
    found = []
    if problem.bounds is not None:
        n_bounds = len(problem.bounds.y)
        text = f"{n_bounds} row(s) without diffusion are learnt from as upper bounds of D; "
        text += "no score is of them"
        numbers = {"n_bounds": float(n_bounds)}
        found.append(Finding("learnt_from_bounds", "note", text, numbers))
    for report in reports:
        if report.folds in _OPTIMISTIC:
            text = (
                f"folds {report.folds} have formulas or chemical systems on both sides: their "
                "scores are optimistic for new materials"
            )
            found.append(Finding("optimistic_folds", "doubt", text))
    return tuple(found)
