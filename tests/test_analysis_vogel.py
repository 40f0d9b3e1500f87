"""Vogel-Fulcher-Tammann: recovered where it holds, not seen where it does not."""

import numpy as np
import pytest

from mlmd.analysis.activation.vogel import vogel_fulcher_tammann
from mlmd.errors import InputError

T = np.array([600.0, 700.0, 800.0, 950.0, 1100.0, 1300.0, 1600.0])


def test_exact_law_is_recovered() -> None:
    D = 3e-4 * np.exp(-900.0 / (T - 350.0))
    found = vogel_fulcher_tammann(T, D, 0.02 * D)
    assert pytest.approx(350.0, abs=0.5) == found.T0_K
    assert pytest.approx(900.0, rel=2e-3) == found.B_K
    assert found.D0_cm2_s == pytest.approx(3e-4, rel=2e-3)
    assert found.chi2 == pytest.approx(0.0, abs=1e-3)
    assert found.is_better


FREEDOM = {"three windows": 2.0, "known": np.inf}


def estimates(rng, D, df, relative=0.1):
    """Estimates with an error in proportion, itself known to some degrees of freedom."""
    found = D * rng.gamma(relative**-2, relative**2, len(D))
    scale = 1.0 if np.isinf(df) else np.sqrt(rng.chisquare(df, len(D)) / df)
    return found, relative * found * scale


@pytest.mark.parametrize("df", FREEDOM.values(), ids=FREEDOM)
def test_arrhenius_data_ask_for_a_third_parameter_in_5_percent(df) -> None:
    rng = np.random.default_rng(5)
    true = 1e-3 * np.exp(-3000.0 / T)
    better = 0
    for _ in range(80):
        found = vogel_fulcher_tammann(T, *estimates(rng, true, df), df=[df] * len(T))
        assert found.chi2 <= found.arrhenius_chi2 + 1e-4
        better += found.is_better
    assert better <= 12  # 99.9 % of a binomial distribution of 5 % of 80


@pytest.mark.parametrize("df", FREEDOM.values(), ids=FREEDOM)
def test_curved_data_ask_for_it_despite_noise(df) -> None:
    rng = np.random.default_rng(6)
    true = 3e-4 * np.exp(-900.0 / (T - 350.0))
    found = [
        vogel_fulcher_tammann(T, *estimates(rng, true, df), df=[df] * len(T)) for _ in range(40)
    ]
    # At least 80 % are found: 99.9 % of a binomial distribution.
    assert sum(each.is_better for each in found) >= 24
    assert np.median([each.T0_K for each in found]) == pytest.approx(350.0, abs=40.0)


def test_a_bound_at_the_coldest_temperature_counts() -> None:
    D = 3e-4 * np.exp(-900.0 / (T - 350.0))
    straight = vogel_fulcher_tammann(T[1:], D[1:], 0.2 * D[1:], df=[8] * 6)
    none, bound = [None] * (len(T) - 1), 1.2 * D[0]
    bent = vogel_fulcher_tammann(T, D, 0.2 * D, df=[8] * 7, D_upper_bound_cm2_s=[bound, *none])
    assert bent.p_value < 0.5 * straight.p_value


def test_five_temperatures_and_errors_are_needed() -> None:
    D = 1e-3 * np.exp(-3000.0 / T)
    with pytest.raises(InputError, match="4 temperatures"):
        vogel_fulcher_tammann(T[:4], D[:4], 0.1 * D[:4])
    with pytest.raises(InputError, match="without errors"):
        vogel_fulcher_tammann(T, D, [None] * len(T))
