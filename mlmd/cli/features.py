"""``mlmd features``: numbers that describe structures, for models to learn from."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlmd.cli.options import AsJson, Force, refuse_given
from mlmd.cli.outputs import Output
from mlmd.cli.sources import Elements, element_list
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.descriptors import FeatureTable
    from mlmd.studies.file_features import Chosen


def features_command(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN_OR_FILE...", help="Run directories, trajectories or structures."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Table to write (CSV)."),
        Output("table"),
    ] = None,
    mobile: Annotated[str, typer.Option("--mobile", help="The mobile element.")] = "Li",
    convention: Annotated[str, typer.Option("--convention", help="mlmd or zheng2024.")] = "mlmd",
    every: Annotated[
        int, typer.Option("--every", help="Take every so many frames of a trajectory.")
    ] = 1,
    last: Annotated[
        bool,
        typer.Option("--last", help="Only the last frame, as in the paper; not a mean over all."),
    ] = False,
    start: Annotated[
        bool,
        typer.Option(
            "--start",
            help="Only the first frame: what a production began with, which knows nothing of it.",
        ),
    ] = False,
    timestep_fs: Annotated[
        float | None,
        typer.Option("--timestep-fs", help="Time between frames of a file that does not say."),
    ] = None,
    elements: Elements = None,
    temperature_K: Annotated[
        float | None, typer.Option("--temperature-K", help="Temperature of files; runs know it.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes to use.")] = 1,
    list_all: Annotated[
        bool, typer.Option("--list", help="List the features with units and definitions.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Features of runs, trajectories and structures, one row each, as a table."""
    if list_all:
        others = {parameter.name for parameter in context.command.params}
        refuse_given(context, others - {"list_all", "as_json"}, "is nothing to list: leave it out")
        _print_list(as_json)
        return
    if start and last:
        raise InputError("--start and --last are two different frames; give one of them")
    if start or last:
        refuse_given(context, ("every",), "is of a mean over frames; leave it out for one frame")
    from mlmd.cli.progress import shown_progress
    from mlmd.studies.file_features import featurize_files

    chosen: Chosen = "start" if start else "last" if last else "mean"
    with shown_progress() as show:
        table = featurize_files(
            paths or [], mobile, convention, chosen, every, timestep_fs, temperature_K, jobs, show,
            elements=element_list(elements),
        )  # fmt: skip
    if output is not None:
        table.to_csv(output, force)
    if as_json:
        print(json.dumps(table.to_dict()))
    elif output is not None:
        print(f"{output}: {len(table)} rows of {table.values.shape[1]} features")
    else:
        _print(table)


def _print(table: FeatureTable) -> None:
    for i, name in enumerate(table.values.index):
        about = table.about.iloc[i]
        kelvin = about["temperature_K"]
        at = "" if math.isnan(kelvin) else f" at {kelvin:g} K"
        print(
            f"{name}: {about['formula']}{at}, {about['n_frames']} frame(s), "
            f"{about['frames']}, {table.convention}"
        )
        for column, unit in table.units.items():
            value, spread = table.values[column].iloc[i], table.spread[column].iloc[i]
            error = "" if math.isnan(spread) else f" +- {spread:.4g}"
            print(f"  {column:<28} {value:12.6g}{error} {unit if unit != '1' else ''}".rstrip())


def _print_list(as_json: bool) -> None:
    from mlmd.descriptors import FEATURES

    if as_json:
        keys = ("name", "unit", "definition", "status")
        print(json.dumps([{key: getattr(f, key) for key in keys} for f in FEATURES]))
        return
    for feature in FEATURES:
        print(f"{feature.name:<28} {feature.unit:<26} {feature.status:<10} {feature.definition}")
