"""Features of files and runs, a row for each structure, trajectory and finished production."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from mlmd.checks import choice, element, positive_number, shown, usable_path, whole_number
from mlmd.descriptors.conventions import convention_of
from mlmd.descriptors.featurize import featurize
from mlmd.descriptors.table_file import FRAMES
from mlmd.errors import DamagedDataError, InputError, MlmdError
from mlmd.run.measured import read_snapshots
from mlmd.run.run import Run
from mlmd.structure.reading import are_frames, read_structures
from mlmd.studies.progress import counted
from mlmd.trajectory import Trajectory

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.descriptors.table import FeatureTable
    from mlmd.stages.context import ProgressReport

Chosen = Literal["start", "last", "mean", "each"]
Failed = Callable[[MlmdError], None]
_LABELS = {"start": "start of", "last": "last frame of", "mean": "mean over"}


@dataclass(frozen=True)
class _Wanted:
    """Which frames, and what is known of files."""

    chosen: Chosen
    every: int
    timestep_fs: float | None
    temperature_K: float | None
    elements: Sequence[str] | None


@dataclass(frozen=True)
class _Item:
    """A row to be: what it is made of, which frames of what that is, and its temperature."""

    item: Atoms | Trajectory
    frames: str
    temperature_K: float | None


def featurize_files(
    paths: Sequence[str | Path],
    mobile: str = "Li",
    convention: str = "mlmd",
    chosen: Chosen = "mean",
    every: int = 1,
    timestep_fs: float | None = None,
    temperature_K: float | None = None,
    n_jobs: int = 1,
    progress: ProgressReport | None = None,
    failed: Failed | None = None,
    elements: Sequence[str] | None = None,
) -> FeatureTable:
    """Compute the features of structures, trajectories and runs; each is read when its turn comes.

    A file of several structures is a trajectory where they are of the same atoms in the same order
    and the format is one of trajectories (`mlmd.structure.reading.are_frames`), and has one row;
    else it has a row for each, named ``FILE:INDEX``.

    Parameters
    ----------
    paths
        Run directories, or files of a structure or a trajectory; none of them twice.
    mobile, convention, n_jobs
        See :func:`mlmd.featurize`.
    chosen
        ``start``, the first frame of a trajectory, which a production began with and which knows
        nothing of it; ``last``, its last; ``mean``, the mean over its frames; or ``each``, a row
        for each structure of a file, trajectory or not.
    every
        Take every so many frames or structures.
    timestep_fs
        Time between frames of a file that does not say.
    temperature_K
        Of files; runs know theirs.
    progress
        Called with :class:`~mlmd.stages.context.Progress`.
    failed
        Called with the error of each structure, trajectory or run that has no row. Without it the
        first is raised; it is raised too where no row is left.
    elements
        Of the types of LAMMPS dumps, as for :meth:`mlmd.Trajectory.read`.

    Raises
    ------
    InputError
        If a path is given twice or cannot be read, a run has no finished production, or nothing
        is given.
    """
    if not isinstance(paths, Sequence) or isinstance(paths, str | bytes):
        raise InputError(f"paths are {shown(paths)}; expected a list of files and run directories")
    whole_number("every", every)
    choice("chosen", chosen, get_args(Chosen))
    convention_of(convention)
    element("mobile element", mobile)
    for name, value in (("timestep_fs", timestep_fs), ("temperature_K", temperature_K)):
        if value is not None:
            positive_number(name, value)
    checked = _each_once([usable_path("path", path) for path in paths])
    if not checked:
        raise InputError("nothing to compute features of; give run directories or files")
    wanted = _Wanted(chosen, every, timestep_fs, temperature_K, elements)
    frames: list[str] = []
    at_K: list[float | None] = []
    errors: list[MlmdError] = []

    def skip(error: MlmdError) -> None:
        if failed is None:
            raise error
        errors.append(error)
        failed(error)

    def items() -> Iterator[Atoms | Trajectory]:
        for n_done, path in enumerate(checked, start=1):
            for one in _items(path, wanted, skip):
                frames.append(one.frames)
                at_K.append(one.temperature_K)
                yield one.item
            if tell is not None:
                tell(n_done, None)

    left_out: set[int] = set()

    def no_features(number: int, error: InputError) -> None:
        left_out.add(number)
        skip(error)

    tell = counted(progress, "features", len(checked))
    try:
        # Temperatures become known as the items do: the list grows in front of its reader.
        table = featurize(items(), mobile, convention, at_K, n_jobs, failed=no_features)
    except InputError:
        if errors:  # no row is left: what is wrong with the first says more
            raise errors[0] from None
        raise
    kept = [text for i, text in enumerate(frames) if i not in left_out]
    return replace(table, about=table.about.assign(**{FRAMES: kept}))


def _each_once(paths: list[Path]) -> list[Path]:
    """Refuse what is given twice: it would count twice in whatever is made of the table."""
    first: dict[Path, Path] = {}
    for path in paths:
        other = first.setdefault(path.resolve(), path)
        if other is not path:
            same = "" if other == path else f", as {other}"
            raise InputError(f"{path} is given twice{same}; a table has a row of each once")
    return paths


def _items(path: Path, wanted: _Wanted, skip: Failed) -> Iterator[_Item]:
    """Give what there is in a path, a row each; what cannot be had is skipped."""
    if path.is_dir():
        if (wanted.timestep_fs, wanted.temperature_K, wanted.elements) != (None, None, None):
            raise InputError(
                f"run {path} knows its times, temperatures and elements; leave those options out, "
                "or give runs and files in two commands"
            )
        if wanted.chosen == "each":
            raise InputError(f"{path} is a run; a row of each structure is of files")
        try:
            yield from _of_run(path, wanted)
        except (InputError, DamagedDataError) as error:
            skip(error)
        return
    if not path.is_file():
        skip(InputError(f"no file or run directory {path}"))
        return
    if wanted.chosen != "each" and are_frames(path):
        try:
            read = read_snapshots(
                path, wanted.timestep_fs, every=wanted.every, elements=wanted.elements
            )
            yield _frames_of(read, str(path), "file", wanted, wanted.temperature_K)
            return
        except InputError as error:
            # A later structure may be of other atoms: then it was no trajectory.
            if are_frames(path, None):
                skip(error)
                return
    for name, atoms in islice(read_structures(path), 0, None, wanted.every):
        if isinstance(atoms, InputError):
            skip(atoms if name in str(atoms) else InputError(f"{name}: {atoms}"))
            continue
        atoms.info["name"] = name
        yield _Item(atoms, "structure", wanted.temperature_K)


def _of_run(path: Path, wanted: _Wanted) -> Iterator[_Item]:
    """Give the finished productions of a run."""
    run = Run.open(path)
    done = [entry for entry in run.stages if entry.measured and entry.status == "done"]
    if not done:
        raise InputError(f"{path} has no finished production stage; let it run on first")
    for entry in done:
        stop = 1 if wanted.chosen == "start" else None
        read = run.trajectory(entry.name, stop=stop, every=wanted.every)
        at_K = entry.settings.get("temperature_K")
        yield _frames_of(read, f"{path}/{entry.name}", "production", wanted, at_K)


def _frames_of(run: Trajectory, name: str, kind: str, wanted: _Wanted, at_K: float | None) -> _Item:
    """Return the frame of a trajectory that is wanted, or all of them."""
    if wanted.chosen != "mean":
        run = run.part(stop=1) if wanted.chosen == "start" else run.part(start=-1)
    return _Item(replace(run, source=name), f"{_LABELS[wanted.chosen]} {kind}", at_K)
