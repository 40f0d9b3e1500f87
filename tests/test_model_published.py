"""The published models of Zheng et al. 2024: scores, equations and the rows they were tested on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from published_features import FOLDER, needs_published

pytest.importorskip("sklearn", reason="needs the model extra")
pandas = pytest.importorskip("pandas", reason="needs the model extra")

from mlmd.cli.app import run_command_line  # noqa: E402
from mlmd.errors import InputError  # noqa: E402
from mlmd.model import (  # noqa: E402
    PUBLISHED_MODELS,
    PUBLISHED_SCORES,
    TrainingTable,
    cross_validate,
)
from mlmd.model.data.folds import make_folds, reduced_formula  # noqa: E402
from mlmd.model.sisso.regressor import SissoRegressor  # noqa: E402

pytestmark = needs_published
FILE = FOLDER / "feature_target.dat"


@pytest.fixture(scope="module")
def table() -> TrainingTable:
    return TrainingTable.read(FILE, "zheng2024")


@pytest.fixture(scope="module")
def reference() -> dict:
    return json.loads((FOLDER / "reference_numbers.json").read_text())


def test_the_table_has_their_numbers_in_our_units(table):
    theirs = pandas.read_csv(FOLDER / "train_target_lnD_kbT.dat", sep=r"\s+")
    problem = table.problem("ln_D")
    assert list(problem.formulas) == theirs.formula.tolist()
    assert problem.y == pytest.approx(theirs.lnD.to_numpy(), abs=1e-12)
    assert set(problem.X.columns) == set(theirs.columns) - {"formula", "lnD"}
    for column in problem.X.columns:
        assert problem.X[column].to_numpy() == pytest.approx(theirs[column].to_numpy(), rel=1e-9)


def test_the_rows_held_out_are_theirs(table):
    theirs = pandas.read_csv(FOLDER / "test_ordered.dat", sep=r"\s+")
    split = make_folds("published", table.formulas)
    assert sorted(split.test) == sorted(theirs["index"])
    assert len(split.train) == 673


@pytest.mark.slow
@pytest.mark.parametrize("model", ["random_forest", "xgboost"])
def test_published_scores(table, reference, model):
    if model == "xgboost":
        pytest.importorskip("xgboost", reason="needs the model extra")
    report = cross_validate(table.problem("D"), model, "published")
    given = PUBLISHED_SCORES[model, "D"]
    paper = reference[model]["published_cv_rmse"]
    assert [given["rmse"], given["rmse_std"]] == paper
    assert report.unit == "1e-3 cm2/s"
    assert report.rmse == pytest.approx(given["rmse"], abs=6e-4)
    assert report.rmse_std == pytest.approx(given["rmse_std"], abs=1e-3)
    assert report.test.r2 == pytest.approx(given["test_r2"], abs=6e-4)
    assert report.test.rmse == pytest.approx(given["test_rmse"], abs=1.2e-3)
    assert len(report.by_fold) == 5
    assert report.test.n == 119


def test_sisso_gives_the_published_equations(table, reference):
    problem = table.problem("ln_D")
    found = SissoRegressor(4).fit(problem.X, problem.y)
    for n, model in enumerate(found.models_, start=1):
        theirs = reference["sisso"]["models"][str(n)]
        assert list(model.terms) == theirs["features"]
        assert model.coefficients == pytest.approx(theirs["coef"], rel=2e-8)
        assert model.intercept == pytest.approx(theirs["c0"], rel=2e-8)
        assert model.rmse == pytest.approx(theirs["RMSE"], abs=1e-9)
    assert found.models_[3].max_abs_error == pytest.approx(2.113525694, abs=1e-8)


def test_the_shipped_equation_has_its_published_error(table, reference):
    problem, equation = table.problem("ln_D"), PUBLISHED_MODELS["zheng2024_sisso"]
    errors = equation.predict(problem.X) - problem.y
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(equation.rmse, abs=1e-8)
    test = make_folds("published", table.formulas).test
    published = reference["sisso"]["published_test_rmse_4D"]
    # Their test file has four decimals.
    assert np.sqrt(np.mean(errors[test] ** 2)) == pytest.approx(published, abs=1e-5)
    _has_the_range_of(equation, problem.X)


def _has_the_range_of(equation, X):
    for column, (low, high) in equation.bounds.items():
        assert low <= X[column].min() == pytest.approx(low, abs=2e-4)
        assert high >= X[column].max() == pytest.approx(high, abs=2e-4)


def test_the_equation_of_the_preprint_is_read_right(table):
    problem, equation = table.problem("D"), PUBLISHED_MODELS["zheng2024_preprint_sisso"]
    errors = equation.predict(problem.X) - problem.y
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(equation.rmse, abs=5e-5)
    # Fitted to the table, the terms have the numbers that are printed, to the digits printed.
    zero = [replace(equation, terms=((1.0, tree),), intercept=0.0) for _, tree in equation.terms]
    columns = np.column_stack([*(one.predict(problem.X) for one in zero), np.ones(792)])
    fitted = np.linalg.lstsq(columns, problem.y, rcond=None)[0]
    printed = [4.4e-4, -2.1, -0.28, -0.67]
    for number, digits in zip(fitted, printed, strict=True):
        assert float(f"{number:.2g}") == digits
    _has_the_range_of(equation, problem.X)


def test_an_equation_without_a_value_says_so(table):
    problem, equation = table.problem("D"), PUBLISHED_MODELS["zheng2024_preprint_sisso"]
    with pytest.raises(InputError, match="denominator is zero"):
        equation.predict(problem.X.head(2).assign(LLB=5.0, LNC=5.0))
    with pytest.raises(InputError, match="no column LLB"):
        equation.predict(problem.X.drop(columns="LLB"))


@pytest.mark.slow
@pytest.mark.parametrize(("model", "known"), [("ridge", 0.370), ("random_forest", 0.329)])
def test_new_chemical_systems_are_predicted_as_well_as_others_found(table, model, known):
    repeats = 5 if model == "ridge" else 1
    report = cross_validate(table.problem("ln_D"), model, "chemical_system", n_repeats=repeats)
    assert report.rmse == pytest.approx(known, abs=0.03)
    assert len(report.rmse_by_repeat) == repeats


def test_activation_energies_are_slopes_of_their_own_rows(table):
    problem = table.problem("E_a")
    assert len(problem.y) == 207
    assert 0.1 < np.median(problem.y) < 0.6
    at = problem.formulas[7]
    rows = [i for i, f in enumerate(table.formulas) if reduced_formula(f) == at]
    assert len(rows) > 1
    x = 1 / (8.617333262145e-5 * table.temperature_K[rows])
    slope = np.polyfit(x, np.log(table.D_cm2_s[rows]), 1)[0]
    assert problem.y[7] == pytest.approx(-slope, rel=1e-6)


@pytest.mark.slow
def test_the_command_prints_published_ours_and_honest_side_by_side(capsys):
    command = ["train", str(FILE), "--format", "zheng2024", "--model", "sisso", "--json"]
    assert run_command_line([*command, "--folds", "published", "--repeats", "2"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {"rmse", "mae", "r2", "unit", "by_fold", "test"} <= content.keys()
    assert content["unit"] == "ln(cm2/s)"
    assert len(content["by_fold"]) == 5
    assert content["test"]["n"] == 119
    beside = [one["folds"] for one in content["beside"]]
    assert beside == ["random", "formula", "chemical_system", "element"]
    honest = content["beside"][2]
    assert len(honest["by_fold"]) == 10
    assert honest["rmse"] > content["test"]["rmse"]
