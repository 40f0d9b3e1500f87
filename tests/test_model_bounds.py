"""Upper bounds of D among what a model learns: they correct what the fast runs alone would say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pandas = pytest.importorskip("pandas", reason="needs the model extra")
pytest.importorskip("sklearn", reason="needs the model extra")

from mlmd.errors import InputError  # noqa: E402
from mlmd.model.data.table import TrainingTable  # noqa: E402
from mlmd.model.fitting import fit_pipeline  # noqa: E402

BOLTZMANN_EV_K = 8.617333262e-5
ANIONS = ("Cl", "F", "Br", "I", "S", "O", "N", "P")


def planted(rng: np.random.Generator, n: int = 160) -> tuple[TrainingTable, np.ndarray]:
    """A table whose slow rows are bounds, and the true ln D of all its rows, the bounds last."""
    X = pandas.DataFrame({"AAV": rng.uniform(12, 22, n), "PF": rng.uniform(0.2, 0.8, n)})
    T = rng.choice([800.0, 1000.0, 1300.0], n)
    ln_D = -6 + 0.25 * X.AAV - 3 * X.PF - 0.4 / (BOLTZMANN_EV_K * T)
    found = np.exp(ln_D + 0.2 * rng.normal(size=n))
    slow = (found < np.quantile(found, 0.35)).to_numpy()
    D = np.where(slow, 1.5 * found, found)
    formulas = tuple(f"Li{1 + i % 5}{ANIONS[i // 5 % 8]}" for i in range(n))
    table = TrainingTable(X, formulas, T, D, "mlmd", D_error_cm2_s=0.2 * D)
    return table.parted(slow), np.concatenate([ln_D[~slow], ln_D[slow]])


def test_bounds_take_bias_out_of_slow_rows():
    """Learnt from the fast rows alone, slow materials are predicted too fast."""
    better, off = 0, {"without": [], "with": []}
    for seed in range(6):
        table, truth = planted(np.random.default_rng(seed))
        problem = table.problem()
        n, everything = len(problem.y), np.arange(len(problem.y))
        for name, one in (("without", replace(problem, bounds=None)), ("with", problem)):
            predicted = fit_pipeline(one, "random_forest", everything).predict(problem.bounds.X)
            off[name].append(float(np.mean(predicted - truth[n:])))
        better += abs(off["with"][-1]) < abs(off["without"][-1])
    assert better >= 5
    assert np.mean(off["without"]) > 0.3
    assert abs(np.mean(off["with"])) < 0.75 * np.mean(off["without"])


def test_a_bound_that_is_kept_changes_nothing():
    table, _ = planted(np.random.default_rng(1))
    problem = table.problem()
    far = replace(problem, bounds=replace(problem.bounds, y=problem.bounds.y + 20.0))
    everything = np.arange(len(problem.y))
    one = fit_pipeline(far, "ridge", everything).predict(problem.X)
    other = fit_pipeline(replace(problem, bounds=None), "ridge", everything).predict(problem.X)
    assert np.array_equal(one, other)


def test_bounds_of_systems_that_are_left_out_are_not_seen():
    table, _ = planted(np.random.default_rng(2))
    problem = table.problem()
    chlorides = np.array(["Cl" in formula for formula in problem.formulas])
    beside = problem.bounds_beside(np.flatnonzero(~chlorides))
    assert beside is not None
    assert not any("Cl" in formula for formula in beside.formulas)
    assert len(beside.y) == sum("Cl" not in formula for formula in problem.bounds.formulas)
    assert problem.only(np.flatnonzero(~chlorides)).bounds.formulas == beside.formulas
    assert problem.bounds_beside(np.arange(len(problem.y))).formulas == problem.bounds.formulas


def test_a_table_with_bounds_is_another_one_and_weights_and_elements_go_with_them():
    table, _ = planted(np.random.default_rng(3))
    problem = table.problem(weighted=True, elements=True)
    assert list(problem.bounds.X.columns) == list(problem.X.columns)
    assert problem.sha256 != replace(problem, bounds=None).sha256
    fit_pipeline(problem, "ridge", np.arange(len(problem.y)))
    bare = replace(table, bounds=None)
    with pytest.raises(InputError, match="are bounds of D; give some D as well"):
        bare.parted(np.ones(len(bare), dtype=bool))


def test_an_activation_energy_takes_the_bounds_of_its_formula():
    T = np.array([800.0, 1000.0, 1300.0])
    D = 1e-2 * np.exp(-0.4 / (BOLTZMANN_EV_K * T))
    X = pandas.DataFrame({"AAV": [15.0] * 3, "PF": [0.5] * 3})
    found = {}
    for factor in (50.0, 0.5):
        values = D * np.array([factor, 1.0, 1.0])
        table = TrainingTable(X, ("LiCl",) * 3, T, values, "mlmd", D_error_cm2_s=0.1 * D)
        (found[factor],) = table.parted(np.array([True, False, False])).problem("E_a").y
    assert found[50.0] == pytest.approx(0.4, abs=1e-3)
    assert found[0.5] > 0.42
