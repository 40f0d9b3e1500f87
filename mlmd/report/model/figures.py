"""Figures of a model's report."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlmd.plot.coverage import plot_coverage
from mlmd.plot.importance import plot_importance, plot_shap_values
from mlmd.plot.model_curves import plot_learning_curve, plot_loss_curve
from mlmd.plot.prediction_parity import plot_prediction_parity
from mlmd.report.page.figures import PageFigure, page_figure
from mlmd.studies.model_study import ModelStudy


def score_figures(study: ModelStudy) -> Iterator[PageFigure]:
    """Draw parity of the first and the grouped folds, and coverage of the latter."""
    for i, report in enumerate(study.drawn):
        result, T = report.out_of_fold, study.temperature_of(report.out_of_fold)
        caption = "Rows that the model has not seen, against x = y."
        if result.deviation is not None:
            caption += " Bars are one standard deviation."
        if len(np.unique(result.row)) < len(result.row):
            caption += " A row is there once for each repetition."
        yield page_figure(
            plot_prediction_parity(
                result, target=report.target, deviation=result.deviation, temperature_K=T
            ),
            f"parity{i}",
            f"Predicted and true, folds {report.folds.replace('_', ' ')}",
            caption,
        )
    grouped = study.grouped.out_of_fold
    if grouped.deviation is not None and np.all(grouped.deviation > 0):
        yield page_figure(
            plot_coverage(
                grouped.predicted - grouped.true,
                grouped.deviation,
                temperature_K=study.temperature_of(grouped),
                half_width_95=grouped.half_width_95,
            ),
            "coverage",
            f"Coverage, folds {study.grouped.folds.replace('_', ' ')}",
            "Above the diagonal intervals are wider than needed, below they promise too much. "
            "Lines: multiples of one standard deviation, as if errors were normal. Circles: "
            "the intervals that are given.",
        )


def feature_figures(study: ModelStudy) -> Iterator[PageFigure]:
    """Draw importance and SHAP values."""
    if study.permutation is not None:
        yield page_figure(
            plot_importance(study.permutation),
            "permutation",
            "Permutation importance",
            "How much worse rows left out are predicted when one feature is shuffled; bars: "
            "standard deviation over folds and shuffles.",
        )
    if study.shap is not None:
        exact = study.shap.method == "trees"
        how = "exact along the trees" if exact else "sampled: features revealed in random orders"
        yield page_figure(
            plot_shap_values(study.shap),
            "shap",
            "SHAP values",
            f"Share of each feature in the prediction of each row left out, {how}.",
        )


def curve_figures(study: ModelStudy) -> Iterator[PageFigure]:
    """Draw learning curve and loss curve."""
    if study.learning is not None:
        yield page_figure(
            plot_learning_curve(study.learning, noise_floor=study.noise_floor),
            "learning",
            f"Learning curve, folds {study.learning.folds.replace('_', ' ')}",
            "Mean and standard deviation over the folds. Where the upper curve still falls, "
            "more materials would help.",
        )
    if study.loss is not None:
        yield page_figure(
            plot_loss_curve(study.loss),
            "loss",
            f"Loss curve, folds {study.loss.folds.replace('_', ' ')}",
            f"Error while {study.loss.step} are added: mean and standard deviation over the folds.",
        )
