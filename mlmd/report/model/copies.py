"""Numbers of a model's report as CSV, to be copied, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlmd.plain import to_plain, without_nan
from mlmd.report.model.tables import importances
from mlmd.report.page.elements import CopyBlock, csv_block
from mlmd.studies.model_study import ModelStudy

if TYPE_CHECKING:
    from mlmd.model.explaining.learning_curve import LearningCurve
    from mlmd.model.explaining.loss_curve import LossCurve

_DIGITS = 6


def model_copies(study: ModelStudy) -> list[CopyBlock]:
    """Return scores, features and curves as CSV."""
    unit = study.problem.unit
    columns: tuple[str, ...] = ("folds", "part", "rmse", "mae", "r2", "n")
    blocks = [csv_block("Scores", f", in {unit}.", columns, _scores(study))]
    if study.permutation or study.shap or study.pearson:
        columns = ("measure", "temperature_K", "feature", "value", "low", "high", "p_value")
        note = (
            "; low and high are intervals of 95 % for Pearson's r, one standard deviation about "
            "the mean for an importance."
        )
        blocks.append(csv_block("Features", note, columns, _features(study)))
    if study.loss or study.learning:
        columns = ("curve", "x", "learnt_from", "deviation", "left_out", "deviation_left_out")
        note = f", in {unit}; mean and standard deviation over the folds."
        blocks.append(csv_block("Curves", note, columns, _curves(study)))
    return blocks


def model_content(study: ModelStudy) -> Any:
    """Return the numbers behind tables and figures as plain values for JSON."""
    predictions = {
        report.folds: {
            name: getattr(report.out_of_fold, name)
            for name in ("row", "true", "predicted", "deviation")
        }
        for report in study.drawn
    }
    content = {
        "target": study.problem.target,
        "unit": study.problem.unit,
        "table_sha256": study.problem.sha256,
        "formulas": study.problem.formulas,
        "temperature_K": study.temperature_K,
        "reports": study.reports,
        "published": study.published,
        "predictions": predictions,
        "permutation": study.permutation,
        "shap": _shap(study),
        "pearson": study.pearson,
        "loss": study.loss,
        "learning": study.learning,
        "noise_floor": study.noise_floor,
        "versions": study.versions,
    }
    return without_nan(to_plain(content))


Row = tuple[Any, ...]


def _scores(study: ModelStudy) -> Iterator[Row]:
    for report in study.reports:
        yield report.folds, "mean", report.rmse, report.mae, report.r2, len(report.by_fold)
        for one in report.by_fold:
            yield report.folds, one.held_out, one.rmse, one.mae, one.r2, one.n
        if report.test is not None:
            test = report.test
            yield report.folds, "held out", test.rmse, test.mae, test.r2, test.n


def _features(study: ModelStudy) -> Iterator[Row]:
    for one in importances(study):
        for name, mean, spread in zip(one.features, one.mean, one.deviation, strict=True):
            yield one.kind, None, name, mean, mean - spread, mean + spread
    for table in study.pearson:
        T = table.temperature_K
        for row in table.rows:
            yield "pearson", T, row.feature, row.r, row.low, row.high, row.p_value
            yield "spearman", T, row.feature, row.spearman, None, None, row.spearman_p_value


def _curves(study: ModelStudy) -> Iterator[Row]:
    drawn: list[tuple[str, Any, LearningCurve | LossCurve]] = []
    if study.learning is not None:
        drawn.append((study.learning.grouped_by, study.learning.n_groups, study.learning))
    if study.loss is not None:
        drawn.append((study.loss.step, study.loss.steps, study.loss))
    for name, x, curve in drawn:
        both = (curve.learnt, curve.left_out)
        numbers = [part for one in both for part in (one.mean(axis=1), one.std(axis=1))]
        for row in zip(x.tolist(), *(part.tolist() for part in numbers), strict=True):
            yield name, *row


def _shap(study: ModelStudy) -> dict[str, Any] | None:
    """Return the SHAP values of all features with the digits that a reader needs."""
    if study.shap is None:
        return None
    one = study.shap
    values = {
        name: [float(f"{value:.{_DIGITS - 1}e}") for value in one.values[:, i]]
        for i, name in enumerate(one.features)
    }
    return {
        "method": one.method,
        "folds": one.folds,
        "row": one.row,
        "base": one.base,
        "values": values,
        "importance": one.importance(),
    }
