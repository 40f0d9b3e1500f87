"""Do the 68 % intervals hold the truth in 68 % of the cases? Counted, before any gate."""

import numpy as np
import pytest
from synthetic_motion import (
    JUMP_A,
    caged_hopping,
    in_groups,
    lattice_gas,
    trajectory_of,
    vibration,
    walk,
)

from mlmd.analysis import diffusivity


def coverage(motions, true_cm2_s: float, **settings) -> float:
    """Fraction of the intervals that hold the truth."""
    held = []
    for positions in motions:
        result = diffusivity(trajectory_of(positions), "Li", drift="none", **settings)
        low, high = result.D_interval68_cm2_s
        held.append(low < true_cm2_s < high)
    return float(np.mean(held))


def walks(n: int, frames: int, atoms: int, noise: float = 0.0):
    rng = np.random.default_rng((frames, atoms))
    return (walk(rng, frames, atoms, noise=noise) for _ in range(n))


# 1000 walks in all, of several lengths, atoms and noise; D is 0.5 A2 for each 0.1 ps: 5e-4 cm2/s.
LENGTHS = [(31, 8, 0.0), (91, 8, 0.0), (91, 8, 1.0), (200, 8, 0.0), (200, 20, 2.0)]


@pytest.mark.slow
def test_gls_on_a_thousand_walks():
    parts = [coverage(walks(240, *length), 5e-4) for length in LENGTHS]
    assert 0.63 < np.mean(parts) < 0.73
    assert all(0.58 < part < 0.78 for part in parts)  # 3 sigma of 240 trials is 9 %


@pytest.mark.slow
@pytest.mark.parametrize("windows", [2, 3, 6])
def test_windowed_on_a_thousand_walks(windows):
    settings = {"window_ps": 3.0, "fit_ps": (0.2, 3.0)}
    held = coverage(walks(350, 30 * windows + 1, 8), 5e-4, **settings)
    assert 0.63 - 0.02 < held < 0.73 + 0.02


def test_one_length_of_each():
    assert 0.58 < coverage(walks(250, 91, 8), 5e-4) < 0.78
    settings = {"window_ps": 3.0, "fit_ps": (0.2, 3.0)}
    assert 0.58 < coverage(walks(250, 91, 8), 5e-4, **settings) < 0.78


@pytest.mark.slow
@pytest.mark.parametrize("rate_per_ps", [0.4, 0.05])
def test_gls_on_caged_hopping(rate_per_ps):
    rng = np.random.default_rng(1)
    motions = (caged_hopping(rng, 400, 30, rate_per_ps) for _ in range(250))
    held = coverage(motions, rate_per_ps * JUMP_A**2 / 6 * 1e-4)
    assert 0.60 < held < 0.80


@pytest.mark.slow
def test_gls_on_atoms_that_move_in_groups():
    rng = np.random.default_rng(2)
    held = coverage((in_groups(rng, 200, 40, 4) for _ in range(300)), 5e-4)
    assert 0.58 < held < 0.75


@pytest.mark.slow
def test_gls_on_an_exclusion_lattice_gas():
    """Correlated motion: back-jumps into the vacancy just left, and atoms in each other's way."""
    long = diffusivity(
        trajectory_of(lattice_gas(np.random.default_rng(3), 20_000, 5, 0.7)),
        "Li",
        drift="none",
        fit_ps=(2.0, 20.0),
    )
    free_cm2_s = 0.3 * JUMP_A**2 / 6 / 0.1 * 1e-4  # attempts that find a vacancy
    assert 0.45 * free_cm2_s < long.D_raw_cm2_s < 0.8 * free_cm2_s  # correlation factor
    rng = np.random.default_rng(4)
    held = coverage((lattice_gas(rng, 400, 5, 0.7) for _ in range(150)), long.D_raw_cm2_s)
    assert 0.48 < held < 0.80  # about 60 %: slow back-jumps are missing in the error


@pytest.mark.slow
def test_upper_bounds_hold():
    """Of all runs with 0 to 6 jumps in all, at most 5 % have more than the bound says."""
    rng = np.random.default_rng(5)
    failed = total = 0
    for expected in (0.3, 1.0, 3.0, 6.0):
        rate = expected / (10 * 20.0)  # 10 atoms, 20 ps
        true_cm2_s = rate * JUMP_A**2 / 6 * 1e-4
        for _ in range(100):
            result = diffusivity(
                trajectory_of(caged_hopping(rng, 201, 10, rate)), "Li", drift="none"
            )
            bound = result.D_upper_bound_cm2_s
            total += 1
            failed += bound is not None and bound < true_cm2_s
    assert failed / total < 0.07


def test_a_vibrating_crystal_is_never_diffusive():
    rng = np.random.default_rng(6)
    for _ in range(40):
        positions = vibration(rng, 200, 30, 0.1)
        result = diffusivity(trajectory_of(positions), "Li", drift="none")
        assert result.D_cm2_s is None
        assert result.D_upper_bound_cm2_s > 0
