"""Distributions of coordination numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.structure.coordination import Coordination
from mlmd.errors import InputError
from mlmd.plot.style import COLOURS, new_axes, small_legend, with_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes


def plot_coordination(
    results: Coordination | Sequence[Coordination], ax: Axes | None = None
) -> Axes:
    """Draw the share of atoms with each coordination number, with standard errors.

    The legend gives the mean of each and its cutoff.

    Parameters
    ----------
    results
        From :func:`mlmd.analysis.structure.coordination`; several stand side by side.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.

    Raises
    ------
    InputError
        If there is no result.
    """
    given = [results] if isinstance(results, Coordination) else list(results)
    if not given:
        raise InputError("no coordination numbers were given to plot; expected at least one")
    ax = ax or new_axes()
    width = 0.8 / len(given)
    highest, shown = 0.0, []
    for i, result in enumerate(given):
        error = result.fraction_stderr
        ax.bar(
            result.numbers + (i - (len(given) - 1) / 2) * width,
            result.fraction,
            width,
            yerr=error,
            color=COLOURS[i % len(COLOURS)],
            error_kw={"lw": 0.8, "capsize": 2},
            label=f"{result.neighbour} about {result.centre}: "
            f"{with_error(result.mean, result.mean_stderr)} "
            rf"within {result.cutoff_A:.2f} $\mathrm{{\AA}}$",
        )
        tops = result.fraction if error is None else result.fraction + error
        highest = max(highest, float(tops.max()))
        shown += list(result.numbers[result.fraction > 1e-3])
    low, high = int(min(shown)), int(max(shown))
    ax.set_xticks(np.arange(low, high + 1, 1 + (high - low) // 14))
    ax.set(xlim=(low - 0.7, high + 0.7), ylim=(0.0, highest * (1.08 + 0.1 * len(given))))
    ax.set(xlabel="Coordination number", ylabel="Fraction of atoms")
    small_legend(ax, loc="upper left", handlelength=1.0)
    return ax
