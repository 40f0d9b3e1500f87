"""Loss curves and learning curves of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.plot.prediction_parity import of_target
from mlmd.plot.style import COLOURS, new_axes, small_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from mlmd.arrays import FloatArray
    from mlmd.model.explaining.learning_curve import LearningCurve
    from mlmd.model.explaining.loss_curve import LossCurve


_GROUPS = {"rows": "rows", "formula": "formulas", "chemical_system": "chemical systems"}


def plot_loss_curve(result: LossCurve, ax: Axes | None = None) -> Axes:
    """Draw the RMSE while a model grows: mean over the folds, and a band of their spread.

    Parameters
    ----------
    result
        From :func:`mlmd.model.explaining.loss_curve.loss_curve`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    """
    ax = ax or new_axes()
    _draw(ax, result.steps, result.learnt, result.left_out, "")
    if result.chosen <= result.steps[-1]:
        at = float(result.left_out[np.searchsorted(result.steps, result.chosen)].mean())
        ax.axvline(result.chosen, color="0.5", lw=0.9, ls="--", zorder=1)
        ax.plot(
            result.chosen, at, "o", ms=5, color=COLOURS[1], zorder=4,
            label=f"{at:.3f} with {result.chosen} {result.step}",
        )  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    ax.set(xlim=(result.steps[0], result.steps[-1] * 1.05), xlabel=f"Number of {result.step}")
    _finish(ax, result.target)
    return ax


def plot_learning_curve(
    result: LearningCurve, ax: Axes | None = None, *, noise_floor: float | None = None
) -> Axes:
    """Draw the RMSE against the number of groups learnt from, with the spread over the fits.

    Parameters
    ----------
    result
        From :func:`mlmd.model.explaining.learning_curve.learning_curve`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    noise_floor
        Scatter of the labels themselves, in the unit of the target; see
        :func:`mlmd.model.explaining.learning_curve.arrhenius_scatter`.
    """
    ax = ax or new_axes()
    _draw(ax, result.n_groups, result.learnt, result.left_out, "o")
    if noise_floor is not None:
        ax.axhline(
            noise_floor, color="0.35", lw=1.0, ls="--", zorder=1,
            label=f"scatter of the labels, {noise_floor:.2g}",
        )  # fmt: skip
    ax.set(xlim=(0, None), xlabel=f"Number of {_GROUPS[result.grouped_by]} learnt from")
    _finish(ax, result.target)
    return ax


def _draw(ax: Axes, x: NDArray[Any], learnt: FloatArray, left_out: FloatArray, marker: str) -> None:
    for values, colour, label in (
        (left_out, COLOURS[1], "rows left out"),
        (learnt, COLOURS[0], "rows learnt from"),
    ):
        mean, spread = values.mean(axis=1), values.std(axis=1)
        ax.fill_between(
            x, np.maximum(mean - spread, 0.0), mean + spread, color=colour, alpha=0.18, lw=0
        )
        ax.plot(x, mean, marker=marker or None, ms=4, color=colour, lw=1.6, label=label, zorder=3)


def _finish(ax: Axes, target: str) -> None:
    ax.set(ylim=(0, None), ylabel=of_target("RMSE", target))
    small_legend(ax)
