"""A model trained on a table or on runs, and judged on rows that it has not learnt from."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlmd.checks import choice, shown, texts, truth, usable_path, whole_number
from mlmd.errors import InputError
from mlmd.files import check_output
from mlmd.findings import Finding
from mlmd.model.data.folds import (
    FOLDS,
    GROUPINGS,
    TooFewGroupsError,
    known_folds,
    make_folds,
)
from mlmd.model.data.run_table import FeaturesFrom, RunTable, table_from_runs
from mlmd.model.data.table import TARGETS, TrainingTable
from mlmd.model.predictor.predictor import Predictor
from mlmd.model.predictor.published import PUBLISHED_SCORES
from mlmd.model.regressors import regressor_of
from mlmd.model.validation.cross_validation import Report, cross_validate
from mlmd.model.validation.spread import FEWEST_MEMBERS
from mlmd.plain import plain_fields, to_plain
from mlmd.studies.progress import counted
from mlmd.studies.scores import about_scores

if TYPE_CHECKING:
    from mlmd.model.data.problem import Problem
    from mlmd.model.tuning.tune import Tuning
    from mlmd.stages.context import ProgressReport

logger = logging.getLogger(__name__)

_SHUFFLED = ("formula", "chemical_system")
_JUDGED = "chemical_system"  # intervals of bootstrapped models take many fits
_FEWEST_JUDGED = 25
MOST_SEED = 2**32 - 1
"""Of scikit-learn's random numbers."""


@dataclass(frozen=True)
class TrainingSettings:
    """What is trained, and how it is judged.

    Attributes
    ----------
    model : str
        Name of one of `mlmd.model.REGRESSORS`.
    target : {"ln_D", "D", "E_a"}, optional
        What it learns: ln_D if not given, for the paper's table what the paper trained it on.
    folds : str, optional
        One of `mlmd.model.FOLDS`; if not given, published for the paper's table, else the widest
        groups of which there are enough.
    beside : sequence of str, optional
        Other folds to show beside; if not given, all that the rows allow, so that no optimistic
        ones are shown alone.
    n_repeats : int
        Shuffles of folds by formula or chemical system.
    seed : int
        Of the shuffles.
    weighted : bool
        Let rows count by the standard errors of D.
    tuning : Tuning, optional
        Choose settings anew in each fold.
    n_bootstrap : int
        Models behind a standard deviation of the model that is kept.
    published : bool
        Whether the table is that of Zheng et al. 2024, so that their scores stand beside.

    Raises
    ------
    InputError
        If the model or another name is unknown, or a number cannot be.
    """

    model: str = "random_forest"
    target: str | None = None
    folds: str | None = None
    beside: Sequence[str] | None = None
    n_repeats: int = 5
    seed: int = 0
    weighted: bool = False
    tuning: Tuning | None = None
    n_bootstrap: int = 100
    published: bool = False

    def __post_init__(self) -> None:
        """Refuse what no table could be used for before any is read."""
        regressor_of(self.model)
        if self.target is not None:
            choice("target", self.target, TARGETS)
        if self.folds is not None:
            known_folds(self.folds)
        for name in () if self.beside is None else texts("beside", self.beside):
            known_folds(name)
        whole_number("n_repeats", self.n_repeats)
        whole_number("seed", self.seed, least=0, most=MOST_SEED)
        whole_number("n_bootstrap", self.n_bootstrap)
        truth("weighted", self.weighted)


@dataclass(frozen=True, eq=False)
class TrainingStudy:
    """A model, how well it predicts, and the model itself where it was kept.

    Attributes
    ----------
    table : TrainingTable
        What was learnt from.
    problem : Problem
        What was learnt.
    reports : tuple of Report
        Cross-validations side by side; the first is what the study is about.
    published : mapping
        What the paper gives for that model and target, as an entry of `PUBLISHED_SCORES`.
    predictor : Predictor, optional
        The model, trained on all rows; ``predictor.training.calibration`` says what its intervals
        are worth.
    path : Path, optional
        Its file.
    """

    table: TrainingTable
    problem: Problem
    reports: tuple[Report, ...]
    published: Mapping[str, float]
    predictor: Predictor | None = None
    path: Path | None = None

    @property
    def n_bounds(self) -> int:
        """Number of upper bounds that the model learns from, beside its rows."""
        return 0 if self.table.bounds is None else len(self.table.bounds)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What to know about the scores."""
        return about_scores(self.problem, self.reports)

    def to_dict(self) -> dict[str, Any]:
        """Return scores and calibration as plain values for JSON."""
        content = {
            **self.reports[0].to_dict(),
            "published": dict(self.published),
            "beside": to_plain(self.reports[1:]),
            "n_rows": len(self.problem.y),
            "n_bounds": self.n_bounds,
            "D_from": self.table.D_from,
            "saved": to_plain(self.path),
            "findings": to_plain(self.findings),
        }
        if self.predictor is not None:
            content["calibration"] = plain_fields(self.predictor.training.calibration)
        return content


def training_table(
    sources: Sequence[str | Path],
    format: Literal["mlmd", "zheng2024"] = "mlmd",
    features_from: FeaturesFrom = "start",
    mobile: str | None = None,
    convention: str | None = None,
    also: Sequence[str] = (),
    progress: ProgressReport | None = None,
) -> RunTable:
    """Read one table (`TrainingTable.read`), or make one of runs (`table_from_runs`).

    Parameters
    ----------
    sources : sequence of path
        A file, or run directories and folders of them.
    format : {"mlmd", "zheng2024"}
        Of a file.
    features_from, mobile, convention
        Of runs, Li and mlmd if not given; the latter two also of a table that has lost its first
        line.
    also : sequence of str
        Of a table: columns of the user's own to learn from.
    progress : callable, optional
        Called with `mlmd.stages.context.Progress`.

    Raises
    ------
    InputError
        If there are several files, or both files and folders, or they cannot be used.
    """
    if not isinstance(sources, Sequence) or isinstance(sources, str | bytes) or not sources:
        raise InputError(f"sources are {shown(sources)}; expected a list of paths")
    choice("format", format, ("mlmd", "zheng2024"))
    paths = [usable_path("source", path) for path in sources]
    if all(path.is_dir() for path in paths):
        if also:
            raise InputError("also names columns of a table; runs have none")
        tell = counted(progress, "runs")
        return table_from_runs(sources, features_from, mobile or "Li", convention or "mlmd", tell)
    if len(sources) > 1:
        raise InputError(
            f"{len(sources)} files or folders; expected one table, or run directories alone"
        )
    return RunTable(TrainingTable.read(sources[0], format, also, convention, mobile), ())


def train_study(
    table: TrainingTable,
    settings: TrainingSettings | None = None,
    path: str | Path | None = None,
    progress: ProgressReport | None = None,
    force: bool = False,
) -> TrainingStudy:
    """Cross-validate a model on a table; train it on all rows and keep it where a file is named.

    Parameters
    ----------
    table : TrainingTable
        What to learn from.
    settings : TrainingSettings, optional
        What is trained, and how it is judged.
    path : path, optional
        File for the model; without it none is trained on all rows.
    progress : callable, optional
        Called with `mlmd.stages.context.Progress`.
    force : bool
        Replace what is at `path`.

    Raises
    ------
    InputError
        If something given cannot be used; nothing was trained then.
    MissingExtraError
        If a package is not installed.
    """
    settings = settings or TrainingSettings()
    model = settings.model
    problem, target, names = trainable(table, settings)
    predictor = None
    if path is not None:  # made first, so that it refuses its settings before the folds
        check_output(path, "model", force)
        predictor = Predictor(
            model, target, settings.n_bootstrap, weighted=settings.weighted, tuning=settings.tuning
        )
    reports = tuple(_report(problem, name, settings, table.mobile, progress) for name in names)
    if predictor is not None and path is not None:
        predictor.fit(table, counted(progress, "the model to keep")).save(path, force)
    return TrainingStudy(
        table,
        problem,
        reports,
        PUBLISHED_SCORES.get((model, target), {}) if settings.published else {},
        predictor,
        None if path is None else Path(path),
    )


def trainable(
    table: TrainingTable, settings: TrainingSettings
) -> tuple[Problem, str, Sequence[str]]:
    """Return what is to be learnt, the target's name, and the folds, before anything is trained.

    Raises
    ------
    InputError
        If the table has not what that takes.
    """
    model = settings.model
    target = settings.target or (_published_target(model) if settings.published else "ln_D")
    problem = table.problem(target, settings.weighted, regressor_of(model).learns_elements)
    names = _fold_names(problem, settings, table.mobile)
    for name in names:
        make_folds(name, problem.formulas, mobile=table.mobile)
    return problem, target, names


def usable_folds(problem: Problem, mobile: str) -> list[str]:
    """Return the folds that the rows can be parted into."""
    usable = []
    for name in FOLDS:
        try:
            make_folds(name, problem.formulas, mobile=mobile)
        except TooFewGroupsError:  # nothing else may drop honest folds
            continue
        usable.append(name)
    return usable


def _published_target(model: str) -> str:
    """Return what the paper trained a model on."""
    return next((target for name, target in PUBLISHED_SCORES if name == model), "ln_D")


def _fold_names(problem: Problem, settings: TrainingSettings, mobile: str) -> list[str]:
    """Show all folds side by side, the optimistic ones never alone, where not told otherwise."""
    usable = usable_folds(problem, mobile)
    first = settings.folds or ("published" if settings.published else None)
    if first is None:
        first = next((name for name in GROUPINGS if name in usable), "chemical_system")
        if first != "chemical_system":
            logger.warning(
                "too few chemical systems for five folds: folds are by %s, which is optimistic for "
                "new materials",
                first,
            )
    others = usable if settings.beside is None else settings.beside
    return [first, *(name for name in others if name != first)]


def _report(
    problem: Problem,
    folds: str,
    settings: TrainingSettings,
    mobile: str,
    progress: ProgressReport | None,
) -> Report:
    judged = folds == _JUDGED and len(problem.y) >= _FEWEST_JUDGED
    return cross_validate(
        problem,
        settings.model,
        folds,
        n_repeats=settings.n_repeats if folds in _SHUFFLED else 1,
        seed=settings.seed,
        mobile=mobile,
        n_bootstrap=FEWEST_MEMBERS if judged else 0,
        tuning=settings.tuning,
        progress=counted(progress, f"folds {folds}"),
    )
