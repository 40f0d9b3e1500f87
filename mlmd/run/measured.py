"""Which trajectories are there to be analysed: of a run, or in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlmd.errors import InputError
from mlmd.run.manifest import NAME
from mlmd.run.run import TRAJECTORY, Run
from mlmd.trajectory import Trajectory
from mlmd.trajectory.text.species_labels import check_given, given_elements


def measured_stages(
    run: Run, start: int | None = None, stop: int | None = None, every: int = 1
) -> dict[str, tuple[Trajectory, float | None]]:
    """Return trajectory and thermostat temperature (K) of every finished production stage.

    A stage that failed, was stopped or still runs is not analysed.

    Parameters
    ----------
    run
        From :meth:`mlmd.Run.open`.
    start, stop, every
        Frames ``start:stop:every`` of each stage, as in a slice.

    Raises
    ------
    InputError
        If no production stage is finished, or no frame of one is left.
    """
    entries = [entry for entry in run.stages if entry.measured]
    done = [entry for entry in entries if entry.status == "done"]
    if not done:
        states = ", ".join(f"{entry.name} {entry.status}" for entry in entries) or "it has none"
        raise InputError(f"{run.path} has no finished production stage to analyse ({states})")
    return {
        entry.name: (
            run.trajectory(entry.name, start, stop, every),
            entry.settings.get("temperature_K"),
        )
        for entry in done
    }


def read_file(
    path: str | Path | Sequence[str | Path],
    timestep_fs: float | None = None,
    **options: Any,
) -> Trajectory:
    """Read a trajectory as :meth:`mlmd.Trajectory.read` does, one of a run through that run.

    So its file is held against its checksum, as where the run is named.

    Raises
    ------
    InputError
        As :meth:`mlmd.Trajectory.read`.
    DamagedDataError
        If it is a run's and not what was written.
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    one = Path(paths[0]).absolute() if len(paths) == 1 else None
    if one is not None and one.name == TRAJECTORY and (one.parent.parent / NAME).exists():
        run = Run.open(one.parent.parent)
        for entry in run.stages:
            if entry.folder == one.parent.name:
                frames = {k: v for k, v in options.items() if k in ("start", "stop", "every")}
                trajectory = run.trajectory(entry.name, **frames)
                check_given(str(one), trajectory.numbers, given_elements(options.get("elements")))
                return trajectory
    return Trajectory.read(path, timestep_fs, **options)


def read_snapshots(
    path: str | Path | Sequence[str | Path], timestep_fs: float | None = None, **options: Any
) -> Trajectory:
    """Read frames of which neither times nor unwrapping matter, as :func:`read_file`.

    They may be snapshots that do not follow each other: for g(r), features, and whatever else is
    measured of each frame, modulo the cell.

    Raises
    ------
    InputError, DamagedDataError
        As :func:`read_file`, but for times that are unknown and frames that do not follow.
    """
    return read_file(path, timestep_fs, long_steps="accept", **options)
