"""Tables of a model's report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.descriptors.features import FEATURES
from mlmd.model.data.composition_columns import COMPOSITION
from mlmd.model.validation.cross_validation import FoldScores, Scores
from mlmd.report.page.elements import Cell, Table, of, of_interval
from mlmd.report.page.numbers import DASH, number
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


def score_tables(study: ModelStudy) -> list[Table]:
    """Return the scores: by folds, by temperature, by element left out."""
    tables = (_folds(study), _temperatures(study), _elements(study))
    return [table for table in tables if table.rows]


def feature_tables(study: ModelStudy) -> list[Table]:
    """Return importance and correlation of the features."""
    return [table for table in (_importance(study), _pearson(study)) if table.rows]


def spread_cell(mean: float | None, deviation: float | None) -> Cell:
    """Return a number with its standard deviation, two digits of it: 0.123 ± 0.020."""
    if mean is None or deviation is None or not (deviation > 0 and math.isfinite(mean)):
        return of(mean)
    power = math.floor(math.log10(deviation))
    decimals = min(max(0, 1 - power), 6)
    text = f"{mean:.{decimals}f} ± {deviation:.{decimals}f}"
    return Cell(text.replace("-", "\N{MINUS SIGN}"), mean)


def _folds(study: ModelStudy) -> Table:
    rows: list[tuple[Cell, ...]] = []
    given = study.published
    for report in study.reports:
        paper = given if report.folds == "published" else {}
        ends = (min(report.rmse_by_repeat), max(report.rmse_by_repeat))
        shuffled = f"{number(ends[0])} to {number(ends[1])}" if ends[0] < ends[1] else DASH
        rows.append(
            (
                Cell(report.folds.replace("_", " ")),
                spread_cell(report.rmse, report.rmse_std),
                Cell(shuffled),
                of(report.mae),
                of(_finite(report.r2)),
                of(len(report.by_fold)),
            )
        )
        if paper:
            score = Cell(f"{paper['rmse']:g} ± {paper['rmse_std']:g}", paper["rmse"])
            rows.append((Cell("— as the paper has it"), score, *4 * (Cell(DASH),)))
        if report.test is not None:
            test = report.test
            rows.append(
                (
                    Cell("— held out of all folds"),
                    of(test.rmse),
                    Cell(DASH),
                    of(test.mae),
                    of(_finite(test.r2)),
                    Cell(DASH),
                )
            )
            if paper:
                rows.append(
                    (
                        Cell("— as the paper has it"),
                        of(paper["test_rmse"]),
                        *2 * (Cell(DASH),),
                        of(paper["test_r2"]),
                        Cell(DASH),
                    )
                )
    unit = study.error_unit
    return Table(
        "Folds side by side",
        ("Folds", f"RMSE ({unit})", "By shuffle", f"MAE ({unit})", "R²", "Number"),
        tuple(rows),
        "Mean over the folds ± their standard deviation; by shuffle: lowest and highest mean of a "
        "repetition with groups shuffled anew.",
    )


def _temperatures(study: ModelStudy) -> Table:
    report = study.grouped
    result, deviation = report.out_of_fold, report.out_of_fold.deviation
    temperatures = study.temperature_of(result)
    rows = []
    parts: list[tuple[str, BoolArray]] = []
    if temperatures is not None and len(np.unique(temperatures)) <= MOST_ELEMENTS:
        parts = [(f"{T:g} K", temperatures == T) for T in np.unique(temperatures)]
    if parts or deviation is not None:
        parts.append(("all", np.ones(len(result.true), dtype=bool)))
    for name, chosen in parts:
        found = Scores.of(result.true[chosen], result.predicted[chosen])
        cells = [Cell(name), of(found.rmse), of(found.mae), of(_finite(found.r2))]
        if deviation is not None:
            error = np.abs(result.predicted - result.true)[chosen]
            wide = result.half_width_95
            wide = SIGMA_95 * deviation if wide is None else wide
            held = (error <= deviation[chosen], error <= wide[chosen])
            cells += [of(100 * float(np.mean(one))) for one in held]
        rows.append((*cells, of(len(np.unique(result.row[chosen])))))
    unit = study.error_unit
    coverage = () if deviation is None else ("68 % hold (%)", "95 % hold (%)")
    caption = f"Folds {report.folds.replace('_', ' ')}, all predictions pooled."
    if coverage:
        caption += " Hold: share of the true values within intervals of 68 % and 95 %."
    return Table(
        "By temperature" if len(rows) > 1 else "Intervals",
        ("Rows", f"RMSE ({unit})", f"MAE ({unit})", "R²", *coverage, "Number"),
        tuple(rows),
        caption,
    )


def _elements(study: ModelStudy) -> Table:
    """Give the elements that are hardest to predict without having seen them."""
    found: list[FoldScores] = []
    for report in study.reports:
        if report.folds == "element":
            found = sorted(report.by_fold, key=lambda one: -one.rmse)
    unit = study.error_unit
    return Table(
        "Elements that the model has never seen",
        ("Element", f"RMSE ({unit})", f"MAE ({unit})", "R²", "Rows"),
        tuple(
            (Cell(one.held_out), of(one.rmse), of(one.mae), of(_finite(one.r2)), of(one.n))
            for one in found[:MOST_ELEMENTS]
        ),
        f"The {min(MOST_ELEMENTS, len(found))} of {len(found)} with the largest errors; all are "
        "in the scores below.",
    )


def _importance(study: ModelStudy) -> Table:
    shap = None if study.shap is None else study.shap.importance()
    found: dict[str, Importance] = {}
    if study.permutation is not None:
        found["Shuffled"] = study.permutation
    if shap is not None:
        found["Mean |SHAP|"] = shap
    if not found:
        return Table("", (), ())
    by_name = {title: _by_feature(one) for title, one in found.items()}
    rows = [
        (
            Cell(name),
            Cell(MEANING.get(name, DASH)),
            *(spread_cell(*numbers[name]) for numbers in by_name.values()),
        )
        for name in next(iter(found.values())).features
    ]
    unit = study.error_unit
    how = {
        "Shuffled": "Shuffled: by how much the RMSE grows when the feature is shuffled.",
        "Mean |SHAP|": "Mean |SHAP|: mean size of the feature's share in a prediction.",
    }
    return Table(
        "Importance of the features",
        ("Feature", "Meaning", *(f"{title} ({unit})" for title in found)),
        tuple(rows),
        " ".join(how[title] for title in found)
        + " On rows left out by "
        + " and ".join(dict.fromkeys(one.folds.replace("_", " ") for one in found.values()))
        + "; ± standard deviation over folds and shuffles. Correlated features share what they "
        "are worth.",
    )


def _by_feature(found: Importance) -> dict[str, tuple[float, float]]:
    numbers: Any = zip(found.features, found.mean, found.deviation, strict=True)
    return {name: (mean, deviation) for name, mean, deviation in numbers}


def _pearson(study: ModelStudy) -> Table:
    if not study.pearson:
        return Table("", (), ())
    first = study.pearson[0]
    by_table = [{one.feature: one for one in table.rows} for table in study.pearson]
    names = [one.feature for one in first.rows]
    names += [name for rows in by_table for name in rows if name not in names]
    rows = []
    for name in dict.fromkeys(names):
        known = [table.get(name) for table in by_table]
        unit = next(one.unit for one in known if one is not None)
        cells = [
            Cell(DASH) if one is None else of_interval(one.r, (one.low, one.high)) for one in known
        ]
        rows.append((Cell(name), Cell(unit), *cells))
    titles = [
        "All rows" if table.temperature_K is None else f"{table.temperature_K:g} K"
        for table in study.pearson
    ]
    return Table(
        f"Pearson correlation with {first.target}",
        ("Feature", "Unit", *titles),
        tuple(rows),
        "Brackets are intervals of 95 % from formulas drawn anew. Negative ones from the "
        "strongest, then positive ones from the strongest.",
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
