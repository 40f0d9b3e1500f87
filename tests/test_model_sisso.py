"""SISSO: planted formulas, units, and the best subset against trying all by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the model extra")
pandas = pytest.importorskip("pandas", reason="needs the model extra")

from mlmd.errors import InputError  # noqa: E402
from mlmd.model.sisso import SissoRegressor, _best_subset  # noqa: E402
from mlmd.model.sisso_space import OPERATORS, Space, parse_unit  # noqa: E402

NAMES = ["a", "b", "c", "d", "e"]


def table(n: int = 200, seed: int = 0):
    rng = np.random.default_rng(seed)
    return pandas.DataFrame(rng.uniform(0.5, 3.0, (n, len(NAMES))), columns=NAMES)


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_formula_is_found_in_noise(seed):
    X = table(seed=seed)
    noise = np.random.default_rng(seed + 10).normal(0, 0.05, len(X))
    y = 2.0 * X.a * X.b - 1.5 * np.log(X.c) + 0.7 + noise
    found = SissoRegressor(2, operators=("+", "-", "*", "/", "log"), max_operators=1).fit(X, y)
    model = found.models_[1]
    assert set(model.terms) == {"(a * b)", "log(c)"}
    assert dict(zip(model.terms, model.coefficients, strict=True)) == pytest.approx(
        {"(a * b)": 2.0, "log(c)": -1.5}, abs=0.03
    )
    assert model.intercept == pytest.approx(0.7, abs=0.05)
    assert model.rmse == pytest.approx(0.05, rel=0.2)


def test_a_formula_of_two_operators_is_found():
    X = table()
    y = 3.0 * X.a / (X.b + X.c) - 1.0
    found = SissoRegressor(1, operators=("+", "*", "/"), max_operators=2).fit(X, y)
    (model,) = found.models_
    assert model.rmse < 1e-9
    new = table(20, seed=5)
    assert found.predict(new) == pytest.approx(3.0 * new.a / (new.b + new.c) - 1.0, rel=1e-9)


def test_the_dimension_is_chosen_on_rows_left_out():
    X = table(60)
    y = 1.0 * X.a - 2.0 * X.b
    # Without noise more terms do no harm, so the errors are those of the second and up.
    noisy = y + np.random.default_rng(1).normal(0, 0.3, len(X))
    found = SissoRegressor(None).fit(X, noisy)
    assert 2 <= len(found.models_) <= 4
    assert set(found.models_[1].terms) == {"a", "b"}


def test_the_best_subset_is_that_of_all_by_hand():
    rng = np.random.default_rng(4)
    columns = rng.normal(size=(30, 9)) * 10.0 ** rng.integers(-6, 6, 9) + 5.0
    y = rng.normal(size=30)

    def error(subset):
        design = np.column_stack(
            [columns[:, subset] / columns.std(axis=0)[list(subset)], np.ones(30)]
        )
        return np.linalg.norm(y - design @ np.linalg.lstsq(design, y, rcond=None)[0])

    for n in (1, 2, 3):
        by_hand = min(combinations(range(9), n), key=error)
        assert _best_subset(columns, y, n) == list(by_hand)


def test_sums_are_of_like_units_only():
    X = table(30).to_numpy()
    units = {"a": "A", "b": "A", "c": "eV", "d": "1", "e": "1/A"}
    space = Space(NAMES, X, OPERATORS, 2, units)
    level = space._levels[1]
    names = [one.name for one in level.expressions]
    assert "(a + b)" in names
    assert not {"(a + c)", "(a - d)", "exp(a)", "log(c)"} & set(names)
    assert {"exp(d)", "(a * e)", "(c)^3"} <= set(names)
    unit = dict(zip(names, level.units, strict=True))
    assert unit["(a * e)"] == ()
    assert unit["(a / e)"] == (("A", Fraction(2)),)
    assert unit["(c)^-1"] == (("eV", Fraction(-1)),)
    two = {make(j)[0].name for make, block in space._blocks(2) for j in range(block.shape[1])}
    assert {"exp((a / b))", "((a * e) + d)"} & two or "(d + (a * e))" in two
    assert "exp((a * b))" not in two


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", {}),
        ("A3", {"A": 3}),
        ("1/eV", {"eV": -1}),
        ("g/cm3", {"g": 1, "cm": -3}),
        ("A^(5/2) GPa^(1/2) u^(-1/2)", {"A": "5/2", "GPa": "1/2", "u": "-1/2"}),
    ],
)
def test_units_are_read(text, expected):
    assert dict(parse_unit(text)) == {base: Fraction(power) for base, power in expected.items()}


def test_twins_count_once():
    X = table(50)
    X["twin"] = 2 * X.a + 1
    found = SissoRegressor(2, n_screened=2).fit(X, X.a + 0.1 * X.b)
    assert set(found.models_[1].terms) == {found.models_[0].terms[0], "b"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"operators": ("sin",)}, "no operator"),
        ({"dimension": 0}, "dimension"),
        ({"n_screened": 0}, "n_screened"),
        ({"units": {"a": "A"}}, "no unit"),
        ({"units": dict.fromkeys(NAMES, "?")}, "unit"),
    ],
)
def test_bad_settings_are_said(options, says):
    X = table(20)
    with pytest.raises(InputError, match=says):
        SissoRegressor(**options).fit(X, X.a)


def test_bad_numbers_are_said():
    X = table(20)
    with pytest.raises(InputError, match="NaN"):
        SissoRegressor(1).fit(X.assign(a=np.nan), X.b)
    with pytest.raises(InputError, match="nothing to learn"):
        SissoRegressor(1).fit(X * 0 + 1, X.b)
    with pytest.raises(InputError, match="feature names"):
        SissoRegressor(1).fit(X, X.b).predict(X[NAMES[::-1]])


@pytest.mark.filterwarnings("ignore")
def test_it_is_an_estimator_as_scikit_learn_wants_them():
    from sklearn.utils.estimator_checks import check_estimator

    # What is no number is InputError here, which is a ValueError; there it is to be TypeError.
    other = {"check_dtype_object": "InputError"}
    check_estimator(SissoRegressor(1), expected_failed_checks=other)
