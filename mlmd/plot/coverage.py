"""Do the intervals of a model hold as much as they say?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError
from mlmd.plot.style import COLOURS, new_axes, parity_frame, small_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlmd.arrays import FloatArray


_WIDEST = 3.0
_MARKED = {"68 %": 1.0, "95 %": 1.959964}


def plot_coverage(
    error: FloatArray,
    deviation: FloatArray,
    ax: Axes | None = None,
    *,
    temperature_K: FloatArray | None = None,
    half_width_95: FloatArray | None = None,
) -> Axes:
    """Draw the share of errors within z standard deviations against that of normal ones.

    Above the diagonal the intervals are wider than they need to be, below they promise too much.

    Parameters
    ----------
    error
        Predicted less true of rows left out.
    deviation
        Standard deviation that the model gives for each.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    temperature_K
        Of each row: with a few temperatures, each has a thin line of its own.
    half_width_95
        Half of the interval of 95 % of each row, where it is not that of a normal distribution.

    Raises
    ------
    InputError
        If there is nothing to draw, a deviation is not above zero, or the parts have different
        lengths.
    """
    if not len(error) == len(deviation) > 0:
        raise InputError(f"{len(error)} errors and {len(deviation)} deviations; expected as many")
    if temperature_K is not None and len(temperature_K) != len(error):
        raise InputError(f"{len(temperature_K)} temperatures for {len(error)} errors")
    if not np.all(deviation > 0):
        raise InputError("a standard deviation is not above zero; there is no interval to test")
    ax = ax or new_axes()
    z = np.linspace(0.0, _WIDEST, 301)
    ratio = np.abs(error) / deviation
    parity_frame(
        ax, 0, 100, "Share that intervals say they hold (%)",
        "Share of rows left out that they hold (%)",
    )  # fmt: skip
    temperatures = [] if temperature_K is None else list(np.unique(temperature_K))
    if temperature_K is not None and 1 < len(temperatures) <= len(COLOURS) - 2:
        for T, colour in zip(temperatures, COLOURS, strict=False):
            own = _within(ratio[temperature_K == T], z)
            ax.plot(100 * _normal(z), own, color=colour, lw=0.9, label=f"{T:g} K", zorder=2)
    ax.plot(100 * _normal(z), _within(ratio, z), color="black", lw=1.8, label="all", zorder=3)
    for name, width in _MARKED.items():
        half_width = width * deviation
        if name == "95 %" and half_width_95 is not None:
            half_width = half_width_95
        share = 100 * float(np.mean(np.abs(error) <= half_width))
        ax.plot(
            100 * _normal(np.array(width)), share, "o", ms=5, color="black", mfc="white", zorder=4,
            label=f"{name} hold {share:.0f} %",
        )  # fmt: skip
    small_legend(ax, loc="upper left")
    return ax


def _within(ratio: FloatArray, z: FloatArray) -> FloatArray:
    held: FloatArray = 100 * np.searchsorted(np.sort(ratio), z, side="right") / len(ratio)
    return held


def _normal(z: FloatArray) -> FloatArray:
    """Share of a normal distribution within z standard deviations."""
    from scipy.special import erf

    share: FloatArray = erf(z / np.sqrt(2.0))
    return share
