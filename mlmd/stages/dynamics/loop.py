"""The loop of every stage of dynamics: guard, record, checkpoint, report, stop, recover."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from mlmd.dynamics.guards import CHECK_EVERY
from mlmd.errors import SimulationUnstable, StoppedError
from mlmd.files import disk_full_is_a_stop, write_atomically
from mlmd.run.identity import structure_text
from mlmd.stages.context import Progress
from mlmd.stages.dynamics.frames import FrameTaker
from mlmd.yaml_text import to_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms

    from mlmd.dynamics.contract import Dynamics
    from mlmd.dynamics.guards import Guard
    from mlmd.run.directory import StageFolder
    from mlmd.run.recorder import Recorder
    from mlmd.stages.context import StageContext
    from mlmd.stages.dynamics.recovery import Recovery
    from mlmd.stages.dynamics.settings import DynamicsSettings

logger = logging.getLogger(__name__)


OFFENDING_FRAME = "unstable.extxyz"
"""The frame that made a stage fail, kept to be looked at."""
UNCONVERGED_SCF = "n_unconverged_scf"
"""Entry of a checkpoint, and attribute of calculators that count such calls and go on."""


def unconverged_scf(context: StageContext) -> int:
    """Return how many force calls of the calculator, so far, did not converge."""
    return int(getattr(context.calculator, UNCONVERGED_SCF, 0))


def unconverged_scf_at(context: StageContext, atoms: Atoms) -> int:
    """Return how often what the calculator has for these atoms already did not converge.

    It was counted before the stage began, which takes it without another call.
    """
    counted = getattr(context.calculator, "unconverged_scf_at", None)
    return int(counted(atoms)) if callable(counted) else 0


class DynamicsLoop:
    """Integrates a stage to its end, or to a checkpoint when asked to stop.

    Parameters
    ----------
    stage
        How long, and towards which temperature.
    dynamics
        The integrator, restored to its checkpoint where there is one.
    guard, recorder, recovery
        What looks for explosions, takes the frames, and keeps states to go back to.
    context
        Files, the stop token, the progress report.
    unconverged_scf_offset
        From the calculator's own count of such force calls to that of the stage.
    """

    def __init__(
        self,
        stage: DynamicsSettings,
        dynamics: Dynamics,
        guard: Guard,
        recorder: Recorder,
        recovery: Recovery,
        context: StageContext,
        unconverged_scf_offset: int = 0,
    ) -> None:
        self._stage = stage
        self._dynamics = dynamics
        self._guard = guard
        self._recorder = recorder
        self._recovery = recovery
        self._context = context
        self._take = FrameTaker(dynamics, recorder)
        self._first = dynamics.nsteps
        self._unconverged_scf_offset = unconverged_scf_offset
        self._started = time.monotonic()

    def run(self) -> None:
        """Integrate.

        Raises
        ------
        StoppedError
            If the stop token is set; a checkpoint is written then.
        SimulationUnstable
            If a guard trips more often than the time step may be halved.
        """
        dynamics, n_steps = self._dynamics, self._stage.n_steps
        dynamics.attach(self._guard, interval=CHECK_EVERY)
        # A frame that the checkpoint already vouches for is not taken again.
        dynamics.attach(self._take, interval=self._stage.steps_per_frame)
        if self._take.gives_stress:
            dynamics.ask_stress_every(self._stage.steps_per_frame)
        dynamics.attach(self._follow)
        while True:
            try:
                dynamics.run(n_steps - dynamics.nsteps)
                self._guard()  # the last steps as well
                break
            except SimulationUnstable as error:
                self._go_back(error)
        self._recovery.finish(self._state())
        self._save()

    @property
    def n_unconverged_scf(self) -> int:
        """Force calls of the stage so far whose self-consistency did not converge."""
        return self._unconverged_scf_offset + unconverged_scf(self._context)

    def _follow(self) -> None:
        """After each step: the next target, the stop token, a checkpoint, a report."""
        stage, dynamics, context = self._stage, self._dynamics, self._context
        step = dynamics.nsteps
        dynamics.set_temperature(stage.temperature_at_K(step))
        if self._recovery.is_due(step):
            self._recovery.keep(self._state())
        if context.stop.reason is not None and step < stage.n_steps:
            self._save()
            raise StoppedError(
                f"{context.stop.reason}: stopped in stage '{stage.name}' at "
                f"{step * stage.timestep_fs / 1000:.3f} of {stage.duration_ps:g} ps, checkpointed"
            )
        if step == 0 or context.checkpoint_is_due():
            self._save()
        if context.report_is_due() or step == stage.n_steps:
            context.report(self._progress(step))

    def _state(self) -> dict[str, Any]:
        """Return what can be gone back to."""
        return {**self._dynamics.state(), "n_frames": self._recorder.n_frames}

    def _save(self) -> None:
        """Put the frames on the disk, then a checkpoint that vouches for them."""
        self._checkpoint(self._recorder.n_frames)

    def _checkpoint(self, n_frames: int) -> None:
        state = {
            **self._dynamics.state(),
            **self._recovery.state(),
            **self._recorder.vouch(n_frames),
            UNCONVERGED_SCF: self.n_unconverged_scf,
        }
        self._context.folder.save(state)

    def _go_back(self, error: SimulationUnstable) -> None:
        """Return to an earlier state with half the time step, or fail with the frame saved."""
        stage, dynamics, recovery = self._stage, self._dynamics, self._recovery
        if len(recovery.trips) >= stage.max_halvings or not recovery.anchors:
            path = _save_offending_frame(dynamics.atoms, self._context.folder)
            raise SimulationUnstable(
                f"{error}; after {len(recovery.trips)} halving(s) of the time step; the frame is "
                f"in {path}{self._way_on(error)}"
            ) from error
        anchor = recovery.go_back(str(error))
        substeps = 2 ** len(recovery.trips)
        logger.warning(
            "stage '%s': %s; going back to step %d with a time step of %g fs",
            stage.name,
            error,
            anchor["nsteps"],
            stage.timestep_fs / substeps,
        )
        dynamics.restore({**anchor, "substeps": substeps})
        n_frames = int(anchor["n_frames"])
        # First the checkpoint: were it the frames, a kill between would leave too few of them.
        self._checkpoint(n_frames)
        self._recorder.rewind(n_frames)
        self._guard.forget()
        self._take.forget()

    def _way_on(self, error: SimulationUnstable) -> str:
        """Say with which settings the stage goes on from its checkpoint."""
        stage, ways = self._stage, []
        if self._context.is_part:
            return ""
        if error.remedy:
            limits = {**stage.guard, **error.remedy}
            text = to_yaml(limits, in_one_line=True).strip()
            ways.append(f"if it is sane: --set {stage.name}.guard='{text}'")
        if self._recovery.anchors:  # none: it is the beginning that is beyond a limit
            more = len(self._recovery.trips) + 2
            ways.append(f"to go on with shorter steps: --set {stage.name}.max_halvings={more}")
        return "".join(f"; {way}" for way in ways)

    def _progress(self, step: int) -> Progress:
        stage, context = self._stage, self._context
        steps_per_s = (step - self._first) / max(time.monotonic() - self._started, 1e-9)
        run_step = context.steps_before + step
        left = (context.run_n_steps - run_step) / steps_per_s if steps_per_s > 0 else None
        return Progress(
            stage=stage.name,
            step=step,
            n_steps=stage.n_steps,
            time_ps=step * stage.timestep_fs / 1000.0,
            temperature_K=self._take.temperature_K,
            pressure_GPa=self._take.pressure_GPa,
            ns_per_day=steps_per_s * stage.timestep_fs * 1e-6 * 86400.0
            if steps_per_s > 0
            else None,
            run_step=run_step,
            run_n_steps=context.run_n_steps,
            seconds_left=left,
        )


def _save_offending_frame(atoms: Atoms, folder: StageFolder) -> Path:
    """Write positions and momenta of the frame at which a guard tripped; return the file."""
    folder.lock.check()
    path = folder.path / OFFENDING_FRAME
    text = structure_text(atoms).encode()
    with disk_full_is_a_stop(str(path)):
        write_atomically(path, lambda file: file.write(text))
    return path
