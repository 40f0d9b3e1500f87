"""Settings of a model chosen on rows left out of the rows to learn from, and on no others.

Optuna proposes settings and keeps what came of them. Proposals follow from the seed and from the
results so far alone, so a study that was stopped is gone through again from its first trial:
what its file has is looked up, what it lacks is computed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.checks import whole_number
from mlmd.errors import InputError, MlmdError
from mlmd.model.data.folds import Fold, make_folds, widest_grouping
from mlmd.model.extra import import_extra
from mlmd.model.fitting import fit_pipeline
from mlmd.model.regressors import WITH_XGBOOST, make_regressor
from mlmd.model.tuning.spaces import Number, Plain, SearchSpace, search_space
from mlmd.model.tuning.studies import REASON, Study

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

    from mlmd.model.data.problem import Problem

logger = logging.getLogger(__name__)

_SCHEMA = 1


@dataclass(frozen=True)
class Tuning:
    """How settings are searched for.

    Attributes
    ----------
    n_trials : int
        Settings to try, the untuned ones first.
    storage : path, optional
        File that keeps what was tried, for any number of studies and processes; a study that
        was stopped goes on from it. In memory without one.
    n_splits, n_repeats : int
        Inner folds, and how often their groups are shuffled anew.
    seed : int
        Of the proposals and of the inner folds.
    """

    n_trials: int = 30
    storage: Path | None = None
    n_splits: int = 5
    n_repeats: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        whole_number("n_trials", self.n_trials)
        whole_number("n_splits", self.n_splits, least=2)
        whole_number("n_repeats", self.n_repeats)
        whole_number("seed of tuning", self.seed, 0, 2**32 - 1)


@dataclass(frozen=True)
class Tuned:
    """What tuning found.

    Attributes
    ----------
    model : str
        What was tuned.
    values : dict
        The best settings as plain values, as the study has them; see `settings`.
    rmse : float
        Their error on inner rows left out, in the unit of the target. Being the smallest of
        many it is too small: judge a tuned model on other rows.
    default_rmse : float, optional
        That of the untuned model; None if it gave no numbers.
    n_trials, n_failed, n_computed : int
        Different settings tried, those of them that gave no numbers, and those of them that were
        not found in the file.
    grouped_by : str
        What rows of different inner folds do not share.
    study_name : str
        Name of the study in the file.
    """

    model: str
    values: dict[str, Plain] = field(hash=False)
    rmse: float
    default_rmse: float | None
    n_trials: int
    n_failed: int
    n_computed: int
    grouped_by: str
    study_name: str

    @property
    def settings(self) -> dict[str, Any]:
        """What ``set_params`` of the model's pipeline takes."""
        return search_space(self.model).settings(self.values)


def tune(
    problem: Problem,
    model: str,
    rows: ArrayLike,
    tuning: Tuning | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tuned:
    """Choose the settings with the smallest error on inner folds of some rows.

    Folds are by chemical system, or by formula or row where there are too few of these. Other
    rows of the problem have no influence.

    Parameters
    ----------
    problem : Problem
        What `TrainingTable.problem` gives.
    model : str
        Name of one of `REGRESSORS`.
    rows : array of int
        Rows to learn from.
    tuning : Tuning, optional
        How to search.
    progress : callable, optional
        Called with the number of trials done, and of all.

    Raises
    ------
    InputError
        If the model is unknown, the rows cannot be parted, or the file cannot be used.
    MissingExtraError
        If optuna, scikit-learn or xgboost is not installed.
    MlmdError
        If no trial gave numbers.
    """
    optuna = import_extra("optuna")
    tuning = Tuning() if tuning is None else tuning
    space = search_space(model)
    part = _only(problem, rows)
    grouped_by, folds = _inner_folds(part, tuning)
    name = f"{model}-{part.target}-{_identity(part, model, space, tuning)[:16]}"
    tried: list[FrozenTrial] = []
    n_computed = 0
    with _quiet(optuna):
        study = Study(tuning.storage, name)
        study.describe(f"{part.target} in {part.unit}, {len(part.y)} rows, folds by {grouped_by}")
        search = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=tuning.seed))
        search.enqueue_trial(space.defaults)
        distributions = _distributions(space)
        for done in range(1, tuning.n_trials + 1):
            asked = search.ask(distributions)
            found = study.find(asked.params)
            if found is None:
                found = _computed(part, model, folds, space, asked)
                study.add(found)
                n_computed += 1
            search.tell(asked, found.value, found.state)
            if all(one.params != found.params for one in tried):
                tried.append(found)
            logger.debug("%s: trial %d of %d: %s", name, done, tuning.n_trials, found.value)
            if progress is not None:
                progress(done, tuning.n_trials)
    good = [one for one in tried if one.value is not None]
    if not good:
        raise MlmdError(
            f"{model}: none of {len(tried)} settings gave numbers "
            f"({tried[0].user_attrs.get(REASON)}); check the rows to learn from"
        )
    best = min(good, key=_value)
    return Tuned(
        model,
        dict(best.params),
        _value(best),
        tried[0].value,
        len(tried),
        len(tried) - len(good),
        n_computed,
        grouped_by,
        name,
    )


def _value(trial: FrozenTrial) -> float:
    return np.inf if trial.value is None else float(trial.value)


def _only(problem: Problem, rows: ArrayLike) -> Problem:
    """Return a problem of some rows, so that nothing that follows can see the others."""
    chosen = np.asarray(rows)
    n = len(problem.y)
    if chosen.ndim != 1 or not np.issubdtype(chosen.dtype, np.integer):
        raise InputError("rows to tune on must be row numbers; take numpy.flatnonzero of a mask")
    if len(chosen) == 0 or chosen.min() < 0 or chosen.max() >= n:
        raise InputError(f"{len(chosen)} row numbers to tune on; expected some from 0 to {n - 1}")
    return problem.only(chosen)


def _inner_folds(part: Problem, tuning: Tuning) -> tuple[str, tuple[Fold, ...]]:
    """Return the widest groups of which there are enough, and folds of them."""
    if len(part.y) < tuning.n_splits:
        raise InputError(
            f"{len(part.y)} row(s) to tune on; expected at least {tuning.n_splits}, one for each "
            "inner fold"
        )
    name = widest_grouping(part.formulas, tuning.n_splits)
    return name, make_folds(
        name, part.formulas, tuning.n_splits, tuning.n_repeats, tuning.seed
    ).folds


def _identity(part: Problem, model: str, space: SearchSpace, tuning: Tuning) -> str:
    """Return a hash of all that a score follows from, and of what proposes settings."""
    untuned = make_regressor(model, target=part.target).get_params()
    import optuna
    import sklearn

    versions = [optuna.__version__, sklearn.__version__, np.__version__]
    if model in WITH_XGBOOST:
        import xgboost

        versions.append(xgboost.__version__)
    described = {
        "schema": _SCHEMA,
        "learnt_from": part.sha256,
        "model": [f"{k}={v!r}" for k, v in untuned.items() if not hasattr(v, "get_params")],
        "space": repr(space),
        "folds": [tuning.n_splits, tuning.n_repeats, tuning.seed],
        "versions": versions,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _computed(
    part: Problem, model: str, folds: Sequence[Fold], space: SearchSpace, asked: Trial
) -> FrozenTrial:
    """Return the trial with its score; where there is none, a pruned one with the reason."""
    from optuna.trial import TrialState, create_trial

    rmse: float | None = None
    about: dict[str, Any] = {}
    start = time.perf_counter()
    try:
        rmse = _rmse(part, model, folds, space.settings(asked.params))
    except (ValueError, ArithmeticError) as error:
        about[REASON] = " ".join(str(error).split())[:200] or type(error).__name__
        logger.info("%s with %s gave no numbers: %s", model, asked.params, about[REASON])
    about["seconds"] = round(time.perf_counter() - start, 3)
    return create_trial(
        state=TrialState.PRUNED if rmse is None else TrialState.COMPLETE,
        value=rmse,
        params=asked.params,
        distributions=asked.distributions,
        user_attrs=about,
    )


def _rmse(part: Problem, model: str, folds: Sequence[Fold], settings: Mapping[str, Any]) -> float:
    squares = []
    with warnings.catch_warnings():
        # What did not converge or overflowed is seen in the score.
        warnings.simplefilter("ignore")
        for fold in folds:
            fitted = fit_pipeline(part, model, fold.train, settings)
            predicted = np.asarray(fitted.predict(part.X.iloc[fold.test]), dtype=float)
            squares.append((predicted - part.y[fold.test]) ** 2)
    rmse = float(np.sqrt(np.mean(np.concatenate(squares))))
    if not np.isfinite(rmse):
        raise ArithmeticError("predictions are not finite")
    return rmse


def _distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for one in space.parameters:
        if not isinstance(one, Number):
            found[one.name] = CategoricalDistribution(one.options)
        elif isinstance(one.low, int) and isinstance(one.high, int):
            found[one.name] = IntDistribution(one.low, one.high, log=one.log)
        else:
            found[one.name] = FloatDistribution(one.low, one.high, log=one.log)
    return found


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Keep Optuna from reporting every trial on stderr."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(level, logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
