"""The model `best`: what its kernel, its noise and its elements know of physics."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from published_features import FOLDER, needs_published

pytest.importorskip("sklearn", reason="needs the model extra")
pytest.importorskip("xgboost", reason="needs the model extra")
pandas = pytest.importorskip("pandas", reason="needs the model extra")
from sklearn.base import clone  # noqa: E402
from sklearn.gaussian_process import GaussianProcessRegressor, kernels  # noqa: E402

from mlmd.errors import InputError  # noqa: E402
from mlmd.model import Predictor, TrainingTable, cross_validate, fit_predictor  # noqa: E402
from mlmd.model.best import process as module  # noqa: E402
from mlmd.model.best.ensemble import ArrheniusEnsemble  # noqa: E402
from mlmd.model.best.kernel import AMPLITUDES, ArrheniusKernel  # noqa: E402
from mlmd.model.best.process import fit_robust_process, process_inputs  # noqa: E402
from mlmd.model.best.products import PRODUCTS, with_products  # noqa: E402
from mlmd.model.data.composition_columns import (  # noqa: E402
    _group,
    _period,
    element_coordinates,
    element_fractions,
    fraction_columns,
)

NUMBER = {"H": 1, "He": 2, "Li": 3, "O": 8, "F": 9, "S": 16, "Cl": 17, "Ti": 22, "Br": 35}
KB = 8.617333262e-5
QUICK = {"n_trees": 60, "n_boosted": 60}


# --- the kernel -----------------------------------------------------------------------------------


def some_rows(n=12, n_features=3, n_elements=4, seed=0):
    rng = np.random.default_rng(seed)
    t, x, z = rng.normal(size=n), rng.normal(size=(n, n_features)), rng.normal(size=(n, n_elements))
    return process_inputs(x, 2 * t, z, rng.uniform(0.5, 4, n))


def a_kernel(n_features=3):
    return ArrheniusKernel(n_features, (0.4, 0.9, 0.6, 0.2, 0.3, 0.5, 0.25), 0.8, 0.07, 3.0)


def test_the_kernel_s_gradient_is_that_of_finite_differences():
    X, kernel = some_rows(), a_kernel()
    assert np.abs(X[:, 0]).max() > 2  # where the noise grows no more
    covariance, gradient = kernel(X, eval_gradient=True)
    assert gradient.shape == (12, 12, len(AMPLITUDES) + 3)
    assert covariance == pytest.approx(kernel(X))
    for i in range(gradient.shape[2]):
        step = np.zeros(gradient.shape[2])
        step[i] = 1e-6
        ahead, behind = (kernel.clone_with_theta(kernel.theta + s)(X) for s in (step, -step))
        assert gradient[..., i] == pytest.approx((ahead - behind) / 2e-6, abs=1e-8)


def test_the_covariance_is_symmetric_and_positive_and_its_diagonal_the_variance():
    X, kernel = some_rows(40), a_kernel()
    covariance = kernel(X)
    assert (covariance == covariance.T).all()
    assert np.linalg.eigvalsh(covariance)[0] > 0
    assert np.diag(covariance) == pytest.approx(kernel.diag(X), rel=1e-12)
    # Between rows there is no noise, be they equal or not.
    between = kernel(X, X)
    assert np.linalg.eigvalsh(between)[0] > -1e-12
    assert np.diag(covariance - between) == pytest.approx(kernel.noise_of(X), rel=1e-9)
    assert covariance - between == pytest.approx(np.diag(kernel.noise_of(X)), abs=1e-12)


def test_the_noise_grows_with_inverse_temperature_within_what_is_known():
    X = process_inputs(np.zeros((5, 1)), np.array([-9.0, -2, 0, 1, 9]), np.zeros((5, 0)))
    noise = ArrheniusKernel(1, noise=0.1, noise_growth=3.0).noise_of(X)
    assert noise == pytest.approx(0.1 * 3.0 ** np.array([-2, -2, 0, 1, 2]))


def test_predictions_are_straight_lines_in_inverse_temperature():
    rng = np.random.default_rng(1)
    rows, y = some_rows(30, seed=1), rng.normal(size=30)
    process = GaussianProcessRegressor(a_kernel(), optimizer=None).fit(rows, y)
    x, z = rng.normal(size=(1, 3)).repeat(3, 0), rng.normal(size=(1, 4)).repeat(3, 0)
    line = process.predict(process_inputs(x, np.array([-1.0, 2.0, 5.0]), z))
    assert abs(line[0] - 2 * line[1] + line[2]) < 1e-9
    assert abs(line[2] - line[0]) > 0.1


# --- the robust process ---------------------------------------------------------------------------

GROWTH, QUIETEST = 4.0, 0.01


def planted_process(n_systems=60, seed=0, noise=1.0):
    """Four temperatures each; a and b follow x; variance of the noise 0.01 * 4^t."""
    rng = np.random.default_rng(seed)
    x = np.repeat(rng.normal(size=(n_systems, 2)), 4, axis=0)
    t = np.tile([-1.1, -0.6, 0.1, 1.6], n_systems)
    smooth = 0.5 * x[:, 0] + 0.3 * np.sin(1.5 * x[:, 1]) - (0.6 + 0.2 * x[:, 0]) * t
    y = smooth + noise * np.sqrt(QUIETEST * GROWTH**t) * rng.normal(size=len(t))
    return x, t, np.zeros((len(t), 0)), smooth, y


def test_the_noise_and_its_growth_are_found():
    x, t, z, _, y = planted_process()
    fit = fit_robust_process(x, t, z, y, np.ones(len(y)))
    assert fit.process.kernel_.noise_growth == pytest.approx(GROWTH, rel=0.4)
    # Student's t of four degrees has a wider distribution for the same scale.
    assert 0.5 * QUIETEST < fit.process.kernel_.noise < 1.2 * QUIETEST
    cold, hot = fit.left_out[t > 1], fit.left_out[t < -1]
    assert cold.std() > 4 * hot.std()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_outliers_hardly_move_it():
    x, t, z, smooth, y = planted_process(seed=2)
    rng = np.random.default_rng(3)
    bad = rng.choice(len(y), len(y) // 20, replace=False)
    spoilt = y.copy()
    spoilt[bad] += rng.choice([-4.0, 4.0], len(bad))

    def robust(y):
        fit = fit_robust_process(x, t, z, y, np.ones(len(y)))
        return fit.process.predict(process_inputs(x, t, z)), fit.noise

    def plain(y):
        kernel = ArrheniusKernel(2)
        rows = process_inputs(x, t, z)
        fitted = GaussianProcessRegressor(kernel, optimizer=module._limited(60)).fit(rows, y)
        return fitted.predict(rows)

    def radial(y):
        kernel = kernels.RBF([1.0, 1.0, 1.0]) + kernels.WhiteKernel(0.1)
        rows = np.column_stack([t, x])
        return GaussianProcessRegressor(kernel, normalize_y=True).fit(rows, y).predict(rows)

    def moved(how):
        return np.sqrt(np.mean((how(spoilt) - how(y)) ** 2))

    (good, _), (found, noise) = robust(y), robust(spoilt)
    ours = np.sqrt(np.mean((found - good) ** 2))
    assert ours < 0.03
    assert moved(plain) > 3 * ours
    assert moved(radial) > 3 * ours
    assert np.sqrt(np.mean((found - smooth) ** 2)) < 0.08
    # Each of them is known by its noise.
    usual = QUIETEST * GROWTH**t
    assert (noise[bad] > 10 * usual[bad]).all()
    assert np.median(noise / usual) < 3


def test_scales_of_the_noise_come_to_rest(monkeypatch):
    x, t, z, _, y = planted_process(25, seed=4)
    y[7] += 3.0
    found = []
    for n in (3, 4, 8):
        monkeypatch.setattr(module, "_REWEIGHTINGS", n)
        found.append(fit_robust_process(x, t, z, y, np.ones(len(y))).noise)
    assert found[0] == pytest.approx(found[2], rel=0.3)
    assert found[1] == pytest.approx(found[2], rel=0.2)


def test_residuals_of_rows_left_out_are_those_of_leaving_them_out():
    x, t, z, _, y = planted_process(10, seed=5)
    fit = fit_robust_process(x, t, z, y, np.linspace(0.5, 2, len(y)))
    rows = fit.process.X_train_
    assert fit.noise == pytest.approx(fit.process.kernel_.noise_of(rows))
    for i in range(len(y)):
        rest = np.arange(len(y)) != i
        without = GaussianProcessRegressor(fit.process.kernel_, alpha=1e-8, optimizer=None)
        guess = without.fit(rows[rest], y[rest]).predict(rows[[i]])[0]
        assert fit.left_out[i] == pytest.approx(y[i] - guess, abs=1e-6)


def test_a_label_that_counts_less_has_more_noise():
    x, t, z, _, y = planted_process(20)
    given = np.where(np.arange(len(y)) % 2, 1.0, 0.01)
    fit = fit_robust_process(x, t, z, y, given)
    usual = fit.process.kernel_.noise * fit.process.kernel_.noise_growth**t
    # The tails of Student's t change it by 0.8 and more.
    assert (fit.noise / usual >= 0.8 / given * (1 - 1e-9)).all()


# --- the elements ---------------------------------------------------------------------------------


def test_groups_and_periods_of_the_elements():
    known = {
        "H": (1, 1), "He": (18, 1), "Li": (1, 2), "Be": (2, 2), "B": (13, 2), "O": (16, 2),
        "Ne": (18, 2), "Na": (1, 3), "Cl": (17, 3), "Sc": (3, 4), "Ti": (4, 4), "Zn": (12, 4),
        "Br": (17, 4), "Ag": (11, 5), "I": (17, 5), "La": (3, 6), "Eu": (3, 6), "Lu": (3, 6),
        "Hf": (4, 6), "Tl": (13, 6), "Rn": (18, 6), "Fr": (1, 7), "U": (3, 7), "Pu": (3, 7),
    }  # fmt: skip
    columns = fraction_columns()
    for symbol, expected in known.items():
        z = columns.index(f"fraction_{symbol}") + 1
        assert (_group(z), _period(z)) == expected, symbol


def test_elements_are_like_those_of_their_group():
    coordinates = element_coordinates()
    likeness = coordinates @ coordinates.T
    assert np.diag(likeness) == pytest.approx(1, abs=1e-9)
    assert likeness.min() > -1e-9
    assert likeness.max() < 1 + 1e-9

    def like(a, b):
        return likeness[NUMBER[a] - 1, NUMBER[b] - 1]

    assert like("O", "S") > 3 * like("O", "Li")
    assert like("F", "Cl") > 2 * like("F", "Ti")
    assert like("Cl", "Br") > 0.5 > like("Cl", "Li")
    assert np.linalg.matrix_rank(coordinates, tol=1e-6) > 60


def test_shares_of_the_elements_are_counted():
    found = element_fractions(["Li3PS4", "Li2(SO4)", "P4S16Li12"], index=["a", "b", "c"])
    assert list(found.index) == ["a", "b", "c"]
    assert found.loc["a", ["fraction_Li", "fraction_P", "fraction_S"]].tolist() == [
        0.375, 0.125, 0.5
    ]  # fmt: skip
    assert (found.loc["a"] == found.loc["c"]).all()
    assert found.loc["b", "fraction_O"] == pytest.approx(4 / 7)
    assert found.sum(axis=1).to_numpy() == pytest.approx(1)
    with pytest.raises(InputError, match="up to Pu"):
        element_fractions(["LiAm"])
    with pytest.raises(InputError):
        element_fractions(["nothing known"])


def test_a_law_of_halides_holds_for_one_that_was_never_seen():
    cations = ["Na", "Mg", "Al", "K", "Ca", "Zn", "Ga", "Y", "Ti", "Sn"]
    shift = {"F": 0.9, "Cl": 1.0, "I": 1.2, "Br": 1.1, "O": -1.0, "N": -1.2}
    formulas = [f"Li{n}{c}{a}4" for c, a, n in itertools.product(cations, shift, (1, 3))]
    rng = np.random.default_rng(0)
    AAV = rng.uniform(12, 22, len(formulas))
    anion = [a for _, a, _ in itertools.product(cations, shift, (1, 3))]
    y = np.array([shift[a] for a in anion]) + 0.05 * AAV + rng.normal(0, 0.05, len(formulas))
    plain = pandas.DataFrame({"AAV": AAV})
    new = np.array(anion) == "Br"
    errors = []
    for X in (plain, plain.join(element_fractions(formulas))):
        model = ArrheniusEnsemble(**QUICK).fit(X[~new], y[~new])
        errors.append(float(np.sqrt(np.mean((model.predict(X[new]) - y[new]) ** 2))))
    assert errors[1] < 0.35 < 0.5 * errors[0]


# --- products -------------------------------------------------------------------------------------


def test_products_are_made_where_their_factors_are_there():
    frame = pandas.DataFrame(
        {"AAV": [10.0, 20.0], "PF": [0.4, 0.5], "LNC": [0.0, 8.0], "density": [1.0, 2.0]}
    )
    made = with_products(frame)
    assert made["free volume per atom"].tolist() == [6.0, 10.0]
    assert made["log of the volume per atom"].tolist() == pytest.approx(np.log([10.0, 20.0]))
    assert np.isfinite(made.to_numpy()).all()
    assert made[frame.columns].equals(frame)
    assert set(made) - set(frame) == {
        name for name, (factors, _) in PRODUCTS.items() if set(factors) <= set(frame)
    }
    assert not set(PRODUCTS) & {"density", *fraction_columns()}


# --- the ensemble ---------------------------------------------------------------------------------

ANIONS, CATIONS = ["Cl", "F", "O", "S", "Br", "I"], ["Na", "Mg", "Al", "P", "Zn", "Y"]


def arrhenius_table(amounts=(1, 3), noise=0.1):
    """Four temperatures of 36 formulas for each amount: a and b follow AAV and PF."""
    rng = np.random.default_rng(0)
    formulas = [f"Li{n}{c}{a}3" for n, c, a in itertools.product(amounts, CATIONS, ANIONS)]
    T = np.array([1000.0, 1500.0, 2000.0, 2500.0])
    n, m = len(formulas), len(T)
    AAV, PF, SPF = rng.uniform(12, 22, n), rng.uniform(0.3, 0.7, n), rng.uniform(0.1, 0.3, n)
    barrier = 0.3 + 0.04 * (17 - AAV) + 0.6 * (PF - 0.5)
    inverse = 1 / (KB * T)
    ln_D = (-8 + 0.05 * AAV)[:, None] - barrier[:, None] * inverse
    ln_D += noise * rng.normal(size=(n, m)) * np.sqrt(inverse / inverse.mean())
    frame = pandas.DataFrame({"AAV": AAV, "PF": PF, "SPF": SPF, "ENS": 2.5})
    frame = frame.loc[frame.index.repeat(m)].reset_index(drop=True)
    return TrainingTable(
        frame, tuple(np.repeat(formulas, m)), np.tile(T, n), np.exp(ln_D).ravel(), "mlmd"
    ), barrier


@pytest.fixture(scope="module")
def learnt():
    """Even formulas learnt from, odd ones not."""
    table, _ = arrhenius_table()
    problem = table.problem(elements=True)
    which = np.arange(len(problem.y)) // 4 % 2 == 0
    return problem, which, ArrheniusEnsemble(**QUICK).fit(problem.X[which], problem.y[which])


def test_arrhenius_laws_of_new_formulas_are_found_better_than_by_a_forest():
    problem = arrhenius_table()[0].problem(elements=True)
    ours = cross_validate(problem, "best", "formula", n_splits=3)
    forest = cross_validate(problem, "random_forest", "formula", n_splits=3)
    assert ours.rmse < 0.6 * forest.rmse
    assert ours.rmse < 0.2
    assert ours.out_of_fold.coverage_68 == pytest.approx(0.68, abs=0.08)
    assert ours.out_of_fold.coverage_95 == pytest.approx(0.95, abs=0.04)


def test_its_own_deviation_covers_new_formulas(learnt):
    problem, which, model = learnt
    value, deviation = model.predict(problem.X[~which], return_std=True)
    ratio = np.abs(value - problem.y[~which]) / deviation
    assert 0.55 < np.mean(ratio < 1) < 0.95
    assert np.mean(ratio < 3) > 0.97
    # Where nothing was learnt it says so.
    far = problem.X[~which].assign(AAV=60.0)
    assert (model.predict(far, return_std=True)[1] > 2 * deviation).all()


def test_diffusivity_is_the_exponential_of_what_is_learnt_of_its_logarithm(learnt):
    problem, which, model = learnt
    X, y = problem.X[which], problem.y[which]
    D = ArrheniusEnsemble(learns_log=True, **QUICK).fit(X, np.exp(y))
    value, deviation = D.predict(problem.X, return_std=True)
    log, of_log = model.predict(problem.X, return_std=True)
    assert (value > 0).all()
    assert np.log(value) == pytest.approx(log, abs=1e-3)
    assert deviation == pytest.approx(of_log * value, rel=1e-2)
    # A temperature in kelvin is as good as 1/(kB T).
    kelvin = problem.X.rename(columns={"inverse_kbT": "temperature_K"})
    kelvin = kelvin.assign(temperature_K=1 / (8.617333262145e-5 * problem.X["inverse_kbT"]))
    same = ArrheniusEnsemble(**QUICK).fit(kelvin[which], y).predict(kelvin)
    # Not to the last bit: rounding moves a few rows across the borders of the trees.
    assert np.sqrt(np.mean((same - log) ** 2)) < 0.01
    assert np.abs(same - log).max() < 0.1
    with pytest.raises(InputError, match="logarithm"):
        ArrheniusEnsemble(learns_log=True).fit(X, y)


def test_activation_energies_are_learnt_without_a_temperature():
    table, barrier = arrhenius_table()
    problem = table.problem("E_a", elements=True)
    assert "inverse_kbT" not in problem.X
    report = cross_validate(problem, "best", "formula", n_splits=3)
    assert report.rmse < 0.5 * barrier.std()


def test_the_same_seed_gives_the_same_bits_whatever_order_and_index(learnt):
    problem, which, model = learnt
    X, y = problem.X[which], problem.y[which]
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    again = clone(model).fit(X.set_index(np.arange(len(X))[::-1]), y)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    new = problem.X[~which]
    turned = new[new.columns[::-1]].assign(colour=1.0)
    for one, other in zip(
        model.predict(new, return_std=True), again.predict(turned, return_std=True), strict=True
    ):
        assert (one == other).all()
    assert clone(model).get_params() == model.get_params()
    assert model.process_.kernel_.get_params().keys() >= {"noise", "noise_growth", "amplitudes"}


def test_a_column_that_never_varied_moves_nothing(learnt):
    problem, which, model = learnt
    new = problem.X[~which]
    assert (model.predict(new.assign(ENS=3.1)) == model.predict(new)).all()
    # The mean of 0.1 is not 0.1, and its standard deviation not zero.
    X = problem.X[which].assign(ENS=0.1)
    assert X["ENS"].std(ddof=0) > 0
    other = clone(model).fit(X, problem.y[which])
    assert other.predict(new.assign(ENS=0.2)) == pytest.approx(model.predict(new), abs=0.02)


def test_rows_of_no_weight_do_not_count_and_others_by_their_ratios(learnt):
    problem, which, model = learnt
    X, y = problem.X[which], problem.y[which]
    bad = np.arange(len(y)) % 5 == 0
    weights = np.where(bad, 0.0, 3.0)
    spoilt = np.where(bad, 50.0, y)
    found = clone(model).fit(X, spoilt, sample_weight=weights).predict(X)
    assert (found == clone(model).fit(X[~bad], y[~bad]).predict(X)).all()
    halved = clone(model).fit(X, spoilt, sample_weight=np.where(bad, 1e-3, 1.0)).predict(X[~bad])
    assert np.sqrt(np.mean((halved - y[~bad]) ** 2)) < 0.3


@pytest.mark.parametrize("rows", [2, 3])
def test_few_rows_or_equal_labels_are_no_error(rows):
    X = pandas.DataFrame({"AAV": np.arange(rows) + 15.0, "inverse_kbT": 5.0})
    for y in (np.zeros(rows), np.full(rows, 0.1), np.arange(rows) + 0.5):
        value, deviation = ArrheniusEnsemble(**QUICK).fit(X, y).predict(X, return_std=True)
        assert np.isfinite(value).all()
        assert (deviation > 0).all()
        assert np.abs(value - y).max() < np.ptp(y) + 1e-9
    # No features at all but the temperature.
    line = pandas.DataFrame({"inverse_kbT": np.linspace(4, 12, 20)})
    y = -8 - 0.3 * line["inverse_kbT"].to_numpy()
    assert ArrheniusEnsemble(**QUICK).fit(line, y).predict(line) == pytest.approx(y, abs=0.2)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda X, y, w: (X.to_numpy(), y, w), "no names of features"),
        (lambda X, y, w: (X, y[:-1], w), "expected as many"),
        (lambda X, y, w: (X, y, w[:-1]), "expected as many"),
        (lambda X, y, w: (X, y, w - 2), "below zero"),
        (lambda X, y, w: (X, y, w * np.nan), "below zero or no number"),
        (lambda X, y, w: (X, y, w * 0), r"0 row\(s\)"),
        (lambda X, y, w: (X[:1], y[:1], w[:1]), r"1 row\(s\)"),
        (lambda X, y, w: (X.assign(AAV=np.nan), y, w), "feature is no finite number"),
        (lambda X, y, w: (X, y / 0, w), "label is no finite number"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_what_cannot_be_learnt_is_said_in_one_line(learnt, change, says):
    problem, _, model = learnt
    X, y, weights = change(problem.X[:40], problem.y[:40], np.ones(40))
    with pytest.raises(InputError, match=says) as caught:
        clone(model).fit(X, y, sample_weight=weights)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_predicted_is_said_in_one_line(learnt):
    problem, _, model = learnt
    with pytest.raises(InputError, match="no column PF") as caught:
        model.predict(problem.X.drop(columns="PF"))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no finite number"):
        model.predict(problem.X.assign(PF=np.inf))
    with pytest.raises(InputError, match=r"boosted_share is 2; expected 0 to 1"):
        ArrheniusEnsemble(boosted_share=2).fit(problem.X, problem.y)
    many = problem.X.iloc[np.zeros(5001, dtype=int)]
    with pytest.raises(InputError, match="2 to 5000"):
        clone(model).fit(many, np.zeros(5001))


@pytest.mark.parametrize("target", ["ln_D", "D", "E_a"])
def test_a_saved_model_predicts_the_same(tmp_path, target):
    pytest.importorskip("skops", reason="needs the model extra")
    table, _ = arrhenius_table(amounts=(1,))
    made = fit_predictor(table, "best", target)
    made.save(tmp_path / "a.mlmd")
    read, X = Predictor.load(tmp_path / "a.mlmd"), table.problem(target, elements=True).X
    assert (read.predict(X) == made.predict(X)).all()
    assert (read.standard_deviation(X) == made.standard_deviation(X)).all()
    assert read.training.columns == tuple(X.columns)
    # A formula stands for its elements.
    formulas = table.problem(target).formulas
    few = X.drop(columns=fraction_columns()).assign(formula=formulas)
    assert (read.predict(few) == made.predict(X)).all()


@pytest.mark.slow
@needs_published
def test_new_chemical_systems_are_predicted_better_than_by_others():
    table = TrainingTable.read(FOLDER / "feature_target.dat", "zheng2024")
    report = cross_validate(table.problem(elements=True), "best", "chemical_system", seed=0)
    assert report.rmse < 0.280
    assert 0.63 < report.out_of_fold.coverage_68 < 0.74
    assert 0.92 < report.out_of_fold.coverage_95 < 0.98
