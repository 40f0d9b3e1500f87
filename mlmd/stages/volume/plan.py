"""How one sub-run of a volume search is done, and done again after an interruption.

It is itself restartable, and what is decided looks at the frames that there were when it was
first decided. Going through a search again therefore takes the same way, at the price of reading
what is finished: the search needs no checkpoint of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlmd.stages.equilibrate import Equilibrate
from mlmd.stages.volume.pressure import PressureMeasurement, measure_pressure

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.stages.context import StageContext


@dataclass(frozen=True)
class RunPlan:
    """What all sub-runs share.

    Attributes
    ----------
    dynamics
        A stage of the first length; the others differ in name and length.
    frames, max_frames
        Recording intervals of a run at first, and when it is not lengthened further.
    convention, second_half
        As in :func:`~mlmd.stages.volume.pressure.measure_pressure`.
    """

    dynamics: Equilibrate
    frames: int
    max_frames: int
    convention: str
    second_half: bool

    def run(
        self, start: Atoms, context: StageContext, name: str, n_frames: int
    ) -> PressureMeasurement:
        """Run up to a number of recording intervals, unless it has come that far before.

        Raises
        ------
        SimulationError
            If the dynamics cannot be used.
        """
        state = context.folder.load()
        if state is None or int(state["n_frames"]) <= n_frames:
            duration_ps = n_frames * self.dynamics.record_every_fs / 1000.0
            replace(self.dynamics, name=name, duration_ps=duration_ps).run(start, context)
        return measure_pressure(
            context.folder.trajectory_path,
            n_frames + 1,
            n_atoms=len(start),
            convention=self.convention,
            second_half=self.second_half,
        )
