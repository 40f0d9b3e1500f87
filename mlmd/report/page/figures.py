"""Figures as SVG inside the page."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page: its drawing, what it is called, and what is to be seen in it."""

    svg: Markup
    title: str
    caption: str


def page_figure(axes: Axes, name: str, title: str, caption: str) -> PageFigure:
    """Draw axes for the page.

    The same axes give the same bytes. Text becomes outlines: it looks the same on every
    machine, and nothing in it can be markup.

    Parameters
    ----------
    axes
        Of a figure of their own.
    name
        Begins every id in the drawing, so that several can stand on one page.
    title, caption
        What it is called, and what is to be seen in it.
    """
    import matplotlib
    from markupsafe import Markup, escape

    buffer = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes of no figure cannot be made
    with matplotlib.rc_context({"svg.hashsalt": "mlmd", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata=nothing)
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    # The style of strokes would hold for the whole page; the page has it for its figures.
    drawing = re.sub(r"<style type=\"text/css\">.*?</style>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r"<!--.*?-->", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'\bid="', f'id="{name}-', drawing)
    drawing = re.sub(r'(xlink:href|href)="#', rf'\1="#{name}-', drawing)
    drawing = re.sub(r"url\(#", f"url(#{name}-", drawing)
    drawing = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", drawing, count=1)
    drawing = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", drawing, count=1)
    described = f'<svg role="img" aria-label="{escape(f"{title}. {caption}")}"'
    drawing = drawing.replace("<svg", described, 1)
    drawing = re.sub(r"\n\s*\n+", "\n", drawing).strip()
    return PageFigure(Markup(drawing), title, caption)
