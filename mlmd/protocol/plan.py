"""What a protocol would take: steps, frames, disk and time, before anything is run."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.calculators.evaluation import evaluate
from mlmd.checks import whole_number
from mlmd.stages.equilibrate_volume import EquilibrateVolume
from mlmd.stages.relax import Relax
from mlmd.stages.sample_inherent_structures import SampleInherentStructures
from mlmd.trajectory.h5md.writer import METADATA_BYTES, OBSERVABLES

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from mlmd.protocol.tree import ProtocolTree
    from mlmd.stages.stage import Stage

SHIFT_A = 0.01
"""Atoms are moved by about this between timed calls, so that no result is used again."""
CHECKPOINT_BYTES, CHECKPOINT_BYTES_PER_ATOM = 2**13, 9 * 24
"""A checkpoint: positions, momenta and forces now and of the two states to go back to."""
TEXT_BYTES_PER_ATOM = 120
"""A line of extended XYZ: symbol, position, force."""


@dataclass(frozen=True)
class StagePlan:
    """What one stage would take.

    Attributes
    ----------
    name, kind, starts_from
        The stage, its class, and the stage whose end it starts from (None: the structure).
    n_steps
        Force calls: steps of dynamics, or at most so many of a relaxation. A stage that adds
        runs until it is content (a volume equilibration, say) can take more.
    n_frames
        Recorded frames.
    disk_bytes
        Trajectory and two checkpoints, and the structures of a stage that writes them as text.
    """

    name: str
    kind: str
    starts_from: str | None
    n_steps: int
    n_frames: int
    disk_bytes: int


def plan(protocol: ProtocolTree, n_atoms: int) -> list[StagePlan]:
    """Return what every stage of a protocol would take on a structure of so many atoms.

    Raises
    ------
    InputError
        If a stage cannot find there what it starts from.
    """
    check_sources(protocol)
    n_atoms = whole_number("n_atoms", n_atoms)
    stages = []
    for stage in protocol.stages:
        parent = protocol.parent(stage.name)
        n_steps, n_runs = stage.n_steps, 1
        if isinstance(stage, Relax):
            n_steps = stage.max_steps
        elif isinstance(stage, EquilibrateVolume):
            n_runs = len(stage.scales) + 1
        elif isinstance(stage, SampleInherentStructures):
            n_steps, n_runs = stage.n_structures * stage.max_steps, stage.n_structures + 1
        n_frames = _n_frames(stage, n_runs)
        arrays = 2 if getattr(stage, "record_velocities", False) else 1
        frame_bytes = 12 * n_atoms * arrays + 8 * (2 + 9 + len(OBSERVABLES))
        trajectory = n_runs * METADATA_BYTES + n_frames * frame_bytes if n_frames else 0
        checkpoints = 2 * n_runs * (CHECKPOINT_BYTES + CHECKPOINT_BYTES_PER_ATOM * n_atoms)
        if isinstance(stage, SampleInherentStructures):
            checkpoints += stage.n_structures * TEXT_BYTES_PER_ATOM * n_atoms
        stages.append(
            StagePlan(
                name=stage.name,
                kind=type(stage).__name__,
                starts_from=None if parent is None else parent.name,
                n_steps=n_steps,
                n_frames=n_frames,
                disk_bytes=trajectory + checkpoints,
            )
        )
    return stages


def check_sources(protocol: ProtocolTree) -> None:
    """Raise InputError where a stage would not find in its parent what it works on."""
    for stage in protocol.stages:
        if isinstance(stage, SampleInherentStructures):
            stage.check_source(protocol.parent(stage.name))


def _n_frames(stage: Stage, n_runs: int) -> int:
    """Return the frames that a stage of so many runs records, 0 where it records none."""
    every_fs = getattr(stage, "record_every_fs", None)
    timestep_fs = getattr(stage, "timestep_fs", None)
    if every_fs is None or timestep_fs is None:
        return 0
    n_intervals: int = round(stage.n_steps * timestep_fs / every_fs)
    return n_intervals + n_runs


@dataclass(frozen=True)
class ForceCallTime:
    """How long a force call takes.

    Attributes
    ----------
    first_s
        The first call of all, from which later ones start (a program: with its start).
    seconds
        Median of the timed calls.
    n_calls
        How many were timed, after those that were not.
    """

    first_s: float
    seconds: float
    n_calls: int


def time_force_calls(
    calculator: Calculator,
    atoms: Atoms,
    *,
    n_calls: int = 5,
    limit_s: float = 20.0,
    first_s: float | None = None,
) -> ForceCallTime:
    """Time force calls on slightly different copies of a structure.

    Parameters
    ----------
    calculator
        Warmed up with one call that is not counted.
    atoms
        Not changed.
    n_calls
        How many calls; fewer where `limit_s` is reached, one at least.
    limit_s
        Wall time after which no further call is made.
    first_s
        What the first call took, where it has been made. One that took longer than `limit_s`
        is warm enough.
    """
    rng = np.random.default_rng(0)
    started, times = time.monotonic(), []
    is_warm = first_s is not None and first_s > limit_s
    for number in range(int(is_warm), n_calls + 1):
        moved: Any = atoms.copy()
        moved.positions += rng.normal(0.0, SHIFT_A, moved.positions.shape)
        before = time.perf_counter()
        moved.calc = calculator
        evaluate(moved, ("forces",))
        took_s = time.perf_counter() - before
        first_s = took_s if first_s is None else first_s
        if number > 0:
            times.append(took_s)
        if times and time.monotonic() - started > limit_s:
            break
    assert first_s is not None  # there was a call
    return ForceCallTime(first_s, statistics.median(times), len(times))
