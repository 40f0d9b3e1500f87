"""The report of a run: what it found, in figures and numbers, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
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
    Value,
    csv_block,
    entries,
    make_table,
    of,
    of_diffusivity,
    of_interval,
)
from mlmd.report.page.page import render, write_page
from mlmd.report.run.figures import run_figures
from mlmd.run.measured import measured_stages
from mlmd.run.overview import StageView, overview

if TYPE_CHECKING:
    from typing import Unpack

    from mlmd.analysis.diffusion.diffusivity import Diffusivity
    from mlmd.analysis.summary import DiffusivityOptions
    from mlmd.run.run import Run


def write_run_report(
    run: Run,
    path: str | Path | None = None,
    force: bool = False,
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
    return write_page(run_page(run, **options), place, force)


def run_page(run: Run, **options: Unpack[DiffusivityOptions]) -> str:
    """Return the HTML of :func:`write_run_report`."""
    diffusivity_settings(**options)
    recipe = RecipeAnalysis.of(run)
    views = overview(run)
    summary: AnalysisSummary | None = None
    notes: list[str] = []
    flags = {entry.name: entry.flags for entry in run.stages}
    try:
        summary = summarize(measured_stages(run), flags=flags, recipe=recipe, **options)
    except InputError as error:
        if any(value not in (None, "cell") for value in options.values()):
            raise  # what was asked for by hand cannot be had; a page that is there may be better
        notes.append(f"No diffusivity: {error}")
    if summary is not None:
        notes += [finding.message for finding in summary.findings]
    notes += [f"{view.entry.name}: {view.entry.error}" for view in views if view.entry.error]
    atoms = run.atoms
    formula = atoms.symbols.formula.reduce()[0].format("metal")
    return render(
        "run.html.j2",
        eyebrow="Molecular dynamics run",
        title=f"{formula}: {run.manifest.protocol['name']}",
        lead=f"{len(atoms)} atoms; {run.status}",
        notes=notes,
        found=[] if summary is None else _found(summary),
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


def _found(summary: AnalysisSummary) -> list[Table]:
    rows: list[tuple[Value, ...]] = []
    for name, stage in summary.stages.items():
        for symbol, one in stage.species.items():
            found = of_diffusivity(one.D_cm2_s, one.D_interval68_cm2_s, one.D_upper_bound_cm2_s)
            doubts = [*stage.flags, *([] if one.D_cm2_s is not None else [one.reason])]
            T = of(stage.temperature_K, 4)
            rows.append(
                (
                    f"{name}, {symbol}",
                    T,
                    found,
                    stage.duration_ps,
                    _lifetimes(one),
                    "; ".join(doubts) or DASH,
                )
            )
    laws = [
        (symbol, of_interval(law.E_a_eV, _about(law.E_a_eV, law.E_a_stderr_eV)), law.D0_cm2_s)
        for symbol, law in summary.arrhenius.items()
        if law is not None
    ]
    tables = (
        make_table(
            "Diffusivities",
            ("Stage", "T (K)", "D (cm²/s)", "Length (ps)", "Length / relaxation time", "Doubts"),
            rows,
            "Brackets are intervals of 68 %. Where the motion is not diffusive the bound holds "
            "with 95 %.",
        ),
        make_table("Arrhenius law", ("Species", "Eₐ (eV)", "D₀ (cm²/s)"), laws),
    )
    return [table for table in tables if table.rows]


def _lifetimes(result: Diffusivity) -> Value:
    """Length of the run over the structural relaxation time."""
    relaxed = result.motion.relaxation
    if relaxed is None:
        return None
    return f"< {relaxed.relaxations:g}" if relaxed.time_ps is None else of(relaxed.relaxations, 2)


def _about(value: float, error: float | None) -> tuple[float, float] | None:
    return None if error is None else (value - error, value + error)


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
        groups.append(Group("Diffusivities", (*entries(asdict(first.settings)), *by_recipe)))
    return [
        *groups,
        *(Group(f"Calculator: {key}", entries(spec)) for key, spec in manifest.calculators.items()),
        Group("Stages", tuple((stage.name, _in_a_line(stage.settings)) for stage in run.stages)),
        Group("Versions", tuple(manifest.versions.items())),
    ]


def _in_a_line(settings: Mapping[str, Any]) -> str:
    named = entries({key: value for key, value in settings.items() if key != "name"})
    return ", ".join(f"{name} {text}" for name, text in named)
