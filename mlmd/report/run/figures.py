"""Figures of a run: MSD, Arrhenius, g(r), volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmd.errors import InputError
from mlmd.report.page.figures import PageFigure, page_figure

if TYPE_CHECKING:
    from mlmd.analysis.summary import AnalysisSummary
    from mlmd.run.run import Run

MOST_STAGES = 8


def run_figures(run: Run, summary: AnalysisSummary | None) -> list[PageFigure]:
    """Return what there is to see in a run."""
    figures = [] if summary is None else [*_arrhenius(summary), *_msd(summary)]
    return [*figures, *_rdf(run, summary), *_volumes(run)]


def _msd(summary: AnalysisSummary) -> list[PageFigure]:
    from mlmd.plot import plot_msd

    figures = []
    for i, symbol in enumerate(summary.arrhenius):
        results = {
            name: stage.species[symbol]
            for name, stage in list(summary.stages.items())[:MOST_STAGES]
            if symbol in stage.species
        }
        figures.append(
            page_figure(
                plot_msd(results),
                f"msd{i}",
                f"Mean squared displacement of {symbol}",
                "Shaded: the lags of the fit. The legend gives D with its 68 % interval.",
            )
        )
    return figures


def _arrhenius(summary: AnalysisSummary) -> list[PageFigure]:
    from mlmd.plot import plot_arrhenius

    axes = None
    for symbol, law in summary.arrhenius.items():
        if law is not None:
            axes = plot_arrhenius(law, ax=axes, label=symbol)
    if axes is None:
        return []
    caption = "Points with their errors, the fitted laws, and their 68 % bands."
    return [page_figure(axes, "arrhenius", "Diffusivity and temperature", caption)]


def _rdf(run: Run, summary: AnalysisSummary | None) -> list[PageFigure]:
    from mlmd.analysis.structure import rdf
    from mlmd.plot import plot_rdf

    figures = []
    for i, name in enumerate(list(summary.stages if summary else ())[:MOST_STAGES]):
        try:
            result = rdf(run.trajectory(name))
        except InputError:  # too few frames, say: the numbers above say how long it is
            continue
        figures.append(
            page_figure(
                plot_rdf(result),
                f"rdf{i}",
                f"Radial distribution functions, {name}",
                "Bands are two standard errors.",
            )
        )
    return figures


def _volumes(run: Run) -> list[PageFigure]:
    from mlmd.plot import plot_equation_of_state
    from mlmd.stages.volume.result import VolumeResult

    figures = []
    for i, entry in enumerate(run.stages):
        if entry.kind != "EquilibrateVolume" or not (entry.result or {}).get("points"):
            continue
        assert entry.result is not None  # it has points
        figures.append(
            page_figure(
                plot_equation_of_state(VolumeResult(**entry.result)),
                f"volume{i}",
                f"Pressure and volume, {entry.name}",
                "Errors and the band about the volume at zero pressure are one standard error.",
            )
        )
    return figures
