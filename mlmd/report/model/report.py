"""The report of a model: how well it predicts, what it leans on, what would help."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from mlmd.digits import number
from mlmd.model.data.composition_columns import players
from mlmd.model.data.folds import FOLDS
from mlmd.model.regressors import REGRESSORS
from mlmd.numerics.student import ONE_SIGMA
from mlmd.report.model.copies import model_content, model_copies
from mlmd.report.model.figures import curve_figures, feature_figures, score_figures
from mlmd.report.model.tables import feature_tables, score_tables
from mlmd.report.page.elements import Group, entries
from mlmd.report.page.page import render, write_page
from mlmd.studies.model_study import ModelStudy

_NAMES = {"ln_D": "ln D", "D": "D", "E_a": "activation energy"}
_NOTED = 0.1
_OPTIMISTIC = ("published", "random")


def write_model_report(path: str | Path, study: ModelStudy, force: bool = False) -> Path:
    """Write a report of a model.

    Parameters
    ----------
    path
        The HTML file; an earlier one is replaced.
    study
        What was found out.
    force
        Replace what else is there, but never a file of a run.

    Raises
    ------
    MissingExtraError
        If Jinja2 is not installed.
    InputError
        If the file cannot be written.
    """
    return write_page(model_page(study), Path(path), force)


def model_page(study: ModelStudy) -> str:
    """Return the HTML of :func:`write_model_report`."""
    problem, first = study.problem, study.reports[0]
    target = _NAMES.get(problem.target, problem.target)
    return render(
        "model.html.j2",
        eyebrow="Model that predicts diffusivity",
        title=f"{first.model.replace('_', ' ')}: {target}",
        lead=f"{len(problem.y)} rows, {len(set(problem.formulas))} formulas, "
        f"{len(players(problem.X.columns))} features; table {problem.sha256[:12]}",
        notes=_notes(study),
        scores=score_tables(study),
        score_figures=list(score_figures(study)),
        features=list(feature_tables(study)),
        feature_figures=list(feature_figures(study)),
        curves=list(curve_figures(study)),
        copies=model_copies(study),
        settings=_settings(study),
        content=model_content(study),
    )


def _notes(study: ModelStudy) -> list[str]:
    """Say what the scores are worth."""
    grouped, notes = study.grouped, []
    if grouped.folds not in _OPTIMISTIC:
        unit = f"× {study.error_unit}" if study.problem.target == "D" else study.error_unit
        if study.problem.target == "ln_D":
            unit = f"in ln D, a factor of {number(math.exp(grouped.rmse))} in D"
        notes.append(
            f"New materials: expect an error (RMSE) of {number(grouped.rmse)} {unit}, by "
            f"folds {grouped.folds.replace('_', ' ')}."
        )
    notes += _worst_temperature(study)
    if study.noise_floor is not None:
        notes.append(
            f"The labels themselves scatter by {number(study.noise_floor, 2)} ({study.error_unit}) "
            "about the Arrhenius line of each formula: no model is to be expected below that."
        )
    notes += [f"{finding.severity}: {finding.message}" for finding in study.findings]
    return notes


def _worst_temperature(study: ModelStudy) -> list[str]:
    """Say where intervals of 68 % hold far more or far fewer rows than that."""
    result = study.grouped.out_of_fold
    temperatures = study.temperature_of(result)
    if temperatures is None or result.deviation is None:
        return []
    held = np.abs(result.true - result.predicted) <= result.deviation
    share = {float(T): float(held[temperatures == T].mean()) for T in np.unique(temperatures)}
    worst = max(share, key=lambda T: abs(share[T] - ONE_SIGMA))
    if abs(share[worst] - ONE_SIGMA) < _NOTED:
        return []
    return [f"Intervals of 68 % hold {share[worst]:.0%} of the rows at {worst:g} K: see below."]


def _settings(study: ModelStudy) -> list[Group]:
    model, problem = study.reports[0].model, study.problem
    about = {"name": model, "is": REGRESSORS[model].about if model in REGRESSORS else None}
    groups = [
        Group("Model", entries({**about, "target": problem.target, "unit": problem.unit})),
        Group(
            "Table",
            (
                ("sha256", problem.sha256),
                ("rows", str(len(problem.y))),
                ("features", ", ".join(map(str, problem.X.columns))),
            ),
        ),
        Group(
            "Folds",
            tuple((one.folds, FOLDS.get(one.folds, "")) for one in study.reports),
            "What is left out together, so that the model has not seen it.",
        ),
        Group("How", tuple(study.how.items())),
        Group("Versions", tuple(study.versions.items())),
    ]
    return [group for group in groups if group.entries]
