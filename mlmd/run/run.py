"""A run as seen from outside: what is in a directory, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.errors import RunDirectoryError
from mlmd.run.lock import is_alive_here, read_owner
from mlmd.run.manifest import Manifest, StageEntry

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.trajectory import Trajectory

TRAJECTORY = "trajectory.h5md"
STRUCTURE = "structure.extxyz"


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
        path = Path(path)
        return cls(path, Manifest.read(path))

    @property
    def status(self) -> str:
        """``done``, ``failed``, ``running``, ``stopped`` (resumable) or ``pending``."""
        states = [entry.status for entry in self.manifest.stages]
        if all(state == "done" for state in states):
            return "done"
        owner = read_owner(self.path)
        if owner is not None and is_alive_here(owner) is not False:
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
        """The structure that the run started from."""
        from mlmd.run.identity import structure_from_text

        return structure_from_text((self.path / STRUCTURE).read_text(encoding="utf-8"))

    def trajectory(
        self, stage: str, start: int | None = None, stop: int | None = None, every: int = 1
    ) -> Trajectory:
        """Read the trajectory of a stage, frames ``start:stop:every``.

        Raises
        ------
        RunDirectoryError
            If there is no such stage, or it has recorded nothing (yet).
        """
        from mlmd.trajectory import Trajectory

        entry = self.manifest.stage(stage)
        path = self.path / entry.folder / TRAJECTORY
        if not path.exists():
            raise RunDirectoryError(
                f"stage '{stage}' of {self.path} has no trajectory (a {entry.kind}, {entry.status})"
            )
        return Trajectory.read(path, start=start, stop=stop, every=every)
