"""Training data from finished runs: the diffusivity of each production, features of its start."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from ase.data import atomic_numbers

from mlmd.analysis.diffusion.diffusivity import diffusivity
from mlmd.analysis.recipe import RecipeAnalysis
from mlmd.checks import choice
from mlmd.descriptors.conventions import convention_of
from mlmd.descriptors.featurize import featurize
from mlmd.descriptors.table import FeatureTable
from mlmd.descriptors.table_file import import_pandas
from mlmd.errors import InputError, MlmdError
from mlmd.model.data.labelled_file import EINSTEIN, known_features
from mlmd.model.data.table import TrainingTable
from mlmd.run.manifest import NAME
from mlmd.run.run import Run
from mlmd.stages.volume.result import VIRIAL

if TYPE_CHECKING:
    from mlmd.run.manifest import StageEntry

logger = logging.getLogger(__name__)

FeaturesFrom = Literal["start", "production"]

FEWEST_ROWS = 5
_FRAMES = {"start": "start of production", "production": "mean over production"}
_CONVENTIONS = (VIRIAL,)
"""Flags of a stage that say how it was done; all others say that its numbers are in doubt."""


@dataclass(frozen=True)
class Skipped:
    """What is not in a table.

    Attributes
    ----------
    path : Path
        The run directory.
    stage : str or None
        Its stage; None for the whole run.
    reason : str
        Why.
    """

    path: Path
    stage: str | None
    reason: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.path}{'' if self.stage is None else f'/{self.stage}'}: {self.reason}"


@dataclass(frozen=True, eq=False)
class RunTable:
    """A table made of runs, and what was left out of it."""

    table: TrainingTable
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, eq=False)
class _Row:
    path: Path
    stage: str
    features: FeatureTable
    D_cm2_s: float
    D_error_cm2_s: float
    is_bound: bool


@dataclass(frozen=True)
class _Wanted:
    """What features are wanted."""

    features_from: FeaturesFrom
    mobile: str
    convention: str

    def __post_init__(self) -> None:
        choice("features_from", self.features_from, get_args(FeaturesFrom))
        if self.mobile not in atomic_numbers:
            raise InputError(f"mobile element '{self.mobile}' is unknown; give a symbol such as Li")
        convention_of(self.convention)


def table_from_runs(
    paths: Iterable[str | Path],
    features_from: FeaturesFrom = "start",
    mobile: str = "Li",
    convention: str = "mlmd",
    progress: Callable[[int, int], None] | None = None,
    fewest_rows: int = FEWEST_ROWS,
) -> RunTable:
    """Build a training table: a row for every finished production of every finished run.

    D and its standard error are those of ``mlmd analyze`` without options: by
    :func:`mlmd.diffusivity` as the run's recipe says. Productions that are not diffusive are the
    table's ``bounds``, by their upper bound of D: without them, slow compositions would be known by
    those runs alone that happened to be fast. Left out, each with its reason, are runs that are not
    finished (stopped, failed, ended by a guard), copies of a run that is there already, and
    productions that give no bound either, or carry a flag that puts their numbers in doubt
    (``unconverged_volume``, ``unconverged_scf``; ``virial_pressure_volume`` only names a
    convention). One in which a guard has halved the time step and that then ended is taken.

    Parameters
    ----------
    paths : iterable of path
        Run directories, or folders that hold run directories at any depth.
    features_from : {"start", "production"}
        "start" takes one snapshot, the structure that the production began with: the end of the
        stage before, which has seen nothing of the production. "production" takes the mean over
        the frames that gave the label. Such features know the trajectory they are to predict, so
        that every score is better than what a user gets who has a structure and no production:
        it has to be asked for.
    mobile : str
        The mobile element.
    convention : {"mlmd", "zheng2024"}
        Definitions of the features, see `mlmd.descriptors.conventions`.
    progress : callable, optional
        Called with the number of runs looked at, and of all.
    fewest_rows : int
        An error if there are fewer; 1 where the table is to be joined with others.

    Raises
    ------
    InputError
        If an option is unknown, a path does not exist or holds no run, no run is finished, no
        production is diffusive, or there are too few rows.
    MissingExtraError
        If pandas is not installed.
    """
    import_pandas()
    wanted = _Wanted(features_from, mobile, convention)
    folders = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    found = _run_directories(folders)
    where = ", ".join(map(str, folders[:3])) + (" ..." if len(folders) > 3 else "")
    if not found:
        raise InputError(f"no run directory in {where or 'nothing'}; expected those of mlmd run")
    rows: list[_Row] = []
    skipped: list[Skipped] = []
    finished: dict[str, Path] = {}
    for done, path in enumerate(found, start=1):
        for one in _productions(path, finished, wanted):
            if isinstance(one, Skipped):
                _skip(one, skipped)
            else:
                rows.append(one)
        if progress is not None:
            progress(done, len(found))
    if not finished:
        raise InputError(f"none of {len(found)} run(s) in {where} is finished; {skipped[0]}")
    if all(row.is_bound for row in rows):
        why = [*(one for one in skipped if one.stage is not None), *skipped]
        said = f"{len(rows)} upper bound(s) alone" if rows else str(why[0])
        raise InputError(
            f"{len(finished)} finished run(s) in {where}, none of which gives D of {mobile}; {said}"
        )
    made = _table(rows, skipped, wanted)
    if len(made.table) < fewest_rows:
        left_out = f"; {len(skipped)} left out, the first {skipped[0]}" if skipped else ""
        raise InputError(
            f"{len(made.table)} row(s) from {where}; expected at least {fewest_rows}: give more "
            f"runs{left_out}"
        )
    return made


def _skip(one: Skipped, skipped: list[Skipped]) -> None:
    logger.info("not in the table: %s", one)
    skipped.append(one)


def _run_directories(paths: Iterable[Path]) -> list[Path]:
    """Return every run directory once, in order; nothing below one is looked at."""
    found: list[Path] = []
    seen: set[Path] = set()

    def look(folder: Path) -> None:
        real = folder.resolve()
        if real in seen:  # given twice, or a link
            return
        seen.add(real)
        try:
            is_run = (folder / NAME).is_file()
            inside = [] if is_run else [item for item in sorted(folder.iterdir()) if item.is_dir()]
        except OSError as error:
            raise InputError(f"{folder} cannot be looked through ({error.strerror})") from error
        if is_run:
            found.append(folder)
        for item in inside:
            look(item)

    for path in paths:
        if not path.is_dir():
            raise InputError(f"{path} is no folder; expected run directories or folders of them")
        look(path)
    return found


def _productions(
    path: Path, finished: dict[str, Path], wanted: _Wanted
) -> Iterator[_Row | Skipped]:
    """Yield what there is to learn from a run, and what not; note it if it is finished."""
    try:
        run = Run.open(path)
        status = run.status
    except MlmdError as error:  # a run.json of another program
        yield Skipped(path, None, f"it cannot be read ({error})")
        return
    if status != "done":
        errors = [f" ({entry.name}: {entry.error})" for entry in run.stages if entry.error]
        yield Skipped(path, None, f"it is {status}, not finished{(errors or [''])[0]}")
        return
    first = finished.setdefault(run.manifest.identity_sha256, path)
    if first != path:
        yield Skipped(path, None, f"it is the same run as {first}")
        return
    measured = [entry for entry in run.stages if entry.measured]
    if not measured:
        yield Skipped(path, None, "it has no production stage")
    for entry in measured:
        try:
            yield _row(run, entry, wanted)
        except MlmdError as error:
            yield Skipped(path, entry.name, str(error))


def _row(run: Run, entry: StageEntry, wanted: _Wanted) -> _Row:
    """Return label and features of one production."""
    doubts = [flag for flag in entry.flags if flag not in _CONVENTIONS]
    if doubts:
        raise InputError(f"it is flagged {', '.join(doubts)}")
    trajectory = run.trajectory(entry.name)
    result = diffusivity(trajectory, wanted.mobile, **RecipeAnalysis.of(run).settings)
    D_cm2_s = result.D_upper_bound_cm2_s if result.D_cm2_s is None else result.D_cm2_s
    if D_cm2_s is None:
        raise InputError(f"it is not diffusive: {result.reason}")
    # The first frame is taken before the first step: where the stage before has ended.
    described = trajectory.part(stop=1) if wanted.features_from == "start" else trajectory
    features = featurize(
        {f"{run.path}/{entry.name}": described},
        wanted.mobile,
        wanted.convention,
        entry.settings["temperature_K"],
    )
    error = result.D_stderr_cm2_s
    error = np.nan if error is None else error
    return _Row(run.path, entry.name, features, D_cm2_s, error, not result.is_diffusive)


def _table(rows: list[_Row], skipped: list[Skipped], wanted: _Wanted) -> RunTable:
    """Put rows together; one that lacks a feature which most have is left out."""
    pandas = import_pandas()
    values = known_features(pandas.concat([row.features.values for row in rows]))
    about = pandas.concat([row.features.about for row in rows])
    has_all = values.notna().all(axis=1).to_numpy()
    for row, missing in zip(rows, values.isna().to_numpy(), strict=True):
        if missing.any():
            column = values.columns[missing][0]
            _skip(Skipped(row.path, row.stage, f"it has no feature {column}"), skipped)
    is_bound = np.array([row.is_bound for row in rows])
    if not (has_all & ~is_bound).any():
        raise InputError(f"no production has all features that most have; {skipped[-1]}")
    D = np.array([(row.D_cm2_s, row.D_error_cm2_s) for row in rows])[has_all]
    about = about[has_all]
    table = TrainingTable(
        values[has_all].reset_index(drop=True),
        tuple(map(str, about["formula"])),
        about["temperature_K"].to_numpy(dtype=float),
        D[:, 0],
        wanted.convention,
        wanted.mobile,
        D[:, 1],
        tuple(map(str, about.index)),
        about["n_frames"].to_numpy(),
        (_FRAMES[wanted.features_from],) * len(about),
        EINSTEIN,
    )
    return RunTable(table.parted(is_bound[has_all]), tuple(skipped))
