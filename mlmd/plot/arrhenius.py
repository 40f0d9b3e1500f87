"""Diffusivities against inverse temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.plot.style import BESIDE, COLOURS, new_axes, small_legend, with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from mlmd.analysis.activation.arrhenius import Arrhenius
    from mlmd.arrays import FloatArray


_TOP_LABEL = "Temperature (K)"
_BOUND = "upper bound (95 %)"
_NEGATIVE = "$D$ + error, where $D$ is not above 0"
_APART = 0.065  # of the axis: the width of four small digits
_MOST_WITHIN = 3  # laws whose legend has room below their lines
_MOST = 1e300  # where an interval has no upper end


def plot_arrhenius(arrhenius: Arrhenius, ax: Axes | None = None, label: str | None = None) -> Axes:
    """Draw log D against 1000/T with error bars, the fitted law and its 68 % band.

    A second axis on top gives T in kelvin, with a tick at each temperature of a point; the legend
    gives E_a with its error, and names the arrows. Several laws go on one plot by calling this
    with the same ``ax``.

    Parameters
    ----------
    arrhenius
        The law and its points. An arrow down from a bar is an upper bound of 95 % that the law
        takes. A point that is not positive has no place on a logarithmic axis: an open triangle
        marks D plus its error.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    label
        Name in front of the activation energy, such as a species or a compound.
    """
    ax = ax or new_axes()
    colour = COLOURS[_n_laws(ax) % len(COLOURS)]
    x, D = 1000.0 / arrhenius.temperatures_K, arrhenius.D_cm2_s
    errors = arrhenius.measured.half_width68_cm2_s if arrhenius.measured.have_errors else None
    positive = D > 0
    ax.set_yscale("log", nonpositive="clip")
    ax.errorbar(
        x[positive], D[positive], None if errors is None else errors[positive], fmt="o", ms=5,
        color=colour, capsize=2.5, elinewidth=1.2, label=_text(arrhenius, label), zorder=3,
    )  # fmt: skip
    if errors is not None and not positive.all():
        above = np.where(positive, D, D + errors)
        above[~(above > 0)] = np.nan
        ax.plot(x[~positive], above[~positive], "v", mfc="none", color=colour)
        _name(ax, _NEGATIVE, marker="v", mfc="none")
        D = np.where(positive, D, above)
    bound_x, bounds_cm2_s = _draw_bounds(ax, arrhenius, colour)
    # An arrow ends at half of the bound.
    x, D = (
        np.concatenate([x, bound_x, bound_x]),
        np.concatenate([D, bounds_cm2_s, 0.5 * bounds_cm2_s]),
    )
    margin = 0.06 * float(np.ptp(x))
    line_x = np.linspace(x.min() - margin, x.max() + margin, 200)
    _draw_law(ax, arrhenius, line_x, colour)
    _set_limits(ax, x, D[D > 0], margin)
    ax.set(xlabel=r"1000/$T$ (K$^{-1}$)", ylabel=r"$D$ (cm$^2$/s)")
    _top_axis(ax)
    title = "" if arrhenius.covariance is None else "Line: fit; band: its 68 % interval"
    place = BESIDE if _n_laws(ax) > _MOST_WITHIN else {"loc": "lower left"}
    small_legend(ax, handletextpad=0.4, title=title, alignment="left", **place)
    return ax


def _name(ax: Axes, text: str, **look: Any) -> None:
    """Name a kind of mark in the legend, once whatever laws have it."""
    if text not in ax.get_legend_handles_labels()[1]:
        ax.plot([], [], color="0.3", ls="", label=text, **look)


def _n_laws(ax: Axes) -> int:
    """Count the laws drawn so far: points with a name, and not bounds."""
    return sum(not str(drawn.get_label()).startswith("_") for drawn in ax.containers)


def _draw_bounds(ax: Axes, arrhenius: Arrhenius, colour: str) -> tuple[FloatArray, FloatArray]:
    """Draw upper bounds as arrows down by a factor of 2; return where they are."""
    points = arrhenius.points.of(arrhenius.points.censored)
    x, D = 1000.0 / points.temperatures_K, points.D_cm2_s
    if len(x):
        ax.errorbar(
            x, D, 0.5 * D, uplims=True, fmt="_", ms=8, color=colour, elinewidth=1.2, zorder=3
        )  # fmt: skip
        _name(ax, _BOUND, marker=r"$\downarrow$", ms=8)
    return x, D


def _draw_law(ax: Axes, arrhenius: Arrhenius, x: FloatArray, colour: str) -> None:
    """Draw the line and, where it is known, the band of its uncertainty."""
    values = [arrhenius.at(1000.0 / value) for value in x]
    ax.plot(x, [value.D_cm2_s for value in values], color=colour, lw=1.5, zorder=2)
    bounds = [v.D_interval68_cm2_s for v in values if v.D_interval68_cm2_s is not None]
    if bounds:
        low = np.array([end for end, _ in bounds])
        high = np.array([_MOST if end is None else end for _, end in bounds])
        ax.fill_between(x, low, high, color=colour, alpha=0.18, lw=0, zorder=1)


def _text(arrhenius: Arrhenius, label: str | None) -> str:
    """Legend entry: the activation energy with its error."""
    text = rf"$E_\mathrm{{a}}$ = {with_error(arrhenius.E_a_eV, arrhenius.E_a_stderr_eV)} eV"
    if arrhenius.E_a_stderr_eV is None:
        text += " (no error known)"
    return text if label is None else f"{label}: {text}"


def _set_limits(ax: Axes, x: FloatArray, D: FloatArray, margin: float) -> None:
    """Frame all points drawn so far; long error bars and bands may leave the frame."""
    low, high = float(x.min()) - margin, float(x.max()) + margin
    bottom, top = float(D.min()) / 3.0, float(D.max()) * 2.0
    if _n_laws(ax) > 1:
        (old_low, old_high), (old_bottom, old_top) = ax.get_xlim(), ax.get_ylim()
        low, high = min(low, old_low), max(high, old_high)
        bottom, top = min(bottom, old_bottom), max(top, old_top)
    ax.set(xlim=(low, high), ylim=(bottom, top))


def _top_axis(ax: Axes) -> None:
    """Put a tick at the temperature of each point on top; labels where they have room."""
    for child in list(ax.child_axes):
        if child.get_xlabel() == _TOP_LABEL:
            child.remove()

    def kelvin(x: ArrayLike) -> ArrayLike:
        inverse: FloatArray = 1000.0 / np.maximum(x, 1e-9)
        return inverse

    top = ax.secondary_xaxis("top", functions=(kelvin, kelvin))
    top.set_xlabel(_TOP_LABEL)
    measured = sorted(set(_measured(ax)))
    shown = _with_room(measured, ax.get_xlim())
    top.set_xticks(measured, labels=[f"{T:.0f}" if T in shown else "" for T in measured])
    top.tick_params(labelsize="small")
    top.minorticks_off()


def _measured(ax: Axes) -> list[float]:
    """Temperatures of all points drawn on the axes."""
    marks = [line for line in ax.get_lines() if line.get_linestyle() == "None"]
    return [1000.0 / float(x) for line in marks for x in np.asarray(line.get_xdata())]


def _with_room(measured: list[float], xlim: tuple[float, float]) -> set[float]:
    """Choose temperatures whose labels do not touch: the ends first, then from the cold end."""
    shown: set[float] = set()
    for T in (*measured[:1], *measured[-1:], *measured):
        apart = [abs(1000.0 / T - 1000.0 / other) for other in shown]
        if all(gap > _APART * (xlim[1] - xlim[0]) for gap in apart):
            shown.add(T)
    return shown
