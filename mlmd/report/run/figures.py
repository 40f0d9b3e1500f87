"""Figures of a run: MSD, Arrhenius, g(r), volumes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlmd.plot import plot_arrhenius, plot_equation_of_state, plot_msd, plot_rdf
from mlmd.report.page.figures import PageFigure, page_figure

if TYPE_CHECKING:
    from mlmd.analysis.summary import AnalysisSummary
    from mlmd.run.run import Run

MOST_STAGES, MOST_PANELS = 8, 24


def run_figures(run: Run, summary: AnalysisSummary | None) -> list[PageFigure]:
    """Return what there is to see in a run."""
    figures = list(_volumes(run))
    if summary is not None:
        figures = [*_arrhenius(summary), *_msd(summary), *_rdf(summary), *figures]
    return figures


def _arrhenius(summary: AnalysisSummary) -> Iterator[PageFigure]:
    axes = None
    for symbol, law in summary.arrhenius.items():
        if law is not None:
            axes = plot_arrhenius(law, ax=axes, label=summary.label_of_law(symbol))
    if axes is not None:
        caption = (
            "Points with their errors, the fitted laws and their 68 % bands. Arrows: upper bounds."
        )
        yield page_figure(axes, "arrhenius", "Diffusivity and temperature", caption)


def _msd(summary: AnalysisSummary) -> Iterator[PageFigure]:
    for i, symbol in enumerate(summary.arrhenius):
        found = summary.results_of(symbol)
        results = dict(list(found.items())[:MOST_PANELS])
        left = len(found) - len(results)
        more = f" The first {len(results)} of {len(found)} stages." if left else ""
        yield page_figure(
            plot_msd(results),
            f"msd{i}",
            f"Mean squared displacement of {symbol}",
            f"Shaded: the lags of the fit. D has its 68 % interval.{more}",
        )


def _rdf(summary: AnalysisSummary) -> Iterator[PageFigure]:
    for i, (name, stage) in enumerate(list(summary.stages.items())[:MOST_STAGES]):
        title = f"Radial distribution functions, {summary.title_of(name)}"
        axes = plot_rdf(stage.structure)
        yield page_figure(axes, f"rdf{i}", title, "Bands are two standard errors.")


def _volumes(run: Run) -> Iterator[PageFigure]:
    from mlmd.stages.volume.result import VolumeResult

    for i, entry in enumerate(run.stages):
        if entry.kind == "EquilibrateVolume" and entry.result and entry.result.get("points"):
            yield page_figure(
                plot_equation_of_state(VolumeResult(**entry.result)),
                f"volume{i}",
                f"Pressure and volume, {entry.name}",
                "Errors and the band about the volume at zero pressure are one standard error.",
            )
