"""``mlmd features``: numbers that describe structures, for models to learn from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlmd.cli.left_out import LeftOut
from mlmd.cli.options import AsJson, Force, refuse_given
from mlmd.cli.outputs import Output
from mlmd.cli.sources import Elements, FrameIntervalFs, element_list, one_interval
from mlmd.digits import TERMINAL, with_error
from mlmd.errors import InputError
from mlmd.plain import json_line

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
        int, typer.Option("--every", help="Take every so many frames, or structures, of a file.")
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
    each: Annotated[
        bool,
        typer.Option(
            "--each",
            help="A row for each structure of a file. If not given, several of the same atoms in "
            "a format of trajectories are frames of one, and have one row.",
        ),
    ] = False,
    frame_interval_fs: FrameIntervalFs = None,
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
    if start + last + each > 1:
        raise InputError("--start, --last and --each are of different frames; give one of them")
    if start or last:
        refuse_given(context, ("every",), "is of a mean over frames; leave it out for one frame")
    interval_fs = one_interval(frame_interval_fs)
    from mlmd.cli.progress import shown_progress
    from mlmd.studies.file_features import featurize_files

    chosen: Chosen = "start" if start else "last" if last else "each" if each else "mean"
    left_out = LeftOut()
    with shown_progress() as show:
        table = featurize_files(
            paths or [], mobile, convention, chosen, every, interval_fs, temperature_K, jobs, show,
            left_out, elements=element_list(elements),
        )  # fmt: skip
    if output is not None:
        table.to_csv(output, force)
    if as_json:
        print(json_line({**table.to_dict(), "left_out": left_out.messages}))
    elif output is not None:
        rows = "1 row" if len(table) == 1 else f"{len(table)} rows"
        print(f"{output}: {rows} of {table.values.shape[1]} features")
        _print_means(table)
    else:
        _print(table)
    left_out.raise_if_any(len(table), "row(s)")


def _print_means(table: FeatureTable) -> None:
    """Say which files were taken for trajectories."""
    for name, about in table.about.iterrows():
        if about["frames"] == "mean over file":
            print(f"{name}: mean over {about['n_frames']} frames (--each: a row for each)")


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
            text = f"{value:.6g}" if math.isnan(spread) else with_error(value, spread, TERMINAL)
            print(f"  {column:<28} {text:>12} {unit if unit != '1' else ''}".rstrip())


def _print_list(as_json: bool) -> None:
    from mlmd.descriptors import FEATURES

    if as_json:
        keys = ("name", "unit", "definition", "status")
        print(json_line([{key: getattr(f, key) for key in keys} for f in FEATURES]))
        return
    for feature in FEATURES:
        print(f"{feature.name:<28} {feature.unit:<26} {feature.status:<10} {feature.definition}")
