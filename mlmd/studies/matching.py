"""The protocol that repeats a reference: same cell, density, temperature, length, interval."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlmd.errors import InputError
from mlmd.protocol import Protocol
from mlmd.stages.equilibrate import Equilibrate
from mlmd.stages.production import Production

if TYPE_CHECKING:
    from mlmd.studies.reference import Reference
    from mlmd.studies.settings import StudySettings

PRODUCTION = "production"
"""Stage that is compared with the reference."""

EQUILIBRATED_PART, LEAST_EQUILIBRATION_PS = 0.1, 1.0
LONGEST_TIMESTEP_FS, WITH_HYDROGEN_FS, WHEN_HOT_FS, HOT_K = 2.0, 0.5, 1.0, 4000.0


def matching_protocol(reference: Reference, settings: StudySettings) -> Protocol:
    """Return the protocol of a surrogate's run.

    The time step is the longest that divides the reference's interval and is not above what is
    asked for, or above 2 fs (0.5 fs with hydrogen, 1 fs from 4000 K on). Equilibration takes a
    tenth of the reference's length and at least 1 ps where nothing else is asked for: the first
    frame is of the reference's liquid already, the momenta are not.
    """
    trajectory = reference.trajectory
    interval_fs = float(f"{trajectory.uniform_interval_fs():.9g}")
    longest_fs = settings.timestep_fs or _longest_timestep_fs(reference)
    timestep_fs = interval_fs / math.ceil(interval_fs / longest_fs - 1e-9)
    asked_ps = settings.equilibration_ps
    if asked_ps is None:
        asked_ps = max(EQUILIBRATED_PART * trajectory.duration_ps, LEAST_EQUILIBRATION_PS)
    n_equilibration = max(1, math.ceil(asked_ps * 1000.0 / interval_fs - 1e-9))
    if settings.timestep_fs is not None and settings.timestep_fs > interval_fs * (1 + 1e-9):
        raise InputError(
            f"a time step of {settings.timestep_fs:g} fs was given, but the frames of "
            f"{reference.name} are {interval_fs:g} fs apart; expected a time step within that"
        )
    common: dict[str, Any] = {
        "temperature_K": reference.temperature_K,
        "timestep_fs": timestep_fs,
        "record_every_fs": interval_fs,
    }
    return Protocol(
        name="validation",
        reference="ours: the same cell, density, temperature, length and interval as a reference",
        stages=(
            Equilibrate(
                name="equilibrate", duration_ps=n_equilibration * interval_fs / 1000.0, **common
            ),
            Production(
                name=PRODUCTION,
                duration_ps=(len(trajectory) - 1) * interval_fs / 1000.0,
                record_velocities=trajectory.velocities_A_fs is not None,
                **common,
            ),
        ),
        analysis={} if reference.recipe is None else reference.recipe.settings,
    )


def _longest_timestep_fs(reference: Reference) -> float:
    if "H" in reference.trajectory.species:
        return WITH_HYDROGEN_FS
    return WHEN_HOT_FS if reference.temperature_K >= HOT_K else LONGEST_TIMESTEP_FS
