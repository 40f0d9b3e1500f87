"""Weighted linear least squares."""

import numpy as np
import pytest

from mlmd.errors import InputError
from mlmd.numerics.weighted_line import weighted_least_squares, weighted_line


def test_agrees_with_numpy():
    rng = np.random.default_rng(1)
    x, sigma = rng.uniform(-3, 8, 20), rng.uniform(0.1, 2.0, 20)
    y = 2.0 - 0.7 * x + sigma * rng.normal(size=20)
    ours = weighted_line(x, y, sigma)
    theirs, covariance = np.polyfit(x, y, 1, w=1 / sigma, cov="unscaled")
    assert [ours.slope, ours.intercept] == pytest.approx(theirs, rel=1e-10)
    assert ours.covariance[::-1, ::-1] == pytest.approx(covariance, rel=1e-10)
    assert ours.chi2 == pytest.approx((((y - np.polyval(theirs, x)) / sigma) ** 2).sum())


def test_two_points_exactly_and_their_error_by_hand():
    line = weighted_line([1.0, 3.0], [2.0, 8.0], [0.3, 0.4])
    assert line.slope == pytest.approx(3.0)
    assert line.intercept == pytest.approx(-1.0)
    assert line.covariance[1, 1] == pytest.approx(0.3**2 / 4 + 0.4**2 / 4)
    assert line.chi2 == pytest.approx(0.0, abs=1e-20)


def test_error_is_the_scatter_of_repeated_fits():
    rng = np.random.default_rng(2)
    x, sigma = np.array([0.0, 1.0, 2.0, 5.0]), np.array([0.2, 0.1, 0.4, 0.3])
    fits = [weighted_line(x, 1 + x + sigma * rng.normal(size=4), sigma) for _ in range(2000)]
    error = np.sqrt(fits[0].covariance[1, 1])
    assert np.std([fit.slope for fit in fits]) == pytest.approx(error, rel=0.06)
    assert np.mean([fit.chi2 for fit in fits]) == pytest.approx(2.0, rel=0.1)


def test_columns_of_very_different_size():
    x = np.linspace(1e6, 1e6 + 1, 7)
    assert weighted_line(x * 1e-20, 4 * x).slope == pytest.approx(4e20, rel=1e-4)


@pytest.mark.parametrize(
    ("x", "y", "sigma", "message"),
    [
        ([1.0, 1.0], [1.0, 2.0], None, "do not determine"),
        ([1.0], [1.0], None, "do not determine"),
        ([1.0, 2.0], [1.0, 2.0], [1.0, 0.0], "positive errors"),
        ([1.0, 2.0], [1.0, np.nan], None, "not finite"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], None, "shapes"),
    ],
)
def test_bad_input_is_refused(x, y, sigma, message):
    with pytest.raises(InputError, match=message):
        weighted_line(x, y, sigma)


def test_general_design():
    x = np.linspace(0, 1, 9)
    fit = weighted_least_squares(np.column_stack([np.ones(9), x, x**2]), 1 - 2 * x + 3 * x**2)
    assert fit.parameters == pytest.approx([1, -2, 3])
