"""The report of a run: what it found, in figures and numbers, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.analysis.diffusion.diffusivity import diffusivity_settings
from mlmd.analysis.recipe import RecipeAnalysis
from mlmd.analysis.summary import AnalysisSummary, summarize
from mlmd.digits import DASH
from mlmd.errors import InputError
from mlmd.files import check_output
from mlmd.report.page.elements import (
    CopyBlock,
    Group,
    Table,
    csv_block,
    entries,
    make_table,
    of,
)
from mlmd.report.page.page import render, write_page
from mlmd.report.run.figures import run_figures
from mlmd.report.run.tables import result_tables
from mlmd.run.measured import measured_stages
from mlmd.run.overview import StageView, overview

if TYPE_CHECKING:
    from typing import Unpack

    from mlmd.analysis.diffusion.estimators.estimate import DiffusivityOptions
    from mlmd.analysis.summary import LawOptions
    from mlmd.run.run import Run


def write_run_report(
    run: Run,
    path: str | Path | None = None,
    force: bool = False,
    *,
    frames: slice = slice(None),
    laws: LawOptions | None = None,
    **options: Unpack[DiffusivityOptions],
) -> Path:
    """Write a report of a run, finished or not.

    Parameters
    ----------
    run
        From :meth:`mlmd.Run.open`.
    path
        The HTML file; ``report.html`` in the run's directory where not given. An earlier page is
        replaced.
    force
        Replace what else is there, but never a file of a run.
    frames
        Of each stage, as in a slice.
    laws
        Oxidation states, carriers and reference of a conductivity, other temperatures: keywords of
        :func:`mlmd.analysis.summarize`.
    **options
        How diffusivities are measured: keywords of
        :func:`mlmd.analysis.diffusion.diffusivity.diffusivity`, before what the run's recipe says.

    Raises
    ------
    MissingExtraError
        If Jinja2 is not installed.
    InputError
        If the file cannot be written, or diffusivities cannot be measured as `options` say.
    """
    place = check_output(run.path / "report.html" if path is None else path, "page", force)
    return write_page(run_page(run, frames, laws, **options), place, force)


def run_page(
    run: Run,
    frames: slice = slice(None),
    laws: LawOptions | None = None,
    **options: Unpack[DiffusivityOptions],
) -> str:
    """Return the HTML of :func:`write_run_report`."""
    diffusivity_settings(**options)
    recipe = RecipeAnalysis.of(run)
    views = overview(run)
    summary: AnalysisSummary | None = None
    notes: list[str] = []
    try:
        stages = measured_stages(run, frames.start, frames.stop, frames.step or 1)
        summary = summarize(stages, recipe=recipe, **(laws or {}), **options)
    except InputError as error:
        all_frames = (frames.start, frames.stop, frames.step or 1) == (None, None, 1)
        if laws or not all_frames or any(value not in (None, "cell") for value in options.values()):
            raise  # what was asked for by hand cannot be had; a page that is there may be better
        notes.append(f"No diffusivity: {error}")
    if summary is not None:
        notes += [f"{finding.severity}: {finding.message}" for finding in summary.findings]
    notes += [f"{view.entry.name}: {view.entry.error}" for view in views if view.entry.error]
    atoms = run.atoms
    formula = atoms.symbols.formula.reduce()[0].format("metal")
    return render(
        "run.html.j2",
        eyebrow="Molecular dynamics run",
        title=f"{formula}: {run.manifest.protocol['name']}",
        lead=f"{len(atoms)} atoms; {run.status}",
        notes=notes,
        found=[] if summary is None else result_tables(summary),
        figures=run_figures(run, summary),
        stages=_stages(views),
        flags=_flags(views),
        copies=[] if summary is None else [_copy(summary)],
        settings=_settings(run, summary),
        content={
            "status": run.status,
            "results": run.results,
            "analysis": None if summary is None else summary.to_dict(),
        },
    )


def _stages(views: list[StageView]) -> Table:
    return make_table(
        "Stages",
        ("Stage", "Class", "Status", "T (K)", "P (GPa)", "V (Å³/atom)", "Simulated (ps)"),
        [
            (
                view.entry.name,
                view.entry.kind,
                view.status,
                of(view.temperature_K, 4),
                view.pressure_GPa,
                of(view.volume_per_atom_A3, 4),
                view.simulated_ps,
            )
            for view in views
        ],
        "Averages over what was recorded.",
    )


def _flags(views: list[StageView]) -> list[str]:
    """Say of each flag which stages have it."""
    found: dict[str, list[str]] = {}
    for view in views:
        for flag in view.flags:
            found.setdefault(flag, []).append(view.entry.name)
    return [f"{flag.replace('_', ' ')}: {', '.join(names)}" for flag, names in found.items()]


def _copy(summary: AnalysisSummary) -> CopyBlock:
    rows = []
    for name, stage in summary.stages.items():
        for symbol, result in stage.species.items():
            ends = result.D_interval68_cm2_s or (None, None)
            bound = result.D_upper_bound_cm2_s
            rows.append((name, symbol, stage.temperature_K, result.D_cm2_s, *ends, bound))
    return csv_block(
        "Diffusivities",
        ", cm²/s; low and high are intervals of 68 %, the bound holds with 95 %.",
        ("stage", "species", "temperature_K", "D", "low", "high", "bound"),
        rows,
    )


def _settings(run: Run, summary: AnalysisSummary | None) -> list[Group]:
    manifest = run.manifest
    protocol = manifest.protocol
    about = {
        "directory": run.path.name,
        "begun": manifest.created,
        "seed": manifest.identity["seed"],
        "protocol": protocol["name"],
        "reference": protocol.get("reference") or DASH,
    }
    deviations = tuple(("deviates", str(text)) for text in protocol.get("deviations") or ())
    groups = [Group("Run", (*entries(about), *deviations))]
    if summary is not None:
        first = next(iter(next(iter(summary.stages.values())).species.values()))
        said = summary.from_recipe
        by_recipe = () if said is None else (("by the recipe", str(said)),)
        # The range of the fit is each stage's own, and stands in its row.
        how = entries(asdict(replace(first.settings, fit_ps=None)))
        groups.append(Group("Diffusivities", (*how, *by_recipe)))
    return [
        *groups,
        *(Group(f"Calculator: {key}", entries(spec)) for key, spec in manifest.calculators.items()),
        Group("Stages", tuple((stage.name, _in_a_line(stage.settings)) for stage in run.stages)),
        Group("Versions", tuple(manifest.versions.items())),
    ]


def _in_a_line(settings: Mapping[str, Any]) -> str:
    named = entries({key: value for key, value in settings.items() if key != "name"})
    return ", ".join(f"{name} {text}" for name, text in named)
