"""What is cut off a relaxing series, and whether a drift is one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from mlmd.errors import InputError
from mlmd.numerics.autocorrelation import standard_error
from mlmd.numerics.equilibration import detect_equilibration, drift


def ar1(count: int, n: int, phi: float, seed: int) -> np.ndarray:
    """Stationary series of unit variance, shape (count, n)."""
    burn = int(20 / (1 - phi))
    noise = np.random.default_rng(seed).normal(size=(count, n + burn))
    return lfilter([1], [1, -phi], noise, axis=1)[:, burn:] * np.sqrt(1 - phi**2)


@pytest.mark.parametrize("phi", [0.0, 0.9])
def test_a_stationary_series_loses_little(phi):
    found = [detect_equilibration(row) for row in ar1(100, 4000, phi, 1)]
    lost = np.array([result.n_discarded for result in found]) / 4000
    assert np.median(lost) < 0.01
    assert lost.mean() < 0.05
    assert all(result.is_settled for result in found)


@pytest.mark.parametrize("amplitude", [5.0, 20.0])
def test_relaxation_is_cut_where_its_bias_vanishes(amplitude):
    n, decay = 6000, 120
    relaxing = ar1(100, n, 0.9, 2) + amplitude * np.exp(-np.arange(n) / decay)
    found = [detect_equilibration(row) for row in relaxing]
    cuts = np.array([result.n_discarded for result in found])
    # From where the relaxation has sunk into the noise to where nothing is left of it.
    into_noise = decay * np.log(amplitude / 2.0)
    assert (cuts > 0.5 * into_noise).mean() > 0.95
    assert into_noise < np.median(cuts) < decay * np.log(amplitude / 0.1)
    bias = np.mean([result.mean.mean for result in found])
    assert abs(bias) < 0.5 * found[0].mean.stderr
    assert relaxing.mean() > 1.5 * found[0].mean.stderr  # what the mean of everything says


def test_error_of_the_mean_covers_it():
    for amplitude in (0.0, 10.0):
        relaxing = ar1(250, 6000, 0.9, 3) + amplitude * np.exp(-np.arange(6000) / 120)
        means = [detect_equilibration(row).mean for row in relaxing]
        assert all(mean.stderr is not None for mean in means)
        assert 0.60 < np.mean([abs(mean.mean) < mean.stderr for mean in means]) < 0.75


def test_mean_is_of_the_rest():
    row = ar1(1, 3000, 0.9, 4)[0] + 8.0 * np.exp(-np.arange(3000) / 60)
    found = detect_equilibration(row)
    assert found.n_discarded > 0
    assert found.mean == standard_error(row[found.n_discarded :])
    assert found.n_samples == 3000


def test_a_step_is_cut_at_the_step():
    row = np.random.default_rng(5).normal(size=2000)
    row[:300] += 10.0
    assert 300 <= detect_equilibration(row).n_discarded < 450


def test_series_that_never_settle_are_told():
    ramp = np.linspace(0, 50, 2000) + np.random.default_rng(6).normal(size=2000)
    found = detect_equilibration(ramp)
    assert not found.is_settled or found.mean.stderr is None


def test_units_do_not_matter():
    row = ar1(1, 2000, 0.8, 7)[0] + 5.0 * np.exp(-np.arange(2000) / 50)
    plain, moved = detect_equilibration(row), detect_equilibration(-300.0 + 0.01 * row)
    assert plain.n_discarded == moved.n_discarded
    assert moved.mean.stderr == pytest.approx(0.01 * plain.mean.stderr)


def test_long_series_are_as_well_cut():
    n, decay = 200_000, 4000
    row = ar1(1, n, 0.9, 8)[0] + 10.0 * np.exp(-np.arange(n) / decay)
    found = detect_equilibration(row)
    assert 2 * decay < found.n_discarded < 7 * decay


def test_agrees_with_pymbar():
    timeseries = pytest.importorskip("pymbar.timeseries")
    ratios = []
    for row in ar1(9, 3000, 0.9, 12) + 10.0 * np.exp(-np.arange(3000) / 60):
        ours = detect_equilibration(row)
        cut, inefficiency, effective = timeseries.detect_equilibration(row, nskip=10)
        mean = ours.mean
        ratios.append(
            [ours.n_discarded / cut, mean.tau_samples / inefficiency, mean.n_effective / effective]
        )
    # Medians: the maximum is flat, and single cuts lie further apart.
    assert np.median(ratios, axis=0) == pytest.approx([1.0, 1.0, 1.0], abs=0.25)


def test_short_and_constant_series():
    assert detect_equilibration([1.0]).n_discarded == 0
    assert detect_equilibration([5.0, 4.0, 1.0, 1.0]).n_discarded == 0
    constant = detect_equilibration(np.full(100, 0.1))
    assert (constant.n_discarded, constant.mean.stderr) == (0, 0.0)


@pytest.mark.parametrize("bad", [[], [[1.0, 2.0]], [1.0, np.nan]])
def test_bad_series_are_refused(bad):
    with pytest.raises(InputError, match="expected one dimension"):
        detect_equilibration(bad)


@pytest.mark.parametrize("phi", [0.0, 0.9])
@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_drift_is_covered(phi, slope):
    times = 3.0 + 0.01 * np.arange(4000)
    found = [drift(row + slope * times, times) for row in ar1(500, 4000, phi, 9)]
    assert all(result.stderr_per_ps is not None for result in found)
    off = np.array([(result.slope_per_ps - slope) / result.stderr_per_ps for result in found])
    assert 0.62 < np.mean(abs(off) < 1) < 0.74
    assert np.mean(abs(off) < 2) > 0.92
    assert np.mean([result.is_within() for result in found]) == pytest.approx(
        0.95 if slope == 0 else 0.0, abs=0.04
    )


def test_ordinary_error_of_a_slope_would_not_do():
    """Negative control: without the autocorrelation time one in three looks like a drift."""
    times = 0.01 * np.arange(4000)
    found = [drift(row, times) for row in ar1(200, 4000, 0.9, 10)]
    naive = [result.stderr_per_ps / np.sqrt(result.tau_samples) for result in found]
    inside = [abs(r.slope_per_ps) < 2 * error for r, error in zip(found, naive, strict=True)]
    assert np.mean(inside) < 0.5


def test_a_short_series_gets_no_error_and_no_verdict():
    result = drift(ar1(1, 200, 0.9, 11)[0], 0.01 * np.arange(200))
    assert result.stderr_per_ps is None
    assert result.is_within() is None


def test_an_exact_line():
    times = 0.5 * np.arange(200)
    result = drift(7.0 + 2.0 * times, times)
    assert result.slope_per_ps == pytest.approx(2.0)
    assert result.stderr_per_ps == pytest.approx(0.0, abs=1e-12)
    assert result.is_within() is False


@pytest.mark.parametrize(
    ("series", "times", "message"),
    [
        ([1.0, 2.0], [0.0, 1.0], "at least 3"),
        ([1.0, 2.0, 3.0], [0.0, 1.0], "one time for each value"),
        ([1.0, 2.0, np.inf], [0.0, 1.0, 2.0], "not finite"),
        ([1.0, 2.0, 3.0], [0.0, 1.0, 3.0], "equal positive intervals"),
        ([1.0, 2.0, 3.0], [0.0, -1.0, -2.0], "equal positive intervals"),
    ],
)
def test_bad_drifts_are_refused(series, times, message):
    with pytest.raises(InputError, match=message):
        drift(series, times)
