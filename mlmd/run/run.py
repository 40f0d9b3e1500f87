"""A run as seen from outside: what is in a directory, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.errors import DamagedDataError, RunDirectoryError
from mlmd.run.lock import is_at_work
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
        """The structure that the run started from."""
        from mlmd.run.identity import structure_from_text

        return structure_from_text((self.path / STRUCTURE).read_text(encoding="utf-8"))

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
        state = CheckpointStore(self.path / entry.folder).load()
        if state is None or state["nsteps"] != _n_steps(entry):
            raise DamagedDataError(
                f"stage '{stage}' of {self.path} has no checkpoint of its end in {entry.folder}; "
                "the command that made the run repeats the stage"
            )
        atoms = placed(self.atoms, state)
        source: dict[str, Any] = {"run": self.manifest.identity_sha256, "stage": stage}
        atoms.info["started_from"] = {**source, "flags": entry.flags} if entry.flags else source
        return atoms

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


def _n_steps(entry: StageEntry) -> int:
    """Return the steps of a finished stage, which its last checkpoint counts too."""
    result: dict[str, Any] = entry.result or {}
    if "n_steps" in result:
        return int(result["n_steps"])
    timestep_fs: float = entry.settings["timestep_fs"]
    return round(1000.0 * float(result["duration_ps"]) / timestep_fs)
