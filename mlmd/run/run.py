"""A run as seen from outside: what is in a directory, and how far it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.checks import usable_path
from mlmd.errors import DamagedDataError, RunDirectoryError
from mlmd.findings import of_flags
from mlmd.run.checksums import damaged_files, refuse_damaged
from mlmd.run.lock import is_at_work
from mlmd.run.manifest import Manifest, StageEntry
from mlmd.run.ordinary_files import read_ordinary

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.trajectory import Trajectory

TRAJECTORY = "trajectory.h5md"
STRUCTURE = "structure.extxyz"
WRITTEN_AGAIN = "the mlmd run command that made the run writes it again"
MENDED_BY = "the mlmd run command that made the run sets the stage aside and does it again"


@dataclass(frozen=True)
class Run:
    """A directory that is the truth about one protocol on one structure.

    Attributes
    ----------
    path
        The directory.
    manifest
        The content of its ``run.json`` when it was opened.
    """

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run for reading, finished or not.

        Raises
        ------
        RunDirectoryError
            If `path` is not a run directory.
        """
        path = usable_path("run directory", path)
        return cls(path, Manifest.read(path))

    @property
    def status(self) -> str:
        """``done``, ``failed``, ``running``, ``stopped`` (resumable) or ``pending``."""
        states = [entry.status for entry in self.manifest.stages]
        if all(state == "done" for state in states):
            return "done"
        if is_at_work(self.path):
            return "running"
        if "failed" in states:
            return "failed"
        return "pending" if all(state == "pending" for state in states) else "stopped"

    @property
    def stages(self) -> list[StageEntry]:
        """The stages in order, each with its status, settings and result."""
        return self.manifest.stages

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """Result of every finished stage by name; units are in the keys."""
        return {entry.name: entry.result for entry in self.stages if entry.result is not None}

    @property
    def atoms(self) -> Atoms:
        """The structure that the run started from.

        Raises
        ------
        DamagedDataError
            If its file is not what the run started from.
        """
        from mlmd.run.identity import structure_from_text

        return structure_from_text(self.structure_text())

    def structure_text(self) -> str:
        """Return the text of the structure that the run started from, held against its checksum.

        Raises
        ------
        DamagedDataError
            If the file is lost or was changed.
        """
        path = self.path / STRUCTURE
        try:
            content = read_ordinary(path)
        except FileNotFoundError:
            raise DamagedDataError(f"{path} is missing; {WRITTEN_AGAIN}") from None
        except RunDirectoryError as error:  # a folder, a pipe, a link
            raise DamagedDataError(f"{error}; {WRITTEN_AGAIN}") from error
        if hashlib.sha256(content).hexdigest() != self.manifest.identity.get("structure_sha256"):
            raise DamagedDataError(
                f"{path} is not what the run started from: damaged or edited; {WRITTEN_AGAIN}"
            )
        return content.decode()

    def end_of(self, stage: str) -> Atoms:
        """Return the end of a finished stage, to start another run from.

        Returns
        -------
        ase.Atoms
            With cell, positions and momenta as its checkpoint has them, and in ``info`` how the
            run's structure was made, and ``started_from``: ``run``, the SHA-256 of the run's
            identity, ``stage``, and its ``flags`` where it has any. A run that is given them keeps
            these momenta where its first stage goes on with what it finds (`Production`, a ramp);
            others draw new ones.

        Raises
        ------
        RunDirectoryError
            If there is no such stage or it is not done.
        DamagedDataError
            If the checkpoint of its end is lost.
        """
        from mlmd.run.checkpoint import CheckpointStore, placed

        entry = self.manifest.stage(stage)
        if entry.status != "done" or entry.result is None:
            done = ", ".join(item.name for item in self.stages if item.status == "done")
            raise RunDirectoryError(
                f"stage '{stage}' of {self.path} is {entry.status}; expected one that is done "
                f"({done or 'none is yet'})"
            )
        store = CheckpointStore(self.path / entry.folder)
        state = store.load()
        if state is None or state["nsteps"] != _n_steps(entry):
            raise DamagedDataError(
                f"stage '{stage}' of {self.path} has no checkpoint of its end in {entry.folder}; "
                "the command that made the run repeats the stage"
            )
        self._refuse_damaged(entry, store.path.name)
        atoms = placed(self.atoms, state)
        source: dict[str, Any] = {"run": self.manifest.identity_sha256, "stage": stage}
        atoms.info["started_from"] = {**source, "flags": entry.flags} if entry.flags else source
        return atoms

    def trajectory(
        self, stage: str, start: int | None = None, stop: int | None = None, every: int = 1
    ) -> Trajectory:
        """Read the trajectory of a stage, frames ``start:stop:every``.

        The file of a finished stage is held against its checksum first. Of any other stage the
        frames are given that its last checkpoint vouches for, held against theirs. What the stage
        is marked with is among the findings of the trajectory.

        Raises
        ------
        RunDirectoryError
            If there is no such stage, it has recorded nothing (yet), or it is stale.
        DamagedDataError
            If the file is not what was written.
        """
        from mlmd.trajectory import Trajectory
        from mlmd.trajectory.h5md.reader import read_h5md
        from mlmd.trajectory.reading import check_frames

        frames = slice(start, stop, every)
        check_frames(frames)
        entry = self.manifest.stage(stage)
        path = self.path / entry.folder / TRAJECTORY
        if entry.status == "stale":
            raise RunDirectoryError(f"stage '{stage}' of {self.path} is stale: {entry.error}")
        self._refuse_damaged(entry, TRAJECTORY)
        if not path.exists():
            raise RunDirectoryError(
                f"stage '{stage}' of {self.path} has no trajectory (a {entry.kind}, {entry.status})"
            )
        is_whole = TRAJECTORY in entry.checksums
        if not is_whole and (n_frames := _vouched_frames(path)) is not None:
            frames, is_whole = slice(*frames.indices(n_frames)), True
        if is_whole:
            found = Trajectory(**read_h5md(path, frames, trusted=True))
        else:
            found = Trajectory.read(path, start=start, stop=stop, every=every)
        return replace(found, findings=(*of_flags(entry.flags), *found.findings))

    def _refuse_damaged(self, entry: StageEntry, name: str) -> None:
        """Raise DamagedDataError where a file of a finished stage is not what was written."""
        if name not in entry.checksums:
            return
        try:
            refuse_damaged(self.path / entry.folder / name, entry.checksums[name])
        except DamagedDataError as error:
            raise DamagedDataError(f"{error}; {MENDED_BY}") from error

    def verify(self) -> dict[str, list[str]]:
        """Read every file that has a checksum, and hold it against that.

        Returns
        -------
        dict
            What is wrong, a line for each file, by stage; the structure's under an empty name.
            Of a stage that is not done, the frames that its checkpoint vouches for.
        """
        found: dict[str, list[str]] = {}
        try:
            self.structure_text()
        except (DamagedDataError, OSError) as error:
            found[""] = [str(error)]
        for entry in self.stages:
            folder = self.path / entry.folder
            problems = []
            try:
                problems += damaged_files(folder, entry.checksums)
                for path in () if entry.checksums else sorted(folder.rglob(TRAJECTORY)):
                    _vouched_frames(path)
            except (DamagedDataError, OSError) as error:
                problems.append(str(error))
            if problems:
                found[entry.name] = problems
        return found


def _vouched_frames(path: Path) -> int | None:
    """Return the frames of a trajectory that its checkpoint vouches for, held against it.

    None where the checkpoint is lost, or older than checksums of frames.
    """
    from mlmd.run.checkpoint import CheckpointStore
    from mlmd.trajectory.h5md.frame_checksums import FrameChecksums

    state = CheckpointStore(path.parent).load()
    checksums = None if state is None else FrameChecksums.from_state(state)
    if state is None or checksums is None:
        return None
    checksums.verify(path)
    return int(state["n_frames"])


def _n_steps(entry: StageEntry) -> int:
    """Return the steps of a finished stage, which its last checkpoint counts too."""
    result: dict[str, Any] = entry.result or {}
    if "n_steps" in result:
        return int(result["n_steps"])
    timestep_fs: float = entry.settings["timestep_fs"]
    return round(1000.0 * float(result["duration_ps"]) / timestep_fs)
