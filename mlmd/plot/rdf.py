"""Radial distribution functions with their error bands."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlmd.errors import InputError
from mlmd.plot.style import COLOURS, colour_of, distance_axes, draw_curve, new_axes, small_legend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from mlmd.analysis.structure.radial_distribution import (
        Pair,
        PairDistribution,
        RadialDistribution,
    )

_STYLES = ("-", "-.", ":")


def plot_rdf(
    result: RadialDistribution,
    ax: Axes | None = None,
    *,
    pairs: Sequence[Pair] | None = None,
    total: bool | None = None,
    label: str = "",
) -> Axes:
    """Draw partial g(r), each with a band of two standard errors, and the total in black.

    Parameters
    ----------
    result
        From :func:`mlmd.analysis.structure.rdf`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    pairs
        Pairs to draw; all where not given.
    total
        Whether to draw the total; where not given, if there is more than one pair.
    label
        Put before the names in the legend: to tell several results on the same axes apart.

    Raises
    ------
    InputError
        If there is nothing to draw, or no g(r) of a pair.
    """
    names = list(result.partials) if pairs is None else list(pairs)
    if total is None:
        total = pairs is None and len(names) > 1
    if not names and not total:
        raise InputError("no pair was given to plot; expected at least one, or total=True")
    ax = ax or new_axes()
    drawn = len(ax.get_legend_handles_labels()[1])
    # In other conventions g(r) may be negative.
    lowest = 0.0 if result.settings.convention == "exact" else -math.inf

    def draw(name: str, curve: PairDistribution, **style: Any) -> None:
        text = f"{label} {name}".strip()
        draw_curve(ax, result.r_A, curve.g, curve.stderr, lowest=lowest, label=text, **style)

    for i, pair in enumerate(names, start=drawn):
        # With four species the colours come round with another dash.
        dash = _STYLES[i // (len(COLOURS) - 1) % len(_STYLES)]
        draw("-".join(pair), result.of(*pair), color=colour_of(i), ls=dash)
    if total:
        draw("total", result.total, color="black", ls="--", lw=1.1)
    if drawn == 0:
        ax.axhline(1.0, color="0.75", lw=0.8, zorder=0)
    distance_axes(ax, max(float(result.r_A[-1]), ax.get_xlim()[1] if drawn else 0.0))
    if lowest == 0.0:
        ax.set_ylim(bottom=0.0)
    small_legend(ax, handlelength=1.6)
    return ax
