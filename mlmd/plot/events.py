"""Temperature, pressure, energy and MSD slope over a run, with what was found marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmd.plot.style import COLOURS, small_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mlmd.analysis.events import RunEvents, Stationarity
    from mlmd.arrays import FloatArray

_POINTS = 2000  # drawn of a series
_SMOOTH = 60  # means drawn over it
_LABELS = {
    "temperature": "Temperature (K)",
    "pressure": "Pressure (GPa)",
    "energy": "Energy (eV)",
}
_VERDICTS = {True: "stationary", False: "drifts", None: "too few independent samples to judge"}


def plot_events(events: RunEvents, figure: Figure | None = None) -> Figure:
    """Draw what was recorded and the MSD slope over time, one panel each.

    In each panel: the series (grey) and its means over a sixtieth of the run (blue), the means of
    the first and the last third with two standard errors (orange bars), and the equilibration that
    this quantity asks to discard (shaded). Lines through all panels: when the first framework atom
    left its site (dotted), when half of those that leave had left (dash-dotted), and when the
    mobility changed (dashed).

    Parameters
    ----------
    events
        From :func:`mlmd.analysis.events.what_happened`.
    figure
        An empty figure to draw in; a new one where not given.
    """
    from matplotlib.figure import Figure as NewFigure

    series = list(events.stationarity.values())
    if figure is None:
        size = (6.4, 1.0 + 1.45 * len(series))
        figure = NewFigure(figsize=size, dpi=150, layout="constrained")
    panels = figure.subplots(len(series), 1, sharex=True, squeeze=False)[:, 0]
    for ax, item in zip(panels, series, strict=True):
        _draw_series(ax, item)
        _mark(ax, events)
    panels[-1].set_xlabel("Time (ps)")
    panels[-1].set_xlim(0.0, events.duration_ps)
    handles, labels = panels[0].get_legend_handles_labels()
    for ax in panels[1:]:  # the shade of one panel may be missing in another
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles.append(handle)
                labels.append(label)
    small_legend(
        figure, handles=handles, labels=labels, loc="outside upper center", ncols=2,
        handlelength=1.8,
    )  # fmt: skip
    return figure


def _draw_series(ax: Axes, item: Stationarity) -> None:
    """Draw one quantity and the means of its thirds."""
    step = max(1, len(item.values) // _POINTS)
    ax.plot(
        item.time_ps[::step], item.values[::step], color="0.75", lw=0.6, zorder=1,
        label="single values",
    )  # fmt: skip
    width = max(1, len(item.values) // _SMOOTH)
    ax.plot(
        _means(item.time_ps, width), _means(item.values, width), color=COLOURS[0], lw=1.3,
        zorder=3, label="mean over a sixtieth of the run",
    )  # fmt: skip
    size = len(item.values) // 3
    thirds = (
        (slice(0, size), item.mean_first, item.stderr_first),
        (slice(-size, None), item.mean_last, item.stderr_last),
    )
    for number, (part, mean, stderr) in enumerate(thirds):
        ends = item.time_ps[part][[0, -1]]
        label = r"first and last third ($\pm 2$ standard errors)" if number == 0 else None
        ax.plot(ends, [mean, mean], color=COLOURS[1], lw=1.6, zorder=4, label=label)
        if stderr is not None:
            half = 2.0 * stderr
            band: dict[str, Any] = {"color": COLOURS[1], "alpha": 0.25, "lw": 0, "zorder": 2}
            ax.fill_between(ends, mean - half, mean + half, **band)
    if item.discard_ps > 0:
        ax.axvspan(
            0.0, item.discard_ps, color="0.9", lw=0, zorder=0, label="to discard as equilibration"
        )
    name = _LABELS.get(item.name, item.name)
    if item.name not in _LABELS:
        name = f"{item.name}\n" + r"($\mathrm{\AA}^2$/ps)"
        ax.set_ylim(bottom=0.0)
    ax.set_ylabel(name, fontsize="small")
    ax.ticklabel_format(axis="y", useOffset=False)
    p_value = "" if item.p_value is None else f", p = {item.p_value:.1g}"
    text = _VERDICTS[item.is_stationary] + p_value
    colour = COLOURS[1] if item.is_stationary is False else "0.3"
    ax.set_title(text, loc="right", fontsize="small", color=colour, pad=2)


def _mark(ax: Axes, events: RunEvents) -> None:
    """Draw the events through a panel."""
    framework = events.framework
    if framework is not None and framework.start_ps is not None:
        count = f"{len(framework.left)} of {framework.n_framework}"
        assert framework.half_ps is not None  # known with the start
        style: dict[str, Any] = {"color": COLOURS[3], "lw": 1.4, "zorder": 5}
        ax.axvline(framework.start_ps, ls=":", label="first framework atom leaves", **style)
        label = f"half of those that leave ({count}) have left"
        ax.axvline(framework.half_ps, ls="-.", label=label, **style)
    for symbol, change in events.mobility.items():
        if change.change_ps is not None:
            label = rf"mobility of {symbol} $\times$ {change.factor:.2g}"
            ax.axvline(change.change_ps, color=COLOURS[2], ls="--", lw=1.4, zorder=5, label=label)


def _means(values: FloatArray, width: int) -> FloatArray:
    """Means over non-overlapping stretches."""
    count = len(values) // width
    means: FloatArray = values[: count * width].reshape(count, width).mean(axis=1)
    return means
