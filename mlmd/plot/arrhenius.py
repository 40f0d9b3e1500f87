"""Diffusivities against inverse temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.plot.style import COLOURS, new_axes, small_legend, with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from mlmd.analysis.activation.arrhenius import Arrhenius
    from mlmd.arrays import FloatArray


_TOP_LABEL = "Temperature (K)"
_MOST = 1e300  # where an interval has no upper end


def plot_arrhenius(arrhenius: Arrhenius, ax: Axes | None = None, label: str | None = None) -> Axes:
    """Draw log D against 1000/T with error bars, the fitted law and its 68 % band.

    A second axis on top gives T in kelvin; the legend gives E_a with its error. Several laws
    go on one plot by calling this with the same ``ax``.

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
        bounds = (D + errors)[~positive]
        ax.plot(x[~positive], np.where(bounds > 0, bounds, np.nan), "v", mfc="none", color=colour)
    bound_x, bounds_cm2_s = _draw_bounds(ax, arrhenius, colour)
    x, D = np.concatenate([x, bound_x]), np.concatenate([D, bounds_cm2_s])
    margin = 0.06 * float(np.ptp(x))
    line_x = np.linspace(x.min() - margin, x.max() + margin, 200)
    _draw_law(ax, arrhenius, line_x, colour)
    _set_limits(ax, x, D[D > 0], margin)
    ax.set(xlabel=r"1000/$T$ (K$^{-1}$)", ylabel=r"$D$ (cm$^2$/s)")
    _top_axis(ax)
    small_legend(ax, loc="lower left", handletextpad=0.4)
    return ax


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
    """Put the temperatures of the points on top, and round ones where there is room."""
    for child in list(ax.child_axes):
        if child.get_xlabel() == _TOP_LABEL:
            child.remove()

    def kelvin(x: ArrayLike) -> ArrayLike:
        inverse: FloatArray = 1000.0 / np.maximum(x, 1e-9)
        return inverse

    top = ax.secondary_xaxis("top", functions=(kelvin, kelvin))
    top.set_xlabel(_TOP_LABEL)
    ticks = _temperatures(_measured(ax), ax.get_xlim())
    top.set_xticks(ticks, labels=[f"{T:.0f}" for T in ticks])
    top.minorticks_off()


def _measured(ax: Axes) -> list[float]:
    """Temperatures of all points drawn on the axes."""
    drawn = [
        container.lines[0].get_xdata() for container in ax.containers if hasattr(container, "lines")
    ]
    return [1000.0 / float(x) for data in drawn for x in np.asarray(data)]


def _temperatures(measured: list[float], xlim: tuple[float, float]) -> list[float]:
    """Choose temperatures at least a tenth of the axis apart in 1000/T."""
    low, high = max(xlim[0], 0.05), xlim[1]
    hottest, coldest = 1000.0 / low, 1000.0 / high
    ticks: list[float] = []

    def offer(candidates: list[float]) -> None:
        for T in candidates:
            apart = [abs(1000.0 / T - 1000.0 / other) for other in ticks]
            if coldest <= T <= hottest and all(gap > 0.1 * (high - low) for gap in apart):
                ticks.append(T)

    offer(sorted(measured))
    for step in (1000.0, 500.0, 200.0, 100.0, 50.0, 20.0, 10.0):  # the roundest come first
        if step >= 100.0 or len(ticks) < 4:
            offer(list(np.arange(np.ceil(coldest / step) * step, hottest + 1e-9, step)))
    return sorted(ticks)
