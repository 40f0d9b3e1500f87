"""Trained models: planted laws, uncertainty, files that are refused, and the command line."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

pytest.importorskip("sklearn", reason="needs the model extra")
skops = pytest.importorskip("skops.io", reason="needs the model extra")
pandas = pytest.importorskip("pandas", reason="needs the model extra")

import mlmd  # noqa: E402
from mlmd.cli.app import run_command_line  # noqa: E402
from mlmd.descriptors.elements import package_elements  # noqa: E402
from mlmd.errors import InputError  # noqa: E402
from mlmd.model import (  # noqa: E402
    REGRESSORS,
    Predictor,
    TrainingTable,
    cross_validate,
    fit_predictor,
)
from mlmd.model.data.problem import Problem  # noqa: E402
from mlmd.model.predictor.prediction import Prediction  # noqa: E402
from mlmd.model.predictor.saving import read_model  # noqa: E402
from mlmd.model.validation.domain import Domain  # noqa: E402

COLUMNS = ["AAV", "PF", "density"]
NOISE = 0.05


def salt(a: float = 5.1):
    return bulk("LiCl", "rocksalt", a=a, cubic=True)


def ln_D(AAV, temperature_K):
    """The planted law: an Arrhenius line whose prefactor grows with the volume per atom."""
    return -9.0 + 0.1 * AAV - 0.25 / (8.617333262e-5 * temperature_K)


def planted(noise: float = NOISE, n: int = 160) -> TrainingTable:
    rng = np.random.default_rng(1)
    X = pandas.DataFrame(rng.uniform([12, 0.2, 1.0], [22, 0.8, 4.0], (n, 3)), columns=COLUMNS)
    others = ["Cl", "F", "O", "S", "Br", "I", "N", "P"]
    formulas = tuple(f"Li{2 + i % 3}{others[i % 8]}{1 + i // 40}" for i in range(n))
    temperature_K = rng.choice([600.0, 1000.0, 1500.0, 2000.0], n)
    y = ln_D(X.AAV.to_numpy(), temperature_K) + rng.normal(0, noise, n)
    return TrainingTable(X, formulas, temperature_K, np.exp(y), "mlmd")


@pytest.fixture(scope="module")
def ridge() -> Predictor:
    return fit_predictor(planted(), "ridge", n_bootstrap=40)


@pytest.fixture
def saved(ridge, tmp_path) -> Path:
    path = tmp_path / "ridge.mlmd"
    ridge.save(path)
    return path


def test_the_public_names_are_there():
    assert mlmd.fit_predictor is fit_predictor
    assert mlmd.Predictor is Predictor


def test_a_structure_is_predicted_by_the_planted_law(ridge):
    found = ridge.predict_structure(salt(), 800.0)
    expected = ln_D(5.1**3 / 8, 800.0)
    assert found.value == pytest.approx(expected, abs=0.06)
    assert found.D_cm2_s == pytest.approx(np.exp(found.value))
    low, high = found.interval_95
    assert low < np.exp(expected) < high
    calibration = ridge.training.calibration
    wider = calibration.factor_95 / calibration.factor
    assert 1.7 < wider < 2.4  # 1.96 for normal noise
    assert np.log(high / low) == pytest.approx(2 * wider * found.standard_deviation)
    assert found.outside == ()


def test_what_lies_outside_of_the_training_is_flagged(ridge):
    assert "AAV" in ridge.predict_structure(salt(7.0), 800.0).outside
    assert "inverse_kbT" in ridge.predict_structure(salt(), 300.0).outside
    other = salt()
    other.symbols[[1, 3]] = "As"
    assert "As" in ridge.predict_structure(other, 800.0).outside


def test_a_combination_that_none_has_is_outside():
    rng = np.random.default_rng(5)
    AAV = rng.uniform(12, 22, 120)
    X = pandas.DataFrame({"AAV": AAV, "density": 30 / AAV + rng.normal(0, 0.02, 120)})
    problem = Problem(X, AAV, ("Li2O",) * 120, "E_a", "eV")
    domain = Domain.of(problem)
    assert domain.outside(["Li", "O"], pandas.Series({"AAV": 13.0, "density": 30 / 13})) == ()
    # Each number is well within its range, but light and dense at once is unheard of.
    both = domain.outside(["Li"], pandas.Series({"AAV": 13.0, "density": 1.5}))
    assert both == ("combination of features",)
    own = [domain.outside([], X.iloc[i]) for i in range(120)]
    assert sum(found != () for found in own) <= 2


def test_rows_stay_together_where_an_index_repeats():
    pytest.importorskip("xgboost", reason="needs the model extra")
    whole = planted(n=60)
    halves = [slice(0, 30), slice(30, 60)]
    features = pandas.concat([whole.features.iloc[h].reset_index(drop=True) for h in halves])
    joined = replace(whole, features=features)
    assert joined.features.index.duplicated().sum() == 0
    there, here = (one.problem(elements=True) for one in (whole, joined))
    assert here.X.equals(there.X)
    fitted = fit_predictor(whole, "best")
    X = whole.problem().X.assign(formula=whole.formulas)
    twice = fitted.predict(pandas.concat([X.head(3), X.head(3)]))
    assert twice == pytest.approx(np.tile(fitted.predict(X.head(3)), 2), rel=1e-12)


def test_features_of_other_elemental_values_are_refused(ridge):
    other = package_elements().with_values({"mass_u": {"Li": 6.0}})
    mine = mlmd.featurize([salt()], temperature_K=800.0)
    assert ridge.predict(mine)[0] == ridge.predict_structure(salt(), 800.0).value
    theirs = mlmd.featurize([salt()], temperature_K=800.0, elements=other)
    with pytest.raises(InputError, match="elemental values"):
        ridge.predict(theirs)


def test_a_number_that_means_nothing_is_no_prediction():
    with pytest.raises(InputError, match="means nothing"):
        Prediction.of("ln_D", 300.0, 1e5, 1.0, 2.0, ())
    with pytest.raises(InputError, match="means nothing"):
        Prediction.of("ln_D", 300.0, float("nan"), 1.0, 2.0, ())


@pytest.mark.parametrize("model", ["sisso", "gaussian_process"])
def test_a_model_that_cannot_weigh_rows_says_so(model):
    table = planted(n=60)
    error = np.full(60, 0.1) * table.D_cm2_s
    with pytest.raises(InputError, match="cannot weigh"):
        fit_predictor(replace(table, D_error_cm2_s=error), model, weighted=True)


def test_a_model_of_compositions_needs_the_formula(tmp_path):
    pytest.importorskip("xgboost", reason="needs the model extra")
    table = planted(n=60)
    fitted = fit_predictor(table, "best")
    X = table.problem().X
    with pytest.raises(InputError, match="no column formula"):
        fitted.predict(X)
    by_formula = fitted.predict(X.assign(formula=table.formulas))
    assert (by_formula == fitted.predict(table.problem(elements=True).X)).all()
    features = mlmd.featurize([salt()], temperature_K=800.0)
    assert fitted.predict(features)[0] == fitted.predict_structure(salt(), 800.0).value
    assert not any(c.startswith("fraction_") for c in fitted.predict_structure(salt(), 800).outside)


@pytest.mark.parametrize("model", ["ridge", "random_forest", "sisso"])
def test_intervals_hold_new_values_as_often_as_they_say(model):
    table = planted(noise=0.3)
    fitted = fit_predictor(table, model, n_bootstrap=40)
    fresh = np.random.default_rng(9)
    problem = table.problem()
    values = problem.X.to_numpy()[fresh.permutation(160)]
    X = pandas.DataFrame(values, columns=problem.X.columns)
    true = -9.0 + 0.1 * X.AAV - 0.25 * X.inverse_kbT + fresh.normal(0, 0.3, 160)
    within = np.abs(fitted.predict(X) - true) < fitted.standard_deviation(X)
    assert 0.55 < within.mean() < 0.8
    calibration = fitted.training.calibration
    half = fitted.standard_deviation(X) * calibration.factor_95 / calibration.factor
    # A forest has seen other labels of these rows, and remembers them.
    assert np.mean(np.abs(fitted.predict(X) - true) < half) > 0.85
    assert fitted.training.calibration.coverage_68 == pytest.approx(0.68, abs=0.08)
    assert fitted.training.calibration.coverage_95 == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize("model", sorted(REGRESSORS))
def test_a_saved_model_predicts_the_same(model, tmp_path):
    if model == "xgboost":
        pytest.importorskip("xgboost", reason="needs the model extra")
    table = planted(n=60)
    fitted = fit_predictor(table, model, "D", n_bootstrap=10)
    fitted.save(tmp_path / "m.mlmd")
    again = Predictor.load(tmp_path / "m.mlmd")
    X = table.problem("D", elements=REGRESSORS[model].learns_elements).X
    assert (again.predict(X) == fitted.predict(X)).all()
    assert (again.standard_deviation(X) == fitted.standard_deviation(X)).all()
    assert again.training == fitted.training
    elements = REGRESSORS[model].learns_elements
    assert again.training.sha256 == table.problem("D", elements=elements).sha256
    there = fitted.predict_structure(salt(7.0), 800.0).outside
    assert "AAV" in there
    assert again.predict_structure(salt(7.0), 800.0).outside == there
    assert again.training.units["temperature_K"] == "K"


def test_activation_energies_are_learnt():
    table = planted(noise=0.0)
    problem = table.problem("E_a")
    assert problem.unit == "eV"
    # The volume of a formula's rows differs here, so its line scatters about 0.25 eV.
    one = TrainingTable(
        table.features.assign(AAV=15.0),
        table.formulas,
        table.temperature_K,
        np.exp(ln_D(15.0, table.temperature_K)),
        "mlmd",
    )
    assert one.problem("E_a").y == pytest.approx(0.25, abs=1e-9)
    fitted = fit_predictor(table, "ridge", "E_a", n_bootstrap=20)
    found = fitted.predict_structure(salt())
    assert (found.unit, found.D_cm2_s, found.temperature_K) == ("eV", None, None)
    assert found.value == pytest.approx(0.25, abs=0.15)


def test_wrong_columns_are_said(ridge):
    X = planted().problem().X
    with pytest.raises(InputError, match="no column AAV"):
        ridge.predict(X.drop(columns="AAV"))
    with pytest.raises(InputError, match="no finite PF"):
        ridge.predict(X.assign(PF=np.nan))
    assert ridge.predict(X[X.columns[::-1]]) == pytest.approx(ridge.predict(X), rel=1e-12)
    features = mlmd.featurize([salt()], convention="zheng2024", temperature_K=800.0)
    with pytest.raises(InputError, match="convention"):
        ridge.predict(features)
    features = mlmd.featurize([salt()], temperature_K=800.0)
    expected = ridge.predict_structure(salt(), 800.0).value
    assert ridge.predict(features) == pytest.approx([expected])
    with pytest.raises(InputError, match="temperature"):
        ridge.predict_structure(salt())
    with pytest.raises(InputError, match="fit first"):
        Predictor("ridge").predict(X)


def rewritten(path: Path, head=None, content: bytes | None = None, rehash: bool = True) -> Path:
    """Change parts of a saved model, and by default its hash too."""
    with zipfile.ZipFile(path) as archive:
        about, model = json.loads(archive.read("about.json")), archive.read("model.skops")
    model = model if content is None else content
    if head is not None:
        head(about)
    if rehash:
        written = json.dumps(about.get("about"), sort_keys=True).encode()
        about["sha256"] = hashlib.sha256(written + b"\n" + model).hexdigest()
    changed = path.with_name("changed.mlmd")
    with zipfile.ZipFile(changed, "w") as archive:
        archive.writestr("about.json", json.dumps(about))
        archive.writestr("model.skops", model)
    return changed


def test_another_version_is_refused_unless_wanted(saved):
    changed = rewritten(saved, lambda head: head["versions"].update({"scikit-learn": "0.24.1"}))
    with pytest.raises(InputError, match=r"scikit-learn 0\.24\.1"):
        Predictor.load(changed)
    assert Predictor.load(changed, other_versions=True).target == "ln_D"
    older = rewritten(saved, lambda head: head["versions"].update({"mlmd": "0.0.1"}))
    with pytest.raises(InputError, match=r"mlmd 0\.0\.1"):
        Predictor.load(older)
    with pytest.raises(InputError, match="schema 9"):
        Predictor.load(rewritten(saved, lambda head: head.update(schema=9)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda head: head["about"].update(columns=["PF", "AAV"]), "columns"),
        (lambda head: head["about"]["units"].update(AAV="nm3"), "nm3"),
        (lambda head: head["about"].pop("sha256"), "complete"),
        (lambda head: head["about"].update(more=1), "complete"),
        (lambda head: head.pop("about"), "complete"),
        (lambda head: head.pop("versions"), "versions"),
    ],
)
def test_what_does_not_fit_is_refused(saved, change, says):
    with pytest.raises(InputError, match=says):
        Predictor.load(rewritten(saved, change))


class Harmful:
    """Would make a file if it were run on loading."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_file_that_was_tampered_with_is_refused_and_runs_nothing(saved, tmp_path):
    with zipfile.ZipFile(saved) as archive:
        content = archive.read("model.skops")
    with pytest.raises(InputError, match="changed"):
        Predictor.load(rewritten(saved, content=content[:-1] + b"\1", rehash=False))
    for change in (
        lambda head: head["about"].update(target="D"),
        lambda head: head["about"]["calibration"].update(factor=0.1),
        lambda head: head["about"].update(D_from="mine"),
    ):
        with pytest.raises(InputError, match="changed"):
            Predictor.load(rewritten(saved, change, rehash=False))
    mark = tmp_path / "ran"
    # Whoever changes the model can change the hash too: then its kinds are looked at.
    foreign = skops.dumps({"pipeline": Harmful(mark), "members": []})
    with pytest.raises(InputError, match="Harmful"):
        Predictor.load(rewritten(saved, content=foreign))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = archive.read("schema.json").decode()
    assert "Ridge" in schema
    evil = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(evil, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "schema.json":
                text = data.decode().replace('"Ridge"', '"system"')
                data = text.replace('"sklearn.linear_model._ridge"', '"os"').encode()
            new.writestr(name, data)
    with pytest.raises(InputError, match=r"os\.system|posix\.system"):
        Predictor.load(rewritten(saved, content=evil.getvalue()))
    assert not mark.exists()


def test_damage_is_an_error_or_does_no_harm(saved, ridge):
    content = saved.read_bytes()
    broken = saved.with_name("broken.mlmd")
    rng = np.random.default_rng(0)
    X = planted().problem().X.iloc[:3]
    for at in rng.integers(len(content), size=40):
        broken.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        # Some bytes, of dates say, mean nothing. Any other exception than ours fails the test.
        with suppress(InputError):
            assert (Predictor.load(broken).predict(X) == ridge.predict(X)).all()
    for cut in (0, 10, len(content) // 2, len(content) - 5):
        broken.write_bytes(content[:cut])
        with pytest.raises(InputError, match="damaged"):
            Predictor.load(broken)
    with pytest.raises(InputError, match="no model"):
        Predictor.load(saved.with_name("nothing"))
    with pytest.raises(InputError, match="is a folder"):
        read_model(saved.parent, False)


def test_nothing_is_overwritten(ridge, saved):
    with pytest.raises(InputError, match="exists"):
        ridge.save(saved)
    with pytest.raises(InputError, match="does not exist"):
        ridge.save(saved.parent / "no" / "folder.mlmd")


def test_bad_tables_are_said(tmp_path):
    good = planted(n=20)
    D = np.where(np.arange(20) == 3, -1.0, good.D_cm2_s)
    with pytest.raises(InputError, match="row 4"):
        TrainingTable(good.features, good.formulas, good.temperature_K, D, "mlmd")
    features = good.features.assign(AAV=np.inf)
    with pytest.raises(InputError, match="AAV is no finite"):
        TrainingTable(features, good.formulas, good.temperature_K, good.D_cm2_s, "mlmd")
    for name, options in {"model": {"model": "oracle"}, "target": {"target": "mass"}}.items():
        with pytest.raises(InputError, match=f"no {name}"):
            fit_predictor(good, **options)
    (tmp_path / "t.dat").write_text("a b\n1 2\n")
    with pytest.raises(InputError, match="no column formula"):
        TrainingTable.read(tmp_path / "t.dat", "zheng2024")
    with pytest.raises(InputError, match="table of features"):
        TrainingTable.read(tmp_path / "t.dat", "mlmd")
    with pytest.raises(InputError, match="no file"):
        TrainingTable.read(tmp_path / "nothing.csv", "mlmd")


def test_from_structures_to_a_prediction_on_the_command_line(tmp_path, capsys):
    structures, temperatures, D = {}, [], []
    for i in range(24):
        atoms = bulk(f"Li{['Cl', 'F', 'Br', 'I', 'S', 'Na'][i % 6]}", "rocksalt", a=4.6 + 0.04 * i)
        atoms = atoms * (2, 2, 2)
        atoms.rattle(0.1, seed=i)
        structures[f"s{i}"] = atoms
        temperatures.append([600.0, 1000.0, 1500.0][i % 3])
        D.append(np.exp(ln_D(atoms.get_volume() / len(atoms), temperatures[-1])))
    mlmd.featurize(structures, temperature_K=temperatures).to_csv(tmp_path / "features.csv")
    head, rest = (tmp_path / "features.csv").read_text().split("\n", 1)
    frame = pandas.read_csv(io.StringIO(rest)).assign(D_cm2_s=D)
    table, model = tmp_path / "table.csv", tmp_path / "m.mlmd"
    table.write_text(f"{head}\n{frame.to_csv(index=False)}")
    command = ["train", str(table), "--model", "ridge", "--folds", "formula", "--repeats", "1"]
    assert run_command_line([*command, "-o", str(model), "--bootstrap", "10", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["saved"] == str(model)
    assert len(content["by_fold"]) == 5
    # All that the rows allow, side by side.
    beside = [one["folds"] for one in content["beside"]]
    assert beside == ["published", "random", "chemical_system"]
    assert run_command_line([*command, "-o", str(model)]) == 2
    salt().write(tmp_path / "a.cif")
    ask = ["predict", str(model), str(tmp_path / "a.cif"), "-T", "1000", "-T", "600"]
    assert run_command_line([*ask, "--json"]) == 0
    hot, cold = json.loads(capsys.readouterr().out)["predictions"]
    assert (hot["temperature_K"], cold["temperature_K"]) == (1000.0, 600.0)
    assert np.log(hot["D_cm2_s"]) == pytest.approx(ln_D(5.1**3 / 8, 1000.0), abs=0.5)
    assert hot["D_cm2_s"] > cold["D_cm2_s"]
    assert hot["interval_95"][0] < hot["D_cm2_s"] < hot["interval_95"][1]
    assert run_command_line(ask) == 0
    assert "1000 K  D " in capsys.readouterr().out
    assert run_command_line(["predict", "zheng2024_sisso", *ask[2:]]) == 0
    assert run_command_line(["predict", "nothing", *ask[2:]]) == 2
    assert "zheng2024_sisso" in capsys.readouterr().err


def test_without_scikit_learn_the_pip_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for train in (fit_predictor, lambda table, model: cross_validate(table.problem(), model)):
        with pytest.raises(InputError, match=r"pip install 'mlmd\[model\]'"):
            train(planted(n=20), "ridge")
