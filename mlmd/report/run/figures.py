"""Figures of a run: MSD, Arrhenius, g(r), volumes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlmd.errors import InputError
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
        figures = [*_arrhenius(summary), *_msd(summary), *_rdf(run, summary), *figures]
    return figures


def _arrhenius(summary: AnalysisSummary) -> Iterator[PageFigure]:
    axes = None
    for symbol, law in summary.arrhenius.items():
        if law is not None:
            axes = plot_arrhenius(law, ax=axes, label=symbol)
    if axes is not None:
        caption = (
            "Points with their errors, the fitted laws and their 68 % bands. Arrows: upper bounds."
        )
        yield page_figure(axes, "arrhenius", "Diffusivity and temperature", caption)


def _msd(summary: AnalysisSummary) -> Iterator[PageFigure]:
    shown = list(summary.stages.items())[:MOST_PANELS]
    left = len(summary.stages) - len(shown)
    more = f" The first {len(shown)} of {len(summary.stages)} stages." if left else ""
    for i, symbol in enumerate(summary.arrhenius):
        results = {name: one.species[symbol] for name, one in shown if symbol in one.species}
        yield page_figure(
            plot_msd(results),
            f"msd{i}",
            f"Mean squared displacement of {symbol}",
            f"Shaded: the lags of the fit. D has its 68 % interval.{more}",
        )


def _rdf(run: Run, summary: AnalysisSummary) -> Iterator[PageFigure]:
    from mlmd.analysis.structure import rdf

    for i, name in enumerate(list(summary.stages)[:MOST_STAGES]):
        try:
            result = rdf(run.trajectory(name))
        except InputError:  # too few frames, say: the numbers above say how long it is
            continue
        title = f"Radial distribution functions, {name}"
        yield page_figure(plot_rdf(result), f"rdf{i}", title, "Bands are two standard errors.")


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
