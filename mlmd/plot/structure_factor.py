"""Structure factors with their error bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mlmd.errors import InputError
from mlmd.plot.style import COLOURS, draw_curve, new_axes, small_legend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from mlmd.analysis.structure.scattering.structure_factor import (
        StructureFactor,
        StructureFactorCurve,
    )

Weighting = Literal["total", "partials", "neutron", "xray"]
_NAMES = {"total": "atoms as points", "neutron": "neutrons", "xray": "X-rays"}


def plot_structure_factor(
    result: StructureFactor,
    ax: Axes | None = None,
    *,
    show: Weighting | Sequence[Weighting] = "total",
    label: str = "",
) -> Axes:
    """Draw structure factors with bands of two standard errors.

    Wave numbers too small for the cell or the range, of which the values mean nothing, are left
    out. The direct route, which has values at some wave numbers only, is drawn as points.

    Parameters
    ----------
    result
        From either route.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given. Several results on the
        same axes compare the routes.
    show
        One or several of ``total``, ``partials``, ``neutron`` and ``xray``.
    label
        Put before the names in the legend.

    Raises
    ------
    InputError
        If `show` is not understood, or an element's scattering is not known.
    """
    wanted: list[Weighting] = [show] if isinstance(show, str) else list(show)
    if not wanted or not set(wanted) <= {*_NAMES, "partials"}:
        raise InputError(f"show is {show!r}; expected total, partials, neutron or xray")
    curves: dict[str, StructureFactorCurve] = {}
    for weighting in wanted:
        if weighting == "partials":
            curves |= {"-".join(pair): curve for pair, curve in result.partials.items()}
        elif weighting == "total":
            curves[_NAMES[weighting]] = result.total
        else:
            curves[_NAMES[weighting]] = result.weighted(weighting)
    ax = ax or new_axes()
    drawn = len(ax.get_legend_handles_labels()[1])
    meant = result.q_1_A >= result.q_min_1_A * (1 - 1e-9)
    q = result.q_1_A[meant]
    for i, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[(drawn + i) % len(COLOURS)]
        text = f"{label} {name}".strip()
        s, error = curve.s[meant], None if curve.stderr is None else curve.stderr[meant]
        if result.method == "direct":
            bars = None if error is None else 2 * error
            ax.errorbar(q, s, bars, label=text, fmt="o", ms=3, lw=0.8, color=colour, zorder=4)
        else:
            draw_curve(ax, q, s, error, color=colour, label=text)
    if not drawn:
        ax.axhline(1.0, color="0.75", lw=0.8, zorder=0)
    ax.set_xlim(0.0, max(float(q[-1]), ax.get_xlim()[1] if drawn else 0.0))
    ax.set(xlabel=r"Wave number $q$ ($\mathrm{\AA}^{-1}$)", ylabel="Structure factor $S(q)$")
    small_legend(ax, handlelength=1.6)
    return ax
