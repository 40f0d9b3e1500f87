"""Mean squared displacements with the fitted window and the diffusivity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlmd.analysis.diffusion.diffusivity import Diffusivity
from mlmd.analysis.diffusion.units import A2_PS_IN_CM2_S
from mlmd.checks import choice
from mlmd.errors import InputError
from mlmd.plot.style import (
    COLOURS,
    MOST_ON_ONE,
    label_panels,
    new_axes,
    new_panels,
    plain,
    small_legend,
    with_error,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

# Curves are thinned to this many points: no printer shows more, and a PDF stays small.
_POINTS = 600
_LONGEST = 34  # letters of a stage in a legend or above a panel
_WIDEST = 50  # letters of a legend's line
_XLABEL = "Lag time (ps)"
_YLABEL = r"Mean squared displacement ($\mathrm{\AA}^2$)"
_FIT = "fit in the shaded range"
_SHADE = "0.94"
_DASHED: dict[str, Any] = {"color": "black", "ls": "--", "lw": 1.4}


def plot_msd(
    results: Diffusivity | Sequence[Diffusivity] | Mapping[str, Diffusivity],
    ax: Axes | None = None,
    *,
    scale: Literal["linear", "log"] = "linear",
) -> Axes:
    """Draw the MSD of every window (thin), their mean (bold) and the fitted line (dashed).

    The range of the fit is shaded, in the colour of its curve where ranges differ, and the legend
    gives D with its 68 % interval. More than four results have a panel each, with D above it. An
    MSD over all origins is drawn up to half of the run: beyond it there are few of them. Where the
    motion is not diffusive the legend gives the upper bound instead of D.

    Parameters
    ----------
    results
        One result or several; the keys of a mapping (stage names, say) become labels.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given. Of several panels the first
        is returned.
    scale
        "linear", in which diffusion is a straight line; "log", in which its slope is 1 and
        that of vibration 0.

    Raises
    ------
    InputError
        If there is no result, or the scale is not known.
    """
    labelled = _labelled(results)
    choice("scale", scale, ("linear", "log"))
    if ax is None and len(labelled) > MOST_ON_ONE:
        return _panels(labelled, scale)
    ax = ax or new_axes()
    ranges = {_fitted(result) for _, result in labelled}
    if len(ranges) == 1:
        ax.axvspan(*ranges.pop(), color=_SHADE, lw=0, zorder=0)
    entries: list[str] = []
    for i, (label, result) in enumerate(labelled):
        colour = COLOURS[i % len(COLOURS)]
        if ranges:
            ax.axvspan(*_fitted(result), color=colour, alpha=0.09, lw=0, zorder=0)
        entries.append(_entry(label, result))
        _draw(ax, result, entries[-1], colour, scale)
    which = "fit in the range shaded in its colour" if ranges else _FIT
    ax.plot([], [], label=which, **_DASHED)
    ax.set(xscale=scale, yscale=scale, xlabel=_XLABEL, ylabel=_YLABEL)
    lines = sum(1 + entry.count("\n") for entry in entries) + 2
    _set_limits(ax, [result for _, result in labelled], scale, min(0.65, 0.05 + 0.065 * lines))
    title = "Diffusivity with its 68 % interval"
    legend = small_legend(ax, loc="upper left", handlelength=1.6, title=title, alignment="left")
    legend.set_zorder(5)
    return ax


def _panels(labelled: Sequence[tuple[str, Diffusivity]], scale: str) -> Axes:
    """Draw each result in a panel of its own."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    panels = new_panels(len(labelled))
    for ax, (label, result) in zip(panels, labelled, strict=True):
        ax.axvspan(*_fitted(result), color=_SHADE, lw=0, zorder=0)
        _draw(ax, result, "", COLOURS[0], scale, fit=COLOURS[1])
        ax.set(xscale=scale, yscale=scale)
        _set_limits(ax, [result], scale, room=0.05)
        name, _, symbol = label.rpartition(", ")
        text = _text(symbol, result).replace(", not diffusive", "\nnot diffusive")
        ax.set_title(f"{_short(name)}\n{text}" if name else text, fontsize="small", pad=3)
    handles: list[Any] = [Line2D([], [], color=COLOURS[0], lw=2.0, label="mean")]
    if any(len(result.window_msd_A2) > 1 for _, result in labelled):
        handles.append(Line2D([], [], color=COLOURS[0], lw=0.6, alpha=0.4, label="each window"))
    handles += [
        Line2D([], [], label="fit", **_DASHED | {"color": COLOURS[1]}),
        Patch(color=_SHADE, label="its range"),
    ]
    label_panels(panels, _XLABEL, _YLABEL, handles, "Diffusivities with their 68 % intervals")
    return panels[0]


def _draw(
    ax: Axes, result: Diffusivity, text: str, colour: str, scale: str, fit: str = "black"
) -> None:
    """Draw one result, named in the legend by a text."""
    shown = _shown(result)
    chosen = _thinned(shown, scale)
    lag_ps = result.lag_ps[chosen]
    if len(result.window_msd_A2) > 1:
        for curve in result.window_msd_A2:
            ax.plot(lag_ps, curve[chosen], color=colour, lw=0.6, alpha=0.4, zorder=2)
    mean_A2 = result.msd_A2[chosen]
    ax.plot(lag_ps, mean_A2, color=colour, lw=2.0, zorder=3, label=text)
    fit_ps = np.linspace(*_fitted(result), 200)
    line = result.intercept_A2 + 6.0 * result.D_raw_cm2_s / A2_PS_IN_CM2_S * fit_ps
    drawn = line > 0 if scale == "log" else np.full(line.shape, True)
    ax.plot(fit_ps[drawn], line[drawn], zorder=4, **_DASHED | {"color": fit})


def _fitted(result: Diffusivity) -> tuple[float, float]:
    """Return the range of the fit."""
    assert result.settings.fit_ps is not None  # every estimator says it
    return result.settings.fit_ps


def _shown(result: Diffusivity) -> int:
    """Return how many lags are drawn."""
    if len(result.window_msd_A2) > 1 or result.settings.window_ps is not None:
        return len(result.lag_ps)
    last_ps = max(_fitted(result)[1], result.duration_ps / 2.0)
    return int(np.searchsorted(result.lag_ps, last_ps * (1 + 1e-9), side="right"))


def _set_limits(ax: Axes, results: Sequence[Diffusivity], scale: str, room: float) -> None:
    """Frame the curves and leave room above them, a share of the height."""
    longest = max(float(result.lag_ps[_shown(result) - 1]) for result in results)
    tops = [float(result.window_msd_A2[:, : _shown(result)].max()) for result in results]
    highest = max(tops) or 1.0
    if scale == "linear":
        ax.set(xlim=(0, longest), ylim=(0, highest / (1.0 - room)))
        return
    ax.set_xlim(min(float(result.lag_ps[1]) for result in results), longest)
    bottom = min(ax.get_ylim()[0], highest / 10.0)
    ax.set_ylim(bottom, bottom * (highest / bottom) ** (1.0 / (1.0 - room)))


def _short(name: str) -> str:
    """Return the name of a stage that has room; its end says what it is, and what to doubt."""
    return plain(name if len(name) <= _LONGEST else f"…{name[-_LONGEST:]}", _LONGEST + 1)


def _entry(label: str, result: Diffusivity) -> str:
    """Legend entry of a result; one that is longer than the axes are wide has two lines."""
    name, _, symbol = label.rpartition(", ")
    text = _text(symbol, result)
    if not name:
        return text
    wide = len(name) + len(re.sub(r"[\\$^{}]|mathrm|times", "", text)) > _WIDEST
    return f"{_short(name)},{chr(10) if wide else ' '}{text}"


def _text(label: str, result: Diffusivity) -> str:
    """Legend entry: D with its interval, and what to doubt."""
    if result.D_cm2_s is None:
        bound = result.D_upper_bound_cm2_s
        less = "" if bound is None else f" < {with_error(bound, None)} cm$^2$/s (95 %)"
        return f"{label}{less}, not diffusive"
    interval = result.D_interval68_cm2_s
    half = None if interval is None else (interval[1] - interval[0]) / 2.0
    text = f"{label} = {with_error(result.D_cm2_s, half)} cm$^2$/s"
    if half is None:
        one = result.settings.estimator == "windowed"
        text += " (one window: no error)" if one else " (no error)"
    return text


def _labelled(
    results: Diffusivity | Sequence[Diffusivity] | Mapping[str, Diffusivity],
) -> list[tuple[str, Diffusivity]]:
    """Return the results with their labels."""
    if isinstance(results, Diffusivity):
        results = [results]
    if isinstance(results, Mapping):
        pairs = [(f"{name}, {_symbol(result)}", result) for name, result in results.items()]
    else:
        pairs = [(_symbol(result), result) for result in results]
    if not pairs:
        raise InputError("no diffusivity was given to plot; expected at least one")
    return pairs


def _symbol(result: Diffusivity) -> str:
    """Return the diffusivity's symbol in mathtext."""
    return rf"$D_\mathrm{{{result.species}}}$"


def _thinned(n: int, scale: str) -> np.ndarray:
    """Return indices that look like all points on the given scale."""
    if n <= _POINTS:
        return np.arange(n)
    if scale == "linear":
        return np.unique(np.linspace(0, n - 1, _POINTS).astype(int))
    return np.unique(np.geomspace(1, n - 1, _POINTS).astype(int))
