"""Training tables: files that others can read, and weights that follow from errors of labels."""

from __future__ import annotations

import hashlib
import io
import logging

import numpy as np
import pytest

pandas = pytest.importorskip("pandas", reason="needs the model extra")

import mlmd.model.data.table as module  # noqa: E402
from mlmd.descriptors.table import FeatureTable  # noqa: E402
from mlmd.errors import InputError  # noqa: E402
from mlmd.model.data.label_weights import label_weights  # noqa: E402
from mlmd.model.data.labelled_file import AS_GIVEN, AS_PUBLISHED, EINSTEIN  # noqa: E402
from mlmd.model.data.table import TrainingTable  # noqa: E402

BOLTZMANN_EV_K = 8.617333262e-5
COLUMNS = ["AAV", "PF", "density"]


def table(n: int = 24, **more) -> TrainingTable:
    rng = np.random.default_rng(3)
    X = pandas.DataFrame(rng.uniform([12, 0.2, 1.0], [22, 0.8, 4.0], (n, 3)), columns=COLUMNS)
    others = ["Cl", "F", "Br", "I", "S", "O"]
    D = np.exp(rng.uniform(-13, -8, n))
    given = {
        "D_error_cm2_s": D * rng.uniform(0.02, 0.6, n),
        "names": tuple(f"runs/{i}/production" for i in range(n)),
        "n_frames": np.ones(n, dtype=int),
        "D_from": EINSTEIN,
    }
    return TrainingTable(
        X,
        tuple(f"Li{2 + i % 6}{others[i % 6]}" for i in range(n)),
        np.array([700.0, 1000.0, 1400.0, 1900.0])[(np.arange(n) // 6) % 4],
        D,
        "mlmd",
        **{**given, **more},
    )


def assert_same(one: TrainingTable, other: TrainingTable) -> None:
    pandas.testing.assert_frame_equal(one.features, other.features, check_exact=True)
    for name in ("formulas", "convention", "mobile", "names", "D_from"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("temperature_K", "D_cm2_s", "D_error_cm2_s", "n_frames"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True), name


def test_a_file_gives_back_every_digit(tmp_path):
    errors = table().D_error_cm2_s.copy()
    errors[4] = np.nan
    written = table(D_error_cm2_s=errors)
    written.to_csv(tmp_path / "t.csv")
    back = TrainingTable.read(tmp_path / "t.csv")
    assert_same(written, back)
    assert back.problem("E_a", True).sha256 == written.problem("E_a", True).sha256
    with pytest.raises(InputError, match="exists; nothing is overwritten"):
        table().to_csv(tmp_path / "t.csv")
    with pytest.raises(InputError, match="does not exist"):
        table().to_csv(tmp_path / "no" / "t.csv")


def test_a_file_is_read_without_us_and_as_a_table_of_features(tmp_path):
    written = table(names=None, n_frames=None, D_error_cm2_s=None)
    written.to_csv(tmp_path / "t.csv")
    frame = pandas.read_csv(tmp_path / "t.csv", comment="#")
    assert frame.D_cm2_s.to_numpy() == pytest.approx(written.D_cm2_s, rel=1e-12)
    assert frame.temperature_K.tolist() == written.temperature_K.tolist()
    assert frame.AAV.to_numpy() == pytest.approx(written.features.AAV.to_numpy(), rel=1e-12)
    assert frame.D_error_cm2_s.isna().all()
    assert set(frame.D_from) == {EINSTEIN}
    features = FeatureTable.read_csv(tmp_path / "t.csv")
    assert features.units == {"AAV": "A3", "PF": "1", "density": "g/cm3"}
    back = TrainingTable.read(tmp_path / "t.csv")
    assert back.names == tuple(map(str, range(24)))
    with pytest.raises(InputError, match="no row has an error"):
        back.problem("ln_D", weighted=True)


def test_two_rows_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="two rows are named 'b'"):
        table(n=3, names=("a", "b", "b")).to_csv(tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


def test_diffusivities_of_two_origins_are_not_mixed(tmp_path):
    path = tmp_path / "t.csv"
    table().to_csv(path)
    lines = path.read_text().splitlines()
    lines[5] = lines[5].replace(EINSTEIN, AS_PUBLISHED)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"D 'mlmd: slope / 6.* and D 'as published") as caught:
        TrainingTable.read(path)
    assert "\n" not in str(caught.value)


def test_what_is_written_by_hand_is_as_given(tmp_path):
    path = tmp_path / "t.csv"
    table().to_csv(path)
    head, rest = path.read_text().split("\n", 1)
    frame = pandas.read_csv(io.StringIO(rest), dtype=str, keep_default_na=False)
    by_hand = frame.drop(columns=["D_from", "D_error_cm2_s"])
    path.write_text(f"{head}\n{by_hand.to_csv(index=False)}")
    back = TrainingTable.read(path)
    assert (back.D_from, back.D_error_cm2_s) == (AS_GIVEN, None)
    assert np.array_equal(back.D_cm2_s, table().D_cm2_s)


def test_features_that_are_means_over_frames_are_pointed_out(tmp_path, caplog):
    table(n_frames=np.array([1, 200] * 12)).to_csv(tmp_path / "means.csv")
    table().to_csv(tmp_path / "snapshots.csv")
    with caplog.at_level(logging.WARNING):
        TrainingTable.read(tmp_path / "snapshots.csv")
        assert caplog.text == ""
        back = TrainingTable.read(tmp_path / "means.csv")
    assert "12 row(s) of features are means over frames" in caplog.text
    assert back.n_frames.tolist() == [1, 200] * 12


@pytest.mark.parametrize("error", [0.0, -1e-6, np.inf])
def test_an_impossible_error_is_refused(error):
    errors = table().D_error_cm2_s.copy()
    errors[7] = error
    with pytest.raises(InputError, match=r"row 8 .* the standard error of D"):
        table(D_error_cm2_s=errors)


@pytest.mark.parametrize("target", ["ln_D", "D", "E_a"])
def test_errors_are_in_the_unit_of_the_target(target, monkeypatch):
    """Labels drawn anew scatter by the error that their weights are made of."""
    known = table()
    error = 0.2 * known.D_error_cm2_s  # ln D is straight over so little
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(1000):
        D = known.D_cm2_s + error * rng.normal(size=len(known))
        made = TrainingTable(known.features, known.formulas, known.temperature_K, D, "mlmd")
        drawn.append(made.problem(target).y)
    monkeypatch.setattr(module, "label_weights", lambda X, y, sigma: sigma)
    problem = table(D_error_cm2_s=error).problem(target, weighted=True)
    assert len(problem.y) == (6 if target == "E_a" else 24)
    assert problem.weights == pytest.approx(np.std(drawn, axis=0), rel=0.1)


@pytest.mark.parametrize("target", ["ln_D", "D", "E_a"])
def test_weights_have_the_mean_one_and_leave_the_labels_alone(target):
    plain, weighted = table().problem(target), table().problem(target, weighted=True)
    assert plain.weights is None
    assert weighted.weights.mean() == pytest.approx(1.0)
    assert (weighted.weights > 0).all()
    assert np.array_equal(plain.y, weighted.y)
    pandas.testing.assert_frame_equal(plain.X, weighted.X)


def test_the_hash_knows_the_weights():
    plain, weighted = table().problem(), table().problem(weighted=True)
    assert plain.sha256 != weighted.sha256
    assert weighted.sha256 == table().problem(weighted=True).sha256
    # Without weights it is what models that are saved already carry.
    digest = hashlib.sha256("\n".join((*plain.X.columns, *plain.formulas, "ln_D")).encode())
    digest.update(plain.X.to_numpy().tobytes())
    digest.update(plain.y.tobytes())
    assert plain.sha256 == digest.hexdigest()


def planted(scatter: float, sigma, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(len(sigma), 5)) * [1.0, 10.0, 0.1, 3.0, 1.0] + 4.0
    truth = X @ np.array([0.5, -0.02, 2.0, 0.1, 0.0])
    return X, truth, truth + rng.normal(size=len(sigma)) * np.sqrt(scatter**2 + sigma**2)


@pytest.mark.parametrize("scatter", [0.1, 0.3, 1.0])
def test_scatter_that_the_features_do_not_explain_is_found(scatter):
    sigma = np.random.default_rng(5).choice([0.05, 0.2, 0.8], 400)
    found = []
    for seed in range(20):
        X, _, y = planted(scatter, sigma, seed)
        weights = label_weights(X, y, sigma)
        ratio = weights[sigma == 0.05][0] / weights[sigma == 0.8][0]
        found.append((0.8**2 - ratio * 0.05**2) / (ratio - 1))  # the variance behind the ratio
    assert np.mean(found) == pytest.approx(scatter**2, rel=0.12)


def test_no_label_counts_without_bound():
    sigma = np.full(60, 0.1)
    sigma[3] = 1e-9
    X, _, y = planted(0.0, sigma)
    weights = label_weights(X, y, sigma)
    assert weights[3] <= 2.001 * weights[0]
    assert weights[3] > 1.5 * weights[0]


def test_a_label_of_unknown_error_counts_as_a_noisy_one():
    sigma = np.array([0.1] * 30 + [0.2] * 30 + [np.nan])
    X, _, y = planted(0.0, np.nan_to_num(sigma, nan=0.2))
    weights = label_weights(X, y, sigma)
    assert weights[-1] == pytest.approx(weights[-2])
    assert weights[0] > weights[-1]


def test_few_rows_and_features_without_spread_have_weights_too():
    sigma = np.array([0.1, 0.4])
    assert label_weights(np.ones((2, 3)), np.array([1.0, 2.0]), sigma).mean() == pytest.approx(1)
    assert label_weights(np.ones((1, 3)), np.array([1.0]), sigma[:1]).tolist() == [1.0]
    few = label_weights(np.eye(2, 40), np.array([1.0, 1.0]), sigma)
    assert few[0] > few[1]


def test_weights_bring_a_fit_closer_to_the_truth():
    """A law seen through labels of which half are ten times as noisy."""
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs the model extra")
    off = {"plain": [], "weighted": []}
    for seed in range(40):
        sigma = np.where(np.arange(120) % 2 == 0, 0.08, 0.8)
        X, truth, y = planted(0.02, sigma, seed)
        scaled = (X - X.mean(axis=0)) / X.std(axis=0)
        for name, weights in (("plain", None), ("weighted", label_weights(X, y, sigma))):
            fitted = linear_model.Ridge(alpha=1.0).fit(scaled, y, sample_weight=weights)
            off[name].append(np.sqrt(np.mean((fitted.predict(scaled) - truth) ** 2)))
    # Least squares of 5 slopes and a constant: sigma sqrt(6 / n) of the rows that count.
    assert np.mean(off["plain"]) == pytest.approx(
        np.sqrt((0.8**2 + 0.08**2) / 2 * 6 / 120), rel=0.2
    )
    assert np.mean(off["weighted"]) < 0.35 * np.mean(off["plain"])
    assert np.mean(np.array(off["weighted"]) < np.array(off["plain"])) > 0.9


def test_one_noisy_label_pulls_less():
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs the model extra")
    sigma = np.full(40, 0.05)
    sigma[0] = 2.0
    X, truth, y = planted(0.0, sigma)
    y[0] = truth[0] + 4.0
    pull = {}
    for name, weights in (("plain", np.ones(40)), ("weighted", label_weights(X, y, sigma))):
        fitted = linear_model.Ridge(alpha=1.0).fit(X, y, sample_weight=weights)
        pull[name] = fitted.predict(X[:1])[0] - truth[0]
    assert pull["weighted"] < 0.2 * pull["plain"]
