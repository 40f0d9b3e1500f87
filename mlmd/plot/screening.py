"""Rankings of conductors: ways of least energy, and the two free volumes that Xi is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError
from mlmd.plot.style import BESIDE, colour_of, new_axes, plain, small_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlmd.screening.ranking import Ranking

MOST_PROFILES = 6
_LONGEST_NAME = 24
_LEAST_VOLUME = 1e-5
XI_LINES = (0.1, 0.25, 0.5, 0.9)


def plot_profiles(ranking: Ranking, ax: Axes | None = None) -> Axes:
    """Draw the energy along the easiest way of an ion to an image of itself.

    Of the first in the ranking for which a way is known, six at the most.

    Parameters
    ----------
    ranking
        From :func:`mlmd.screen`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.

    Raises
    ------
    InputError
        If no way is known.
    """
    found = [(one.name, one.profile) for _, one in ranking.ranked() if one.profile is not None]
    if not found:
        raise InputError("no way out is known of any structure; expected one in the ranking")
    ax = ax or new_axes()
    for i, (name, profile) in enumerate(found[:MOST_PROFILES]):
        text = f"{plain(name, _LONGEST_NAME)}, {max(profile.energy_eV):.2f} eV"
        ax.plot(
            profile.length_A, profile.energy_eV, color=colour_of(i), lw=1.3, marker=".", ms=3,
            label=text,
        )  # fmt: skip
    ax.set(xlabel=r"Way ($\mathrm{\AA}$)", ylabel="Energy above the site (eV)")
    ax.set_xlim(left=0.0)
    small_legend(ax, handlelength=1.2, **BESIDE)
    return ax


def plot_free_volumes(ranking: Ranking, ax: Axes | None = None) -> Axes:
    """Draw connected against disconnected free volumes, with lines of Xi 0.1, 0.25, 0.5 and 0.9.

    Parameters
    ----------
    ranking
        From :func:`mlmd.screen`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    """
    from mlmd.screening.landscape.free_volumes import xi

    ax = ax or new_axes()
    done = [one for _, one in ranking.ranked() if one.descriptors is not None]
    found = [one.descriptors for one in done if one.descriptors is not None]
    x = np.maximum([one.fv_disconnected for one in found], _LEAST_VOLUME)
    y = np.maximum([one.fv_connected for one in found], _LEAST_VOLUME)
    grid = np.logspace(np.log10(_LEAST_VOLUME), 0, 120)
    levels = np.array([[xi(connected, volume) for volume in grid] for connected in grid])
    ax.contour(grid, grid, levels, XI_LINES, colors="0.6", linewidths=0.8)
    for i, one in enumerate(done):
        ax.plot(x[i], y[i], "o", ms=5, color=colour_of(0), zorder=3)
        if i < MOST_PROFILES:
            ax.annotate(
                plain(one.name, _LONGEST_NAME), (x[i], y[i]), textcoords="offset points",
                xytext=(5, -3), fontsize="x-small",
            )  # fmt: skip
    ends = (min(1e-3, x.min(), y.min()) / 1.5 if found else 1e-3, 1.0)
    ax.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    ax.set(xlabel="Disconnected free volume", ylabel="Connected free volume")
    return ax
