"""Diffusivity against the first lag of the fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.plot.style import COLOURS, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlmd.analysis.start_sensitivity import StartSensitivity


def plot_start_sensitivity(sensitivity: StartSensitivity, ax: Axes | None = None) -> Axes:
    """Draw D with its 68 % interval for each start; hollow where the motion is not diffusive.

    Parameters
    ----------
    sensitivity
        From :func:`mlmd.analysis.start_sensitivity.start_sensitivity`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    """
    ax = ax or new_axes()
    for start_ps, result in zip(sensitivity.starts_ps, sensitivity.results, strict=True):
        D, interval = result.D_raw_cm2_s, result.D_interval68_cm2_s
        error = None if interval is None else np.array([[D - interval[0]], [interval[1] - D]])
        face = COLOURS[0] if result.is_diffusive else "white"
        ax.errorbar(start_ps, D, error, fmt="o", color=COLOURS[0], mfc=face, capsize=3)
    ax.set_xlabel("First lag of the fit (ps)")
    ax.set_ylabel(rf"$D_\mathrm{{{sensitivity.results[0].species}}}$ (cm$^2$/s), 68 % interval")
    ax.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.margins(x=0.1)
    return ax
