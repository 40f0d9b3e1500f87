"""Do intervals of 68 % cover the truth in 68 % of the cases?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError
from mlmd.numerics.student import ONE_SIGMA
from mlmd.plot.style import COLOURS, new_axes, small_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlmd.arrays import FloatArray

_MARKERS = "os^Dv"


@dataclass(frozen=True, eq=False)
class Coverage:
    """How often an interval covered the truth.

    Attributes
    ----------
    amount : (n,)
        Size of the data: number of windows, say.
    covered : (n,)
        Fraction of the trials in which the interval held the truth.
    trials : int
        Trials at each size.
    """

    amount: FloatArray
    covered: FloatArray
    trials: int


def plot_calibration(
    coverages: Mapping[str, Coverage],
    ax: Axes | None = None,
    *,
    xlabel: str = "Length of the run in windows of 15 ps",
) -> Axes:
    """Draw coverage against the size of the data, for each estimator.

    Error bars are binomial; the line is 68.27 %, the band 63 to 73 %.

    Parameters
    ----------
    coverages
        By label.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    xlabel
        What the size of the data is.

    Raises
    ------
    InputError
        If there is nothing to draw.
    """
    if not coverages:
        raise InputError("no coverage was given to plot; expected at least one")
    ax = ax or new_axes()
    ax.axhspan(63, 73, color="0.93", lw=0, zorder=0)
    ax.axhline(100 * ONE_SIGMA, color="0.4", lw=1.0, zorder=1)
    for number, (label, coverage) in enumerate(coverages.items()):
        fraction = coverage.covered
        error = np.sqrt(fraction * (1 - fraction) / coverage.trials)
        ax.errorbar(
            coverage.amount, 100 * fraction, 100 * error, color=COLOURS[number % len(COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)], ms=5, lw=1.2, capsize=2, label=label, zorder=3,
        )  # fmt: skip
    amounts = np.unique(np.concatenate([c.amount for c in coverages.values()]))
    ax.set_xscale("log")
    ax.set_xticks(amounts, [f"{amount:g}" for amount in amounts])
    ax.minorticks_off()
    ax.set(ylim=(0, 100), xlabel=xlabel, ylabel="Intervals of 68 % that hold the truth (%)")
    small_legend(ax, loc="center right")
    return ax
