"""The report of a run: what it found, in figures and numbers, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd._version import __version__
from mlmd.analysis.summary import AnalysisSummary, summarize
from mlmd.errors import InputError
from mlmd.report.page.elements import Cell, CopyBlock, Group, Table, csv_text, of, of_interval
from mlmd.report.page.numbers import DASH, number
from mlmd.report.page.page import render, write_page
from mlmd.report.run.figures import run_figures
from mlmd.run.measured import measured_stages
from mlmd.run.overview import StageView, overview

if TYPE_CHECKING:
    from typing import Unpack

    from mlmd.analysis.summary import DiffusivityOptions
    from mlmd.run.run import Run


def write_run_report(
    run: Run, path: str | Path | None = None, **options: Unpack[DiffusivityOptions]
) -> Path:
    """Write a report of a run, finished or not.

    Parameters
    ----------
    run
        From :meth:`mlmd.Run.open`.
    path
        The HTML file; ``report.html`` in the run's directory where not given.
    **options
        How diffusivities are measured: keywords of
        :func:`mlmd.analysis.diffusion.diffusivity.diffusivity`.

    Raises
    ------
    MissingExtraError
        If Jinja2 is not installed.
    InputError
        If the file cannot be written.
    """
    html = run_page(run, **options)
    return write_page(html, run.path / "report.html" if path is None else Path(path))


def run_page(run: Run, **options: Unpack[DiffusivityOptions]) -> str:
    """Return the HTML of :func:`write_run_report`."""
    views = overview(run)
    summary: AnalysisSummary | None = None
    notes: list[str] = []
    flags = {entry.name: entry.flags for entry in run.stages}
    try:
        summary = summarize(measured_stages(run), flags=flags, **options)
    except InputError as error:
        notes.append(f"No diffusivity: {error}")
    if summary is not None:
        notes += [f"{symbol}: {note}" for symbol, note in summary.notes.items()]
    notes += [f"{view.entry.name}: {view.entry.error}" for view in views if view.entry.error]
    atoms = run.atoms
    formula = atoms.symbols.formula.reduce()[0].format("metal")
    return render(
        "run.html.j2",
        version=__version__,
        eyebrow="Molecular dynamics run",
        title=f"{formula}: {run.manifest.protocol['name']}",
        lead=f"{len(atoms)} atoms; {run.status}",
        notes=notes,
        found=_found(summary),
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


def _found(summary: AnalysisSummary | None) -> list[Table]:
    if summary is None:
        return []
    rows = []
    for name, stage in summary.stages.items():
        for symbol, result in stage.species.items():
            value = result.D_cm2_s
            if value is None:
                bound = result.D_upper_bound_cm2_s
                cell = Cell("not diffusive" if bound is None else f"< {number(bound)}", bound)
            else:
                cell = of_interval(value, result.D_interval68_cm2_s)
            doubts = [*stage.flags, *([] if value is not None else [result.reason])]
            rows.append(
                (
                    Cell(f"{name}, {symbol}"),
                    of(stage.temperature_K, 4),
                    cell,
                    of(stage.duration_ps),
                    Cell("; ".join(doubts) or DASH),
                )
            )
    tables = [
        Table(
            "Diffusivities",
            ("Stage", "T (K)", "D (cm²/s)", "Length (ps)", "Doubts"),
            tuple(rows),
            "Brackets are intervals of 68 %. Where the motion is not diffusive the bound holds "
            "with 95 %.",
        )
    ]
    laws = [
        (
            Cell(symbol),
            of_interval(law.E_a_eV, _about(law.E_a_eV, law.E_a_stderr_eV)),
            of(law.D0_cm2_s),
        )
        for symbol, law in summary.arrhenius.items()
        if law is not None
    ]
    if laws:
        tables.append(Table("Arrhenius law", ("Species", "Eₐ (eV)", "D₀ (cm²/s)"), tuple(laws)))
    return tables


def _about(value: float, error: float | None) -> tuple[float, float] | None:
    return None if error is None else (value - error, value + error)


def _stages(views: list[StageView]) -> Table:
    rows = tuple(
        (
            Cell(view.entry.name),
            Cell(view.entry.kind),
            Cell(view.status),
            of(view.temperature_K, 4),
            of(view.pressure_GPa),
            of(view.volume_per_atom_A3, 4),
            of(view.simulated_ps),
        )
        for view in views
    )
    columns = ("Stage", "Class", "Status", "T (K)", "P (GPa)", "V (Å³/atom)", "Simulated (ps)")
    return Table("Stages", columns, rows, "Averages over what was recorded.")


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
    return CopyBlock(
        "csv-diffusivities",
        "Diffusivities",
        "CSV, all digits, cm²/s; low and high are intervals of 68 %, the bound holds with 95 %.",
        csv_text(("stage", "species", "temperature_K", "D", "low", "high", "bound"), rows),
    )


def _settings(run: Run, summary: AnalysisSummary | None) -> list[Group]:
    manifest = run.manifest
    protocol = manifest.protocol
    deviations = tuple(("deviates", str(text)) for text in protocol.get("deviations") or ())
    groups = [
        Group(
            "Run",
            (
                ("directory", run.path.name),
                ("begun", manifest.created),
                ("seed", str(manifest.identity["seed"])),
                ("protocol", str(protocol["name"])),
                ("reference", str(protocol.get("reference") or DASH)),
                *deviations,
            ),
        ),
        *(Group(f"Calculator: {key}", named(spec)) for key, spec in manifest.calculators.items()),
        Group("Stages", tuple((stage.name, _in_a_line(stage.settings)) for stage in run.stages)),
    ]
    if summary is not None:
        first = next(iter(next(iter(summary.stages.values())).species.values()))
        groups.insert(1, Group("Diffusivities", named(asdict(first.settings))))
    return [*groups, Group("Versions", tuple(manifest.versions.items()))]


def named(settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return settings as texts; those that are not set are left out."""
    return tuple(
        (key.replace("_", " "), _text(value))
        for key, value in settings.items()
        if value is not None and value not in ({}, [])
    )


def _in_a_line(settings: Mapping[str, Any]) -> str:
    entries = named({key: value for key, value in settings.items() if key != "name"})
    return ", ".join(f"{name} {text}" for name, text in entries)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
