"""The folder of one stage: its trajectory and its checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.errors import DamagedDataError
from mlmd.files import disk_full_is_a_stop, sync_folder
from mlmd.run.checkpoint import CheckpointStore
from mlmd.run.lock import RunLock
from mlmd.run.recorder import Recorder, set_aside
from mlmd.run.run import TRAJECTORY
from mlmd.trajectory.h5md.reader import read_scalars

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageFolder:
    """Where a stage keeps what it has done.

    Attributes
    ----------
    path
        ``01-melt`` in the run directory.
    lock
        The run's lock, checked before each checkpoint.
    """

    path: Path
    lock: RunLock

    @property
    def trajectory_path(self) -> Path:
        """The stage's trajectory file."""
        return self.path / TRAJECTORY

    def load(self) -> dict[str, Any] | None:
        """Return the newest checkpoint that the trajectory goes with, or None.

        A trajectory that cannot be continued (HDF5 was killed in the middle of its own
        bookkeeping) is set aside under another name and the stage starts again from its
        beginning; the same seed gives the same frames.
        """
        with disk_full_is_a_stop(str(self.path)):
            self.path.mkdir(parents=True, exist_ok=True)
            sync_folder(self.path.parent)
        state = CheckpointStore(self.path).load()
        if state is None:
            self._keep_unvouched_frames()
        if state is None or "n_frames" not in state:
            return state
        try:
            Recorder.probe(self.trajectory_path, int(state["n_frames"]))
        except DamagedDataError as error:
            logger.warning("%s; the stage starts again from its beginning", error)
            for path in (*self.path.glob("checkpoint*.npz"), self.trajectory_path):
                if path.exists():
                    logger.warning("kept as %s", set_aside(path))
            return None
        return state

    def _keep_unvouched_frames(self) -> None:
        """Set aside a trajectory whose checkpoints somebody removed.

        A kill before the first checkpoint leaves one frame at most: that is written again.
        """
        if not self.trajectory_path.exists():
            return
        try:
            if len(read_scalars(self.trajectory_path)["time_fs"]) <= 1:
                return
        except DamagedDataError:
            return
        logger.warning(
            "%s has no checkpoint; the stage starts again from its beginning, the frames are kept "
            "as %s",
            self.trajectory_path,
            set_aside(self.trajectory_path),
        )

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint, unless another process owns the run by now."""
        self.lock.check()
        with disk_full_is_a_stop(str(self.path)):
            CheckpointStore(self.path).save(state)

    def recorder(
        self, atoms: Atoms, *, n_frames_planned: int, resume_after: int | None, velocities: bool
    ) -> Recorder:
        """Open the stage's trajectory for recording; see :class:`Recorder`."""
        return Recorder(
            self.trajectory_path,
            atoms,
            n_frames_planned=n_frames_planned,
            resume_after=resume_after,
            velocities=velocities,
            check_ownership=self.lock.check,
        )
