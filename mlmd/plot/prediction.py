"""What a model says of structures, against inverse temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError
from mlmd.plot.style import BESIDE, COLOURS, MOST_ON_ONE, new_axes, plain, small_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlmd.model.predictor.prediction import Prediction

_APART = 0.006
_MARKERS = "os^Dv"  # where the colours come round
_LONGEST = 30  # letters of a structure's name


def plot_predictions(
    predictions: Mapping[str, Sequence[Prediction]], ax: Axes | None = None
) -> Axes:
    """Draw D with intervals of 68 % (thick) and 95 % (thin); open where it is outside.

    Parameters
    ----------
    predictions
        By structure. Those without a D above zero, or of an activation energy, have no place on
        a logarithmic axis and are left out.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.

    Raises
    ------
    InputError
        If nothing is left to draw.
    """
    drawn = {
        name: [one for one in found if one.D_cm2_s and one.temperature_K]
        for name, found in predictions.items()
    }
    drawn = {name: found for name, found in drawn.items() if found}
    if not drawn:
        raise InputError("no prediction of D above zero to plot; give a temperature in K")
    ax = ax or new_axes()
    for i, (name, found) in enumerate(drawn.items()):
        colour, marker = COLOURS[i % len(COLOURS)], _MARKERS[i // len(COLOURS) % len(_MARKERS)]
        shift = _APART * (i - (len(drawn) - 1) / 2)
        T = np.array([one.temperature_K for one in found], dtype=float)
        D = np.array([one.D_cm2_s for one in found], dtype=float)
        x = 1000 / T + shift
        for interval, width in (("interval_95", 0.9), ("interval_68", 2.6)):
            bounds = np.array([getattr(one, interval) for one in found]).T
            ax.errorbar(x, D, np.abs(bounds - D), fmt="none", ecolor=colour, elinewidth=width)
        inside = np.array([not one.outside for one in found])
        for chosen, face in ((inside, colour), (~inside, "white")):
            ax.plot(x[chosen], D[chosen], marker, ms=5, color=colour, mfc=face, zorder=3)
        ax.plot([], [], marker, ms=5, color=colour, label=plain(name, _LONGEST))
    if any(one.outside for found in drawn.values() for one in found):
        ax.plot([], [], "o", ms=5, color="0.3", mfc="white", label="outside of the training")
    ax.set_yscale("log")
    ax.margins(x=0.1)
    ax.set(xlabel=r"1000/$T$ (K$^{-1}$)", ylabel=r"$D$ (cm$^2$/s), 68 % and 95 %")
    many = len(drawn) > 2 * MOST_ON_ONE
    small_legend(ax, **BESIDE if many else {"loc": "lower left"})
    return ax
