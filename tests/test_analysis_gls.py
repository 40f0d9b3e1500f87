"""The gls estimator: its covariance, what it fits, and how large it says the error is."""

import tracemalloc

import numpy as np
import pytest
from synthetic_motion import caged_hopping, in_groups, trajectory_of, vibration, walk

from mlmd.analysis import diffusivity, mean_squared_displacement
from mlmd.analysis.diffusion.estimators.gls_line import LagGrid
from mlmd.analysis.diffusion.estimators.interval import diffusion_interval
from mlmd.errors import InputError
from mlmd.numerics.displacement import (
    all_origins_msd_atoms,
    all_origins_msd_axes,
    first_origin_msd_axes,
)
from mlmd.numerics.displacement_covariance import DisplacementCovariance
from mlmd.trajectory.trajectory import Trajectory


@pytest.mark.parametrize("jumps", [False, True])
def test_covariance_of_the_averaged_msd_against_brute_force(jumps):
    # 30,000 one-dimensional walks of 60 frames, with white noise of variance 2.25 and, in one
    # case, jumps of 3 at a probability of 0.1 a frame: fourth cumulant p b^4 (1 - 3 p).
    rng = np.random.default_rng(1)
    walks, frames, lags = 30_000, 60, np.array([4, 8, 12, 20, 30])
    positions = rng.normal(0, 1, (walks, frames)).cumsum(axis=1)
    positions += rng.normal(0, 1.5, positions.shape)
    growth, cumulant = 1.0, 0.0
    if jumps:
        moved = rng.choice([-3.0, 3.0], positions.shape) * (rng.random(positions.shape) < 0.1)
        positions += moved.cumsum(axis=1)
        growth, cumulant = 1.9, 0.1 * 81 * (1 - 0.3)
    msd = np.stack([((positions[:, m:] - positions[:, :-m]) ** 2).mean(axis=1) for m in lags])
    geometry = DisplacementCovariance.of(lags, frames, 4)
    f = 4.5 + growth * np.arange(geometry.longest_step + 1)
    f[0] = 0.0
    model = geometry.of_averages(geometry.of_squares(f, 1.0, cumulant))
    assert np.cov(msd) == pytest.approx(model, rel=0.06)
    gaussian = geometry.of_averages(geometry.of_squares(f))
    if jumps:  # negative control: short lags have few jumps, whose noise is not Gaussian
        assert np.cov(msd)[0, 0] > 1.1 * gaussian[0, 0]


def test_msd_by_axis_and_atom_against_a_naive_loop():
    rng = np.random.default_rng(2)
    positions = rng.normal(0, [0.1, 1.0, 3.0], (60, 7, 3)).cumsum(axis=0).astype(np.float32)
    atoms, offset = np.array([1, 2, 5]), rng.normal(0, 1, (60, 3)).cumsum(axis=0)
    given = {"atoms": atoms, "offset": offset, "max_lag": 40}
    taken = positions[:, atoms].astype(float) - offset[:, None]
    squares = [np.zeros((3, 3))]
    squares += [((taken[m:] - taken[:-m]) ** 2).mean(axis=0) for m in range(1, 41)]
    naive = np.array(squares)
    assert all_origins_msd_axes(positions, **given) == pytest.approx(naive.mean(axis=1), rel=1e-9)
    assert all_origins_msd_atoms(positions, **given) == pytest.approx(naive.sum(axis=2), rel=1e-9)
    first = ((taken - taken[0]) ** 2).mean(axis=1)[:41]
    assert first_origin_msd_axes(positions, **given) == pytest.approx(first, rel=1e-9)


def test_it_is_the_default_and_recovers_a_walk():
    trajectory = trajectory_of(walk(np.random.default_rng(3), 2000, 50))
    result = diffusivity(trajectory, "Li", drift="none")
    assert result.settings.estimator == "gls"
    assert result.D_cm2_s == pytest.approx(5e-4, abs=3 * result.D_stderr_cm2_s)
    # Single steps would give 2 / (3 N A) in relative variance; not to know that there is no cage
    # makes it three times that (X. Michalet, Phys. Rev. E 82, 041914 (2010)), and to start at the
    # third frame, where the atoms have moved by 1.8 A^2 four times, up to four times more.
    best = 2 / (3 * 2000 * 50)
    assert 3 * best < (result.D_stderr_cm2_s / result.D_cm2_s) ** 2 < 25 * best
    assert result.D_axes_cm2_s.mean() == pytest.approx(result.D_cm2_s)
    assert result.D_upper_bound_cm2_s is None


def test_an_axis_that_diffuses_alone():
    positions = walk(np.random.default_rng(4), 1000, 30)
    positions[..., 1:] = 0.0
    result = diffusivity(trajectory_of(positions), "Li", drift="none")
    assert result.D_axes_cm2_s[0] == pytest.approx(5e-4, abs=9 * result.D_stderr_cm2_s)
    assert result.D_axes_cm2_s[1:] == pytest.approx([0, 0], abs=1e-12)
    # A third of the data is there.
    best = 2 / (1000 * 30)
    assert 3 * best < (result.D_stderr_cm2_s / result.D_cm2_s) ** 2 < 40 * best


def test_short_lags_that_look_straight_are_not_taken_for_diffusion():
    # Every 2 fs a damped vibration of 0.3 ps looks like a walk for its first 30 fs, and one that
    # is faster than the diffusion below it.
    positions = caged_hopping(np.random.default_rng(5), 8000, 40, 2.0, interval_ps=0.002)
    result = diffusivity(trajectory_of(positions, 2.0), "Li", drift="none")
    assert result.settings.fit_ps[0] > 0.3
    assert result.D_raw_cm2_s == pytest.approx(3e-4, abs=3 * result.D_stderr_cm2_s)
    naive = diffusivity(trajectory_of(positions, 2.0), "Li", drift="none", fit_ps=(0.002, 0.06))
    assert naive.D_raw_cm2_s > 1.2 * 3e-4  # negative control


def test_few_jumps_make_a_large_error():
    # 20 atoms, 60 ps, one jump of 3 A in 50 ps each: 24 jumps, known to 20 % at the very best.
    positions = caged_hopping(np.random.default_rng(6), 600, 20, 0.02)
    result = diffusivity(trajectory_of(positions), "Li", drift="none")
    assert result.D_stderr_cm2_s > 0.15 * result.D_raw_cm2_s
    low, high = result.D_interval68_cm2_s
    assert high - result.D_raw_cm2_s > result.D_raw_cm2_s - low  # chi-squared is skew


def test_atoms_that_move_together_widen_the_error():
    rng = np.random.default_rng(7)
    alone = diffusivity(trajectory_of(walk(rng, 400, 40)), "Li", drift="none")
    grouped = diffusivity(trajectory_of(in_groups(rng, 400, 40, 8)), "Li", drift="none")
    assert 3 < grouped.details["collective"] < 20  # eight atoms move as one
    assert 0.4 < alone.details["collective"] < 2
    assert grouped.D_stderr_cm2_s > 1.5 * alone.D_stderr_cm2_s


def test_vibrating_crystal_has_a_bound_and_no_value():
    positions = vibration(np.random.default_rng(8), 600, 50, 0.1)
    result = diffusivity(trajectory_of(positions), "Li")
    assert result.D_cm2_s is None
    assert "below 4.5" in result.reason
    # No jump in 50 atoms x 60 ps: below 3.0 jumps at 95 %, that is 3.0 x 9 / (6 x 50 x 60).
    assert result.D_upper_bound_cm2_s >= 2.99 * 9 / (6 * 50 * 59.9) * 1e-4
    assert result.D_upper_bound_cm2_s < 5e-7
    assert result.to_dict()["D_raw_cm2_s"] == result.D_raw_cm2_s


def test_lags_of_the_fit_as_given():
    trajectory = trajectory_of(walk(np.random.default_rng(9), 500, 10))
    result = diffusivity(trajectory, "Li", drift="none", fit_ps=(1.0, 15.0))
    assert result.settings.fit_ps == pytest.approx((1.0, 12.0))
    assert result.D_raw_cm2_s == pytest.approx(5e-4, abs=3 * result.D_stderr_cm2_s)


@pytest.mark.parametrize("first", [1, 2, 7, 12, 13, 17, 50, 250, 333])
def test_grid_of_lags(first):
    grid = LagGrid.of(first, 20 * first)
    assert first <= grid.first < first + 4 + first // 4
    assert grid.first % grid.stride == 0
    assert (np.diff(grid.frames) > 0).all()
    assert grid.frames[0] == grid.first
    assert grid.frames[-1] <= 20 * first


def test_interval_is_chi_squared_where_only_the_walk_is_random():
    # D = chi2(8) / 8 has a variance of 1/4.
    from scipy.stats import chi2, norm

    expected = 8 / chi2.ppf(norm.cdf([1, -1]), 8)
    assert diffusion_interval(1.0, 0.25, 0.0) == pytest.approx(tuple(expected), rel=1e-6)
    assert diffusion_interval(1.0, 0.0, 0.04) == pytest.approx((0.8, 1.2))
    assert diffusion_interval(-1.0, 0.02, 0.02) == pytest.approx((-1.2, -0.8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fit_ps": (1.0, 60.0)}, "of 9.9 ps; expected it to end before that"),
        ({"fit_ps": (1.0, 1.2)}, "expected at least 3"),
        ({"estimator": "gls", "window_ps": 5.0}, "has none; leave it out"),
    ],
)
def test_bad_settings(settings, message):
    trajectory = trajectory_of(walk(np.random.default_rng(1), 100, 3))
    with pytest.raises(InputError, match=message):
        diffusivity(trajectory, "Li", **settings)


def test_too_few_frames():
    with pytest.raises(InputError, match=r"has 4 frames; .* expects at least 6"):
        diffusivity(trajectory_of(walk(np.random.default_rng(1), 4, 3)), "Li")


def peak_MB(call) -> float:
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def mapped(folder, frames: int) -> Trajectory:
    """416 walkers in a file that is mapped into memory."""
    shape = (frames, 416, 3)
    positions = np.memmap(folder / "positions", dtype=np.float32, mode="w+", shape=shape)
    rng, last = np.random.default_rng(1), np.zeros((416, 3))
    for start in range(0, frames, 1000):
        steps = rng.normal(0, 1, (min(1000, frames - start), 416, 3)).cumsum(axis=0)
        positions[start : start + 1000] = last + steps
        last = last + steps[-1]
    return trajectory_of(positions, 100.0)


def test_memory_does_not_grow_with_the_trajectory(tmp_path):
    trajectory = mapped(tmp_path, 4000)  # 20 MB as it lies there, 40 MB in double precision
    assert peak_MB(lambda: mean_squared_displacement(trajectory, "Li", drift="none")) < 15
    assert peak_MB(lambda: diffusivity(trajectory, "Li", drift="none")) < 40


@pytest.mark.slow
def test_hundred_thousand_frames_of_416_atoms(tmp_path):
    trajectory = mapped(tmp_path, 100_000)  # 500 MB
    found = []
    call = lambda: found.append(diffusivity(trajectory, "Li", drift="none"))  # noqa: E731
    assert peak_MB(call) < 150
    assert found[0].D_cm2_s == pytest.approx(5e-4, rel=0.01)
