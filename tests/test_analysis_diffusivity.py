"""Windowed diffusivity: right on known motion, with an interval that covers the truth."""

from dataclasses import replace

import numpy as np
import pytest

from mlmd.analysis.diffusion.diffusivity import ESTIMATORS, diffusivity
from mlmd.analysis.diffusion.relaxation import Relaxation
from mlmd.errors import InputError
from mlmd.numerics.student import ONE_SIGMA
from mlmd.trajectory.trajectory import Trajectory

D_A2_PS = 1.0
INTERVAL_FS = 500.0


def trajectory_of(positions: np.ndarray, interval_fs: float = INTERVAL_FS, number: int = 3):
    frames, atoms = positions.shape[:2]
    return Trajectory(
        positions, np.eye(3) * 10, np.full(atoms, number), np.arange(frames) * interval_fs
    )


def windowed(trajectory, species, **settings):
    return diffusivity(trajectory, species, **{"estimator": "windowed", **settings})


def walk(duration_ps: float, atoms: int, seed, interval_fs: float = INTERVAL_FS) -> np.ndarray:
    """Positions of free walkers with D = D_A2_PS, the first frame included."""
    frames = round(duration_ps * 1000 / interval_fs)
    width = np.sqrt(2 * D_A2_PS * interval_fs / 1000)
    steps = np.random.default_rng(seed).normal(0, width, (frames, atoms, 3))
    return np.concatenate([np.zeros((1, atoms, 3)), np.cumsum(steps, axis=0)])


def test_random_walk_is_recovered():
    result = windowed(trajectory_of(walk(600, 100, 1)), "Li", drift="none")
    assert result.n_windows == 40
    assert result.D_cm2_s == pytest.approx(D_A2_PS * 1e-4, abs=3 * result.D_stderr_cm2_s)
    assert result.D_stderr_cm2_s < 0.03 * result.D_cm2_s
    assert result.is_diffusive
    assert result.motion.log_log_slope == pytest.approx(1.0, abs=0.05)
    assert result.D_cm2_s == pytest.approx(result.window_D_cm2_s.mean())
    spread = result.window_D_cm2_s.std(ddof=1)
    assert result.D_stderr_cm2_s == pytest.approx(spread / np.sqrt(40))


@pytest.mark.parametrize("origins", ["sliding", "first"])
def test_interval_of_three_windows_covers_the_truth_at_the_nominal_rate(origins):
    results = [
        windowed(trajectory_of(walk(45, 8, (2, i))), "Li", drift="none", origins=origins)
        for i in range(600)
    ]
    true = D_A2_PS * 1e-4
    covered = np.mean([r.D_interval68_cm2_s[0] < true < r.D_interval68_cm2_s[1] for r in results])
    assert covered == pytest.approx(ONE_SIGMA, abs=0.05)
    plain = np.mean([abs(r.D_raw_cm2_s - true) < r.D_stderr_cm2_s for r in results])
    assert plain < 0.63  # negative control: +-1 standard error of three windows covers 58 %
    mean = np.mean([r.D_raw_cm2_s for r in results])
    assert mean == pytest.approx(true, rel=0.03)  # no bias


@pytest.mark.parametrize(
    ("length_m", "time_s", "in_cm2_s"),
    [(1e-10, 1e-15, 0.1), (1.0, 1.0, 1e4), (1e-9, 1e-9, 1e-5)],  # A^2/fs, m^2/s, nm^2/ns
)
def test_same_D_from_other_units(length_m, time_s, in_cm2_s):
    positions_A = walk(75, 20, 3)
    ours = windowed(trajectory_of(positions_A), "Li", drift="none", origins="first")
    positions, interval = positions_A * (1e-10 / length_m), INTERVAL_FS * (1e-15 / time_s)
    lags = np.arange(31) * interval
    values = []
    for first in range(0, 150, 30):
        step = positions[first : first + 31] - positions[first]
        msd = (step**2).sum(axis=2).mean(axis=1)
        values.append(np.polyfit(lags[2:], msd[2:], 1)[0] / 6 * in_cm2_s)
    assert ours.window_D_cm2_s == pytest.approx(values, rel=1e-9)


def test_motion_along_one_axis_gives_a_third():
    positions = walk(600, 100, 4)
    positions[..., 1:] = 0.0
    result = windowed(trajectory_of(positions), "Li", drift="none")
    assert result.D_cm2_s == pytest.approx(D_A2_PS * 1e-4 / 3, rel=0.08)


@pytest.mark.parametrize(
    ("duration_ps", "windows"), [(15.0, 1), (29.5, 1), (30.0, 2), (44.5, 2), (45.0, 3)]
)
def test_windows_share_their_boundary_frame(duration_ps, windows):
    result = windowed(trajectory_of(walk(duration_ps, 4, 5)), "Li", drift="none")
    assert result.n_windows == windows == len(result.window_D_cm2_s)
    assert result.lag_ps[-1] == 15.0
    assert result.window_msd_A2.shape == (windows, 31)
    assert (result.msd_spread_A2 is None) == (windows == 1)
    assert (result.D_stderr_cm2_s is None) == (windows == 1)
    assert (result.D_interval68_cm2_s is None) == (windows == 1)
    assert result.to_dict()["n_windows"] == windows


def test_awkward_intervals_keep_the_windows():
    # 0.3 / 0.1 is 2.9999999999999996: three frames must not become two.
    positions = walk(45.0, 3, 6, interval_fs=100.0)
    result = windowed(trajectory_of(positions, 100.0), "Li", window_ps=0.3, fit_ps=(0.1, 0.3))
    assert result.n_windows == 150
    assert result.lag_ps == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert windowed(trajectory_of(positions, 100.0), "Li").n_windows == 3


def test_window_that_is_no_multiple_of_the_interval():
    positions = walk(7.0, 4, 6, interval_fs=700.0)
    settings = {"window_ps": 3.0, "fit_ps": (0.0, 3.0), "drift": "none", "origins": "first"}
    result = windowed(trajectory_of(positions, 700.0), "Li", **settings)
    assert result.n_windows == 2  # floor(7 / 3)
    assert result.lag_ps == pytest.approx([0.0, 0.7, 1.4, 2.1, 2.8])
    step = positions[4:9] - positions[4]  # the second window starts at 3.0 ps: frame 4
    assert result.window_msd_A2[1] == pytest.approx((step**2).sum(axis=2).mean(axis=1))


def test_sliding_origins_stay_inside_the_window():
    positions = walk(30, 5, 7)
    result = windowed(trajectory_of(positions), "Li", drift="none")
    for window in range(2):
        part = positions[30 * window : 30 * window + 31]
        expected = [((part[lag:] - part[: 31 - lag]) ** 2).sum(axis=2).mean() for lag in range(31)]
        assert result.window_msd_A2[window] == pytest.approx(expected, rel=1e-9)
        line = np.polyfit(result.lag_ps[2:], expected[2:], 1)
        assert result.window_D_cm2_s[window] == pytest.approx(line[0] / 6 * 1e-4)


def test_drift_is_removed_over_the_whole_trajectory():
    positions = walk(45, 10, 8)
    drift = np.linspace(0, 60, len(positions))[:, None, None]
    still = windowed(trajectory_of(positions), "Li")
    moving = windowed(trajectory_of(positions + drift), "Li")
    raw = windowed(trajectory_of(positions + drift), "Li", drift="none")
    assert moving.D_cm2_s == pytest.approx(still.D_cm2_s, rel=1e-9)
    assert raw.D_raw_cm2_s > 2 * still.D_cm2_s  # negative control


def caged(duration_ps: float, atoms: int, jumps_per_ps: float, seed: int) -> np.ndarray:
    """Vibration of 0.5 A per axis with 0.3 ps memory, plus jumps of 3 A at a given rate."""
    rng = np.random.default_rng(seed)
    frames = round(duration_ps * 10) + 1  # every 0.1 ps
    memory = np.exp(-0.1 / 0.3)
    vibration = np.empty((frames, atoms, 3))
    vibration[0] = rng.normal(0, 0.5, (atoms, 3))
    for t in range(1, frames):
        kick = rng.normal(0, 0.5 * np.sqrt(1 - memory**2), (atoms, 3))
        vibration[t] = memory * vibration[t - 1] + kick
    axis = np.eye(3)[rng.integers(0, 3, (frames, atoms))] * rng.choice(
        [-3.0, 3.0], (frames, atoms, 1)
    )
    jumps = axis * (rng.random((frames, atoms, 1)) < jumps_per_ps * 0.1)
    return vibration + np.cumsum(jumps, axis=0)


def test_vibration_is_not_diffusion():
    result = windowed(trajectory_of(caged(60, 50, 0.0, 9), 100.0), "Li")
    assert not result.is_diffusive
    assert result.motion.msd_reached_A2 == pytest.approx(6 * 0.25, rel=0.1)
    assert abs(result.motion.log_log_slope) < 0.1
    assert "below 4.5" in result.motion.reason
    assert abs(result.D_raw_cm2_s) < 5e-7  # the value stands beside the verdict
    assert result.D_cm2_s is None
    assert result.D_raw_cm2_s < result.D_upper_bound_cm2_s < 2e-6


def test_large_vibration_is_not_diffusion_either():
    result = windowed(trajectory_of(3 * caged(60, 50, 0.0, 10), 100.0), "Li")
    assert result.motion.msd_reached_A2 > 4.5
    assert not result.is_diffusive
    assert "log-log slope" in result.motion.reason


def test_caged_hopping_is_diffusion_and_a_fit_from_zero_overestimates_it():
    rate = 0.4
    true = rate * 9.0 / 6.0 * 1e-4  # jump rate times jump length squared, over six
    trajectory = trajectory_of(caged(600, 60, rate, 11), 100.0)
    result = windowed(trajectory, "Li", drift="none")
    assert result.is_diffusive
    assert result.D_cm2_s == pytest.approx(true, rel=0.06)
    assert result.intercept_A2 == pytest.approx(6 * 0.25, rel=0.3)  # the cage, not the slope
    slow = trajectory_of(caged(600, 60, rate / 20, 12), 100.0)
    from_0 = windowed(slow, "Li", drift="none", fit_ps=(0.0, 2.0), window_ps=2.0)
    from_1 = windowed(slow, "Li", drift="none")
    assert from_0.D_cm2_s > 1.5 * true / 20
    assert from_1.D_cm2_s == pytest.approx(true / 20, rel=0.2)


def test_a_cage_below_slow_diffusion_does_not_hide_it():
    result = windowed(trajectory_of(caged(90, 40, 0.05, 1), 100.0), "Li", drift="none")
    # c + 6 D t with c = 1.5 A^2, over lags of 9 to 22 ps
    assert result.motion.log_log_slope == pytest.approx(1 / (1 + 1.5 / (0.45 * 14)), abs=0.1)
    assert result.is_diffusive
    assert result.D_cm2_s == pytest.approx(0.05 * 9 / 6 * 1e-4, abs=3 * result.D_stderr_cm2_s)


def test_free_flight_is_not_diffusion():
    velocities = np.random.default_rng(13).normal(0, 1.0, (50, 3))
    positions = np.arange(91)[:, None, None] * 0.5 * velocities
    result = windowed(trajectory_of(positions), "Li", drift="none")
    assert result.motion.log_log_slope == pytest.approx(2.0, abs=1e-6)
    assert not result.is_diffusive
    assert result.D_upper_bound_cm2_s is None  # what speeds up is bounded by nothing


def test_atoms_that_do_not_move_at_all():
    result = windowed(trajectory_of(np.ones((91, 3, 3))), "Li")
    assert result.D_cm2_s is None
    assert result.D_raw_cm2_s == pytest.approx(0.0, abs=1e-18)
    # Not one jump of 3 A by 3 atoms in 45 ps: at 95 % at most 3.0 were to be expected.
    assert result.D_upper_bound_cm2_s == pytest.approx(2.996 * 9 / (6 * 3 * 45) * 1e-4, rel=1e-3)
    assert result.motion.log_log_slope is None
    assert not result.is_diffusive


def test_negative_values_keep_their_sign_and_error():
    # A caged atom's MSD has no slope: half of the estimates must be negative.
    values = [windowed(trajectory_of(caged(45, 4, 0.0, 20 + i), 100.0), "Li") for i in range(20)]
    negative = [v for v in values if v.D_raw_cm2_s < 0]
    assert 3 < len(negative) < 17
    assert all(v.D_stderr_cm2_s > 0 for v in negative)


def test_only_the_chosen_species_is_measured():
    moving, resting = walk(45, 5, 14), np.zeros((91, 5, 3))
    both = np.concatenate([resting, moving], axis=1)
    trajectory = Trajectory(
        both, np.eye(3) * 10, np.array([16] * 5 + [3] * 5), np.arange(91) * INTERVAL_FS
    )
    alone = windowed(trajectory_of(moving), "Li", drift="none")
    assert windowed(trajectory, "Li", drift="framework").D_cm2_s == pytest.approx(alone.D_cm2_s)
    fixed = windowed(trajectory, "S", drift="framework", mobile="Li")
    assert fixed.D_raw_cm2_s == pytest.approx(0.0, abs=1e-15)
    # Atoms that never move are the frame of reference, whatever was asked for.
    assert (fixed.settings.drift, fixed.settings.mobile) == ("none", None)
    assert windowed(trajectory, "Li", drift="cell").D_cm2_s == pytest.approx(alone.D_cm2_s)
    drifting = replace(trajectory, positions_A=both + 0.01 * np.arange(91)[:, None, None])
    assert windowed(drifting, "Li", drift="framework").D_cm2_s == pytest.approx(alone.D_cm2_s)
    fixed = windowed(drifting, "S", drift="framework", mobile="Li")
    assert fixed.settings.mobile == "Li"
    assert fixed.n_atoms == 5


def test_result_says_how_it_was_made():
    result = diffusivity(
        trajectory_of(walk(45, 5, 15)), "Li", window_ps=5, fit_ps=[1, 4], origins="first"
    )
    settings = result.settings
    assert (settings.estimator, settings.window_ps, settings.fit_ps) == ("windowed", 5.0, (1, 4))
    assert (settings.origins, settings.drift, settings.mobile) == ("first", "cell", None)
    assert (result.duration_ps, result.interval_fs, result.source) == (45.0, 500.0, "arrays")
    assert set(ESTIMATORS) >= {"windowed"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window_ps": 100.0}, "longer than the trajectory: arrays has 45 ps.*--window-ps 15"),
        ({"window_ps": 2.0}, r"fit from 1 to 15 ps.*windows of 2 ps.*--fit-ps 0.2 2"),
        ({"fit_ps": (5.0, 1.0)}, "the first at least 0 and the second larger"),
        ({"fit_ps": (-1.0, 5.0)}, "the first at least 0"),
        ({"fit_ps": (1.0, float("nan"))}, "the first at least 0"),
        ({"window_ps": 5.0}, "the usual fit .* range inside the window"),
        ({"fit_ps": (1.0,)}, "first and the last lag"),
        ({"fit_ps": (1.0, 1.9)}, r"holds 2 lag\(s\) of 0.5 ps; expected at least 3"),
        ({"window_ps": 0.1, "fit_ps": (0.0, 0.1)}, "expected a longer window"),
        ({"window_ps": -3.0}, "window_ps is -3.0; expected a positive number in ps"),
        ({"estimator": "magic"}, "estimator 'magic' is not known; give gls, windowed, lag"),
        ({"origins": "all"}, "origins is 'all'; expected sliding or first"),
        ({"drift": "com"}, "drift is 'com'"),
    ],
)
def test_bad_settings_say_what_to_do(settings, message):
    with pytest.raises(InputError, match=message) as caught:
        windowed(trajectory_of(walk(45, 2, 16)), "Li", **settings)
    assert "\n" not in str(caught.value)


def test_absent_species():
    with pytest.raises(InputError, match="it has Li"):
        windowed(trajectory_of(walk(45, 2, 16)), "Na")


def test_a_count_of_relaxation_times_is_no_power_of_ten():
    assert str(Relaxation(0.25, 158.7)) == "159 relaxation times of 0.25 ps"
    assert str(Relaxation(1.07, 36.2)) == "36 relaxation times of 1.1 ps"
    assert str(Relaxation(None, 2.0)) == "less than 2.0 relaxation times"
