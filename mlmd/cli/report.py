"""``mlmd report``: one HTML file about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlmd.cli.measuring import (
    AtomsChosen,
    AtRest,
    Carriers,
    Estimator,
    EstimatorOption,
    ExtrapolateK,
    FitPs,
    Mobile,
    OriginsChoice,
    OxidationStates,
    ReferenceChoice,
    WindowPs,
    charge_options,
    diffusivity_options,
)
from mlmd.cli.options import AsJson, Force, RunDirectory
from mlmd.cli.outputs import Output
from mlmd.cli.sources import Every, Start, Stop
from mlmd.plain import json_line


def report_command(
    directory: RunDirectory,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="HTML file; report.html in the run if not given."),
        Output("page"),
    ] = None,
    start: Start = None,
    stop: Stop = None,
    every: Every = 1,
    estimator: Estimator = None,
    window_ps: WindowPs = None,
    fit_ps: FitPs = None,
    drift: AtRest = None,
    mobile: Mobile = None,
    origins: OriginsChoice = None,
    estimator_option: EstimatorOption = None,
    atoms: AtomsChosen = None,
    oxidation_states: OxidationStates = None,
    carriers: Carriers = None,
    reference: ReferenceChoice = None,
    extrapolate_K: ExtrapolateK = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a report of a run: D(T), MSD, Arrhenius, g(r), conductivity, volumes, settings.

    Options of how it is measured are those of mlmd analyze.
    """
    from mlmd.report import write_run_report
    from mlmd.run.run import Run

    written = write_run_report(
        Run.open(directory),
        output,
        force,
        frames=slice(start, stop, every),
        laws=charge_options(oxidation_states, carriers, reference, extrapolate_K),
        **diffusivity_options(
            estimator, window_ps, fit_ps, drift, mobile, origins, estimator_option, atoms
        ),
    )
    print(json_line({"file": str(written)}) if as_json else f"written: {written}")
