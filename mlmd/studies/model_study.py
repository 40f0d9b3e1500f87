"""A model with everything that can be found out about it from its table."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd._version import __version__
from mlmd.errors import InputError
from mlmd.model.explaining.importance import permutation_importance
from mlmd.model.explaining.learning_curve import SHARES, arrhenius_scatter, learning_curve
from mlmd.model.explaining.loss_curve import STEPS, loss_curve
from mlmd.model.explaining.pearson import pearson_table
from mlmd.model.explaining.shapley import shap_values
from mlmd.model.regressors import regressor_of
from mlmd.model.validation.cross_validation import cross_validate
from mlmd.model.validation.spread import N_SPLITS
from mlmd.studies.progress import counted
from mlmd.studies.scores import about_scores

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.findings import Finding
    from mlmd.model.data.problem import Problem
    from mlmd.model.data.table import TrainingTable
    from mlmd.model.explaining.importance import Importance
    from mlmd.model.explaining.learning_curve import LearningCurve
    from mlmd.model.explaining.loss_curve import LossCurve
    from mlmd.model.explaining.pearson import PearsonTable
    from mlmd.model.explaining.shapley import ShapValues
    from mlmd.model.validation.cross_validation import OutOfFold, Report
    from mlmd.stages.context import ProgressReport

logger = logging.getLogger(__name__)

_BACKGROUND, _FEW = 40, 6
_FEWEST_ROWS = 20
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
    how : mapping of str to str
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
    how: Mapping[str, str] = field(default_factory=dict)
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
    def findings(self) -> tuple[Finding, ...]:
        """What to know about the scores."""
        return about_scores(self.problem, self.reports)

    @property
    def error_unit(self) -> str:
        """The unit of errors, as it is read: a difference of logarithms has none."""
        units = {"ln_D": "ln D", "D": "10⁻³ cm²/s"}
        return units.get(self.problem.target, self.problem.unit)

    @property
    def grouped(self) -> Report:
        """The cross-validation with the strictest folds by group, else the first."""
        by_folds = {report.folds: report for report in reversed(self.reports)}
        return next((by_folds[name] for name in GROUPED if name in by_folds), self.reports[0])

    @property
    def drawn(self) -> tuple[Report, ...]:
        """The first cross-validation, and the grouped one beside it."""
        first, grouped = self.reports[0], self.grouped
        return (first,) if grouped is first else (first, grouped)

    def temperature_of(self, result: OutOfFold) -> FloatArray | None:
        """Return the temperature of each prediction."""
        return None if self.temperature_K is None else self.temperature_K[result.row]


def study_model(
    table: TrainingTable,
    problem: Problem,
    reports: Sequence[Report],
    published: Mapping[str, float] | None = None,
    how: Mapping[str, str] | None = None,
    n_bootstrap: int = 20,
    seed: int = 0,
    progress: ProgressReport | None = None,
) -> ModelStudy:
    """Find out what a model leans on, what would help, and how sure it is.

    Parameters
    ----------
    table, problem : TrainingTable, Problem
        What was learnt from.
    reports : sequence of Report
        Cross-validations of one model; the first is what the study is about.
    published, how : mapping, optional
        See `ModelStudy`.
    n_bootstrap : int
        Models behind an error bar, for models that do not say themselves how sure they are.
    seed : int
        Of the folds.
    progress : callable, optional
        Called with `mlmd.stages.context.Progress`.

    Raises
    ------
    InputError
        If the cross-validations are not of one model and this problem.
    MissingExtraError
        If a package is not installed.
    """
    study = ModelStudy(
        problem,
        tuple(reports),
        table.temperature_K if len(table) == len(problem.y) else None,
        published or {},
        how={
            **(how or {}),
            "D": table.D_from,
            "features": f"convention {table.convention}, mobile element {table.mobile}",
        },
        versions=_versions(),
    )
    model, folds = reports[0].model, study.grouped.folds
    common: dict[str, Any] = {"seed": seed, "mobile": table.mobile}
    tell = partial(counted, progress)
    sure = {}
    if regressor_of(model).spread == "bootstrap":
        for one in study.drawn:
            if one.out_of_fold.deviation is not None:
                continue
            part = tell(f"error bars, folds {one.folds}")
            again = cross_validate(
                problem, model, one.folds, n_bootstrap=n_bootstrap, **common, progress=part
            )
            sure[one.folds] = again.out_of_fold
    # Each row of the background is a pass over all features: too slow for a large model.
    n_background = _FEW if regressor_of(model).learns_elements else _BACKGROUND
    return replace(
        study,
        reports=tuple(replace(r, out_of_fold=sure.get(r.folds, r.out_of_fold)) for r in reports),
        permutation=permutation_importance(
            problem, model, folds, **common, progress=tell("permutation importance")
        ),
        shap=shap_values(
            problem, model, folds, n_background=n_background, **common, progress=tell("SHAP values")
        ),
        pearson=_pearson(table, problem.target),
        loss=loss_curve(
            problem, model, reports[0].folds, mobile=table.mobile, progress=tell("loss curve")
        )
        if model in STEPS
        else None,
        learning=_learning(problem, model, folds, **common, progress=tell("learning curve")),
        noise_floor=arrhenius_scatter(table) if problem.target == "ln_D" else None,
    )


def _learning(problem: Problem, model: str, folds: str, **more: Any) -> LearningCurve | None:
    """Return the curve from where there are rows enough to learn from."""
    learnt_from = len(problem.y) * (1 - 1 / N_SPLITS)
    shares = [share for share in SHARES if share * learnt_from >= _FEWEST_ROWS]
    if len(shares) < 2:
        return None
    return learning_curve(problem, model, folds, shares, **more)


def _pearson(table: TrainingTable, target: str) -> tuple[PearsonTable, ...]:
    """Return correlations at all temperatures, and at the highest, as the paper gives them."""
    everything = pearson_table(table, target=target)
    highest = float(table.temperature_K.max())
    if target == "E_a" or np.all(table.temperature_K == highest):
        return (everything,)
    try:
        return everything, pearson_table(table, highest, target)
    except InputError as error:  # one of few rows that are as hot
        logger.info("no correlations at %g K alone: %s", highest, error)
        return (everything,)


def _versions() -> dict[str, str]:
    found = {"mlmd": __version__}
    for package in ("scikit-learn", "xgboost-cpu", "xgboost", "shap", "numpy"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
