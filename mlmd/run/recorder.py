"""Recording frames: buffered, in step with the checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.bounds.hdf5 import look_first
from mlmd.errors import DamagedDataError, StoppedError
from mlmd.files import disk_full_is_a_stop, sync_folder
from mlmd.trajectory.h5md.frame_checksums import FrameChecksums, shared_checksum
from mlmd.trajectory.h5md.writer import OBSERVABLES, H5MDWriter

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from mlmd.arrays import FloatArray

BUFFERED_FRAMES = 64


class Recorder:
    """Collects frames and appends them to a trajectory file in blocks.

    Parameters
    ----------
    path
        The trajectory file.
    atoms
        Whose frames are recorded; they keep their number and order.
    n_frames_planned
        For the file's layout.
    resume_from
        The checkpoint to go on from: frames after its ``n_frames`` are dropped. None starts a
        new file, and a file that no checkpoint vouches for is replaced.
    velocities
        Whether to record velocities.
    check_ownership
        Called before each write; raises StoppedError where another process has taken the run
        over. Then the file is let go as it is.
    """

    def __init__(
        self,
        path: Path,
        atoms: Atoms,
        *,
        n_frames_planned: int,
        resume_from: Mapping[str, Any] | None = None,
        velocities: bool = False,
        check_ownership: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._check_ownership = check_ownership
        shared = shared_checksum(atoms.numbers, atoms.get_masses(), atoms.pbc)
        known = None if resume_from is None else FrameChecksums.from_state(resume_from)
        self._checksums = known or FrameChecksums(shared)
        with disk_full_is_a_stop(str(path)):
            if resume_from is None:
                path.unlink(missing_ok=True)
                self._writer = H5MDWriter.create(
                    path,
                    atoms.numbers,
                    atoms.get_masses(),
                    atoms.pbc,
                    n_frames_planned=n_frames_planned,
                    velocities=velocities,
                )
                sync_folder(path.parent)
            else:
                n_frames = int(resume_from["n_frames"])
                self._writer = H5MDWriter.resume(path, n_frames, n_frames_planned)
                self._checksums.end_at(n_frames, self._writer.rows)
        count = len(atoms)
        rows = BUFFERED_FRAMES
        self._rows: dict[str, NDArray[Any]] = {
            "step": np.empty(rows, dtype=np.int64),
            "time": np.empty(rows),
            "edges": np.empty((rows, 3, 3)),
            "position": np.empty((rows, count, 3), dtype=np.float32),
            **{name: np.empty(rows) for name in OBSERVABLES},
        }
        if velocities:
            self._rows["velocity"] = np.empty((rows, count, 3), dtype=np.float32)
        self._filled = 0

    @property
    def takes_velocities(self) -> bool:
        """Whether velocities are recorded."""
        return "velocity" in self._rows

    @staticmethod
    def probe(path: Path, state: Mapping[str, Any]) -> None:
        """Raise DamagedDataError unless `path` can be continued from a checkpoint.

        Its frames are held against the checksums that the checkpoint has of them.
        """
        if not path.exists():
            raise DamagedDataError(f"{path} is missing")
        checksums = FrameChecksums.from_state(state)
        if checksums is None:
            look_first(path, DamagedDataError)
        else:
            checksums.verify(path)
        with disk_full_is_a_stop(str(path)):
            H5MDWriter.resume(path, int(state["n_frames"])).close()

    @property
    def n_frames(self) -> int:
        """Frames recorded so far, buffered ones included."""
        return self._writer.n_frames + self._filled

    def record(
        self,
        step: int,
        time_fs: float,
        atoms: Atoms,
        observables: Mapping[str, float],
        velocities_A_fs: FloatArray | None = None,
    ) -> None:
        """Take a frame.

        Parameters
        ----------
        step, time_fs
            Step of the dynamics and its time.
        atoms
            Positions (unwrapped) and cell are copied.
        observables
            Value of each of :data:`mlmd.trajectory.h5md.writer.OBSERVABLES`; NaN where unknown.
        velocities_A_fs : (atoms, 3), optional
            Where they are recorded.
        """
        i, rows = self._filled, self._rows
        rows["step"][i] = step
        rows["time"][i] = time_fs
        rows["edges"][i] = atoms.cell.array
        rows["position"][i] = atoms.positions
        if velocities_A_fs is not None:
            rows["velocity"][i] = velocities_A_fs
        for name in OBSERVABLES:
            rows[name][i] = observables[name]
        self._filled += 1
        if self._filled == BUFFERED_FRAMES:
            self._flush()

    def _flush(self) -> None:
        if not self._filled:
            return
        self._check_ownership()
        block = {name: row[: self._filled] for name, row in self._rows.items()}
        with disk_full_is_a_stop(str(self._path)):
            self._writer.append(block)
        self._checksums.add(block)
        self._filled = 0

    def vouch(self, n_frames: int) -> dict[str, Any]:
        """Return what a checkpoint has to say of the first `n_frames`, all of them on the disk.

        Frames after them that are not yet in the file are dropped, those that are stay until
        :meth:`rewind`: were they dropped first, a kill before the checkpoint is written would
        leave fewer frames than the checkpoint before vouches for.
        """
        if n_frames >= self._writer.n_frames:
            self._filled = n_frames - self._writer.n_frames
            self.sync()
        self._checksums.end_at(n_frames, self._writer.rows)
        return {"n_frames": n_frames, **self._checksums.state()}

    def rewind(self, n_frames: int) -> None:
        """Drop all frames after the first `n_frames`, which :meth:`vouch` was called with."""
        self._filled = 0
        if n_frames == self._writer.n_frames:
            return
        self._check_ownership()
        with disk_full_is_a_stop(str(self._path)):
            self._writer.close()
            self._writer = H5MDWriter.resume(self._path, n_frames)

    def sync(self) -> int:
        """Put every frame on the disk; return how many there are."""
        self._check_ownership()
        self._flush()
        with disk_full_is_a_stop(str(self._path)):
            self._writer.sync()
        return self._writer.n_frames

    def close(self) -> None:
        """Close the file. Frames since the last :meth:`sync` may be dropped."""
        try:
            self._check_ownership()
        except StoppedError:
            self._writer.abandon()
            return
        with disk_full_is_a_stop(str(self._path)):
            self._writer.close()

    def __enter__(self) -> Recorder:
        """Return the recorder."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()
