"""What plots share: figures without global state, colours, frames, legends, numbers with errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd import digits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase
    from matplotlib.legend import Legend

    from mlmd.arrays import FloatArray

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Distinguishable with any colour vision: M. Okabe, K. Ito, Color Universal Design (2008)."""


def colour_of(i: int) -> str:
    """Return the i-th colour; black is left to totals and references."""
    return COLOURS[i % (len(COLOURS) - 1)]


def new_axes(width_inch: float = 5.2, height_inch: float = 3.9) -> Axes:
    """Return axes in a figure of their own, which pyplot does not know and nobody must close."""
    from matplotlib.figure import Figure

    return Figure((width_inch, height_inch), dpi=150, layout="constrained").add_subplot()


MOST_ON_ONE = 4
"""Results on one pair of axes: with more, each has a panel of its own."""


BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
"""Where a legend goes that would cover what is drawn."""


def new_panels(n: int) -> list[Axes]:
    """Return axes for n panels in a figure of their own, row by row."""
    from matplotlib.figure import Figure

    n_columns = min(4, math.ceil(math.sqrt(n)))
    n_rows = math.ceil(n / n_columns)
    size = (0.5 + 2.4 * n_columns, 0.9 + 1.85 * n_rows)
    figure = Figure(size, dpi=150, layout="constrained")
    panels: list[Axes] = figure.subplots(n_rows, n_columns, squeeze=False).ravel().tolist()
    for unused in panels[n:]:
        unused.remove()
    return panels[:n]


def label_panels(
    panels: Sequence[Axes], xlabel: str, ylabel: str, handles: Sequence[Any], title: str = ""
) -> None:
    """Name the axes of all panels once, and what they draw in one legend above them."""
    figure: Any = panels[0].figure
    figure.supxlabel(xlabel, fontsize="medium")
    figure.supylabel(ylabel, fontsize="medium")
    for ax in panels:
        ax.tick_params(labelsize="small")
    place = {"loc": "outside upper center", "ncols": len(handles)}
    small_legend(figure, handles=handles, title=title, **place)


def small_legend(where: Axes | FigureBase, **options: Any) -> Legend:
    """Draw a legend that takes little room."""
    return where.legend(fontsize="small", title_fontsize="small", frameon=False, **options)


def draw_curve(
    ax: Axes,
    x: FloatArray,
    y: FloatArray,
    stderr: FloatArray | None,
    *,
    lowest: float = -math.inf,
    **style: Any,
) -> None:
    """Draw a curve and its band of two standard errors, which ends at the `lowest` value."""
    (line,) = ax.plot(x, y, zorder=3, **{"lw": 1.5, **style})
    if stderr is not None:
        low, high = np.maximum(y - 2 * stderr, lowest), y + 2 * stderr
        ax.fill_between(x, low, high, color=line.get_color(), alpha=0.3, lw=0, zorder=2)


def span_of(values: FloatArray, margin: float) -> tuple[float, float]:
    """Return the ends of an axis that shows all values, with a share of their range beyond."""
    low, high = float(np.min(values)), float(np.max(values))
    room = margin * max(high - low, 1e-9)
    return low - room, high + room


def both_sides(what: str, unit: str) -> tuple[str, str]:
    """Return the labels of two axes with the same of the reference and of the surrogate."""
    return f"{what} of the reference ({unit})", f"{what} of the surrogate ({unit})"


def parity_frame(
    ax: Axes, low: float, high: float, xlabel: str, ylabel: str, *, zorder: float = 1
) -> None:
    """Draw x = y and frame both axes alike."""
    ax.plot([low, high], [low, high], color="0.5", lw=0.8, zorder=zorder)
    ax.set(xlim=(low, high), ylim=(low, high), xlabel=xlabel, ylabel=ylabel)


def distance_axes(ax: Axes, r_max_A: float, ylabel: str = "$g(r)$") -> None:
    """Make the axes those of g(r)."""
    ax.set(xlim=(0.0, r_max_A), xlabel=r"Distance $r$ ($\mathrm{\AA}$)", ylabel=ylabel)


def plain(text: str, longest: int) -> str:
    """Return a name from outside that leaves room for the drawing; a dollar in it is a dollar."""
    lines = [line if len(line) <= longest else f"{line[:longest]}…" for line in text.split("\n")]
    return "\n".join(lines).replace("\\", "/").replace("$", r"\$")


def with_error(value: float, error: float | None) -> str:
    r"""Write a number in mathtext with two digits of its error: (1.52 \pm 0.31) x 10^-4."""
    return digits.with_error(value, error, digits.MATHTEXT)
