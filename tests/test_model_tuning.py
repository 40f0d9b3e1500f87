"""Tuning: planted optima, rows that must not be seen, and studies that outlive their process."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from published_features import FOLDER, needs_published

pytest.importorskip("sklearn", reason="needs the model extra")
pandas = pytest.importorskip("pandas", reason="needs the model extra")
optuna = pytest.importorskip("optuna", reason="needs the model extra")

import mlmd.model.tuning.tune as tuning  # noqa: E402
from mlmd.descriptors.features import FEATURES  # noqa: E402
from mlmd.errors import InputError, MlmdError  # noqa: E402
from mlmd.model import REGRESSORS, TrainingTable, cross_validate  # noqa: E402
from mlmd.model.data.folds import make_folds  # noqa: E402
from mlmd.model.data.problem import Problem  # noqa: E402
from mlmd.model.regressors import WITH_XGBOOST, make_regressor  # noqa: E402
from mlmd.model.sisso.regressor import SissoRegressor  # noqa: E402
from mlmd.model.sisso.space import parse_unit  # noqa: E402
from mlmd.model.tuning.spaces import SEARCH_SPACES, Number, search_space  # noqa: E402
from mlmd.model.tuning.tune import Tuned, Tuning, tune  # noqa: E402

ANIONS = ["Cl", "F", "O", "S", "Br", "I", "N", "P", "Se", "Te"]
ALL = np.arange(60)


def planted(n: int = 60, n_columns: int = 3, noise: float = 0.05, seed: int = 0) -> Problem:
    """Linear in the first column, with a wave in the second; ten chemical systems."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_columns))
    y = X[:, 0] + np.sin(3 * X[:, 1]) + rng.normal(0, noise, n)
    return problem_of(X, y)


def problem_of(X, y) -> Problem:
    formulas = tuple(f"Li{1 + i % 3}{ANIONS[i % 10]}" for i in range(len(y)))
    frame = pandas.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])])
    return Problem(frame, y, formulas, "ln_D", "ln(cm2/s)")


def rmse_on(fresh: Problem, learnt: Problem, model: str, settings: dict) -> float:
    fitted = make_regressor(model).set_params(**settings).fit(learnt.X, learnt.y)
    return float(np.sqrt(np.mean((fitted.predict(fresh.X) - fresh.y) ** 2)))


def found(tuned: Tuned) -> dict:
    """What must not depend on how often a study was stopped."""
    content = dataclasses.asdict(tuned)
    content.pop("n_computed")
    return content


def test_the_best_shrinkage_of_a_linear_law_is_found():
    # For coefficients of variance 1 and noise of variance s2, the best alpha is s2 (n columns of
    # variance 1): ridge regression is then the posterior mean.
    rng = np.random.default_rng(3)
    coefficients, noise = rng.normal(size=40), 8.0

    def draw(n):
        X = rng.normal(size=(n, 40))
        return problem_of(X, X @ coefficients + rng.normal(0, noise, n))

    learnt, fresh = draw(100), draw(2000)
    tuned = tune(learnt, "ridge", np.arange(100), Tuning(15))
    assert tuned.rmse < tuned.default_rmse
    assert tuned.settings["ridge__alpha"] == pytest.approx(noise**2, rel=0.6)
    better = rmse_on(fresh, learnt, "ridge", tuned.settings)
    assert better < 0.97 * rmse_on(fresh, learnt, "ridge", {})


def test_a_wave_too_short_for_the_untuned_kernel_is_learnt():
    learnt, fresh = planted(120), planted(500, seed=1)
    tuned = tune(learnt, "kernel_ridge", np.arange(120), Tuning(15))
    assert tuned.default_rmse is not None
    assert tuned.rmse < 0.7 * tuned.default_rmse
    better = rmse_on(fresh, learnt, "kernel_ridge", tuned.settings)
    assert better < 0.7 * rmse_on(fresh, learnt, "kernel_ridge", {})


def test_the_score_is_that_of_the_untuned_model_on_rows_of_other_systems():
    problem = planted()
    error = np.empty(60)
    for fold in make_folds("chemical_system", problem.formulas, 4, 1, 7).folds:
        fitted = make_regressor("ridge").fit(problem.X.iloc[fold.train], problem.y[fold.train])
        error[fold.test] = fitted.predict(problem.X.iloc[fold.test]) - problem.y[fold.test]
        systems = [{ANIONS[i % 10] for i in rows} for rows in (fold.train, fold.test)]
        assert not systems[0] & systems[1]
    tuned = tune(problem, "ridge", ALL, Tuning(1, n_splits=4, seed=7))
    assert tuned.rmse == tuned.default_rmse == pytest.approx(np.sqrt(np.mean(error**2)))
    assert tuned.grouped_by == "chemical_system"


def test_other_rows_are_never_seen(tmp_path):
    problem, rows = planted(), np.flatnonzero(np.arange(60) % 10 < 7)
    others = np.setdiff1d(ALL, rows)
    plan = Tuning(6, tmp_path / "study.log")
    honest = tune(problem, "kernel_ridge", rows, plan)
    X, y, formulas = problem.X.copy(), problem.y.copy(), list(problem.formulas)
    X.iloc[others], y[others] = np.nan, np.nan
    for i in others:
        formulas[i] = "not a formula"
    spoilt = dataclasses.replace(problem, X=X, y=y, formulas=tuple(formulas))
    assert found(tune(spoilt, "kernel_ridge", rows, Tuning(6))) == found(honest)
    # And so it is the same study, of which nothing is left to do.
    assert tune(spoilt, "kernel_ridge", rows, plan).n_computed == 0


def test_with_few_systems_folds_are_of_formulas_or_rows():
    problem = planted(n=20)
    one_system = dataclasses.replace(problem, formulas=tuple(f"Li{1 + i % 6}Cl" for i in range(20)))
    one_formula = dataclasses.replace(problem, formulas=("LiCl",) * 20)
    for given, expected in ((one_system, "formula"), (one_formula, "random")):
        assert tune(given, "ridge", np.arange(20), Tuning(2)).grouped_by == expected
    with pytest.raises(InputError, match=r"4 row\(s\) to tune on"):
        tune(one_formula, "ridge", np.arange(4), Tuning(2))


def test_a_resumed_study_ends_as_an_uninterrupted_one(tmp_path):
    problem, file = planted(), tmp_path / "study.log"
    for model in ("kernel_ridge", "sisso"):  # choices, and whole numbers
        whole = tune(problem, model, ALL, Tuning(8))
        assert (whole.n_trials, whole.n_computed) == (8, 8)
        assert tune(problem, model, ALL, Tuning(3, file)).n_computed == 3
        resumed = tune(problem, model, ALL, Tuning(8, file))
        assert (found(resumed), resumed.n_computed) == (found(whole), 5)
        again = tune(problem, model, ALL, Tuning(8, file))
        assert (found(again), again.n_computed) == (found(whole), 0)
        # Fewer trials than there are in the file are those that fewer would have had.
        assert found(tune(problem, model, ALL, Tuning(3, file))) == found(
            tune(problem, model, ALL, Tuning(3))
        )


SCRIPT = """
import json, os, resource, signal, sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_model_tuning import ALL, Tuning, found, planted, tune, tuning
folder = Path({folder!r})

def work(storage, n=9):
    return found(tune(planted(), "kernel_ridge", ALL, Tuning(n, storage)))

def in_a_child(action):
    pid = os.fork()
    if pid == 0:
        try:
            action()
        finally:
            os._exit(0)
    return pid

result = {{"whole": work(None), "kills": 0}}

# In the seventh trial.
fitted, count = tuning.fit_pipeline, 0
def killed(*arguments):
    global count
    count += 1
    if count == 6 * 5 + 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return fitted(*arguments)
def first():
    tuning.fit_pipeline = killed
    work(folder / "seventh.log")
result["status"] = os.waitpid(in_a_child(first), 0)[1]
resumed = tune(planted(), "kernel_ridge", ALL, Tuning(9, folder / "seventh.log"))
result["seventh"] = [found(resumed), resumed.n_computed]

# At any moment, again and again.
file, delay = folder / "often.log", 0.02
while True:
    child = in_a_child(lambda: work(file))
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    if os.waitpid(child, 0)[1] == 0:
        break
    result["kills"] += 1
    delay *= 1.3
result["often"] = work(file)

# On a disk that is full in the middle of a line.
file = folder / "full.log"
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
try:
    work(file)
except tuning.InputError as error:
    result["full"] = str(error)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
result["torn"] = not file.read_bytes().endswith(b"\\n")
result["mended"] = work(file)

# Two at once on one study, and a third on another in the same file.
file = folder / "shared.log"
def write(name, n):
    (folder / name).write_text(json.dumps(work(file, n)))
children = [in_a_child(lambda i=i: write(f"{{i}}.json", 9 - 3 * (i == 2))) for i in range(3)]
for child in children:
    os.waitpid(child, 0)
result["at_once"] = [json.loads((folder / f"{{i}}.json").read_text()) for i in range(3)]
result["six"] = work(None, 6)
print(json.dumps(result))
"""


@pytest.mark.slow
def test_kill_9_a_full_disk_and_other_processes_change_no_result(tmp_path):
    script = SCRIPT.format(folder=str(tmp_path), tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result = json.loads(done.stdout)
    whole = result["whole"]
    assert (result["status"], result["seventh"]) == (9, [whole, 3])
    assert result["kills"] > 1
    assert result["often"] == whole
    assert result["torn"]
    assert "cannot be used" in result["full"]
    assert "\n" not in result["full"]
    assert result["mended"] == whole
    assert result["at_once"] == [whole, whole, result["six"]]


def test_a_line_cut_short_is_dropped_and_written_anew(tmp_path):
    problem, file = planted(), tmp_path / "study.log"
    whole = tune(problem, "ridge", ALL, Tuning(5, file))
    content = file.read_bytes()
    for left in (1, 3, 12, len(content) - 40, len(content) - 1):
        file.write_bytes(content[:left])
        assert found(tune(problem, "ridge", ALL, Tuning(5, file))) == found(whole)
        assert all(json.loads(line) for line in file.read_text().splitlines())


def test_the_study_is_of_what_is_learnt_from(tmp_path):
    problem, file = planted(), tmp_path / "study.log"
    X = problem.X.copy()
    X.iloc[3, 1] += 1e-12
    y = np.where(ALL == 3, np.nextafter(problem.y, 9), problem.y)
    different = [
        (problem, "ridge", ALL, {}),
        (problem, "kernel_ridge", ALL, {}),
        (problem, "ridge", ALL[:-1], {}),
        (problem, "ridge", ALL[::-1], {}),
        (problem, "ridge", ALL, {"seed": 1}),
        (problem, "ridge", ALL, {"n_splits": 4}),
        (problem, "ridge", ALL, {"n_repeats": 2}),
        (dataclasses.replace(problem, X=X), "ridge", ALL, {}),
        (dataclasses.replace(problem, y=y), "ridge", ALL, {}),
        (dataclasses.replace(problem, formulas=problem.formulas[::-1]), "ridge", ALL, {}),
        (dataclasses.replace(problem, weights=np.ones(60)), "ridge", ALL, {}),
        (dataclasses.replace(problem, target="D"), "ridge", ALL, {}),
    ]
    names = [tune(p, m, r, Tuning(1, file, **o)).study_name for p, m, r, o in different]
    assert len(set(names)) == len(different)
    assert names[0].startswith("ridge-ln_D-")
    assert tune(problem, "ridge", ALL, Tuning(3, file)).study_name == names[0]


def test_optuna_reads_the_file_without_us(tmp_path):
    file = tmp_path / "study.log"
    tuned = tune(planted(), "kernel_ridge", ALL, Tuning(6, file))
    backend = optuna.storages.journal.JournalFileBackend(str(file))
    storage = optuna.storages.JournalStorage(backend)
    study = optuna.load_study(study_name=tuned.study_name, storage=storage)
    assert (study.best_value, study.best_params) == (tuned.rmse, tuned.values)
    assert len(study.trials) == 6
    assert study.trials[0].params == search_space("kernel_ridge").defaults
    assert study.trials[0].value == tuned.default_rmse
    assert study.user_attrs["about"].startswith("ln_D in ln(cm2/s), 60 rows")
    assert study.direction == optuna.study.StudyDirection.MINIMIZE


def test_weights_count_in_learning():
    # Rows of weight 0 follow another law; the others are without noise.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    bad = rng.random(60) < 0.3
    problem = problem_of(X, np.where(bad, 50.0, X[:, 0]))
    weighted = dataclasses.replace(problem, weights=np.where(bad, 0.0, 1.0))
    folds = make_folds("chemical_system", problem.formulas).folds[:1]
    for model in ("ridge", "kernel_ridge", "random_forest", "mlp"):
        fitted = tuning.fit_pipeline(weighted, model, folds[0].train, {})
        good = folds[0].test[~bad[folds[0].test]]
        assert np.abs(fitted.predict(problem.X.iloc[good]) - problem.y[good]).max() < 5


def test_chemical_systems_stay_together_where_a_model_parts_the_rows_itself(monkeypatch):
    problem, seen = planted(), []
    fit = SissoRegressor.fit

    def spy(self, X, y, groups=None):
        seen.append(groups)
        return fit(self, X, y, groups)

    monkeypatch.setattr(SissoRegressor, "fit", spy)
    rows = ALL[::2]
    settings = {"sissoregressor__dimension": None}
    fitted = tuning.fit_pipeline(problem, "sisso", rows, settings)
    assert list(seen[0]) == ["-".join(sorted(("Li", ANIONS[i % 10]))) for i in rows]
    direct = SissoRegressor(None).fit(problem.X.iloc[rows], problem.y[rows], seen[0])
    assert fitted[-1].models_ == direct.models_
    # Others are not told.
    assert tuning.fit_pipeline(problem, "ridge", rows).predict(problem.X).shape == (60,)


def test_settings_that_give_no_numbers_are_not_the_end(tmp_path, monkeypatch):
    plain, calls = tuning.fit_pipeline, []

    def fails_above_one(part, model, rows, settings):
        calls.append(settings)
        if settings["ridge__alpha"] > 1:
            raise np.linalg.LinAlgError("not positive\ndefinite")
        return plain(part, model, rows, settings)

    monkeypatch.setattr(tuning, "fit_pipeline", fails_above_one)
    plan = Tuning(10, tmp_path / "study.log")
    tuned = tune(planted(), "ridge", ALL, plan)
    assert tuned.settings["ridge__alpha"] <= 1
    assert 0 < tuned.n_failed < 10 == tuned.n_trials
    calls.clear()
    assert found(tune(planted(), "ridge", ALL, plan)) == found(tuned)
    assert calls == []
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(plan.storage))
    )
    trials = optuna.load_study(study_name=tuned.study_name, storage=storage).trials
    assert sum(t.user_attrs.get("reason") == "not positive definite" for t in trials) == (
        tuned.n_failed
    )


def test_no_numbers_at_all_are_said_in_one_line():
    problem = planted()
    X = problem.X.copy()
    X.iloc[5, 0] = np.nan
    with pytest.raises(MlmdError, match="none of 3 settings gave numbers") as caught:
        tune(dataclasses.replace(problem, X=X), "ridge", ALL, Tuning(3))
    assert "\n" not in str(caught.value)
    y = np.where(ALL == 5, np.nan, problem.y)
    with pytest.raises(MlmdError, match="gave numbers"):
        tune(dataclasses.replace(problem, y=y), "xgboost", ALL, Tuning(2))


def test_an_interrupt_goes_through_and_the_study_goes_on(tmp_path, monkeypatch):
    plain, calls = tuning.fit_pipeline, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3 * 5 + 2:
            raise KeyboardInterrupt
        return plain(*arguments)

    monkeypatch.setattr(tuning, "fit_pipeline", interrupted)
    plan, seen = Tuning(6, tmp_path / "study.log"), []
    level = optuna.logging.get_verbosity()
    with pytest.raises(KeyboardInterrupt):
        tune(planted(), "ridge", ALL, plan, lambda done, n: seen.append((done, n)))
    assert seen == [(1, 6), (2, 6), (3, 6)]
    assert optuna.logging.get_verbosity() == level
    resumed = tune(planted(), "ridge", ALL, plan)
    assert (found(resumed), resumed.n_computed) == (
        found(tune(planted(), "ridge", ALL, Tuning(6))),
        3,
    )


def test_optuna_is_quiet_and_left_as_it_was(tmp_path, capfd):
    optuna.logging.set_verbosity(optuna.logging.INFO)
    tune(planted(), "ridge", ALL, Tuning(3, tmp_path / "study.log"))
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == optuna.logging.INFO


def test_files_that_cannot_be_used_are_said_and_left_alone(tmp_path):
    diary = tmp_path / "diary.txt"
    diary.write_text("dear diary\nno newline at the end")
    damaged = tmp_path / "damaged.log"
    tune(planted(), "ridge", ALL, Tuning(3, damaged))
    lines = damaged.read_text().splitlines()
    damaged.write_text("\n".join([*lines[:2], lines[2][:30], *lines[3:], ""]))
    for file, says in (
        (diary, "not written by Optuna"),
        (tmp_path, "is a folder"),
        (Path("/dev/full"), "no ordinary file"),
        (tmp_path / "no" / "folder.log", "No such file"),
        (diary / "file.log", "Not a directory"),
        (damaged, "damaged"),
    ):
        before = file.read_bytes() if file in (diary, damaged) else b""
        with pytest.raises(InputError, match=says) as caught:
            tune(planted(), "ridge", ALL, Tuning(4, file))
        assert "\n" not in str(caught.value)
        assert before == b"" or file.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission_is_said(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        tune(planted(), "ridge", ALL, Tuning(2, tmp_path / "study.log"))


def test_bad_requests_are_said(monkeypatch):
    for bad in ({"n_trials": 0}, {"n_splits": 1}, {"n_repeats": 0}, {"seed": -1}):
        with pytest.raises(InputError):
            Tuning(**bad)
    with pytest.raises(InputError, match="oracle"):
        tune(planted(), "oracle", ALL)
    for rows in (ALL < 30, [], [60], [-1], [[1]]):
        with pytest.raises(InputError, match="row"):
            tune(planted(), "ridge", np.array(rows), Tuning(2))
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"'optuna'.*pip install 'mlmd\[model\]'"):
        tune(planted(), "ridge", ALL)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(InputError, match=r"'scikit-learn'.*pip install 'mlmd\[model\]'"):
        tune(planted(), "ridge", ALL)


@pytest.mark.filterwarnings("ignore:.*close to the specified:UserWarning")
@pytest.mark.parametrize("model", sorted(SEARCH_SPACES))
def test_the_untuned_model_lies_in_its_space(model):
    if model in WITH_XGBOOST:
        pytest.importorskip("xgboost", reason="needs the model extra")
    problem, space = planted(n=30), search_space(model)
    # Names of features, whose units are known.
    problem.X.columns = ["AAV", "PF", "density"]
    untuned, settings = make_regressor(model), space.settings(space.defaults)
    same = make_regressor(model).set_params(**settings)
    guesses = [one.fit(problem.X, problem.y).predict(problem.X) for one in (untuned, same)]
    assert (guesses[0] == guesses[1]).all()
    for name, distribution in tuning._distributions(space).items():
        assert distribution._contains(distribution.to_internal_repr(space.defaults[name]))
    for one in space.parameters:
        for value in (one.low, one.high) if isinstance(one, Number) else one.options:
            edge = make_regressor(model).set_params(**space.settings({one.name: value}))
            if len(problem.X.columns) >= getattr(edge[-1], "dimension", 1):
                assert np.isfinite(edge.fit(problem.X, problem.y).predict(problem.X)).all()
    with pytest.raises(InputError, match="has no colour"):
        space.settings({"colour": 1})


def test_spaces_are_of_models():
    assert set(SEARCH_SPACES) <= set(REGRESSORS)


@pytest.mark.slow
@needs_published
def test_published_rows_of_other_systems_are_not_predicted_worse():
    pytest.importorskip("xgboost", reason="needs the model extra")
    problem = TrainingTable.read(FOLDER / "feature_target.dat", "zheng2024").problem()
    fold = make_folds("chemical_system", problem.formulas).folds[0]
    tuned = tune(problem, "xgboost", fold.train, Tuning(15))
    assert tuned.rmse < 0.99 * tuned.default_rmse
    errors = []
    for settings in ({}, tuned.settings):
        fitted = tuning.fit_pipeline(problem, "xgboost", fold.train, settings)
        errors.append(np.abs(fitted.predict(problem.X.iloc[fold.test]) - problem.y[fold.test]))
    squares = errors[1] ** 2 - errors[0] ** 2
    # Two standard errors of the mean difference.
    assert squares.mean() < 2 * squares.std() / np.sqrt(len(squares))


@pytest.mark.slow
@needs_published
def test_formulas_of_published_features_say_more_than_the_features():
    problem = TrainingTable.read(FOLDER / "feature_target.dat", "zheng2024").problem()
    fitted = tuning.fit_pipeline(problem, "sisso_formulas", np.arange(792))
    assert np.isfinite(fitted.predict(problem.X)).all()
    formulas, features = (
        cross_validate(problem, model).rmse for model in ("sisso_formulas", "sisso")
    )
    assert formulas < 0.97 * features


def test_every_feature_has_a_unit_in_formulas():
    units = make_regressor("sisso_formulas")[-1].units
    assert {one.name for one in FEATURES} | {"temperature_K"} <= set(units)
    assert all(parse_unit(unit) is not None for unit in units.values())
