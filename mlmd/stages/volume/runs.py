"""The sub-runs of a volume search: one volume after another, each in its folder."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from mlmd.errors import DamagedDataError, SimulationError
from mlmd.stages.dynamics.loop import UNCONVERGED_SCF
from mlmd.stages.volume.plan import RunPlan
from mlmd.stages.volume.pressure import PressureMeasurement
from mlmd.stages.volume.result import TABLE, VolumePoint, write_table

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.stages.context import StageContext

logger = logging.getLogger(__name__)

NEAR = 0.1
"""A run starts from the last frame of one whose volume differs by less (logarithm)."""


@dataclass(frozen=True)
class SubRun:
    """A sub-run that gave a pressure."""

    point: VolumePoint
    measurement: PressureMeasurement


class VolumeRuns:
    """Runs at volumes given as multiples of the starting volume.

    The momenta of each are drawn anew. Runs of the first scan (`near_starts` False) are
    independent of each other; a later one starts from the last frame of the nearest volume,
    if that is within 10 %, so that it needs less time to settle: what was compressed or torn
    far away stays out of it.

    Parameters
    ----------
    atoms
        Start of the stage.
    context
        Of the stage.
    plan
        Of every run.
    n_planned
        Runs that the progress counts on.
    """

    def __init__(self, atoms: Atoms, context: StageContext, plan: RunPlan, n_planned: int) -> None:
        self._atoms, self._context, self._plan = atoms, context, plan
        self._n_planned = n_planned
        self._names: set[str] = set()
        self.volume_A3 = float(atoms.get_volume())
        self.points: list[VolumePoint] = []
        self.good: list[SubRun] = []

    @property
    def n_steps(self) -> int:
        """Steps of the runs that gave a pressure."""
        frames = sum(run.measurement.n_frames - 1 for run in self.good)
        return frames * self._plan.dynamics.steps_per_frame

    @property
    def failed(self) -> list[VolumePoint]:
        """The runs that gave none."""
        return [point for point in self.points if point.error is not None]

    def points_with(self, measurement: PressureMeasurement, scale: float) -> list[dict[str, Any]]:
        """Return the points so far and one more, as mappings."""
        return [asdict(point) for point in (*self.points, self._point("", scale, measurement))]

    def measure(
        self,
        scale: float,
        needs_more: Callable[[PressureMeasurement], bool],
        *,
        near_starts: bool = False,
    ) -> SubRun | None:
        """Run at a volume, for longer while `needs_more` says so; None where the run fails."""
        name = self._unused_name(scale)
        context = self._context_of(name)
        start = self._start(scale, near_starts)
        plan, n_frames = self._plan, self._plan.frames
        try:
            measurement = plan.run(start, context, name, n_frames)
            while n_frames < plan.max_frames and needs_more(measurement):
                n_frames = min(n_frames + plan.frames, plan.max_frames)
                measurement = plan.run(start, context, name, n_frames)
        except SimulationError as error:
            logger.warning("%s failed: %s", name, error)
            self._note(VolumePoint(name, scale, scale * self.volume_A3, error=str(error)))
            return None
        state = context.folder.load() or {}
        point = self._point(name, scale, measurement)
        point = replace(point, n_unconverged_scf=int(state.get(UNCONVERGED_SCF, 0)))
        run = SubRun(point, measurement)
        self.good.append(run)
        self._note(run.point)
        return run

    def end_of(self, run: SubRun) -> dict[str, Any]:
        """Return the checkpoint of a run's end.

        Raises
        ------
        DamagedDataError
            If it is gone since the run ended.
        """
        folder = self._context.inside(run.point.run).folder
        state = folder.load()
        if state is None:
            raise DamagedDataError(
                f"{folder.path} has lost the end of its run; give the same command to make it again"
            )
        return state

    def _start(self, scale: float, near_starts: bool) -> Atoms:
        """Return the structure that a run starts from, at its volume."""
        atoms: Atoms = self._atoms.copy()
        if near_starts:
            nearest = min(self.good, key=lambda run: abs(math.log(run.point.scale / scale)))
            if abs(math.log(nearest.point.scale / scale)) < NEAR:
                state = self.end_of(nearest)
                atoms.set_cell(state["cell"])
                atoms.positions[:] = state["positions"]
        atoms.set_cell(self._atoms.cell.array * scale ** (1 / 3), scale_atoms=True)
        return atoms

    def _context_of(self, name: str) -> StageContext:
        """Return the context of a run; the progress of the whole makes room for it."""
        n_steps = self._plan.dynamics.n_steps
        unplanned = max(0, len(self.points) + 1 - self._n_planned) * n_steps
        return replace(
            self._context.inside(name),
            steps_before=self._context.steps_before + len(self.points) * n_steps,
            run_n_steps=self._context.run_n_steps + unplanned,
        )

    def _unused_name(self, scale: float) -> str:
        """Return the folder of a run: a volume that is run at twice has two."""
        name = first = f"volume-{scale:.3f}"
        number = 1
        while name in self._names:
            number += 1
            name = f"{first}-{number}"
        self._names.add(name)
        return name

    def _point(self, name: str, scale: float, measurement: PressureMeasurement) -> VolumePoint:
        return VolumePoint(
            run=name,
            scale=scale,
            volume_A3=scale * self.volume_A3,
            pressure_GPa=measurement.pressure_GPa,
            stderr_GPa=measurement.stderr_GPa,
            temperature_K=measurement.temperature_K,
            n_discarded=measurement.n_discarded,
            duration_ps=measurement.duration_ps,
            averaged_ps=measurement.averaged_ps,
        )

    def _note(self, point: VolumePoint) -> None:
        """Keep a point, in the table too."""
        self.points.append(point)
        logger.info("%s", point)
        self._context.folder.lock.check()
        write_table(self._context.folder.path / TABLE, self.points, len(self._atoms))
