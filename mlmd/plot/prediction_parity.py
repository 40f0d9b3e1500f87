"""Predictions of a model against what is true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.digits import r_squared_text
from mlmd.errors import InputError
from mlmd.plot.style import COLOURS, new_axes, parity_frame, small_legend, span_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from mlmd.arrays import FloatArray
    from mlmd.model.validation.cross_validation import OutOfFold


_LABELS = {
    "ln_D": (r"$\ln D$", r" ($D$ in $\mathrm{cm^2/s}$)"),
    "D": (r"$D$", r" ($10^{-3}\ \mathrm{cm^2/s}$)"),
    "E_a": (r"$E_\mathrm{a}$", " (eV)"),
}

_FEW_POINTS, _MANY_POINTS = 150, 1200
_MOST_COLOURS = 6


def plot_prediction_parity(
    result: OutOfFold,
    ax: Axes | None = None,
    *,
    target: str = "ln_D",
    deviation: FloatArray | None = None,
    temperature_K: FloatArray | None = None,
) -> Axes:
    """Draw predictions of rows left out against their true values, with x = y.

    The corner says RMSE and R2 over all points. A row that several repetitions left out is
    there several times.

    Parameters
    ----------
    result
        ``out_of_fold`` of :func:`mlmd.model.cross_validate`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    target
        What was predicted: ln_D, D or E_a.
    deviation
        Standard deviation of each prediction, in the unit of the target: its error bar.
    temperature_K
        Of each prediction: its colour.

    Raises
    ------
    InputError
        If there is nothing to draw, or the parts have different lengths.
    """
    n = len(result.true)
    for name, values in (("deviation", deviation), ("temperature_K", temperature_K)):
        if values is not None and len(values) != n:
            raise InputError(f"{len(values)} values of {name} for {n} predictions")
    if n == 0:
        raise InputError("no prediction was given to plot; expected at least one")
    ax = ax or new_axes()
    few, many = n <= _FEW_POINTS, n > _MANY_POINTS
    for colour, label, chosen in _parts(n, temperature_K):
        true, predicted = result.true[chosen], result.predicted[chosen]
        if deviation is not None:
            width, pale = (0.9, 0.7) if few else (0.5, 0.25)
            ax.errorbar(
                true, predicted, deviation[chosen], fmt="none", ecolor=colour, elinewidth=width,
                alpha=pale, zorder=2,
            )  # fmt: skip
        ax.plot(
            true, predicted, "o", ms=4 if few else 2.6, mew=0, color=colour, label=label,
            alpha=0.4 if many else 0.8, rasterized=many, zorder=3,
        )  # fmt: skip
    ends = span_of(np.concatenate([result.true, result.predicted]), 0.04)
    what = "".join(_LABELS.get(target, (target, "")))
    parity_frame(ax, *ends, f"True {what}", f"Predicted {what}", zorder=4)
    ax.text(
        0.97, 0.04, _scores(result), transform=ax.transAxes, ha="right", va="bottom",
        fontsize="small", zorder=5,
    )  # fmt: skip
    if temperature_K is not None:
        legend = small_legend(ax, loc="upper left", handletextpad=0.2)
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1.0)  # pale points overlap in the cloud, not here
    return ax


def of_target(what: str, target: str) -> str:
    """Label an axis with something of a target, in its unit; a difference of ln D has none."""
    symbol, unit = _LABELS.get(target, (target, ""))
    return f"{what} of {symbol}{'' if target == 'ln_D' else unit}"


def _parts(
    n: int, temperature_K: FloatArray | None
) -> list[tuple[Any, str | None, NDArray[np.intp]]]:
    """Return colour, label and points; of many temperatures a scale of a few bins is made."""
    if temperature_K is None:
        return [(COLOURS[0], None, np.arange(n))]
    unique = np.unique(temperature_K)
    if len(unique) <= _MOST_COLOURS:
        return [
            (COLOURS[i % len(COLOURS)], f"{T:g} K", np.flatnonzero(temperature_K == T))
            for i, T in enumerate(unique)
        ]
    edges = np.unique(np.quantile(temperature_K, np.linspace(0, 1, 5)))
    which = np.clip(np.searchsorted(edges, temperature_K, side="right") - 1, 0, len(edges) - 2)
    return [
        (COLOURS[i], f"{edges[i]:.0f} to {edges[i + 1]:.0f} K", np.flatnonzero(which == i))
        for i in range(len(edges) - 1)
    ]


def _scores(result: OutOfFold) -> str:
    from mlmd.model.validation.cross_validation import Scores

    found = Scores.of(result.true, result.predicted)
    n_rows = len(np.unique(result.row))
    text = f"RMSE {found.rmse:.3f}\n" + f"$R^2$ {r_squared_text(found.r2)}" + f"\n{n_rows} rows"
    times = found.n / n_rows
    return text if times <= 1 else f"{text}, {times:.3g} times each"
