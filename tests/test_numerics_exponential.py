"""The exponential fit in the data themselves."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

from mlmd.errors import InputError
from mlmd.numerics.exponential import fit_exponential


@pytest.mark.parametrize("rate", [-0.5, 0.0, 0.2, 1.0, 3.0])
@pytest.mark.parametrize("relative", [1e-8, 0.1, 10.0])
def test_exact_data_are_recovered(rate, relative):
    x = np.array([11.6, 17.4, 23.2, 38.7])
    y = 3e-3 * np.exp(-rate * x)
    fit = fit_exponential(x, y, relative * y)
    assert fit.rate == pytest.approx(rate, rel=1e-9, abs=1e-9)
    assert fit.log_amplitude == pytest.approx(np.log(3e-3), rel=1e-8, abs=1e-8)


def test_is_the_minimum_that_scipy_finds():
    rng = np.random.default_rng(1)
    x = np.array([1.0, 1.7, 2.2, 3.0, 4.1])
    for _ in range(20):
        sigma = rng.uniform(0.02, 0.2, 5)
        y = np.exp(0.4 - 0.9 * x) + sigma * rng.normal(size=5)
        ours = fit_exponential(x, y, sigma)
        theirs, covariance = curve_fit(
            lambda x, a, b: np.exp(a - b * x), x, y, [0.4, 0.9], sigma, absolute_sigma=True
        )
        assert [ours.log_amplitude, ours.rate] == pytest.approx(theirs, rel=1e-4, abs=1e-4)
        assert ours.covariance == pytest.approx(covariance, rel=2e-3)


def test_is_the_global_minimum_on_awkward_data():
    # Errors over two decades and scatter beyond them: a fit in ln y starts in a wrong valley.
    rng = np.random.default_rng(4)
    checked = 0
    for _ in range(200):
        x = np.sort(rng.uniform(6, 39, 5))
        y = np.exp(-rng.uniform(0, 1.5) * (x - x[0]))
        sigma = y * 10 ** rng.uniform(-2, 0, 5)
        y = y + 3 * sigma * rng.normal(size=5)
        try:
            fit = fit_exponential(x, y, sigma)
        except InputError:
            continue
        rates = np.linspace(-3, 6, 20_001)[:, None]
        shape = np.exp(-rates * (x - x[0])) / sigma
        amplitude = np.maximum((shape @ (y / sigma)) / (shape**2).sum(axis=1), 0)
        chi2 = ((y / sigma - amplitude[:, None] * shape) ** 2).sum(axis=1)
        assert fit.chi2 <= chi2.min() * (1 + 1e-9)
        checked += 1
    assert checked > 150


def test_negative_data_count():
    x, sigma = np.array([0.0, 1.0, 2.0]), np.array([0.1, 0.1, 0.1])
    plus = fit_exponential(x, np.array([1.0, 0.1, 0.05]), sigma)
    minus = fit_exponential(x, np.array([1.0, 0.1, -0.05]), sigma)
    assert minus.rate > plus.rate


def test_a_single_point_above_the_noise_is_refused():
    with pytest.raises(InputError, match="do not determine"):
        fit_exponential([0.0, 1.0, 2.0], [1.0, -0.1, -0.1], [0.1, 0.1, 0.1])


@pytest.mark.parametrize("y", [[-1.0, -2.0], [0.0, -1.0]])
def test_nothing_positive_is_refused(y):
    with pytest.raises(InputError, match="positive"):
        fit_exponential([0.0, 1.0], y, [0.1, 0.1])
