"""The figures of ``mlmd analyze``: what may be drawn, and drawing it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from mlmd.cli.figures import save_axes, save_figure
from mlmd.files import check_output

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlmd.analysis.summary import AnalysisSummary
    from mlmd.stages.volume.result import VolumeResult
    from mlmd.trajectory import Trajectory

_OF_PATHS = str.maketrans("/\\:", "---")


def _file(kind: str, name: str) -> str:
    """Return the name of a plot of a stage; one of several sources has its path before it."""
    return f"{kind}-{name.translate(_OF_PATHS)}.png"


def check_plots(names: Iterable[str], folder: Path, force: bool) -> None:
    """Before anything is computed."""
    for name in names:
        check_output(folder / name, "plot", force, new_folder=True)


def plots_of(
    stages: Mapping[str, tuple[Trajectory, float | None]], species: Sequence[str] | None
) -> Iterator[str]:
    """Yield the names of all that may be drawn of stages; see :func:`plot_summary`."""
    for name, (trajectory, _) in stages.items():
        yield from (_file("rdf", name), _file("events", name))
        yield from (f"msd-{symbol}.png" for symbol in species or trajectory.species)
    yield "arrhenius.png"


def volumes_of(path: Path) -> dict[str, VolumeResult]:
    """Return what each volume search of a run has found, one that failed too."""
    from mlmd.run.run import Run
    from mlmd.stages.volume.result import VolumeResult

    return {
        entry.name: VolumeResult(**entry.result)
        for entry in Run.open(path).stages
        if entry.kind == "EquilibrateVolume" and entry.result is not None
    }


def plot_volumes(volumes: Mapping[str, VolumeResult], folder: Path, force: bool) -> list[Path]:
    """Draw pressure against volume."""
    from mlmd.plot import plot_equation_of_state

    written = []
    for name, result in volumes.items():
        written.append(folder / f"volume-{name}.png")
        save_axes(plot_equation_of_state(result), written[-1], force)
    return written


def _put_above(axes: Axes, title: str) -> None:
    """Put a title above a figure, whose panels have names of their own where it has several."""
    if len(axes.figure.axes) > 1:
        axes.figure.suptitle(fill(title, 110), fontsize="medium")
    else:
        axes.set_title(fill(title, 54), fontsize="medium")


def plot_summary(summary: AnalysisSummary, folder: Path, force: bool) -> list[Path]:
    """Draw the mean squared displacements of each species, g(r), and all Arrhenius lines."""
    from mlmd.plot import plot_arrhenius, plot_events, plot_msd, plot_rdf

    written = []
    for symbol in summary.arrhenius:
        written.append(folder / f"msd-{symbol}.png")
        save_axes(plot_msd(summary.results_of(symbol)), written[-1], force)
    for name, stage in summary.stages.items():
        written.append(folder / _file("rdf", name))
        axes = plot_rdf(stage.structure)
        _put_above(axes, summary.title_of(name))
        save_axes(axes, written[-1], force)
        if stage.events is not None:
            written.append(folder / _file("events", name))
            figure = plot_events(stage.events)
            title = fill(summary.title_of(name), 70)
            figure.axes[0].set_title(title, loc="left", fontsize="small")
            save_figure(figure, written[-1], force)
    laws: Axes | None = None
    for symbol, law in summary.arrhenius.items():
        if law is not None:
            laws = plot_arrhenius(law, ax=laws, label=summary.label_of_law(symbol))
    if laws is not None:
        written.append(folder / "arrhenius.png")
        save_axes(laws, written[-1], force)
    return written
