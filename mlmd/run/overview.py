"""The stages of a run as a tree, each with what it found, took and how far it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmd.errors import DamagedDataError, MlmdError
from mlmd.run.checkpoint import CheckpointStore
from mlmd.run.history import WallTime, wall_times

if TYPE_CHECKING:
    from mlmd.run.manifest import StageEntry
    from mlmd.run.run import Run

TO_DO = ("running", "stopped", "failed", "pending", "blocked", "stale")


@dataclass(frozen=True)
class StageView:
    """One stage as a person wants to see it; None where not known.

    Attributes
    ----------
    entry
        What the manifest says.
    status
        As there, but ``stopped`` for a stage whose process died at work.
    starts_from
        Name of the stage whose end it starts from; None for the first.
    level
        Depth in the tree: a stage that names where it starts is one below that stage, another
        is level with the stage before it.
    flags
        What its numbers are to be marked with.
    temperature_K, pressure_GPa, volume_per_atom_A3
        Averages of a finished stage.
    simulated_ps, duration_ps
        Simulated so far, by the last checkpoint, and in all.
    wall
        Wall time so far.
    """

    entry: StageEntry
    status: str
    starts_from: str | None
    level: int
    flags: tuple[str, ...]
    temperature_K: float | None
    pressure_GPa: float | None
    volume_per_atom_A3: float | None
    simulated_ps: float | None
    duration_ps: float | None
    wall: WallTime | None


def overview(run: Run) -> list[StageView]:
    """Return the stages of a run in order."""
    n_atoms = _n_atoms(run)
    at_work = run.status == "running"
    walls = wall_times(run.path, at_work)
    levels: dict[str, int] = {}
    views: list[StageView] = []
    before: str | None = None
    for entry in run.stages:
        named = entry.settings.get("starts_from")
        level = levels[named] + 1 if named in levels else levels.get(before or "", 0)
        levels[entry.name] = level
        result = entry.result or {}
        volume = result.get("cell_volume_A3") or result.get("volume_A3")
        views.append(
            StageView(
                entry=entry,
                status="stopped" if entry.status == "running" and not at_work else entry.status,
                starts_from=named or before,
                level=level,
                flags=tuple(getattr(entry, "flags", None) or ()),
                temperature_K=result.get("temperature_K"),
                pressure_GPa=result.get("pressure_GPa"),
                volume_per_atom_A3=volume / n_atoms if volume and n_atoms else None,
                simulated_ps=_simulated_ps(run, entry),
                duration_ps=_duration_ps(run, entry),
                wall=walls.get(entry.name),
            )
        )
        before = entry.name
    return views


def _duration_ps(run: Run, entry: StageEntry) -> float | None:
    """Return the time a stage is to simulate; None for one that decides that as it goes."""
    points = (entry.result or {}).get("points")
    if points is not None or "scales" in entry.settings:
        return None
    return run.manifest.duration_ps(entry.name)


def _simulated_ps(run: Run, entry: StageEntry) -> float | None:
    """Return what the last checkpoint vouches for; of a volume search, the sum of its runs."""
    result = entry.result
    if result is not None:
        points = result.get("points")
        if points is None:
            duration = result.get("duration_ps")
            return None if duration is None else float(duration)
        return math.fsum(point.get("duration_ps") or 0.0 for point in points)
    every_fs = entry.settings.get("record_every_fs")
    if every_fs is None or entry.status == "pending":
        return None
    folder = run.path / entry.folder
    # A stage of dynamics has its checkpoint in its folder, a stage of several runs below it.
    folders = sorted({path.parent for path in folder.rglob("checkpoint*.npz")})
    frames = [_n_frames(CheckpointStore(place)) for place in folders]
    return math.fsum(max(0, n - 1) * every_fs / 1000.0 for n in frames) if frames else None


def _n_frames(store: CheckpointStore) -> int:
    """Return the frames that a checkpoint vouches for; 0 where it cannot be read."""
    try:
        state: dict[str, Any] | None = store.load()
    except MlmdError:
        return 0
    return int((state or {}).get("n_frames", 0))


def _n_atoms(run: Run) -> int | None:
    """Return the number of atoms, the first line of the structure; None where that is damaged."""
    try:
        return int(run.structure_text().partition("\n")[0])
    except (DamagedDataError, OSError, ValueError):
        return None
