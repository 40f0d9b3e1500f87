"""Writing plots to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes


def save_axes(axes: Axes, path: Path) -> None:
    """Write the figure that axes are in, cut to what is drawn."""
    axes.figure.savefig(path, dpi=150, bbox_inches="tight")  # type: ignore[union-attr]
