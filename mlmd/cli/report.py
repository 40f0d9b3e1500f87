"""``mlmd report``: one HTML file about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlmd.cli.options import (
    AsJson,
    AtRest,
    FitPs,
    Force,
    RunDirectory,
    WindowPs,
    diffusivity_options,
)
from mlmd.cli.outputs import Output
from mlmd.plain import json_line


def report_command(
    directory: RunDirectory,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="HTML file; report.html in the run if not given."),
        Output("page"),
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option("--estimator", help="How D is estimated, as for mlmd analyze."),
    ] = None,
    window_ps: WindowPs = None,
    fit_ps: FitPs = None,
    drift: AtRest = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a report of a run: D(T), MSD, Arrhenius, g(r), volumes, flags, settings."""
    from mlmd.report import write_run_report
    from mlmd.run.run import Run

    written = write_run_report(
        Run.open(directory),
        output,
        force,
        **diffusivity_options(estimator, window_ps, fit_ps, drift),
    )
    print(json_line({"file": str(written)}) if as_json else f"written: {written}")
