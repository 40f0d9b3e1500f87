"""Do the 68 % intervals hold the truth in 68 % of the cases? Counted, before any gate.

A sample of ``benchmarks/interval_coverage.py``, which counts thousands. Each count lies within what
a rate from `low` to `high` gives in all but one of a thousand cases: a test is wrong that often.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom
from synthetic_motion import JUMP_A, trajectory_of, vibration

from mlmd.analysis import diffusivity

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from interval_coverage import (
    WALK_CM2_S,
    bounds_that_fail,
    gas,
    groups,
    held,
    hops,
    walks,
)


def fits(found: np.ndarray, low: float, high: float) -> bool:
    n = len(found)
    return bool(binom.ppf(0.0005, n, low) <= found.sum() <= binom.ppf(0.9995, n, high))


@pytest.mark.parametrize(
    ("frames", "atoms", "noise"), [(31, 8, 0.0), (91, 8, 0.0), (91, 8, 1.0), (200, 20, 2.0)]
)
def test_gls_on_free_walkers(frames, atoms, noise):
    assert fits(held(walks(100, frames, atoms, noise), WALK_CM2_S), 0.66, 0.74)


@pytest.mark.parametrize("windows", [2, 3, 6])
def test_windowed_on_free_walkers(windows):
    settings = {"window_ps": 3.0, "fit_ps": (0.2, 3.0)}
    assert fits(held(walks(200, 30 * windows + 1, 8), WALK_CM2_S, **settings), 0.64, 0.72)


def test_a_band_of_a_wrong_width_is_seen():
    """Intervals half as wide hold 38 %: the tests above would not pass them."""
    half = np.arange(100) < 38
    assert not fits(half, 0.66, 0.74)
    assert not fits(np.arange(100) < 95, 0.66, 0.74)


@pytest.mark.parametrize("rate_per_ps", [0.4, 0.05])
def test_gls_on_caged_hopping(rate_per_ps):
    assert fits(held(*hops(60, rate_per_ps)), 0.66, 0.76)


def test_gls_on_atoms_that_move_in_groups():
    assert fits(held(groups(80), WALK_CM2_S), 0.62, 0.70)


@pytest.mark.slow
def test_gls_on_an_exclusion_lattice_gas():
    """Correlated motion: back-jumps into the vacancy just left, and atoms in each other's way."""
    motions, true_cm2_s = gas(80)
    free_cm2_s = 0.3 * JUMP_A**2 / 6 / 0.1 * 1e-4  # attempts that find a vacancy
    assert 0.45 * free_cm2_s < true_cm2_s < 0.8 * free_cm2_s  # correlation factor
    # Slow back-jumps are missing in the error.
    assert fits(held(motions, true_cm2_s), 0.55, 0.72)


def test_upper_bounds_hold():
    """Of all runs with few jumps in all, at most 5 % have more than the bound says."""
    failed = sum(bounds_that_fail(50, jumps) for jumps in (0.3, 1.0, 3.0, 6.0))
    assert failed <= binom.ppf(0.999, 200, 0.05)


def test_a_vibrating_crystal_is_never_diffusive():
    rng = np.random.default_rng(6)
    for _ in range(40):
        positions = vibration(rng, 200, 30, 0.1)
        result = diffusivity(trajectory_of(positions), "Li", drift="none")
        assert result.D_cm2_s is None
        assert result.D_upper_bound_cm2_s > 0
