"""Which trajectories are there to be analysed: of a run, or in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.errors import InputError
from mlmd.run.manifest import NAME
from mlmd.run.run import TRAJECTORY, Run
from mlmd.trajectory import Trajectory
from mlmd.trajectory.text.species_labels import check_given, given_elements

if TYPE_CHECKING:
    from mlmd.trajectory.joining.unwrapping import LongSteps


def measured_stages(run: Run) -> dict[str, tuple[Trajectory, float | None]]:
    """Return trajectory and thermostat temperature (K) of every finished production stage.

    A stage that failed, was stopped or still runs is not analysed.

    Raises
    ------
    InputError
        If no production stage is finished.
    """
    entries = [entry for entry in run.stages if entry.measured]
    done = [entry for entry in entries if entry.status == "done"]
    if not done:
        states = ", ".join(f"{entry.name} {entry.status}" for entry in entries) or "it has none"
        raise InputError(f"{run.path} has no finished production stage to analyse ({states})")
    return {
        entry.name: (run.trajectory(entry.name), entry.settings.get("temperature_K"))
        for entry in done
    }


def read_file(
    path: str | Path | Sequence[str | Path],
    timestep_fs: float | None = None,
    *,
    long_steps: LongSteps = "refuse",
    elements: Sequence[str] | None = None,
    **frames: Any,
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
                trajectory = run.trajectory(entry.name, **frames)
                check_given(str(one), trajectory.numbers, given_elements(elements))
                return trajectory
    return Trajectory.read(path, timestep_fs, long_steps=long_steps, elements=elements, **frames)
