"""What the measuring commands read: a run's finished productions, or files of one trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mlmd.checks import choice
from mlmd.errors import InputError, TimeUnknownError

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
TemperatureK = Annotated[
    float | None, typer.Option("--temperature-K", help="Temperature of a bare trajectory.")
]
Start = Annotated[int | None, typer.Option("--start", help="First frame of a file, from 0.")]
Stop = Annotated[int | None, typer.Option("--stop", help="Frame of a file to stop before.")]
Every = Annotated[int, typer.Option("--every", help="Take every n-th frame of a file.")]
LongStepsChoice = Annotated[
    str,
    typer.Option(
        "--long-steps", help="Steps too long to be unwrapped with certainty: refuse or warn."
    ),
]

Elements = Annotated[
    str | None,
    typer.Option("--elements", help="Elements of types 1, 2, ... of a LAMMPS dump: Li,P,S."),
]

UNIT_TIME_FS = 1.0


def element_list(text: str | None) -> list[str] | None:
    """Return the words of ``Li,P,S``; what they are is seen where the file is read."""
    return None if text is None else [word.strip() for word in text.split(",")]


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
    elements: str | None = None
    needs_time: bool = True
    """Whether what is measured depends on the times; frames are counted where it does not."""

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
            if self != Source(self.paths, needs_time=self.needs_time):
                raise InputError(
                    "a run knows its times, temperatures and frames; leave those options out"
                )
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

        return measured_stages(Run.open(self.run))

    def _read(self, timestep_fs: float | None) -> Trajectory:
        from mlmd.run.measured import read_file

        paths = self.paths if len(self.paths) > 1 else self.paths[0]
        long_steps = cast("LongSteps", self.long_steps)
        try:
            return read_file(
                paths,
                timestep_fs,
                start=self.start,
                stop=self.stop,
                every=self.every,
                long_steps=long_steps,
                elements=element_list(self.elements),
            )
        except TimeUnknownError:
            if self.needs_time:
                raise
            return self._read(UNIT_TIME_FS)
