"""Structure features of a surrogate beside those of its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.digits import r_squared_text
from mlmd.errors import InputError
from mlmd.plot.style import (
    COLOURS,
    both_sides,
    colour_of,
    new_axes,
    parity_frame,
    plain,
    small_legend,
    span_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from mlmd.comparison.features.agreement import FeatureAgreement
    from mlmd.comparison.features.parity import FeatureParity

GROUPS = {
    "volume": ("AAV", "VPA", "density", "PF", "SPF"),
    "ionicity": ("LBI", "SDLI", "SBI", "RBI"),
    "neighbours": ("LNC", "SDLC", "LLB", "SNC", "RNC", "AFC"),
    "distances": ("AASD", "LASD", "LLSD"),
    "straight paths": ("SLPW", "SLPW_pp", "SLPE"),
}
"""Features that look at the same thing."""

_MARKERS = "osD^vP"
_LINEAR = 12.0
_LONGEST = 40  # letters of a label


def plot_feature_parity(result: FeatureAgreement, ax: Axes | None = None) -> Axes:
    """Draw every feature of every system, surrogate against reference, scaled to one axis.

    Each feature is less its mean and over its standard deviation over the systems of the
    reference. The legend says R2.

    Parameters
    ----------
    result
        From :func:`mlmd.comparison.features.agreement`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.

    Raises
    ------
    InputError
        If no feature has R2.
    """
    if not result.scaled:
        raise InputError("no feature has R2 over at least three systems; nothing to draw")
    ax = ax or new_axes()
    drawn = np.concatenate([np.concatenate(pair) for pair in result.scaled.values()])
    parity_frame(ax, *span_of(drawn, 0.05), *both_sides("Feature", "standard deviations"))
    left = set(result.scaled)
    for i, (group, names) in enumerate([*GROUPS.items(), ("other", tuple(result.scaled))]):
        mine = [name for name in names if name in left]
        left -= set(mine)
        if mine:
            x, y = np.concatenate([np.array(result.scaled[name]) for name in mine], axis=1)
            ax.plot(
                x, y, _MARKERS[i], ms=5, color=COLOURS[i], mec="white", mew=0.4, alpha=0.8,
                label=group, zorder=3,
            )  # fmt: skip
    title = f"{result.n_pairs} systems"
    if result.r2_pooled is not None:
        title = f"$R^2$ {r_squared_text(result.r2_pooled)}, {title}"
    if result.r2_pooled_noise_ceiling is not None:
        title += f"\nnoise ceiling {r_squared_text(result.r2_pooled_noise_ceiling)}"
    small_legend(ax, title=title)
    return ax


def plot_feature_differences(parities: Mapping[str, FeatureParity], ax: Axes | None = None) -> Axes:
    """Draw how far each feature is off, in standard errors of the difference.

    The axis is logarithmic beyond three where differences are large.

    Parameters
    ----------
    parities
        From :func:`mlmd.comparison.features.parity`, by what the legend calls them.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.

    Raises
    ------
    InputError
        If no feature has an error: single frames.
    """
    sigmas = {
        label: {name: one.sigma for name, one in parity.per_feature.items()}
        for label, parity in parities.items()
    }
    names = [
        name
        for name in dict.fromkeys(name for one in sigmas.values() for name in one)
        if any(one.get(name) is not None for one in sigmas.values())
    ]
    if not names:
        raise InputError("no feature has a standard error; a single frame has none")
    ax = ax or new_axes(5.6, 1.4 + 0.2 * len(names))
    ax.axvspan(-2, 2, color="0.92", lw=0, zorder=0)
    ax.axvline(0, color="0.5", lw=0.8, zorder=1)
    for i, (label, one) in enumerate(sigmas.items()):
        aside = 0.5 * (i / (len(sigmas) - 1) - 0.5) if len(sigmas) > 1 else 0.0
        known = [
            (sigma, y + aside)
            for y, name in enumerate(names)
            if (sigma := one.get(name)) is not None
        ]
        ax.plot(
            [sigma for sigma, _ in known], [y for _, y in known], _MARKERS[i % len(_MARKERS)],
            ms=5, color=colour_of(i), label=plain(label, _LONGEST), zorder=3,
        )  # fmt: skip
    largest = max(abs(sigma or 0.0) for one in sigmas.values() for sigma in one.values())
    end = 1.15 * max(3.0, largest)
    ax.set_xlim(-end, end)
    if largest > _LINEAR:
        ticks = [tick for tick in (1, 3, 10, 30, 100, 300, 1000, 3000) if tick <= end]
        ticks = [-tick for tick in reversed(ticks)] + [0, *ticks]
        ax.set_xscale("symlog", linthresh=3.0, linscale=1.0)
        ax.set_xticks(ticks, [f"{tick}".replace("-", "\N{MINUS SIGN}") for tick in ticks])
        ax.set_xticks([], minor=True)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(axis="y", color="0.93", lw=0.8)
    ax.set_axisbelow(True)
    ax.set_xlabel("Surrogate minus reference (standard errors)")
    small_legend(ax.figure, loc="outside upper center", ncols=min(3, len(sigmas)))
    return ax
