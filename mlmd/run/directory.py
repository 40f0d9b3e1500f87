"""The folder of one stage: its trajectory and its checkpoints."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.errors import DamagedDataError
from mlmd.files import disk_full_is_a_stop, sync_folder
from mlmd.run.checkpoint import CheckpointStore
from mlmd.run.lock import RunLock
from mlmd.run.recorder import Recorder
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
        bookkeeping, or its frames are not what was written), and checkpoints none of which can
        be read, are set aside under another name and the stage starts again from its beginning;
        the same seed gives the same frames.
        """
        with disk_full_is_a_stop(str(self.path)):
            self.path.mkdir(parents=True, exist_ok=True)
            sync_folder(self.path.parent)
        try:
            state = CheckpointStore(self.path).load()
            if state is not None and "n_frames" in state:
                Recorder.probe(self.trajectory_path, state)
        except DamagedDataError as error:
            logger.warning("%s; the stage starts again from its beginning", error)
            for path in (*self.path.glob("checkpoint*.npz"), self.trajectory_path):
                if path.exists() and ".damaged-" not in path.name:
                    logger.warning("kept as %s", set_aside(path))
            return None
        if state is None:
            self._keep_unvouched_frames()
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
        self,
        atoms: Atoms,
        *,
        n_frames_planned: int,
        resume_from: Mapping[str, Any] | None,
        velocities: bool,
    ) -> Recorder:
        """Open the stage's trajectory for recording; see :class:`Recorder`."""
        return Recorder(
            self.trajectory_path,
            atoms,
            n_frames_planned=n_frames_planned,
            resume_from=resume_from,
            velocities=velocities,
            check_ownership=self.lock.check,
        )


def set_aside(path: Path) -> Path:
    """Give a damaged file or folder another name, so that nothing is lost; return that."""
    is_file = path.is_file() and not path.is_symlink()
    stem, suffix = (path.stem, path.suffix) if is_file else (path.name, "")
    for number in range(1, 1000):
        aside = path.with_name(f"{stem}.damaged-{number}{suffix}")
        if not os.path.lexists(aside):
            os.rename(path, aside)
            return aside
    raise FileExistsError(f"too many damaged copies of {path}")
