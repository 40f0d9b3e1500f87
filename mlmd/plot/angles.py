"""Distributions of bond angles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.structure.angles import BondAngles
from mlmd.errors import InputError
from mlmd.plot.style import COLOURS, draw_curve, new_axes, small_legend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes


def plot_angles(
    results: BondAngles | Sequence[BondAngles], ax: Axes | None = None, *, relative: bool = False
) -> Axes:
    """Draw the distributions of bond angles with bands of two standard errors.

    Parameters
    ----------
    results
        From :func:`mlmd.analysis.structure.bond_angles`, one or several.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    relative
        Draw what is left when the sine of the angle is divided out, which is 1 for bonds in
        random directions, instead of the density.

    Raises
    ------
    InputError
        If there is no result.
    """
    given = [results] if isinstance(results, BondAngles) else list(results)
    if not given:
        raise InputError("no bond angles were given to plot; expected at least one")
    ax = ax or new_axes()
    for i, result in enumerate(given):
        colour = COLOURS[i % len(COLOURS)]
        curve = result.relative if relative else result.density_1_deg
        error = result.relative_stderr if relative else result.density_stderr_1_deg
        name = f"{result.ends[0]}-{result.centre}-{result.ends[1]}"
        draw_curve(ax, result.angle_deg, curve, error, lowest=0.0, color=colour, label=name)
    if relative:
        ax.axhline(1.0, color="0.75", lw=0.8, zorder=0)
    ax.set(xlim=(0.0, 180.0), xticks=np.arange(0, 181, 30), xlabel="Bond angle (degrees)")
    ax.set_ylim(bottom=0.0)
    ax.set_ylabel(
        "Density relative to random directions" if relative else "Probability density (1/degree)"
    )
    small_legend(ax, handlelength=1.6)
    return ax
