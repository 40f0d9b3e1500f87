"""What the measuring commands read: a run's finished productions, or files of one trajectory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mlmd.checks import choice
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.trajectory import Trajectory
    from mlmd.trajectory.joining.unwrapping import LongSteps

Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN_OR_TRAJECTORY",
        help="A run directory, or the file or files of one trajectory, in order.",
    ),
]
TimestepFs = Annotated[
    float | None,
    typer.Option("--timestep-fs", help="Time between frames of a file that does not say."),
]
TemperaturesK = Annotated[
    list[float] | None,
    typer.Option(
        "--temperature-K",
        help="Temperature of a bare trajectory; given once for each path, they are trajectories "
        "of their own.",
    ),
]
Start = Annotated[int | None, typer.Option("--start", help="First frame, from 0.")]
Stop = Annotated[int | None, typer.Option("--stop", help="Frame to stop before.")]
Every = Annotated[int, typer.Option("--every", help="Take every n-th frame.")]
LongStepsChoice = Annotated[
    str,
    typer.Option(
        "--long-steps", help="Steps too long to be unwrapped with certainty: refuse or warn."
    ),
]


@dataclass(frozen=True)
class Source:
    """Where trajectories come from, as a command line says it."""

    paths: list[Path]
    timestep_fs: float | None = None
    temperature_K: float | None = None
    start: int | None = None
    stop: int | None = None
    every: int = 1
    long_steps: str = "refuse"
    needs_time: bool = True
    """Whether what is measured depends on times and unwrapping; snapshots are read if not."""

    @property
    def label(self) -> str:
        """What it is called beside others."""
        return str(self.paths[0])

    @property
    def run(self) -> Path | None:
        """The run directory; None for files."""
        return self.paths[0] if self.paths[0].is_dir() else None

    def check(self) -> None:
        """See, before anything is read, that the options go with what was named.

        Raises
        ------
        InputError
            If one does not.
        """
        choice("--long-steps", self.long_steps, ("refuse", "warn"))
        if any(path.is_dir() for path in self.paths):
            if len(self.paths) > 1:
                raise InputError(
                    f"{len(self.paths)} paths were given, a run among them; give one run"
                )
            bare = replace(self, start=None, stop=None, every=1)
            if bare != Source(self.paths, needs_time=self.needs_time):
                raise InputError("a run knows its times and temperatures; leave those options out")
        elif any(path.suffix == ".h5md" for path in self.paths):
            if self.timestep_fs is not None:
                raise InputError(
                    "--timestep-fs is of files that do not say their times; a .h5md does: leave "
                    "it out"
                )
            if self.long_steps != "refuse":
                raise InputError(
                    "--long-steps is of files to unwrap; a .h5md is unwrapped: leave it out"
                )

    def stages(self) -> dict[str, tuple[Trajectory, float | None]]:
        """Return trajectory and thermostat temperature (K) by stage name.

        Raises
        ------
        InputError
            If an option does not go with what was named, or it cannot be read.
        """
        self.check()
        if self.run is None:
            return {"trajectory": (self._read(self.timestep_fs), self.temperature_K)}
        from mlmd.run.measured import measured_stages
        from mlmd.run.run import Run

        return measured_stages(Run.open(self.run), self.start, self.stop, self.every)

    def _read(self, timestep_fs: float | None) -> Trajectory:
        from mlmd.run.measured import read_file, read_snapshots

        paths = self.paths if len(self.paths) > 1 else self.paths[0]
        frames = {"start": self.start, "stop": self.stop, "every": self.every}
        if not self.needs_time:
            return read_snapshots(paths, timestep_fs, **frames)
        long_steps = cast("LongSteps", self.long_steps)
        return read_file(paths, timestep_fs, long_steps=long_steps, **frames)
