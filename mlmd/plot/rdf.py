"""Radial distribution functions with their error bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError
from mlmd.plot.style import COLOURS, new_axes

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
    if ax is None:
        ax = new_axes()
    drawn = len(ax.get_legend_handles_labels()[1])
    for i, pair in enumerate(names, start=drawn):
        # Black is for the total; with four species the colours come round with another dash.
        colour = COLOURS[i % (len(COLOURS) - 1)]
        style = _STYLES[i // (len(COLOURS) - 1) % len(_STYLES)]
        _draw(ax, result, result.of(*pair), f"{label} {'-'.join(pair)}".strip(), colour, style)
    if total:
        _draw(ax, result, result.total, f"{label} total".strip(), "black", "--")
    if drawn == 0:
        ax.axhline(1.0, color="0.75", lw=0.8, zorder=0)
    ax.set_xlim(0.0, max(float(result.r_A[-1]), ax.get_xlim()[1] if drawn else 0.0))
    if result.settings.convention == "exact":
        ax.set_ylim(bottom=0.0)
    ax.set_xlabel(r"Distance $r$ ($\mathrm{\AA}$)")
    ax.set_ylabel(r"$g(r)$")
    ax.legend(fontsize="small", frameon=False, handlelength=1.6)
    return ax


def _draw(
    ax: Axes,
    result: RadialDistribution,
    curve: PairDistribution,
    label: str,
    colour: str,
    style: str,
) -> None:
    """Draw one curve and its band."""
    if curve.stderr is not None:
        low, high = curve.g - 2 * curve.stderr, curve.g + 2 * curve.stderr
        if result.settings.convention == "exact":
            low = np.maximum(low, 0.0)
        ax.fill_between(result.r_A, low, high, color=colour, alpha=0.3, lw=0, zorder=2)
    width = 1.1 if colour == "black" else 1.5
    ax.plot(result.r_A, curve.g, color=colour, lw=width, ls=style, label=label, zorder=3)
