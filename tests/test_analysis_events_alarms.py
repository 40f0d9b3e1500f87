"""How often events are reported where there is none: significance, and 100 quiet runs."""

import numpy as np
import pytest
from test_analysis_events import FRAMES, INTERVAL_PS, N_MOBILE, ar1, crystal

from mlmd.analysis.events import find_change, stationarity, what_happened
from mlmd.errors import InputError

pytestmark = pytest.mark.kernels


def hopping(rng: np.random.Generator, rate_ps: float, atoms: int, frames: int) -> np.ndarray:
    """Jumps of 3 A along the axes, rare and at random."""
    jumps = rng.random((frames, atoms)) < rate_ps * INTERVAL_PS
    axes = np.eye(3)[rng.integers(3, size=(frames, atoms))]
    signs = rng.choice([-3.0, 3.0], size=(frames, atoms))
    return np.cumsum((jumps * signs)[..., None] * axes, axis=0)


@pytest.mark.slow
def test_false_alarms_are_rare():
    # Nothing happens in these 100 runs: vibration of 0.43 A, free walkers (odd seeds) or rare hops.
    alarms = {"framework": 0, "mobility": 0, "drift": 0, "equilibration": 0, "any": 0}
    for seed in range(100):
        rng = np.random.default_rng(10_000 + seed)
        noise = [
            ar1(1, FRAMES, phi, 20_000 + 100 * i + seed)[0] for i, phi in enumerate((0.5, 0.7, 0.9))
        ]
        mobile = None if seed % 2 else hopping(rng, 0.15, N_MOBILE, FRAMES)
        recorded = dict(zip(("temperatures_K", "pressures_GPa", "energies_eV"), noise, strict=True))
        events = what_happened(crystal(seed, mobile=mobile, **recorded), "Li")
        series = events.stationarity.values()
        alarms["framework"] += events.framework.is_found
        alarms["mobility"] += events.mobility["Li"].is_found
        alarms["drift"] += sum(item.is_stationary is False for item in series)
        alarms["equilibration"] += any("equilibration" in one.message for one in events.findings)
        alarms["any"] += bool(events.findings)
    assert alarms["framework"] == 0
    assert alarms["mobility"] < 5
    assert alarms["drift"] < 5 * 4  # of four series
    assert alarms["equilibration"] < 5
    assert alarms["any"] < 15


def test_two_jumps_are_no_change_of_mobility():
    # 1.6 jumps in each run: some pass the statistic, but there is no mobility that could change.
    changes = []
    for seed in range(60):
        mobile = hopping(np.random.default_rng(seed), 0.005, N_MOBILE, FRAMES)
        changes.append(what_happened(crystal(seed, mobile=mobile), "Li").mobility["Li"])
    assert any(change.p_value <= 0.01 for change in changes)
    assert not any(change.is_found for change in changes)


@pytest.mark.parametrize(("phi", "shape"), [(0.0, None), (0.5, None), (0.0, 0.3)])
def test_significance_of_a_change_is_what_it_says(phi, shape):
    if shape is None:
        series = 5.0 + ar1(600, 100, phi, 5)
    else:  # rare large values, as of few jumps
        series = np.random.default_rng(6).gamma(shape, size=(600, 100))
    p_values = np.array([find_change(np.maximum(row, 0)).p_value for row in series])
    assert (p_values <= 0.01).mean() < 0.03
    assert (p_values <= 0.05).mean() < 0.09
    if phi == 0.0:
        assert (p_values <= 0.5).mean() == pytest.approx(0.5, abs=0.08)


def test_a_constant_series_has_no_change_and_a_step_has():
    assert find_change(np.full(50, 3.0)).p_value == 1.0
    assert find_change(np.zeros(50)).p_value == 1.0
    step = np.where(np.arange(50) < 30, 0.0, 1.0)
    found = find_change(step)
    assert (found.p_value, found.index, found.mean_before, found.mean_after) == (
        pytest.approx(0.001),
        30,
        0.0,
        1.0,
    )
    for bad in (np.zeros(5), np.full(30, np.nan), -np.ones(30)):
        with pytest.raises(InputError, match=r"at least 20 values|none below zero"):
            find_change(bad)


@pytest.mark.parametrize(("n", "phi"), [(300, 0.0), (1000, 0.5), (4000, 0.9)])
def test_thirds_of_a_stationary_series_agree(n, phi):
    time_ps = np.arange(n) * 0.01
    found = [stationarity("T", "K", row, time_ps) for row in ar1(200, n, phi, 7)]
    assert np.mean([item.is_stationary is None for item in found]) < 0.02
    assert np.mean([item.is_stationary is False for item in found]) < 0.03


def test_a_series_too_short_for_its_memory_is_not_judged():
    item = stationarity("T", "K", ar1(1, 300, 0.98, 8)[0], np.arange(300.0))
    assert item.is_stationary is None
    assert item.p_value is None
    assert "too few independent samples" in item.reason
