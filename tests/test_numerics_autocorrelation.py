"""The error of a correlated mean: right where it is given, and not given where unknown."""

import numpy as np
import pytest

from mlmd.errors import InputError
from mlmd.numerics.autocorrelation import standard_error

PHI = 0.9
TAU = (1 + PHI) / (1 - PHI)  # of an AR(1) process: 19


def ar1(n: int, count: int, phi: float, rng: np.random.Generator) -> np.ndarray:
    """Stationary series x_t = phi x_(t-1) + noise, shape (count, n)."""
    series = np.empty((count, n))
    series[:, 0] = rng.normal(0, 1 / np.sqrt(1 - phi**2), count)
    noise = rng.normal(size=(count, n))
    for t in range(1, n):
        series[:, t] = phi * series[:, t - 1] + noise[:, t]
    return series


def test_autocorrelation_time_of_ar1_is_the_analytic_one():
    result = standard_error(ar1(200_000, 1, PHI, np.random.default_rng(1))[0])
    assert result.is_reliable
    assert result.tau_samples == pytest.approx(TAU, rel=0.08)
    assert result.n_effective == pytest.approx(200_000 / TAU, rel=0.08)


def test_interval_covers_the_mean_and_the_naive_one_does_not():
    n = int(100 * TAU)
    series = ar1(n, 600, PHI, np.random.default_rng(2))
    results = [standard_error(row) for row in series]
    given = [result for result in results if result.stderr is not None]
    assert len(given) > 0.95 * len(results)
    covered = np.mean([abs(result.mean) < result.stderr for result in given])
    assert 0.63 < covered < 0.74
    naive = series.std(axis=1, ddof=1) / np.sqrt(n)
    assert np.mean(np.abs(series.mean(axis=1)) < naive) < 0.25  # negative control


def test_time_is_not_underestimated_because_the_mean_is_taken_from_the_series():
    series = ar1(int(60 * TAU), 1500, PHI, np.random.default_rng(7))
    times = [standard_error(row).tau_samples for row in series]
    assert TAU < np.mean(times) < 1.1 * TAU  # 2.5 % too small without the correction


def test_a_series_too_short_for_its_correlation_gets_no_error():
    series = ar1(int(10 * TAU), 500, PHI, np.random.default_rng(3))
    results = [standard_error(row) for row in series]
    assert np.mean([result.stderr is None for result in results]) > 0.99
    assert not any(r.is_reliable for r in results if r.stderr is None)
    # What the limit protects from: those that would slip through a lower one undercover.
    loose = [standard_error(row, min_effective=10) for row in series]
    given = [result for result in loose if result.stderr is not None]
    assert np.mean([abs(result.mean) < result.stderr for result in given]) < 0.6


def test_a_drifting_series_gets_no_error():
    ramp = np.linspace(0, 1, 2000) + 0.01 * np.random.default_rng(4).normal(size=2000)
    result = standard_error(ramp)
    assert result.stderr is None
    assert not result.is_reliable


def test_white_noise_is_not_made_worse():
    noise = np.random.default_rng(5).normal(size=20_000)
    assert standard_error(noise).stderr == pytest.approx(1 / np.sqrt(20_000), rel=0.05)


def test_shift_and_scale_of_the_series():
    series = ar1(4000, 1, PHI, np.random.default_rng(6))[0]
    plain, moved = standard_error(series), standard_error(1e5 + 3 * series)
    assert moved.stderr == pytest.approx(3 * plain.stderr, rel=1e-6)
    assert moved.mean == pytest.approx(1e5 + 3 * plain.mean)


def test_constant_series_and_single_sample():
    assert standard_error(np.full(100, 0.1)).stderr == 0.0
    assert standard_error([7.0]).stderr is None


@pytest.mark.parametrize("bad", [[], [[1.0, 2.0]], [1.0, np.nan]])
def test_bad_series_are_refused(bad):
    with pytest.raises(InputError, match="expected one dimension"):
        standard_error(bad)
