"""SISSO: planted formulas, units, and what is found against trying all by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

pytest.importorskip("sklearn", reason="needs the model extra")
pandas = pytest.importorskip("pandas", reason="needs the model extra")

from mlmd.errors import InputError  # noqa: E402
from mlmd.model.sisso.regressor import SissoRegressor, _best_subset  # noqa: E402
from mlmd.model.sisso.screening import screen  # noqa: E402
from mlmd.model.sisso.space import OPERATORS, Space, parse_unit  # noqa: E402

NAMES = ["a", "b", "c", "d", "e"]
MORE = [*NAMES, "f", "g", "h"]


def table(n: int = 200, seed: int = 0, names: list[str] = NAMES):
    rng = np.random.default_rng(seed)
    return pandas.DataFrame(rng.uniform(0.5, 3.0, (n, len(names))), columns=names)


def noisy(y, share: float, seed: int):
    return y + np.random.default_rng(100 + seed).normal(0.0, share * np.std(y), len(y))


def all_parts(space: Space):
    """Every candidate of a space by its name, with expression, unit and values."""
    found = {}
    for one in space.candidates():
        block = one.of(np.flatnonzero(one.allowed())) if hasattr(one, "allowed") else one
        for j, unit in enumerate(block.units):
            expression = block.write(j)
            found.setdefault(expression.name, (expression, tuple(unit), block.columns[:, j]))
    return found


class WrongUnitError(Exception):
    """What the formula does is not possible with such units."""


def unit_of(tree, units):
    """Unit of a formula, worked out from its tree alone: exponents by base."""
    kind, *parts = tree
    if kind == "x":
        return units[parts[0]]
    inner = [unit_of(part, units) for part in parts]
    if kind in ("exp", "exp-", "log") and inner[0]:
        raise WrongUnitError(f"{kind} of {inner[0]}")
    if kind in ("+", "-") and inner[0] != inner[1]:
        raise WrongUnitError(f"{inner[0]} {kind} {inner[1]}")
    if kind in ("*", "/"):
        sign = 1 if kind == "*" else -1
        bases = {*inner[0], *inner[1]}
        total = {base: inner[0].get(base, 0) + sign * inner[1].get(base, 0) for base in bases}
    else:
        power = int(kind[1:]) if kind[0] == "^" else 1
        total = {base: power * exponent for base, exponent in inner[0].items()}
    return {base: exponent for base, exponent in total.items() if exponent}


def n_operators(tree) -> int:
    return 0 if tree[0] == "x" else 1 + sum(n_operators(part) for part in tree[1:])


def value_of(name: str, X):
    """Value of a formula as it is written, by Python itself."""
    text = name.replace("exp-(", "expm(").replace("^", "**")
    functions = {"exp": np.exp, "expm": lambda x: np.exp(-x), "log": np.log}
    return eval(text, {"__builtins__": {}}, {**functions, **{c: X[c].to_numpy() for c in X}})


def formulas_by_hand(n_columns: int, most: int):
    """Trees of all formulas with so many operators or fewer, by recursion."""
    levels = [[("x", i) for i in range(n_columns)]]
    for n in range(1, most + 1):
        level = [(o, tree) for o in OPERATORS if o not in "+-*/" for tree in levels[n - 1]]
        for i in range(n):
            for one in levels[i]:
                for other in levels[n - 1 - i]:
                    level += [(o, one, other) for o in "+-*/"]
        levels.append(level)
    return [tree for level in levels for tree in level]


def tree_value(tree, values):
    unary = {
        "exp": np.exp,
        "exp-": lambda x: np.exp(-x),
        "log": np.log,
        **{f"^{n}": lambda x, n=n: x ** float(n) for n in (-1, 2, 3, 6)},
    }
    if tree[0] == "x":
        return values[:, tree[1]]
    parts = [tree_value(part, values) for part in tree[1:]]
    if any(part is None for part in parts):
        return None
    divisor = parts[-1] if tree[0] in ("/", "^-1") else np.ones(1)
    if not (np.all(divisor > 0) or np.all(divisor < 0)):
        return None
    if len(parts) == 1:
        result = unary[tree[0]](parts[0])
    else:
        both = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
        result = both[tree[0]](*parts)
    largest = np.abs(result).max()
    within = 1e-4 <= largest <= 1e5 and np.ptp(result) > 1e-10 * largest
    return result if within else None


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


LAWS = {
    "+": lambda X: X.a + X.b,
    "-": lambda X: X.a - X.b,
    "*": lambda X: X.a * X.b,
    "/": lambda X: X.a / X.b,
    "exp": lambda X: np.exp(X.a),
    "exp-": lambda X: np.exp(-X.a),
    "log": lambda X: np.log(X.a),
    "^-1": lambda X: 1 / X.a,
    "^2": lambda X: X.a**2,
    "^3": lambda X: X.a**3,
    "^6": lambda X: X.a**6,
}


@pytest.mark.parametrize("share", [0.02, 0.05])
@pytest.mark.parametrize("operator", OPERATORS)
def test_each_operator_is_found_among_all_in_noise(operator, share):
    X, new = table(300, 1, MORE), table(50, 2, MORE)
    y = noisy(3.0 * LAWS[operator](X) - 1.0, share, seed=3)
    found = SissoRegressor(1, operators=OPERATORS, max_operators=1).fit(X, y)
    (model,) = found.models_
    written = {"exp": "exp(a)", "exp-": "exp-(a)", "log": "log(a)"}
    name = f"(a {operator} b)" if operator in "+-*/" else f"(a){operator}"
    assert model.terms == (written.get(operator, name),)
    assert model.coefficients[0] == pytest.approx(3.0, rel=0.03)
    truth = 3.0 * LAWS[operator](new) - 1.0
    assert np.std(found.predict(new) - truth) < 0.02 * np.std(truth)


@pytest.mark.parametrize("share", [0.02, 0.05])
@pytest.mark.parametrize(
    ("terms", "law"),
    [
        ({"(a * b)", "exp-(c)"}, lambda X: 2.0 * X.a * X.b + 9.0 * np.exp(-X.c)),
        ({"(a / b)", "(c)^3"}, lambda X: 2.0 * X.a / X.b - 0.3 * X.c**3),
        ({"log(d)", "(e)^-1"}, lambda X: 2.0 * np.log(X.d) + 3.0 / X.e),
    ],
)
def test_laws_of_two_terms_are_found_in_noise(terms, law, share):
    X = table(300, 4, MORE)
    y = noisy(law(X), share, seed=5)
    found = SissoRegressor(2, operators=OPERATORS, max_operators=1).fit(X, y)
    assert set(found.models_[1].terms) == terms
    assert found.models_[1].rmse == pytest.approx(share * np.std(law(X)), rel=0.15)


def test_a_formula_of_three_operators_is_found():
    X = table(150)
    y = noisy(X.a * (X.b + X.c) / X.d, 0.03, seed=6)
    found = SissoRegressor(1, operators=("+", "*", "/"), max_operators=3).fit(X, y)
    new = table(50, seed=7)
    truth = new.a * (new.b + new.c) / new.d
    assert found.models_[0].rmse == pytest.approx(0.03 * np.std(X.a * (X.b + X.c) / X.d), rel=0.15)
    assert np.corrcoef(found.predict(new), truth)[0, 1] > 1 - 1e-12
    assert n_operators(found.terms_[0][0].tree) == 3


@pytest.mark.parametrize("share", [0.02, 0.05])
@pytest.mark.parametrize("planted", [1, 2, 3])
def test_the_dimension_chosen_is_the_planted_one(planted, share):
    X = table(200, planted, MORE)
    law = 2.0 * X.a * X.b
    law = law - 1.5 * np.log(X.c) if planted > 1 else law
    law = law + 1.2 * X.d / X.e if planted > 2 else law
    y = noisy(law, share, seed=planted)
    operators = ("+", "-", "*", "/", "log")
    found = SissoRegressor(None, 10, operators, max_operators=1).fit(X, y)
    assert len(found.models_) == planted
    terms = ["(a * b)", "log(c)", "(d / e)"]
    assert set(found.models_[-1].terms) == set(terms[:planted])


def test_rows_of_a_group_stay_together_when_the_dimension_is_chosen():
    """Columns constant in a group name its members: terms that only know them are no knowledge."""
    rng = np.random.default_rng(8)
    group = np.repeat(np.arange(12), 20)
    X = pandas.DataFrame(rng.normal(size=(12, 30))[group], columns=[f"g{i}" for i in range(30)])
    X["t"] = rng.uniform(0.5, 3.0, len(X))
    y = X.t + rng.normal(0, 2.0, 12)[group] + rng.normal(0, 0.1, len(X))
    assert len(SissoRegressor(None).fit(X, y).models_) == 4
    assert len(SissoRegressor(None).fit(X, y, groups=group).models_) == 1


@pytest.mark.parametrize("seed", range(2))
def test_noise_is_predicted_no_better_than_by_its_mean(seed):
    from sklearn.model_selection import KFold, cross_val_predict

    X = table(150, seed, MORE)
    y = np.random.default_rng(50 + seed).normal(size=150)
    model = SissoRegressor(None, 10, ("+", "-", "*", "/"), max_operators=1)
    out_of_fold = cross_val_predict(model, X, y, cv=KFold(5, shuffle=True, random_state=0))
    assert np.mean((out_of_fold - y) ** 2) > 0.97 * np.var(y)
    assert len(model.fit(X, y).models_) == 1


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


def test_subsets_that_depend_on_one_another_are_never_taken():
    rng = np.random.default_rng(5)
    free = rng.normal(size=(30, 5))
    columns = np.column_stack([free[:, 0], free[:, 1], free[:, 0] + free[:, 1], free[:, 2:]])
    y = free @ [1.0, 1.0, 0.5, -0.5, 0.1] + 0.01 * rng.normal(size=30)
    assert _best_subset(columns, y, 1) == [2]
    for n in (3, 4, 5):
        assert not {0, 1, 2} <= set(_best_subset(columns, y, n))
    assert _best_subset(columns, y, 6) == []


@pytest.mark.parametrize("shift", [0.0, -1.0])
@pytest.mark.parametrize(("columns", "most"), [(5, 1), (4, 2), (2, 3)])
def test_what_is_screened_is_the_best_of_all_by_hand(columns, most, shift):
    """Shifted, the columns change sign: poles and logarithms of the negative fall out."""
    X = table(40, seed=9).iloc[:, :columns] + shift
    y = np.random.default_rng(10).normal(size=40) + X.a.to_numpy()
    values = X.to_numpy()
    with np.errstate(all="ignore"):
        known = [tree_value(tree, values) for tree in formulas_by_hand(columns, most)]
    known = np.array([one for one in known if one is not None])
    centred = known - known.mean(axis=1, keepdims=True)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    scores = np.abs(centred @ (y - y.mean())) / np.linalg.norm(y - y.mean())
    best = []
    for i in np.argsort(-scores):
        if all(abs(centred[i] @ centred[k]) < 1 - 1e-10 for k in best):
            best.append(i)
        if len(best) == 15:
            break
    found = screen(Space(list(X), values, OPERATORS, most), y, 15)
    ours = [abs(np.corrcoef(column, y)[0, 1]) for _, column in found]
    assert ours == pytest.approx(scores[best], abs=1e-9)
    for expression, column in found:
        assert n_operators(expression.tree) <= most
        assert expression.evaluate(values) == pytest.approx(column, rel=1e-12)
        with np.errstate(all="ignore"):
            assert value_of(expression.name, X) == pytest.approx(column, rel=1e-9)


def test_formulas_are_taken_only_while_they_bring_something_new():
    X = table(40)
    space = Space(NAMES, X.to_numpy(), ("+", "*"), 1)
    first = screen(space, X.a.to_numpy(), 5)
    taken = [column for _, column in first]
    second = screen(space, X.a.to_numpy(), 5, taken)
    assert first[0][0].name == "a"
    assert not {one.name for one, _ in first} & {one.name for one, _ in second}


def test_sums_are_of_like_units_only():
    units = {"a": "A", "b": "A", "c": "eV", "d": "1", "e": "1/A"}
    found = all_parts(Space(NAMES, table(30).to_numpy(), OPERATORS, 2, units))
    assert {"(a + b)", "exp(d)", "(a * e)", "(c)^3", "exp((a / b))", "(d + (a * e))"} <= set(found)
    assert not {"(a + c)", "(a - d)", "exp(a)", "log(c)", "exp((a * b))"} & set(found)
    assert [found[name][1] for name in ("a", "c", "(a * e)", "(a / e)", "(c)^-1", "((a)^2)^3")] == [
        (1, 0),
        (0, 1),
        (0, 0),
        (2, 0),
        (0, -1),
        (6, 0),
    ]


A_UNIT = st.dictionaries(
    st.sampled_from(["A", "eV", "u"]), st.sampled_from(["-1", "-1/2", "1/3", "1", "2"]), max_size=2
)


@settings(max_examples=25, deadline=None)
@given(st.lists(A_UNIT, min_size=3, max_size=3), st.integers(1, 2), st.integers(0, 99))
def test_no_formula_has_wrong_units_and_none_with_right_ones_is_left_out(units, most, seed):
    X = table(12, seed).iloc[:, :3]
    written = [" ".join(f"{b}^({e})" for b, e in unit.items()) or "1" for unit in units]
    exact = [{base: Fraction(e) for base, e in unit.items()} for unit in units]
    space = Space(list(X), X.to_numpy(), OPERATORS, most, dict(zip(X, written, strict=True)))
    found = all_parts(space)
    of_ours: dict[tuple, dict] = {}
    for expression, unit, _ in found.values():
        # An exception here is a formula that cannot be.
        ours = unit_of(expression.tree, exact)
        assert of_ours.setdefault(unit, ours) == ours
        assert n_operators(expression.tree) <= most
    assert len({tuple(sorted(one.items())) for one in of_ours.values()}) == len(of_ours)
    wanted = 0
    for one, other in combinations(range(3), 2):
        wanted += 2 * (exact[one] == exact[other]) + 3
    wanted += sum(4 if unit else 7 for unit in exact) + 3
    assert sum(n_operators(one.tree) <= 1 for one, _, _ in found.values()) == wanted


@settings(max_examples=10, deadline=None)
@given(st.lists(A_UNIT, min_size=5, max_size=5), st.integers(0, 99))
def test_every_term_of_a_model_has_a_unit(units, seed):
    X = table(60, seed)
    written = [" ".join(f"{b}^({e})" for b, e in unit.items()) or "1" for unit in units]
    exact = [{base: Fraction(e) for base, e in unit.items()} for unit in units]
    y = noisy(X.a * X.b + X.c, 0.3, seed)
    given_units = dict(zip(X, written, strict=True))
    found = SissoRegressor(3, operators=OPERATORS, max_operators=2, units=given_units).fit(X, y)
    for terms in found.terms_:
        for term in terms:
            unit_of(term.tree, exact)
            assert n_operators(term.tree) <= 2


def test_a_law_with_the_right_units_is_found_and_one_with_wrong_ones_is_not():
    X = table(200, 11)
    units = {"a": "eV", "b": "eV", "c": "A", "d": "A", "e": "1"}
    arguments = {"operators": OPERATORS, "max_operators": 2, "units": units}
    right = noisy(np.exp(-X.a / X.b), 0.03, seed=12)
    found = SissoRegressor(1, **arguments).fit(X, right)
    assert found.models_[0].terms == ("exp-((a / b))",)
    wrong = noisy(np.exp(-X.a / X.c), 0.03, seed=12)
    (term,) = SissoRegressor(1, **arguments).fit(X, wrong).terms_[0]
    exact = [{"eV": 1}, {"eV": 1}, {"A": 1}, {"A": 1}, {}]
    unit_of(term.tree, exact)
    free = SissoRegressor(1, operators=OPERATORS, max_operators=2).fit(X, wrong)
    assert free.models_[0].terms == ("exp-((a / c))",)
    with pytest.raises(WrongUnitError):
        unit_of(free.terms_[0][0].tree, exact)


def test_no_formula_has_a_pole_between_the_rows():
    X = table(60) - 1.2
    found = all_parts(Space(NAMES, X.to_numpy(), ("-", "/", "^-1"), 2))
    assert not [name for name in found if "/" in name or "^-1" in name]
    X["b"] += 1.0
    found = all_parts(Space(NAMES, X.to_numpy(), ("/", "^-1"), 1))
    assert {"(a / b)", "(b)^-1"} <= set(found)
    assert not {"(b / a)", "(a)^-1"} & set(found)


def test_a_formula_that_fails_on_new_rows_is_said():
    X = table(60)
    found = SissoRegressor(1, operators=("log",), max_operators=1).fit(X, np.log(X.a))
    new = table(3)
    new.loc[1, "a"] = -1.0
    with pytest.raises(InputError, match=r"row 1: log\(a\) has no finite value"):
        found.predict(new)


def test_too_many_formulas_to_hold_are_said_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr("mlmd.model.sisso.space._MOST_KEPT", 50)
    X = table(30)
    with pytest.raises(InputError, match="more than 50 formulas with 1 operators"):
        SissoRegressor(1, operators=OPERATORS, max_operators=3).fit(X, X.a)


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
        ({"units": dict.fromkeys(NAMES, "?")}, "unit"),
    ],
)
def test_bad_settings_are_said(options, says):
    X = table(20)
    with pytest.raises(InputError, match=says):
        SissoRegressor(**options).fit(X, X.a)


def test_bad_groups_are_said():
    X = table(20)
    for groups in ([0, 1] * 10, [0] * 3):
        with pytest.raises(InputError, match="no dimension can be chosen"):
            SissoRegressor(None).fit(X, X.a, groups=groups)
    with pytest.raises(InputError, match="no dimension can be chosen"):
        SissoRegressor(None).fit(X[:4], X.a[:4])


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
