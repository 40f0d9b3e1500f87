"""Tables of a model's report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mlmd.descriptors.features import FEATURES
from mlmd.digits import DASH, number, with_error
from mlmd.model.data.composition_columns import COMPOSITION
from mlmd.model.validation.cross_validation import Scores
from mlmd.report.page.elements import Cell, Table, Value, make_table, of_interval, of_r_squared
from mlmd.studies.model_study import ModelStudy

if TYPE_CHECKING:
    from mlmd.arrays import BoolArray
    from mlmd.model.explaining.importance import Importance

MOST_ELEMENTS = 12
SIGMA_95 = 1.959964
MEANING = {feature.name: feature.definition for feature in FEATURES} | {
    "temperature_K": "temperature",
    COMPOSITION: "shares of all elements, varied together",
}

_PAPER = "— as the paper has it"
_MEASURES = {
    "permutation": ("Shuffled", "by how much the RMSE grows when the feature is shuffled."),
    "shap": ("Mean |SHAP|", "mean size of the feature's share in a prediction."),
}


def score_tables(study: ModelStudy) -> list[Table]:
    """Return the scores: by folds, by temperature, by element left out."""
    tables = (_folds(study), _temperatures(study), _elements(study))
    return [table for table in tables if table.rows]


def feature_tables(study: ModelStudy) -> Iterator[Table]:
    """Give importance and correlation of the features."""
    found = importances(study)
    if found:
        yield _importance(study, found)
    if study.pearson:
        yield _pearson(study)


def spread_cell(mean: float | None, deviation: float | None) -> Cell:
    """Return a number with its standard deviation, two digits of it: 0.123 ± 0.020."""
    return Cell(with_error(mean, deviation), mean)


def _folds(study: ModelStudy) -> Table:
    rows: list[tuple[Value, ...]] = []
    for report in study.reports:
        paper = study.published if report.folds == "published" else {}
        low, high = min(report.rmse_by_repeat), max(report.rmse_by_repeat)
        shuffled = f"{number(low)} to {number(high)}" if low < high else DASH
        rmse = spread_cell(report.rmse, report.rmse_std)
        n = len(report.by_fold)
        rows.append(
            (report.folds.replace("_", " "), rmse, shuffled, report.mae, of_r_squared(report.r2), n)
        )
        if paper:
            score = Cell(f"{paper['rmse']:g} ± {paper['rmse_std']:g}", paper["rmse"])
            rows.append((_PAPER, score, *4 * (None,)))
        if report.test is not None:
            test = report.test
            rows.append(
                ("— held out of all folds", test.rmse, None, test.mae, of_r_squared(test.r2), None)
            )
            if paper:
                rows.append(
                    (_PAPER, paper["test_rmse"], None, None, of_r_squared(paper["test_r2"]), None)
                )
    return make_table(
        "Folds side by side",
        ("Folds", *_errors(study, "By shuffle"), "R²", "Number"),
        rows,
        "Mean over the folds ± their standard deviation; by shuffle: lowest and highest mean of a "
        "repetition with groups shuffled anew.",
    )


def _errors(study: ModelStudy, *between: str) -> tuple[str, ...]:
    """Return the heads of the columns of errors."""
    return f"RMSE ({study.error_unit})", *between, f"MAE ({study.error_unit})"


def _temperatures(study: ModelStudy) -> Table:
    report = study.grouped
    result, deviation = report.out_of_fold, report.out_of_fold.deviation
    temperatures = study.temperature_of(result)
    rows: list[tuple[Value, ...]] = []
    parts: list[tuple[str, BoolArray]] = []
    if temperatures is not None and len(np.unique(temperatures)) <= MOST_ELEMENTS:
        parts = [(f"{T:g} K", temperatures == T) for T in np.unique(temperatures)]
    if parts or deviation is not None:
        parts.append(("all", np.ones(len(result.true), dtype=bool)))
    for name, chosen in parts:
        found = Scores.of(result.true[chosen], result.predicted[chosen])
        held: list[float] = []
        if deviation is not None:
            error = np.abs(result.predicted - result.true)[chosen]
            wide = result.half_width_95
            wide = SIGMA_95 * deviation if wide is None else wide
            held = [100 * float(np.mean(error <= ends[chosen])) for ends in (deviation, wide)]
        n_rows = len(np.unique(result.row[chosen]))
        rows.append((name, found.rmse, found.mae, of_r_squared(found.r2), *held, n_rows))
    coverage = () if deviation is None else ("68 % hold (%)", "95 % hold (%)")
    caption = f"Folds {report.folds.replace('_', ' ')}, all predictions pooled."
    if coverage:
        caption += " Hold: share of the true values within intervals of 68 % and 95 %."
    return make_table(
        "By temperature" if len(rows) > 1 else "Intervals",
        ("Rows", *_errors(study), "R²", *coverage, "Number"),
        rows,
        caption,
    )


def _elements(study: ModelStudy) -> Table:
    """Give the elements that are hardest to predict without having seen them."""
    by_fold = [
        one for report in study.reports if report.folds == "element" for one in report.by_fold
    ]
    worst = sorted(by_fold, key=lambda one: -one.rmse)[:MOST_ELEMENTS]
    return make_table(
        "Elements that the model has never seen",
        ("Element", *_errors(study), "R²", "Rows"),
        [(one.held_out, one.rmse, one.mae, of_r_squared(one.r2), one.n) for one in worst],
        f"The {len(worst)} of {len(by_fold)} with the largest errors; all are in the scores below.",
    )


def importances(study: ModelStudy) -> list[Importance]:
    """Return the importances that are known, those by shuffling first."""
    found = (study.permutation, study.shap.importance() if study.shap else None)
    return [one for one in found if one is not None]


def _importance(study: ModelStudy, found: list[Importance]) -> Table:
    columns: list[dict[str, Cell]] = []
    for one in found:
        cells = map(spread_cell, one.mean, one.deviation)
        columns.append(dict(zip(one.features, cells, strict=True)))
    titles = [f"{_MEASURES[one.kind][0]} ({study.error_unit})" for one in found]
    folds = " and ".join(dict.fromkeys(one.folds.replace("_", " ") for one in found))
    return make_table(
        "Importance of the features",
        ("Feature", "Meaning", *titles),
        [
            (name, MEANING.get(name, DASH), *(column[name] for column in columns))
            for name in found[0].features
        ],
        " ".join(": ".join(_MEASURES[one.kind]) for one in found)
        + f" On rows left out by {folds}; ± standard deviation over folds and shuffles. "
        "Correlated features share what they are worth.",
    )


def _pearson(study: ModelStudy) -> Table:
    by_table = [{one.feature: one for one in table.rows} for table in study.pearson]
    rows = []
    for name in dict.fromkeys(name for by_feature in by_table for name in by_feature):
        known = [by_feature.get(name) for by_feature in by_table]
        unit = next(one.unit for one in known if one is not None)
        cells = [None if one is None else of_interval(one.r, (one.low, one.high)) for one in known]
        rows.append((name, unit, *cells))
    titles = [
        "All rows" if table.temperature_K is None else f"{table.temperature_K:g} K"
        for table in study.pearson
    ]
    return make_table(
        f"Pearson correlation with {study.pearson[0].target}",
        ("Feature", "Unit", *titles),
        rows,
        "Brackets are intervals of 95 % from formulas drawn anew. Negative ones from the "
        "strongest, then positive ones from the strongest.",
    )
