"""Writing plots to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmd.files import write_output

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def save_axes(axes: Axes, path: Path) -> None:
    """Write the figure that axes are in, cut to what is drawn."""
    save_figure(axes.figure, path, bbox_inches="tight")  # type: ignore[arg-type]


def save_figure(figure: Figure, path: Path, bbox_inches: str | None = None) -> None:
    """Write a figure."""
    with write_output(path, "plot") as place:
        figure.savefig(place, dpi=150, bbox_inches=bbox_inches)
