"""Figures of a comparison: all surrogates on the same axes as the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.plot.style import COLOURS
from mlmd.report.comparison.features import feature_figures
from mlmd.report.comparison.tables import Contents
from mlmd.report.page.figures import PageFigure, page_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SYSTEMS, MOST_PAIRS, MOST_POINTS = 4, 10, 16
LONGEST = 24
"""Letters of a label in a figure."""

_REFERENCE = "black"
_STYLES = ("-", "--", "-.", ":")


def comparison_figures(contents: Contents) -> list[PageFigure]:
    """Return g(r) of each system, the worst where there are many, and the diffusivities."""
    figures = []
    systems = _systems(contents)
    shown = systems[:MOST_SYSTEMS]
    for i, system in enumerate(shown):
        curves = {
            label: content["rdf"]["curves"][system]
            for label, content in contents.items()
            if system in ((content.get("rdf") or {}).get("curves") or {})
        }
        pairs = _pairs(contents, curves, system)
        caption = "Reference in black with a band of two standard errors, surrogates in colour."
        if len(pairs) == 1:
            caption += " Below: surrogate minus reference."
        if len(shown) < len(systems):
            caption += f" One of the {len(shown)} systems of {len(systems)} with the lowest R²."
        if len(pairs) < len(next(iter(curves.values()))["reference"]):
            caption += f" The {len(pairs)} pairs with the lowest R²."
        title = f"Radial distribution functions, {system}"
        figures.append(page_figure(plot_curves(curves, pairs), f"rdf{i}", title, caption))
    points = _points(contents)
    if points and len(points) <= MOST_POINTS:
        figures.append(
            page_figure(
                plot_intervals(points, list(contents)),
                "diffusivity",
                "Diffusivities",
                "Value and 68 % interval. An arrow to the left is an upper bound (95 %): the "
                "motion was not diffusive. Both sides of a comparison are fitted over the same "
                "lags; where those differ, each surrogate stands below its own reference.",
            )
        )
    elif points:
        figures += _parities(contents)
    figures += feature_figures(contents)
    figures += [*_spectra(contents, shown, "vdos"), *_spectra(contents, shown, "sq")]
    return figures


def _parities(contents: Contents) -> Iterator[PageFigure]:
    """Draw D of each surrogate against the reference's: too many points for a line each."""
    from mlmd.comparison.motion.diffusivity_parity import diffusivity_parity
    from mlmd.comparison.motion.diffusivity_point import DiffusivityPoint
    from mlmd.plot.comparison import plot_diffusivity_parity

    for i, (label, content) in enumerate(contents.items()):
        points = (content.get("diffusivity") or {}).get("points") or []
        if points:
            parity = diffusivity_parity([DiffusivityPoint.from_dict(point) for point in points])
            yield page_figure(
                plot_diffusivity_parity(parity),
                f"parity{i}",
                f"Diffusivities, {label}",
                "Surrogate against reference, with 68 % intervals. An arrow and an open marker "
                "are an upper bound (95 %). The band is a factor of 2.",
            )


def plot_curves(curves: Mapping[str, Mapping[str, Any]], pairs: Sequence[str]) -> Axes:
    """Draw g(r) of every pair, each a step above the one before, reference and surrogates.

    Parameters
    ----------
    curves
        Entry of ``Comparison.to_dict()["rdf"]["curves"]`` by the surrogate's label.
    pairs
        Which to draw, from below.
    """
    first = next(iter(curves.values()))
    heights = [
        max(float(np.max(one[side][pair])) for one in curves.values() for side in _SIDES)
        for pair in pairs
    ]
    ax = _axes(3.9 if len(pairs) == 1 else 2.2 + 0.95 * len(pairs))
    r_A = np.asarray(first["r_A"])
    base = 0.0
    for pair, height in zip(pairs, heights, strict=True):
        reference = np.asarray(first["reference"][pair])
        error = (first.get("reference_stderr") or {}).get(pair)
        if error is not None:
            low, high = reference - 2 * np.asarray(error), reference + 2 * np.asarray(error)
            ax.fill_between(r_A, base + low, base + high, color="0.75", lw=0, zorder=1)
        ax.plot(r_A, base + reference, color=_REFERENCE, lw=2.2, zorder=2)
        for i, one in enumerate(curves.values()):
            surrogate = base + np.asarray(one["surrogate"][pair])
            ax.plot(one["r_A"], surrogate, zorder=3, **_line(i))
            if len(pairs) == 1:
                difference = np.asarray(one["surrogate"][pair]) - reference
                ax.plot(one["r_A"], difference - 0.2 * height, zorder=3, **_line(i, lw=1.1))
        if len(pairs) == 1:
            ax.axhline(-0.2 * height, color="0.75", lw=0.8, zorder=0)
        else:
            ax.axhline(base, color="0.85", lw=0.8, zorder=0)
            ax.annotate(
                pair, (1.0, base), (-4, 4), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", va="bottom", fontsize="small",
                color="0.35",
            )  # fmt: skip
        base += 1.15 * height
    ax.axhline(1.0 if len(pairs) == 1 else np.nan, color="0.85", lw=0.8, ls="--", zorder=0)
    ax.set_xlim(0.0, float(r_A[-1]))
    ax.set_xlabel(r"Distance $r$ ($\mathrm{\AA}$)")
    ax.set_ylabel(r"$g(r)$" if len(pairs) == 1 else r"$g(r)$, shifted")
    _legend(ax, list(curves))
    return ax


_SIDES = ("surrogate", "reference")


def plot_intervals(points: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> Axes:
    """Draw the diffusivities of each system and species below each other, with intervals.

    Parameters
    ----------
    points
        Each with its ``name``, and as ``rows`` whose it is (None: the reference's) and the side
        of the point.
    labels
        The surrogates in the order of their colours.
    """
    n_rows = sum(len(point["rows"]) for point in points)
    ax = _axes(1.25 + 0.27 * (n_rows + len(points)))
    y, ticks = 0.0, []
    for point in points:
        ticks.append((y + 0.5 * (len(point["rows"]) - 1), point["name"]))
        for who, side in point["rows"]:
            i = -1 if who is None else list(labels).index(who)
            _interval(ax, y, side, _REFERENCE if i < 0 else COLOURS[i % (len(COLOURS) - 1)], i)
            y += 1.0
        y += 0.9
        ax.axhline(y - 0.95, color="0.9", lw=0.8, zorder=0)
    ax.set_xscale("log")
    ax.set_ylim(y - 0.95, -0.95)
    ax.set_yticks([at for at, _ in ticks], [_plain(name) for _, name in ticks])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(r"$D$ (cm$^2$/s)")
    ax.grid(axis="x", color="0.9", lw=0.8)
    ax.set_axisbelow(True)
    _few_decades(ax)
    _legend(ax, labels, points=True)
    return ax


SPECTRA = {
    "vdos": (
        "Vibrational density of states", "frequency_THz", "Frequency (THz)",
        "Density of states (1/THz)",
    ),
    "sq": ("Structure factor", "q_1_A", r"$q$ ($\mathrm{\AA}^{-1}$)", r"$S(q)$"),
}  # fmt: skip


def _spectra(contents: Contents, systems: Sequence[str], kind: str) -> Iterator[PageFigure]:
    """Draw the spectra of the systems that have them."""
    title, x, x_label, y_label = SPECTRA[kind]
    for i, system in enumerate(systems):
        curves = {
            label: one[f"{kind}_curves"]
            for label, content in contents.items()
            for one in (content.get("spectra") or {}).get("systems") or []
            if one["label"] == system and one.get(f"{kind}_curves")
        }
        if curves:
            axes = plot_spectra(curves, x, x_label, y_label)
            caption = "All atoms. Reference in black, surrogates in colour."
            yield page_figure(axes, f"{kind}{i}", f"{title}, {system}", caption)


def plot_spectra(
    curves: Mapping[str, Mapping[str, Any]], x: str, x_label: str, y_label: str
) -> Axes:
    """Draw a spectrum of the reference and of each surrogate.

    Parameters
    ----------
    curves
        ``vdos_curves`` or ``sq_curves`` of ``Comparison.to_dict()`` by the surrogate's label.
    x, x_label, y_label
        Key of what it is drawn against, and the labels of the axes.
    """
    ax = _axes(3.9)
    first = next(iter(curves.values()))
    ax.plot(first[x], first["reference"], color=_REFERENCE, lw=2.2, zorder=2)
    for i, one in enumerate(curves.values()):
        ax.plot(one[x], one["surrogate"], zorder=3, **_line(i))
    ax.set_xlim(0.0, _end(curves, x))
    ax.set_ylim(bottom=min(0.0, *(float(np.min(one["surrogate"])) for one in curves.values())))
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    _legend(ax, list(curves))
    return ax


def _end(curves: Mapping[str, Mapping[str, Any]], x: str) -> float:
    """Return where the axis ends: beyond all but a thousandth of what is there, for spectra."""
    ends = []
    for one in curves.values():
        for side in _SIDES:
            values = np.abs(np.asarray(one[side]))
            if x != "frequency_THz" or not values.any():
                ends.append(float(one[x][-1]))
                continue
            sums = np.cumsum(values) / values.sum()
            ends.append(1.1 * float(one[x][int(np.searchsorted(sums, 0.998))]))
    return min(max(ends), max(float(one[x][-1]) for one in curves.values()))


def _interval(ax: Axes, y: float, side: Mapping[str, Any], colour: str, i: int) -> None:
    value, interval = side["D_cm2_s"], side["D_interval68_cm2_s"]
    marker = "oDs^vP"[(i + 1) % 6]
    if value is None:
        bound = side["D_upper_bound_cm2_s"]
        if bound is not None:
            ax.plot(bound, y, marker=9, ms=7, color=colour)
            ax.plot([bound * 0.5, bound], [y, y], color=colour, lw=1.4)
            ax.plot(bound * 0.5, y, marker=8, ms=7, color=colour)
        return
    if interval is not None:
        low = max(interval[0], value / 30.0)
        ax.plot([low, interval[1]], [y, y], color=colour, lw=1.8, solid_capstyle="butt")
    ax.plot(value, y, marker=marker, ms=6, color=colour)


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


def _systems(contents: Contents) -> list[str]:
    """Return the labels of all systems with curves; the lowest R2 first where there are many."""
    worst: dict[str, float] = {}
    for content in contents.values():
        section = content.get("rdf") or {}
        for system in section.get("systems") or []:
            if system["label"] in (section.get("curves") or {}):
                r2 = system["r2_pooled"] if system["r2_pooled"] is not None else 1.0
                worst[system["label"]] = min(r2, worst.get(system["label"], 1.0))
    if len(worst) <= MOST_SYSTEMS:
        return list(worst)
    return sorted(worst, key=worst.__getitem__)


def _pairs(contents: Contents, curves: Mapping[str, Mapping[str, Any]], system: str) -> list[str]:
    """Return the pairs that all have, those with the lowest R2 where there are many."""
    common = [
        pair
        for pair in next(iter(curves.values()))["reference"]
        if all(pair in one["surrogate"] for one in curves.values())
    ]
    if len(common) <= MOST_PAIRS:
        return common
    r2: dict[str, float] = dict.fromkeys(common, 1.0)
    for content in contents.values():
        for one in (content.get("rdf") or {}).get("systems") or []:
            if one["label"] == system:
                for pair in common:
                    r2[pair] = min(r2[pair], one["r2_by_pair"].get(pair) or 1.0)
    return sorted(common, key=r2.__getitem__)[:MOST_PAIRS]


def _points(contents: Contents) -> list[dict[str, Any]]:
    """Bring together what the reference and every surrogate have of a system's species.

    The reference stands once where it is the same beside all; the range of lags is common to
    both sides of a comparison, so that it may differ.
    """
    found: dict[tuple[str, str], list[tuple[str | None, Any]]] = {}
    for label, content in contents.items():
        for point in (content.get("diffusivity") or {}).get("points") or []:
            rows = found.setdefault((point["label"], point["species"]), [])
            if (None, point["reference"]) not in rows:
                rows.append((None, point["reference"]))
            rows.append((label, point["surrogate"]))
    return [
        {"name": f"{species} in\n{system}", "rows": rows}
        for (system, species), rows in found.items()
    ]


def _axes(height: float) -> Axes:
    from matplotlib.figure import Figure

    return Figure(figsize=(5.6, height), layout="constrained").add_subplot()


def _line(i: int, lw: float = 1.5) -> dict[str, Any]:
    # Black is the reference's.
    n = len(COLOURS) - 1
    return {"color": COLOURS[i % n], "lw": lw, "ls": _STYLES[i // n % len(_STYLES)]}


def _legend(ax: Axes, labels: Sequence[str], points: bool = False) -> None:
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"marker": "o", "ls": "-"} if points else {}
    handles = [Line2D([], [], color=_REFERENCE, lw=2.2, label="reference", **look)]
    for i, label in enumerate(labels):
        style = (
            _line(i)
            if not points
            else {"color": _line(i)["color"], "marker": "oDs^vP"[(i + 1) % 6]}
        )
        handles.append(Line2D([], [], label=_plain(label), **style))
    ax.figure.legend(
        handles=handles, loc="outside upper center", ncols=min(4, len(handles)), frameon=False,
        fontsize="small", handlelength=1.6,
    )  # fmt: skip


def _plain(text: str) -> str:
    """Return a label that leaves room for the drawing, in which a dollar is a dollar."""
    lines = [line if len(line) <= LONGEST else f"{line[:LONGEST]}…" for line in text.split("\n")]
    return "\n".join(lines).replace("\\", "/").replace("$", r"\$")
