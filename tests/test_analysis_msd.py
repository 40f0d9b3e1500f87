"""Mean squared displacement: known motions, drift, and what is refused."""

import numpy as np
import pytest

from mlmd.analysis.diffusion.msd import mean_squared_displacement
from mlmd.errors import InputError
from mlmd.trajectory.trajectory import Trajectory


def make(positions: np.ndarray, numbers: list[int], interval_fs: float = 100.0, **more):
    frames = len(positions)
    return Trajectory(
        positions, np.eye(3) * 10, np.array(numbers), np.arange(frames) * interval_fs, **more
    )


def test_random_walk_has_six_D_t():
    D_A2_ps, interval_ps = 0.7, 0.1
    rng = np.random.default_rng(1)
    steps = rng.normal(0, np.sqrt(2 * D_A2_ps * interval_ps), (5000, 60, 3))
    msd = mean_squared_displacement(make(np.cumsum(steps, axis=0), [3] * 60), "Li", drift="none")
    short = slice(1, 20)
    assert msd.msd_A2[short] == pytest.approx(6 * D_A2_ps * msd.lag_ps[short], rel=0.03)
    assert msd.lag_ps[:3] == pytest.approx([0, 0.1, 0.2])
    assert list(msd.n_origins[[0, 1, -1]]) == [5000, 4999, 1]
    assert (msd.species, msd.n_atoms, msd.interval_fs) == ("Li", 60, 100.0)


def test_it_is_the_sum_over_the_axes_not_the_mean():
    positions = np.zeros((50, 2, 3))
    positions[:, 0, 0] = 0.2 * np.arange(50)  # free flight of one of two atoms along x
    msd = mean_squared_displacement(make(positions, [3, 3]), drift="none")
    assert msd.msd_A2 == pytest.approx((0.2 * np.arange(50)) ** 2 / 2, abs=1e-12)


def test_cell_and_framework_drift_of_two_species():
    # Li flies at v, S rests, and everything drifts at u on top: what remains is known.
    frames = np.arange(40.0)
    v, u = np.array([0.1, 0.0, -0.2]), np.array([1.0, 2.0, 3.0])
    positions = np.zeros((40, 3, 3)) + frames[:, None, None] * u
    positions[:, 0] += frames[:, None] * v
    trajectory = make(positions, [3, 16, 16], masses_u=np.array([7.0, 32.0, 32.0]))
    flight = (v @ v) * frames**2

    def msd(species, **settings):
        return mean_squared_displacement(trajectory, species, **settings).msd_A2

    light = 7.0 / 71.0  # share of Li in the mass: how far the whole cell's centre follows it
    assert msd("Li", drift="framework") == pytest.approx(flight, abs=1e-9)
    assert msd("S", drift="framework", mobile="Li") == pytest.approx(0 * frames, abs=1e-9)
    assert msd("Li") == pytest.approx(flight * (1 - light) ** 2, abs=1e-9)
    assert msd("S", drift="cell") == pytest.approx(flight * light**2, abs=1e-9)
    assert msd("S", drift="none") == pytest.approx((u @ u) * frames**2, abs=1e-9)
    mixed = (flight * (1 - light) ** 2 + 2 * flight * light**2) / 3
    assert msd(None) == pytest.approx(mixed, abs=1e-9)
    # The default of "framework" is everything but the analysed species.
    assert msd("S", drift="framework") == pytest.approx(flight, abs=1e-9)


def test_drift_added_to_a_random_walk_is_removed():
    rng = np.random.default_rng(2)
    walk = np.cumsum(rng.normal(0, 0.1, (400, 20, 3)), axis=0)
    drift = np.linspace(0, 30, 400)[:, None, None] * np.array([1.0, -1.0, 0.5])
    still = mean_squared_displacement(make(walk, [3] * 20), "Li")
    moving = mean_squared_displacement(make(walk + drift, [3] * 20), "Li")
    assert moving.msd_A2 == pytest.approx(still.msd_A2, rel=1e-9)
    raw = mean_squared_displacement(make(walk + drift, [3] * 20), "Li", drift="none")
    assert raw.msd_A2[-1] > 10 * still.msd_A2[-1]  # negative control


def test_centre_of_n_walkers_takes_one_nth_of_their_diffusion():
    rng = np.random.default_rng(3)
    trajectory = make(np.cumsum(rng.normal(size=(20_000, 4, 3)), axis=0), [3] * 4)
    raw = mean_squared_displacement(trajectory, "Li", drift="none", max_lag_ps=0.5).msd_A2
    held = mean_squared_displacement(trajectory, "Li", drift="cell", max_lag_ps=0.5).msd_A2
    assert held[1:] / raw[1:] == pytest.approx(1 - 1 / 4, rel=0.02)


def test_longest_lag():
    trajectory = make(np.random.default_rng(4).normal(size=(30, 2, 3)), [3, 3])
    whole = mean_squared_displacement(trajectory)
    part = mean_squared_displacement(trajectory, max_lag_ps=0.7)
    assert part.lag_ps[-1] == pytest.approx(0.7)
    assert part.msd_A2 == pytest.approx(whole.msd_A2[:8], rel=1e-9)


def test_uneven_frames_are_refused():
    positions = np.zeros((5, 1, 3))
    times = np.array([0.0, 1.0, 2.0, 3.5, 4.0])
    with pytest.raises(InputError, match="evenly spaced"):
        mean_squared_displacement(Trajectory(positions, np.eye(3), np.array([3]), times))


@pytest.mark.parametrize(
    ("species", "settings", "message"),
    [
        ("Na", {}, "no atom of species 'Na'"),
        ("Li", {"drift": "frame"}, "drift is 'frame'; expected cell or framework or none"),
        ("Li", {"drift": "framework"}, "no framework"),
        (None, {"drift": "framework"}, "name the mobile species"),
        ("Li", {"drift": "framework", "mobile": "Cl"}, "no atom of species 'Cl'"),
        ("Li", {"max_lag_ps": 0.0}, "expected a positive number in ps"),
        ("Li", {"max_lag_ps": 9.0}, "between 0.1"),
    ],
)
def test_bad_input_says_what_to_do(species, settings, message):
    trajectory = make(np.zeros((5, 2, 3)), [3, 3])
    with pytest.raises(InputError, match=message):
        mean_squared_displacement(trajectory, species, **settings)


def test_an_exploded_run_is_refused():
    positions = np.zeros((50, 2, 3))
    positions[30:, 1] = np.nan
    with pytest.raises(InputError, match="not finite"):
        mean_squared_displacement(make(positions, [3, 3]), "Li")


def test_by_axis_and_by_atom():
    rng = np.random.default_rng(9)
    steps = rng.normal(0, [0.1, 0.5, 1.0], (4000, 20, 3)) * np.linspace(0.5, 1.5, 20)[:, None]
    msd = mean_squared_displacement(
        make(np.cumsum(steps, axis=0), [3] * 20), "Li", drift="none", max_lag_ps=1.0, per_atom=True
    )
    assert msd.msd_axes_A2.shape == (11, 3)
    assert msd.msd_atoms_A2.shape == (11, 20)
    assert msd.msd_axes_A2.sum(axis=1) == pytest.approx(msd.msd_A2)
    assert msd.msd_atoms_A2.mean(axis=1) == pytest.approx(msd.msd_A2)
    spread = np.mean(np.linspace(0.5, 1.5, 20) ** 2)
    assert msd.msd_axes_A2[1] == pytest.approx(spread * np.array([0.01, 0.25, 1.0]), rel=0.03)
    fastest, slowest = msd.msd_atoms_A2[1, -1], msd.msd_atoms_A2[1, 0]
    assert fastest / slowest == pytest.approx(9.0, rel=0.1)
    assert mean_squared_displacement(make(np.cumsum(steps, axis=0), [3] * 20)).msd_atoms_A2 is None
