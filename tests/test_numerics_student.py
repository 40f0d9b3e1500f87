"""Intervals from a few independent values."""

import numpy as np
import pytest

from mlmd.errors import InputError
from mlmd.numerics.student import ONE_SIGMA, independent_mean, student_factor


def test_factors_are_those_of_the_distribution():
    # One degree of freedom is the Cauchy distribution, two has a closed form too.
    assert student_factor(1) == pytest.approx(np.tan(np.pi * ONE_SIGMA / 2), rel=1e-9)
    assert student_factor(2) == pytest.approx(ONE_SIGMA * np.sqrt(2 / (1 - ONE_SIGMA**2)), rel=1e-9)
    assert student_factor(np.inf) == pytest.approx(1.0, rel=1e-9)
    assert student_factor(10, 0.95) == pytest.approx(2.228, abs=5e-4)  # any printed table


@pytest.mark.parametrize(("n", "sem_covers"), [(2, 0.50), (3, 0.577), (5, 0.626)])
def test_interval_covers_at_the_nominal_rate_and_the_plain_error_does_not(n, sem_covers):
    values = np.random.default_rng(n).normal(3.0, 0.5, (4000, n))
    results = [independent_mean(row) for row in values]
    inside = np.mean([r.interval68[0] < 3.0 < r.interval68[1] for r in results])
    assert inside == pytest.approx(ONE_SIGMA, abs=0.025)
    plain = np.mean([abs(r.mean - 3.0) < r.stderr for r in results])
    assert plain == pytest.approx(sem_covers, abs=0.025)


def test_one_value_has_no_error():
    result = independent_mean([2.5])
    assert (result.mean, result.stderr, result.interval68, result.n) == (2.5, None, None, 1)


@pytest.mark.parametrize("bad", [[], [1.0, np.inf], [[1.0]]])
def test_bad_values_are_refused(bad):
    with pytest.raises(InputError, match="at least 1 value"):
        independent_mean(bad)
