"""Radial distribution functions with their error bands."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlmd.errors import InputError
from mlmd.plot.style import (
    BESIDE,
    COLOURS,
    MOST_ON_ONE,
    colour_of,
    distance_axes,
    draw_curve,
    label_panels,
    new_axes,
    new_panels,
    small_legend,
)

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

    More than four pairs have a panel each, beside the total.

    Parameters
    ----------
    result
        From :func:`mlmd.analysis.structure.rdf`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given. Of several panels the first
        is returned.
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
    # In other conventions g(r) may be negative.
    lowest = 0.0 if result.settings.convention == "exact" else -math.inf
    if ax is None and len(names) > MOST_ON_ONE:
        return _panels(result, names, total, label, lowest)
    ax = ax or new_axes()
    drawn = len(ax.get_legend_handles_labels()[1])

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
    many = len(ax.get_legend_handles_labels()[1]) > 2 * MOST_ON_ONE
    small_legend(ax, handlelength=1.6, **BESIDE if many else {})
    return ax


def _panels(
    result: RadialDistribution, pairs: Sequence[Pair], total: bool, label: str, lowest: float
) -> Axes:
    """Draw each pair in a panel of its own, the total behind it."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    panels = new_panels(len(pairs))
    dashed: dict[str, Any] = {"color": "black", "ls": "--", "lw": 0.9}
    for ax, pair in zip(panels, pairs, strict=True):
        curve = result.of(*pair)
        draw_curve(
            ax, result.r_A, curve.g, curve.stderr, lowest=lowest, color=COLOURS[0],
            label="-".join(pair),
        )  # fmt: skip
        if total:
            ax.plot(result.r_A, result.total.g, zorder=1, **dashed)
        ax.axhline(1.0, color="0.75", lw=0.8, zorder=0)
        distance_axes(ax, float(result.r_A[-1]))
        xlabel, ylabel = ax.get_xlabel(), ax.get_ylabel()
        ax.set(xlabel="", ylabel="")
        if lowest == 0.0:
            ax.set_ylim(bottom=0.0)
        ax.set_title(f"{label} {'-'.join(pair)}".strip(), fontsize="small", pad=3)
    handles: list[Any] = [Line2D([], [], color=COLOURS[0], lw=1.5, label="pair")]
    if any(result.of(*pair).stderr is not None for pair in pairs):
        handles.append(Patch(color=COLOURS[0], alpha=0.3, lw=0, label="two standard errors"))
    if total:
        handles.append(Line2D([], [], label="all atoms (total)", **dashed))
    label_panels(panels, xlabel, ylabel, handles)
    return panels[0]
