"""Writing plots to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmd.files import write_output

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def save_axes(axes: Axes, path: Path, force: bool = False) -> None:
    """Write the figure that axes are in, cut to what is drawn."""
    save_figure(axes.figure, path, force, bbox_inches="tight")  # type: ignore[arg-type]


def save_figure(
    figure: Figure, path: Path, force: bool = False, bbox_inches: str | None = None
) -> None:
    """Write a figure, its folder too where that is missing."""
    with write_output(path, "plot", force, new_folder=True) as place:
        figure.savefig(place, dpi=150, bbox_inches=bbox_inches)
