"""What the report of a model shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError
from mlmd.report.elements import Group

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.model.importance import Importance
    from mlmd.model.learning_curve import LearningCurve
    from mlmd.model.loss_curve import LossCurve
    from mlmd.model.pearson import PearsonTable
    from mlmd.model.shapley import ShapValues
    from mlmd.model.table import Problem
    from mlmd.model.validation import OutOfFold, Report

    FloatArray = NDArray[np.floating[Any]]

GROUPED = ("chemical_system", "element", "formula")
"""Folds without a formula on both sides, the strictest that is usual first."""


@dataclass(frozen=True, eq=False)
class ModelStudy:
    """A model with everything that was found out about it; what is not given is left out.

    Attributes
    ----------
    problem : Problem
        What was learnt.
    reports : tuple of Report
        Cross-validations of one model, side by side; the first is what the page is about.
    temperature_K : (rows,) array, optional
        Of each row of the problem.
    published : mapping, optional
        What a paper gives for folds "published", as an entry of `PUBLISHED_SCORES`.
    permutation : Importance, optional
        From `permutation_importance`.
    shap : ShapValues, optional
        From `shap_values`.
    pearson : tuple of PearsonTable
        Beside each other, of all temperatures first.
    loss, learning : LossCurve, LearningCurve, optional
        From `loss_curve` and `learning_curve`.
    noise_floor : float, optional
        Scatter of the labels in the unit of the target, from `arrhenius_scatter`.
    settings : tuple of Group
        How it was done, beyond what is said anyway.
    versions : mapping of str to str
        Of the packages.
    """

    problem: Problem
    reports: tuple[Report, ...]
    temperature_K: FloatArray | None = None
    published: Mapping[str, float] = field(default_factory=dict)
    permutation: Importance | None = None
    shap: ShapValues | None = None
    pearson: tuple[PearsonTable, ...] = ()
    loss: LossCurve | None = None
    learning: LearningCurve | None = None
    noise_floor: float | None = None
    settings: tuple[Group, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        if not self.reports:
            raise InputError("a report of a model needs a cross-validation; got none")
        n = len(self.problem.y)
        if self.temperature_K is not None and len(self.temperature_K) != n:
            raise InputError(f"{len(self.temperature_K)} temperatures for {n} rows of the problem")
        what = {(one.model, one.target) for one in self.reports}
        if what != {(self.reports[0].model, self.problem.target)}:
            raise InputError(
                "the cross-validations are not all of one model and the problem's target: "
                + ", ".join(sorted(" of ".join(one) for one in what))
            )

    @property
    def error_unit(self) -> str:
        """The unit of errors, as it is read: a difference of logarithms has none."""
        units = {"ln_D": "ln D", "D": "10⁻³ cm²/s"}
        return units.get(self.problem.target, self.problem.unit)

    @property
    def grouped(self) -> Report:
        """The cross-validation with the strictest folds by group, else the first."""
        for name in GROUPED:
            for report in self.reports:
                if report.folds == name:
                    return report
        return self.reports[0]

    @property
    def drawn(self) -> tuple[Report, ...]:
        """The first cross-validation, and the grouped one beside it."""
        first, grouped = self.reports[0], self.grouped
        return (first,) if grouped is first else (first, grouped)

    def temperature_of(self, result: OutOfFold) -> FloatArray | None:
        """Return the temperature of each prediction."""
        return None if self.temperature_K is None else self.temperature_K[result.row]


def deviation_of(result: OutOfFold) -> FloatArray | None:
    """Return the standard deviation of each prediction, where the model gave one."""
    found: FloatArray | None = getattr(result, "deviation", None)
    return found
