"""Vibrational densities of states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmd.plot.style import colour_of, new_axes, small_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlmd.analysis.vibrations.density_of_states import VibrationalDensity

# Above the last frequency that has this share of the highest density there is nothing to see.
_SHARE_SHOWN = 0.005


def plot_vdos(
    result: VibrationalDensity, ax: Axes | None = None, *, max_frequency_THz: float | None = None
) -> Axes:
    """Draw the density of states of each species, and the total where there are several.

    The lower axis is in THz, the upper in wave numbers. The legend says the resolution.

    Parameters
    ----------
    result
        From :func:`mlmd.analysis.structure.vibrational_density`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    max_frequency_THz
        End of the axis; where the density ends if not given.
    """
    from mlmd.analysis.vibrations.density_of_states import THZ_IN_1_CM

    ax = ax or new_axes()
    for i, (symbol, density) in enumerate(result.by_species.items()):
        ax.plot(result.frequency_THz, density, color=colour_of(i), lw=1.5, label=symbol, zorder=3)
    if len(result.by_species) > 1:
        ax.plot(result.frequency_THz, result.total, color="black", lw=1.1, ls="--", label="total")
    if max_frequency_THz is None:
        seen = result.frequency_THz[result.total > _SHARE_SHOWN * result.total.max()]
        max_frequency_THz = min(1.1 * float(seen[-1]), float(result.frequency_THz[-1]))
    ax.set(xlim=(0.0, max_frequency_THz), xlabel="Frequency (THz)")
    ax.set_ylim(bottom=0.0)
    ax.set_ylabel("Density of states (1/THz)")
    if not ax.child_axes:
        both_ways = (lambda x: x * THZ_IN_1_CM, lambda x: x / THZ_IN_1_CM)
        ax.secondary_xaxis("top", functions=both_ways).set_xlabel("Wave number (cm$^{-1}$)")
    small_legend(ax, handlelength=1.6, title=f"resolution {result.resolution_THz:.2g} THz")
    return ax
