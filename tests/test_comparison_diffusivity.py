"""Diffusivity parity: units, bounds, clipping, lines with errors in both, activation energies."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mlmd import Trajectory, compare, diffusivity
from mlmd.comparison import ComparisonSettings, diffusivity_parity, diffusivity_point, point_of
from mlmd.comparison.motion.diffusivity_point import CLIP_D_CM2_S, DiffusivityPoint, DiffusivitySide
from mlmd.comparison.motion.line import line_with_errors_in_both
from mlmd.comparison.systems import System
from mlmd.comparison.verdict.judging import judge_diffusivity
from mlmd.comparison.verdict.thresholds import Thresholds
from mlmd.errors import InputError


def walkers(
    D_cm2_s: float, seed: int, frames: int = 2000, interval_fs: float = 10.0, atoms: int = 40
) -> Trajectory:
    """Free walkers: steps of variance 2 D dt along each axis; 1e-4 cm^2/s is 1 A^2/ps."""
    rng = np.random.default_rng(seed)
    step_A = math.sqrt(2.0 * D_cm2_s * 1e4 * interval_fs / 1000.0)
    positions = np.cumsum(rng.normal(0, step_A, (frames, atoms, 3)), axis=0) + 20 * rng.random(
        (atoms, 3)
    )
    time_fs = np.arange(frames) * interval_fs
    return Trajectory(positions, np.eye(3) * 20.0, np.full(atoms, 3), time_fs, source=f"D{seed}")


def still(seed: int) -> Trajectory:
    """Atoms that vibrate about their places."""
    rng = np.random.default_rng(seed)
    positions = 20 * rng.random((40, 3)) + rng.normal(0, 0.1, (2000, 40, 3))
    return Trajectory(positions, np.eye(3) * 20.0, np.full(40, 3), np.arange(2000) * 10.0)


def side(D_cm2_s: float | None, bound: float | None = None, error: float = 0.1) -> DiffusivitySide:
    interval = None if D_cm2_s is None else (D_cm2_s * (1 - error), D_cm2_s * (1 + error))
    return DiffusivitySide(D_cm2_s, D_cm2_s or 0.0, interval, bound, D_cm2_s is not None, "why")


def point(
    surrogate: DiffusivitySide, reference: DiffusivitySide, temperature_K: float = 1000.0
) -> DiffusivityPoint:
    return DiffusivityPoint("x", "Li", temperature_K, "Li", surrogate, reference, {})


def test_the_clip_is_the_papers_msd_slope_as_a_diffusivity() -> None:
    # MSD = 6 D t: a slope of 1e-3 A^2/ps = 1e-3 * 1e-16 cm^2 / 1e-12 s = 1e-7 cm^2/s.
    assert pytest.approx(1e-7 / 6) == CLIP_D_CM2_S
    tiny = point(side(1e-12), side(1e-5))
    assert tiny.log10_ratio == pytest.approx(math.log10(CLIP_D_CM2_S / 1e-5))


def test_known_ratio_of_walkers_is_found_with_its_interval() -> None:
    pulls = []
    for seed in range(12):
        system = System("Li", 500.0, (walkers(3e-4, 50 + seed),), (walkers(1e-4, seed),))
        found = diffusivity_point(system, "Li", {})
        low, high = found.log10_ratio_interval68
        assert low < found.log10_ratio < high
        pulls.append((found.log10_ratio - math.log10(3)) / ((high - low) / 2))
    assert abs(np.mean(pulls)) < 3 / math.sqrt(12)
    assert 0.5 < np.std(pulls) < 1.6
    assert judge_diffusivity(found, Thresholds()).answer == "no"
    assert judge_diffusivity(found, Thresholds(diffusivity_factor=6.0)).answer == "yes"


def test_both_sides_are_fitted_over_one_range() -> None:
    # Different intervals and lengths: each side would choose its own lags.
    short = walkers(1e-4, 1, frames=1000, interval_fs=10.0)
    long = walkers(1e-4, 2, frames=4000, interval_fs=4.0)
    found = diffusivity_point(System("Li", 500.0, (short,), (long,)), "Li", {})
    assert found.settings["estimator"] == "gls"
    assert found.log10_ratio == pytest.approx(0.0, abs=0.2)


def test_other_estimator_window_or_range_is_refused() -> None:
    one, other = walkers(1e-4, 1), walkers(1e-4, 2)
    plain = diffusivity(other, "Li", fit_ps=(1.0, 4.0))
    for wrong in (
        diffusivity(one, "Li", estimator="lag", fit_ps=(1.0, 4.0)),
        diffusivity(one, "Li", window_ps=5.0, fit_ps=(1.0, 4.0)),
        diffusivity(one, "Li", fit_ps=(2.0, 8.0)),
        diffusivity(one, "Li", fit_ps=(1.0, 4.0), drift="none"),
    ):
        with pytest.raises(InputError, match="not obtained alike"):
            point_of(wrong, plain, composition="Li", temperature_K=500.0)
    alike = diffusivity(one, "Li", fit_ps=(1.0, 4.0))
    assert point_of(alike, plain, composition="Li", temperature_K=500.0).log10_ratio is not None
    with pytest.raises(InputError, match="expected one species"):
        point_of(replace(alike, species="Na"), plain, composition="Li", temperature_K=500.0)


def test_bounds_stay_bounds_and_can_contradict() -> None:
    fine, near = point(side(1e-5), side(1.6e-5)), point(side(1.1e-5), side(1e-5))
    stuck = point(side(None, bound=1e-6), side(1e-5))
    nothing_said = point(side(None, bound=1e-4), side(1e-5))
    both = point(side(None, bound=1e-7), side(None, bound=1e-6))
    assert stuck.log10_ratio is None
    assert stuck.log10_ratio_bounds == (-math.inf, pytest.approx(-1.0))
    result = diffusivity_parity([fine, near, stuck, nothing_said, both])
    assert (result.n_points, result.n_bounds) == (2, 3)
    # Two within a factor of 2, one excluded by its bound, two that say nothing.
    assert result.fraction_within_factor_2 == pytest.approx(2 / 3)
    assert result.log10_mae == pytest.approx((math.log10(1.6) + math.log10(1.1)) / 2)
    limits = Thresholds()
    answers = [judge_diffusivity(p, limits).answer for p in (near, stuck, nothing_said, both)]
    assert answers == ["yes", "no", "inconclusive", "inconclusive"]


def test_fast_surrogate_beside_a_still_reference_is_contradicted() -> None:
    result = compare(walkers(5e-4, 1), still(2), temperature_K=300.0)
    (only,) = result.diffusivity.points
    assert only.reference.D_cm2_s is None
    assert only.reference.D_upper_bound_cm2_s is not None
    assert result.verdict["diffusivity"].answer == "no"
    again = compare(still(1), still(2), temperature_K=300.0)
    assert again.verdict["diffusivity"].answer == "inconclusive"
    assert "not diffusive" in again.verdict["diffusivity"].reason


def test_failure_at_one_temperature_shows_there() -> None:
    points = [
        point(side(D * factor), side(D), T)
        for T, factor in ((1000.0, 1.1), (2000.0, 0.95), (5000.0, 0.2))
        for D in (1e-5, 3e-5)
    ]
    result = diffusivity_parity(points)
    assert result.by_temperature["5000"].fraction_within_factor_2 == 0.0
    assert result.by_temperature["5000"].log10_bias == pytest.approx(math.log10(0.2))
    assert result.by_temperature["1000"].fraction_within_factor_2 == 1.0


def test_perfect_parity() -> None:
    points = [point(side(D), side(D)) for D in (1e-6, 1e-5, 3e-5, 1e-4)]
    result = diffusivity_parity(points)
    assert result.r2 == 1.0
    assert result.log10_mae == 0.0
    assert result.spearman == pytest.approx(1.0)
    assert result.slope == pytest.approx(1.0)


def test_slope_is_not_attenuated_by_errors_of_the_reference() -> None:
    rng = np.random.default_rng(5)
    truth = rng.uniform(-6, -4, 4000)
    errors = rng.uniform(0.2, 0.6, (2, 4000))
    x, y = (
        truth + errors[0] * rng.normal(size=4000),
        0.7 * truth + errors[1] * rng.normal(size=4000),
    )
    line = line_with_errors_in_both(x, y, errors[0], errors[1])
    ordinary = np.polyfit(x, y, 1)[0]
    assert ordinary < 0.55
    # The x-dependent weights leave a small bias at errors this large.
    assert abs(line.slope - 0.7) < 4 * line.slope_stderr
    assert line.slope_stderr == pytest.approx(0.014, rel=0.5)


def test_line_against_the_published_solution() -> None:
    # Pearson's data with York's weights; D. York, Can. J. Phys. 44, 1079 (1966): -0.4805, 5.4799.
    x = np.array([0.0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4])
    y = np.array([5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5])
    wx = np.array([1000.0, 1000, 500, 800, 200, 80, 60, 20, 1.8, 1.0])
    wy = np.array([1.0, 1.8, 4, 8, 20, 20, 70, 70, 100, 500])
    line = line_with_errors_in_both(x, y, wx**-0.5, wy**-0.5)
    assert line.slope == pytest.approx(-0.480533, abs=1e-6)
    assert line.intercept == pytest.approx(5.479910, abs=1e-5)
    # 0.0580 before scaling by chi2/df = 11.866 / 8.
    assert line.slope_stderr == pytest.approx(0.0580 * math.sqrt(11.866353 / 8), rel=0.005)
    assert line_with_errors_in_both(x[:2], y[:2]) is None
    assert line_with_errors_in_both(np.ones(5), y[:5]) is None


def test_activation_energies_of_both_sides() -> None:
    boltzmann_eV_K = 8.617333262e-5
    reference, surrogate = {}, {}
    for i, T in enumerate((800.0, 1000.0, 1300.0)):
        for sets, E_a, seed in ((reference, 0.30, i), (surrogate, 0.15, 10 + i)):
            D = 8e-3 * math.exp(-E_a / (boltzmann_eV_K * T))
            sets["Li40", T] = walkers(D, seed)
    result = compare(surrogate, reference)
    (pair,) = result.diffusivity.activation_energies
    assert abs(pair.reference_eV - 0.30) < 0.06
    assert abs(pair.difference_eV + 0.15) < 3 * pair.difference_stderr_eV
    assert result.verdict["activation_energy"].answer == "no"
    assert set(result.diffusivity.by_temperature) == {"800", "1000", "1300"}


def test_species_and_estimator_can_be_chosen() -> None:
    settings = ComparisonSettings(
        species=("Li",), diffusivity={"window_ps": 5.0, "fit_ps": (1.0, 4.0)}
    )
    result = compare(walkers(1e-4, 1), walkers(1e-4, 2), settings=settings)
    assert result.diffusivity.points[0].settings["window_ps"] == 5.0
    with pytest.raises(InputError, match="at least one point"):
        diffusivity_parity([])
