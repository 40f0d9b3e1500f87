"""What a model leans on: importance of features, and their SHAP values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import whole_number
from mlmd.model.data.composition_columns import players
from mlmd.plot.prediction_parity import of_target
from mlmd.plot.style import COLOURS, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlmd.arrays import FloatArray
    from mlmd.model.explaining.importance import Importance
    from mlmd.model.explaining.shapley import ShapValues


_BINS = 60


def plot_importance(result: Importance, ax: Axes | None = None, *, n_features: int = 12) -> Axes:
    """Draw the most important features as bars, the first above, with their spread over folds.

    Parameters
    ----------
    result
        From :func:`mlmd.model.explaining.importance.permutation_importance` or
        :meth:`mlmd.model.explaining.shapley.ShapValues.importance`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    n_features
        How many.

    Raises
    ------
    InputError
        If none are wanted.
    """
    n = min(whole_number("n_features", n_features), len(result.features))
    ax = ax or new_axes()
    ax.barh(
        np.arange(n), result.mean[:n], xerr=result.deviation[:n], height=0.7, ecolor="0.25",
        color=COLOURS[0] if result.kind == "permutation" else COLOURS[2],
        error_kw={"elinewidth": 0.9, "capsize": 2},
    )  # fmt: skip
    ax.axvline(0.0, color="0.4", lw=0.8)
    _name_features(ax, result.features[:n])
    for i, (mean, deviation) in enumerate(zip(result.mean[:n], result.deviation[:n], strict=True)):
        ends = (max(mean + deviation, 0.0), i)
        ax.annotate(
            f"{mean:.2g}", ends, (4, 0), textcoords="offset points", va="center", fontsize="x-small"
        )
    ax.margins(x=0.1)
    if result.kind == "permutation":
        ax.set_xlabel(f"{of_target('Increase of the RMSE', result.target)}, shuffled")
    else:
        ax.set_xlabel(of_target("Mean |SHAP value|", result.target))
    return ax


def plot_shap_values(result: ShapValues, ax: Axes | None = None, *, n_features: int = 12) -> Axes:
    """Draw the SHAP value of every row for the most important features.

    The colour says how large the feature is in that row, by rank: where large values lie to the
    right, the model predicts more with more of it.

    Parameters
    ----------
    result
        From :func:`mlmd.model.explaining.shapley.shap_values`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    n_features
        How many.

    Raises
    ------
    InputError
        If none are wanted.
    """
    ranked = result.importance().features
    n = min(whole_number("n_features", n_features), len(ranked))
    ax = ax or new_axes()
    columns = list(result.features)
    inside = players(result.problem.X.columns)
    X = result.problem.X.iloc[result.row].to_numpy(dtype=float)
    points = None
    for place, name in enumerate(ranked[:n]):
        i, own = columns.index(name), inside[name]
        # Shares of all elements together are neither low nor high.
        colour = _ranks(X[:, own[0]]) if len(own) == 1 else np.full(len(X), 0.5)
        points = ax.scatter(
            result.values[:, i], place + _stacked(result.values[:, i]), c=colour, cmap="cividis",
            vmin=0.0, vmax=1.0, s=4, lw=0, rasterized=True, zorder=3,
        )  # fmt: skip
    ax.axvline(0.0, color="0.4", lw=0.8, zorder=1)
    ax.grid(axis="y", color="0.9", lw=0.6, zorder=0)
    _name_features(ax, ranked[:n])
    ax.set_xlabel(of_target("SHAP value", result.problem.target))
    assert points is not None  # there is a feature
    figure = ax.get_figure(root=True)
    assert figure is not None  # axes have one
    bar = figure.colorbar(points, ax=ax, ticks=[0, 1], pad=0.02, aspect=30)
    bar.ax.set_yticklabels(["low", "high"])
    bar.set_label("Feature, by rank", labelpad=-12)
    bar.outline.set_visible(False)
    return ax


def _name_features(ax: Axes, names: tuple[str, ...]) -> None:
    ax.set_yticks(np.arange(len(names)), names, fontsize="small")
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(names) - 0.4, -0.6)


def _stacked(values: FloatArray) -> FloatArray:
    """Return heights that spread points of about the same value, most where most are."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.zeros(len(values))
    which = np.minimum((_BINS * (values - low) / (high - low)).astype(int), _BINS - 1)
    heights = np.zeros(len(values))
    most = np.bincount(which).max()
    for one in np.unique(which):
        inside = np.flatnonzero(which == one)
        steps = np.arange(len(inside)) + 1
        # Above and below in turn, so that each stack is symmetric.
        heights[inside] = 0.4 * np.where(steps % 2, -(steps // 2), steps // 2) * 2 / max(most, 12)
    return heights


def _ranks(values: FloatArray) -> FloatArray:
    """Return ranks from 0 to 1, equal ones the same: an outlier takes no colours away."""
    unique, inverse = np.unique(values, return_inverse=True)
    ranks: FloatArray = inverse / max(len(unique) - 1, 1)
    return ranks
