"""What the measuring commands read: a run's finished productions, or files of one trajectory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from mlmd.checks import choice
from mlmd.errors import InputError
from mlmd.findings import Finding

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
FrameIntervalFs = Annotated[
    list[float] | None,
    typer.Option(
        "--frame-interval-fs",
        "--timestep-fs",
        help="Time between frames of a file that does not say it.",
        metavar="FLOAT",
    ),
]
MdStepFs = Annotated[
    float | None,
    typer.Option("--md-step-fs", help="Time of one of the MD steps that a file counts."),
]
Elements = Annotated[
    str | None,
    typer.Option("--elements", help="Li,O: elements of the types 1, 2, ... of a LAMMPS dump."),
]
Pieces = Annotated[
    bool,
    typer.Option(
        "--pieces",
        help="Cut a trajectory where frames are missing or change their interval; pieces are "
        "samples of the same.",
    ),
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
        "--long-steps",
        help="Steps too long to be unwrapped with certainty, or to follow the frame before: "
        "refuse or warn.",
    ),
]

SINGLE = "trajectory"
"""Name of what files hold."""

FEWEST_PIECE_FRAMES = 10
"""Shorter pieces give no diffusivity that is worth its error, and are left out."""


def one_interval(given_fs: list[float] | None) -> float | None:
    """Return the time between frames, which may be given by its old name too.

    Raises
    ------
    InputError
        If two different ones were given.
    """
    if given_fs and len(set(given_fs)) > 1:
        said = " and ".join(f"{one:g}" for one in given_fs)
        raise InputError(
            f"--frame-interval-fs (--timestep-fs is its old name) was given as {said}; give it once"
        )
    return given_fs[0] if given_fs else None


def element_list(text: str | None) -> list[str] | None:
    """Return the words of ``Li,P,S``; what they are is seen where the file is read."""
    return None if text is None else [word.strip() for word in text.split(",")]


_OF_FILES = (
    ("frame_interval_fs", "--frame-interval-fs"),
    ("md_step_fs", "--md-step-fs"),
    ("temperature_K", "--temperature-K"),
    ("elements", "--elements"),
    ("pieces", "--pieces"),
    ("long_steps", "--long-steps"),
)
"""What a run knows by itself."""


@dataclass(frozen=True)
class Source:
    """Where trajectories come from, as a command line says it."""

    paths: list[Path]
    frame_interval_fs: float | None = None
    temperature_K: float | None = None
    start: int | None = None
    stop: int | None = None
    every: int = 1
    long_steps: str = "refuse"
    md_step_fs: float | None = None
    elements: str | None = None
    pieces: bool = False
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
            bare = Source(self.paths)
            given = [text for key, text in _OF_FILES if getattr(self, key) != getattr(bare, key)]
            if given:
                raise InputError(
                    "a run knows its times and temperatures, its elements and its steps; leave "
                    f"{' and '.join(given)} out"
                )
        elif any(path.suffix == ".h5md" for path in self.paths):
            for option, value in (
                ("--frame-interval-fs", self.frame_interval_fs),
                ("--md-step-fs", self.md_step_fs),
            ):
                if value is not None:
                    raise InputError(
                        f"{option} is of files that do not say their times; a .h5md does: leave "
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
            read = self._read_pieces() if self.pieces else [self.read()]
            names = [f"piece {i + 1}" for i in range(len(read))] if len(read) > 1 else [SINGLE]
            return {name: (one, self.temperature_K) for name, one in zip(names, read, strict=True)}
        from mlmd.run.measured import measured_stages
        from mlmd.run.run import Run

        return measured_stages(Run.open(self.run), self.start, self.stop, self.every)

    def sample_of(self, name: str) -> str:
        """Return what a stage is a sample of: pieces of a trajectory are of that."""
        return SINGLE if self.run is None else name

    def read(self) -> Trajectory:
        """Read the files as one trajectory."""
        from mlmd.run.measured import read_file, read_snapshots

        if not self.needs_time:
            return read_snapshots(self._files, **self._options)
        return read_file(
            self._files, long_steps=self.long_steps, md_step_fs=self.md_step_fs, **self._options
        )

    def _read_pieces(self) -> list[Trajectory]:
        from mlmd.trajectory import Trajectory

        long_steps = cast("LongSteps", self.long_steps)
        read = Trajectory.read_pieces(
            self._files, long_steps=long_steps, md_step_fs=self.md_step_fs, **self._options
        )
        kept = [one for one in read if len(one) >= FEWEST_PIECE_FRAMES]
        if len(kept) == len(read) or not kept:
            return read
        n_left = len(read) - len(kept)
        text = f"{n_left} piece(s) of fewer than {FEWEST_PIECE_FRAMES} frames are left out"
        left = Finding("pieces_left_out", "note", text, {"n_pieces": float(n_left)})
        about = [finding for one in read if one not in kept[1:] for finding in one.findings]
        return [replace(kept[0], findings=(*about, left)), *kept[1:]]

    @property
    def _files(self) -> Path | list[Path]:
        return self.paths if len(self.paths) > 1 else self.paths[0]

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "frame_interval_fs": self.frame_interval_fs,
            "start": self.start,
            "stop": self.stop,
            "every": self.every,
            "elements": element_list(self.elements),
        }
