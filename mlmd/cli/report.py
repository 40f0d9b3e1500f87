"""``mlmd report``: one HTML file about a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mlmd.cli.options import AsJson, AtRest, FitPs, Force, RunDirectory, WindowPs
from mlmd.cli.outputs import Output

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.drift import Drift


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
    drift: AtRest = "cell",
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
        estimator=estimator,
        window_ps=window_ps,
        fit_ps=fit_ps,
        drift=cast("Drift", drift),
    )
    print(json.dumps({"file": str(written)}) if as_json else f"written: {written}")
