"""``mlmd export``: a stage's trajectory in a format that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlmd.cli.options import AsJson, Force, RunDirectory
from mlmd.cli.outputs import Output
from mlmd.plain import json_line


def export_command(
    directory: RunDirectory,
    stage: Annotated[str, typer.Argument(help="Name of the stage.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File: .extxyz, .xyz, .traj or .h5md."),
        Output("trajectory"),
    ],
    start: Annotated[int | None, typer.Option("--start", help="First frame.")] = None,
    stop: Annotated[int | None, typer.Option("--stop", help="Frame to stop before.")] = None,
    every: Annotated[int, typer.Option("--every", help="Take every so many frames.")] = 1,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a stage's trajectory to a file."""
    from mlmd.run.run import Run
    from mlmd.trajectory.export import check_format, export_trajectory

    check_format(output)
    trajectory = Run.open(directory).trajectory(stage, start, stop, every)
    export_trajectory(trajectory, output, force)
    if as_json:
        print(json_line({"file": str(output), "n_frames": len(trajectory)}))
    else:
        print(f"{output}: {len(trajectory)} frames of {trajectory.n_atoms} atoms")
