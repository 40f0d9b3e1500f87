"""Features of files and runs, a row for each structure, trajectory and finished production."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlmd.checks import element, positive_number, shown, usable_path, whole_number
from mlmd.descriptors.conventions import convention_of
from mlmd.descriptors.featurize import featurize
from mlmd.descriptors.table_file import FRAMES
from mlmd.errors import InputError
from mlmd.run.measured import read_file
from mlmd.run.run import Run
from mlmd.studies.progress import counted
from mlmd.trajectory import Trajectory

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.descriptors.table import FeatureTable
    from mlmd.stages.context import ProgressReport

Chosen = Literal["start", "last", "mean"]
_LABELS = {"start": "start of", "last": "last frame of", "mean": "mean over"}


@dataclass(frozen=True)
class _Source:
    """A row to be: what it is called, of what, and how to read it when its turn comes."""

    name: str
    kind: Literal["production", "file"]
    temperature_K: float | None
    load: Callable[[], Atoms | Trajectory]


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
) -> FeatureTable:
    """Compute the features of structures, trajectories and runs; each is read when its turn comes.

    Parameters
    ----------
    paths
        Run directories, or files of a structure or a trajectory; none of them twice.
    mobile, convention, n_jobs
        See :func:`mlmd.featurize`.
    chosen
        ``start``, the first frame of a trajectory, which a production began with and which knows
        nothing of it; ``last``, its last; or ``mean``, the mean over its frames.
    every
        Take every so many frames.
    timestep_fs
        Time between frames of a file that does not say.
    temperature_K
        Of files; runs know theirs.
    progress
        Called with :class:`~mlmd.stages.context.Progress`.

    Raises
    ------
    InputError
        If a path is given twice or cannot be read, a run has no finished production, or nothing
        is given.
    """
    if not isinstance(paths, Sequence) or isinstance(paths, str | bytes):
        raise InputError(f"paths are {shown(paths)}; expected a list of files and run directories")
    whole_number("every", every)
    convention_of(convention)
    element("mobile element", mobile)
    for name, value in (("timestep_fs", timestep_fs), ("temperature_K", temperature_K)):
        if value is not None:
            positive_number(name, value)
    sources = [
        source
        for path in _each_once([usable_path("path", path) for path in paths])
        for source in _sources(path, chosen, every, timestep_fs, temperature_K)
    ]
    if not sources:
        raise InputError("nothing to compute features of; give run directories or files")
    frames: list[str] = []

    def items() -> Iterator[Atoms | Trajectory]:
        for source in sources:
            item = source.load()
            if isinstance(item, Trajectory):
                frames.append(f"{_LABELS[chosen]} {source.kind}")
                yield replace(_part(item, chosen), source=source.name)
            else:
                frames.append("structure")
                item.info["name"] = source.name
                yield item

    at_K, tell = [one.temperature_K for one in sources], counted(progress, "features", len(sources))
    table = featurize(items(), mobile, convention, at_K, n_jobs, tell)
    return replace(table, about=table.about.assign(**{FRAMES: frames}))


def _each_once(paths: list[Path]) -> list[Path]:
    """Refuse what is given twice: it would count twice in whatever is made of the table."""
    first: dict[Path, Path] = {}
    for path in paths:
        other = first.setdefault(path.resolve(), path)
        if other is not path:
            same = "" if other == path else f", as {other}"
            raise InputError(f"{path} is given twice{same}; a table has a row of each once")
    return paths


def _sources(
    path: Path, chosen: Chosen, every: int, timestep_fs: float | None, temperature_K: float | None
) -> Iterator[_Source]:
    """Find what is to be read, without reading it."""
    if not path.is_file() and not path.is_dir():
        raise InputError(f"no file or run directory {path}")
    if not path.is_dir():
        load = partial(_read_file, path, every, timestep_fs)
        yield _Source(str(path), "file", temperature_K, load)
        return
    if timestep_fs is not None or temperature_K is not None:
        raise InputError(
            f"run {path} knows its times and temperatures; leave those options out, or give runs "
            "and files in two commands"
        )
    run = Run.open(path)
    done = [entry for entry in run.stages if entry.measured and entry.status == "done"]
    if not done:
        raise InputError(f"{path} has no finished production stage; let it run on first")
    for entry in done:
        stop = 1 if chosen == "start" else None
        read = partial(run.trajectory, entry.name, stop=stop, every=every)
        at_K = entry.settings.get("temperature_K")
        yield _Source(f"{path}/{entry.name}", "production", at_K, read)


def _read_file(path: Path, every: int, timestep_fs: float | None) -> Atoms | Trajectory:
    """Read a file of one structure as that, any other as a trajectory."""
    if _is_one_structure(path):
        from mlmd.structure.reading import read_structure

        return read_structure(path)
    return read_file(path, timestep_fs, every=every, long_steps="warn")


def _is_one_structure(path: Path) -> bool:
    """Whether ASE finds exactly one structure in the file."""
    from mlmd.trajectory.ase_bounds import read_images

    if path.suffix == ".h5md":
        return False
    try:
        return len(list(islice(read_images(path, slice(None)), 2))) == 1
    except Exception:  # the reader that is then tried says what is wrong
        return False


def _part(run: Trajectory, chosen: Chosen) -> Trajectory:
    """Return the frame that is wanted, or all of them."""
    if chosen == "mean":
        return run
    return run.part(stop=1) if chosen == "start" else run.part(start=-1)
