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


def test_arrhenius_data_rarely_ask_for_a_third_parameter() -> None:
    rng = np.random.default_rng(5)
    true = 1e-3 * np.exp(-3000.0 / T)
    better = 0
    for _ in range(100):
        found = vogel_fulcher_tammann(T, true * (1 + 0.1 * rng.normal(size=len(T))), 0.1 * true)
        assert found.chi2 <= found.arrhenius_chi2 + 1e-9
        better += found.is_better
    # chi2 would have to fall by 2 + 8 - 3 + 2 with one parameter more: p about 0.003.
    assert better <= 4


def test_curved_data_ask_for_it_despite_noise() -> None:
    rng = np.random.default_rng(6)
    true = 3e-4 * np.exp(-900.0 / (T - 350.0))
    found = [
        vogel_fulcher_tammann(T, true * (1 + 0.05 * rng.normal(size=len(T))), 0.05 * true)
        for _ in range(30)
    ]
    assert sum(each.is_better for each in found) >= 28
    assert np.mean([each.T0_K for each in found]) == pytest.approx(350.0, abs=15.0)


def test_five_temperatures_and_errors_are_needed() -> None:
    D = 1e-3 * np.exp(-3000.0 / T)
    with pytest.raises(InputError, match="4 temperatures"):
        vogel_fulcher_tammann(T[:4], D[:4], 0.1 * D[:4])
    with pytest.raises(InputError, match="without errors"):
        vogel_fulcher_tammann(T, D, [None] * len(T))
