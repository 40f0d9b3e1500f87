"""Several surrogates beside the same reference: g(r), spectra, diffusivities.

Everything is drawn from plain numbers, as the JSON of a comparison has them: from results that
were written long ago, too. The reference is black.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.plot.style import COLOURS, colour_of, distance_axes, new_axes, plain, small_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curves = Mapping[str, Mapping[str, Any]]
"""Curves of both sides by the surrogate's label, as ``curves_dict`` of a result gives them."""

SPECTRA = {
    "vdos": ("frequency_THz", "Frequency (THz)", "Density of states (1/THz)"),
    "sq": ("q_1_A", r"$q$ ($\mathrm{\AA}^{-1}$)", "$S(q)$"),
}
"""Spectra by what their keys in the JSON begin with: what they stand against, and the labels."""

_SIDES = ("surrogate", "reference")
_REFERENCE: dict[str, Any] = {"color": "black", "lw": 2.2}
_DASHES, _MARKERS = ("-", "--", "-.", ":"), "Ds^vPo"
_WIDTH_INCH = 5.6
_LONGEST = 24  # letters of a label
_SHARE_SHOWN = 0.998  # of a density of states, beyond which there is nothing to see


def plot_rdf_curves(curves: Curves, pairs: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw g(r) of every pair, each a step above the one before, reference and surrogates.

    A single pair has the differences below it. The band of the reference is two standard errors.

    Parameters
    ----------
    curves
        Of one system.
    pairs
        Which to draw, from below.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    """
    single = len(pairs) == 1
    ax = ax or new_axes(_WIDTH_INCH, 3.9 if single else 2.2 + 0.95 * len(pairs))
    first = next(iter(curves.values()))
    r_A = np.asarray(first["r_A"])
    base = 0.0
    for pair in pairs:
        height = max(np.max(one[side][pair]) for one in curves.values() for side in _SIDES)
        reference = np.asarray(first["reference"][pair])
        error = (first.get("reference_stderr") or {}).get(pair)
        if error is not None:
            low, high = reference - 2 * np.asarray(error), reference + 2 * np.asarray(error)
            ax.fill_between(r_A, base + low, base + high, color="0.75", lw=0, zorder=1)
        ax.plot(r_A, base + reference, zorder=2, **_REFERENCE)
        for i, one in enumerate(curves.values()):
            surrogate = np.asarray(one["surrogate"][pair])
            ax.plot(one["r_A"], base + surrogate, **_line(i))
            if single:
                below = surrogate - reference - 0.2 * height
                ax.plot(one["r_A"], below, **{**_line(i), "lw": 1.1})
        if single:
            ax.axhline(-0.2 * height, color="0.75", lw=0.8, zorder=0)
            ax.axhline(1.0, color="0.85", lw=0.8, ls="--", zorder=0)
        else:
            ax.axhline(base, color="0.85", lw=0.8, zorder=0)
            ax.annotate(
                pair, (1.0, base), (-4, 4), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", va="bottom", fontsize="small",
                color="0.35",
            )  # fmt: skip
        base += 1.15 * height
    distance_axes(ax, float(r_A[-1]), "$g(r)$" if single else "$g(r)$, shifted")
    _legend(ax, _REFERENCE, {label: _line(i) for i, label in enumerate(curves)})
    return ax


def plot_spectra(curves: Curves, kind: str, ax: Axes | None = None) -> Axes:
    """Draw a spectrum of the reference and of each surrogate.

    Parameters
    ----------
    curves
        Of one system.
    kind
        One of :data:`SPECTRA`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    """
    ax = ax or new_axes(_WIDTH_INCH)
    x, xlabel, ylabel = SPECTRA[kind]
    first = next(iter(curves.values()))
    ax.plot(first[x], first["reference"], zorder=2, **_REFERENCE)
    for i, one in enumerate(curves.values()):
        ax.plot(one[x], one["surrogate"], **_line(i))
    lowest = min(0.0, *(float(np.min(one["surrogate"])) for one in curves.values()))
    ax.set(xlim=(0.0, _end(curves, x)), xlabel=xlabel, ylabel=ylabel)
    ax.set_ylim(bottom=lowest)
    _legend(ax, _REFERENCE, {label: _line(i) for i, label in enumerate(curves)})
    return ax


def plot_diffusivity_intervals(
    rows: Mapping[str, Sequence[tuple[str | None, Mapping[str, Any]]]],
    labels: Sequence[str],
    ax: Axes | None = None,
) -> Axes:
    """Draw diffusivities below each other, with 68 % intervals, or arrows from upper bounds.

    Parameters
    ----------
    rows
        By what the group is called, from above: whose each is (None: the reference's), and a
        side of a point of ``Comparison.to_dict()["diffusivity"]["points"]``.
    labels
        The surrogates in the order of their colours.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    """
    n_rows = sum(len(group) for group in rows.values())
    ax = ax or new_axes(_WIDTH_INCH, 1.25 + 0.27 * (n_rows + len(rows)))
    looks: dict[str | None, dict[str, Any]] = {None: {"color": "black", "marker": "o"}}
    for i, label in enumerate(labels):
        looks[label] = {"color": colour_of(i), "marker": _MARKERS[i % len(_MARKERS)]}
    y, ticks = 0.0, []
    for group in rows.values():
        ticks.append(y + 0.5 * (len(group) - 1))
        for who, side in group:
            _draw_interval(ax, y, side, **looks[who])
            y += 1.0
        y += 0.9
        ax.axhline(y - 0.95, color="0.9", lw=0.8, zorder=0)
    ax.set(xscale="log", ylim=(y - 0.95, -0.95), xlabel=r"$D$ (cm$^2$/s)")
    ax.set_yticks(ticks, [plain(name, _LONGEST) for name in rows])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="0.9", lw=0.8)
    ax.set_axisbelow(True)
    _few_decades(ax)
    _legend(ax, {**_REFERENCE, "marker": "o"}, {label: looks[label] for label in labels})
    return ax


def _line(i: int) -> dict[str, Any]:
    """Return how curves of the i-th surrogate look."""
    dash = _DASHES[i // (len(COLOURS) - 1) % len(_DASHES)]
    return {"color": colour_of(i), "lw": 1.5, "ls": dash, "zorder": 3}


def _legend(ax: Axes, reference: dict[str, Any], looks: Mapping[str, dict[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label="reference", **reference)]
    handles += [Line2D([], [], label=plain(name, _LONGEST), **look) for name, look in looks.items()]
    small_legend(
        ax.figure, handles=handles, loc="outside upper center", ncols=min(4, len(handles)),
        handlelength=1.6,
    )  # fmt: skip


def _end(curves: Curves, x: str) -> float:
    """Return where the axis ends: a density of states ends before its last frequency."""
    ends = []
    for one in curves.values():
        for side in _SIDES:
            values = np.abs(np.asarray(one[side]))
            if x != "frequency_THz" or not values.any():
                ends.append(float(one[x][-1]))
                continue
            last = np.searchsorted(np.cumsum(values) / values.sum(), _SHARE_SHOWN)
            ends.append(1.1 * float(one[x][int(last)]))
    return min(max(ends), max(float(one[x][-1]) for one in curves.values()))


def _draw_interval(ax: Axes, y: float, side: Mapping[str, Any], color: str, marker: str) -> None:
    value, interval, bound = (
        side[key] for key in ("D_cm2_s", "D_interval68_cm2_s", "D_upper_bound_cm2_s")
    )
    if value is not None:
        if interval is not None:
            low = max(interval[0], value / 30.0)
            ax.plot([low, interval[1]], [y, y], color=color, lw=1.8, solid_capstyle="butt")
        ax.plot(value, y, marker=marker, ms=6, color=color)
    elif bound is not None:
        ax.plot(bound, y, marker=9, ms=7, color=color)
        ax.plot([bound * 0.5, bound], [y, y], color=color, lw=1.4)
        ax.plot(bound * 0.5, y, marker=8, ms=7, color=color)


def _few_decades(ax: Axes) -> None:
    """Put a few round numbers on an axis that is shorter than a decade and a half."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    low, high = ax.get_xlim()
    if high / low < 30.0:
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter(FuncFormatter(_scientific))
        ax.xaxis.set_minor_locator(NullLocator())


def _scientific(value: float, _: object = None) -> str:
    power = int(np.floor(np.log10(value) + 1e-9)) if value > 0 else 0
    factor = f"{value / 10.0**power:.3g}"
    return rf"$10^{{{power}}}$" if factor == "1" else rf"${factor}\times10^{{{power}}}$"
