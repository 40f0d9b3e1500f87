"""Numbers of a model's report as CSV, to be copied, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlmd.report.page.elements import CopyBlock, csv_text
from mlmd.studies.model_study import ModelStudy

if TYPE_CHECKING:
    from mlmd.model.explaining.learning_curve import LearningCurve
    from mlmd.model.explaining.loss_curve import LossCurve

_DIGITS = 6


def model_copies(study: ModelStudy) -> list[CopyBlock]:
    """Return scores, features and curves as CSV."""
    blocks = [
        CopyBlock(
            "csv-scores",
            "Scores",
            f"CSV, all digits, in {study.problem.unit}.",
            csv_text(("folds", "part", "rmse", "mae", "r2", "n"), _scores(study)),
        )
    ]
    if study.permutation or study.shap or study.pearson:
        blocks.append(
            CopyBlock(
                "csv-features",
                "Features",
                "CSV, all digits; low and high are intervals of 95 % for Pearson's r, one "
                "standard deviation about the mean for an importance.",
                csv_text(
                    ("measure", "temperature_K", "feature", "value", "low", "high", "p_value"),
                    _features(study),
                ),
            )
        )
    if study.loss or study.learning:
        blocks.append(
            CopyBlock(
                "csv-curves",
                "Curves",
                f"CSV, all digits, in {study.problem.unit}; mean and standard deviation over "
                "the folds.",
                csv_text(
                    ("curve", "x", "learnt_from", "deviation", "left_out", "deviation_left_out"),
                    _curves(study),
                ),
            )
        )
    return blocks


def model_content(study: ModelStudy) -> Any:
    """Return the numbers behind tables and figures as plain values for JSON."""
    predictions = {}
    for report in study.drawn:
        result, deviation = report.out_of_fold, report.out_of_fold.deviation
        predictions[report.folds] = {
            "row": result.row.tolist(),
            "true": result.true.tolist(),
            "predicted": result.predicted.tolist(),
            "deviation": None if deviation is None else deviation.tolist(),
        }
    return _finite(
        {
            "target": study.problem.target,
            "unit": study.problem.unit,
            "table_sha256": study.problem.sha256,
            "formulas": study.problem.formulas,
            "temperature_K": None if study.temperature_K is None else study.temperature_K.tolist(),
            "reports": [report.to_dict() for report in study.reports],
            "published": dict(study.published),
            "predictions": predictions,
            "permutation": study.permutation and study.permutation.to_dict(),
            "shap": _shap(study),
            "pearson": [table.to_dict() for table in study.pearson],
            "loss": study.loss and study.loss.to_dict(),
            "learning": study.learning and study.learning.to_dict(),
            "noise_floor": study.noise_floor,
            "versions": dict(study.versions),
        }
    )


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
    found = [study.permutation, study.shap.importance() if study.shap else None]
    for one in found:
        if one is not None:
            for name, mean, spread in zip(one.features, one.mean, one.deviation, strict=True):
                yield one.kind, None, name, mean, mean - spread, mean + spread, None
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
        numbers = [
            part
            for values in (curve.learnt, curve.left_out)
            for part in (values.mean(axis=1), values.std(axis=1))
        ]
        for i, where in enumerate(x.tolist()):
            yield name, where, *(float(part[i]) for part in numbers)


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
        "row": one.row.tolist(),
        "base": one.base.tolist(),
        "values": values,
        "importance": one.importance().to_dict(),
    }


def _finite(value: Any) -> Any:
    """Replace what JSON does not have by nothing."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
