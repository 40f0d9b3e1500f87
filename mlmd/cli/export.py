"""``mlmd export``: a trajectory in a format that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlmd.cli.options import AsJson, Force, refuse_given
from mlmd.cli.outputs import Output
from mlmd.cli.sources import (
    Elements,
    Every,
    FrameIntervalFs,
    LongStepsChoice,
    MdStepFs,
    Source,
    Start,
    Stop,
    one_interval,
)
from mlmd.errors import InputError
from mlmd.plain import json_line


def export_command(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR STAGE | TRAJECTORY...",
            help="A run directory and the name of a stage, or the file or files of one "
            "trajectory, in order.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File: .extxyz, .xyz, .traj or .h5md."),
        Output("trajectory"),
    ],
    frame_interval_fs: FrameIntervalFs = None,
    md_step_fs: MdStepFs = None,
    elements: Elements = None,
    start: Start = None,
    stop: Stop = None,
    every: Every = 1,
    long_steps: LongStepsChoice = "refuse",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a stage's or any other trajectory to a file, unwrapped; what it lacks is left out."""
    from mlmd.run.run import Run
    from mlmd.trajectory.export import check_format, export_trajectory

    check_format(output)
    if paths[0].is_dir():
        run = Run.open(paths[0])
        if len(paths) != 2:
            names = ", ".join(entry.name for entry in run.stages)
            raise InputError(
                f"{len(paths) - 1} stages of run {paths[0]} were given; expected the name of one "
                f"({names})"
            )
        of_files = ("frame_interval_fs", "md_step_fs", "elements", "long_steps")
        refuse_given(context, of_files, "is of files; a run knows its times: leave it out")
        trajectory = run.trajectory(str(paths[1]), start, stop, every)
    else:
        source = Source(
            paths,
            one_interval(frame_interval_fs),
            start=start,
            stop=stop,
            every=every,
            long_steps=long_steps,
            md_step_fs=md_step_fs,
            elements=elements,
        )
        source.check()
        trajectory = source.read()
    export_trajectory(trajectory, output, force)
    if as_json:
        findings = [finding.to_dict() for finding in trajectory.findings]
        print(json_line({"file": str(output), "n_frames": len(trajectory), "findings": findings}))
        return
    print(f"{output}: {len(trajectory)} frames of {trajectory.n_atoms} atoms")
    for finding in trajectory.findings:
        print(f"{finding.severity}: {finding.message}")
