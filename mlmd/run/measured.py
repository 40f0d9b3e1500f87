"""Which trajectories of a run are there to be analysed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.run.run import Run
    from mlmd.trajectory import Trajectory


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
