"""Fast mean squared displacements against their definition."""

import tracemalloc

import numpy as np
import pytest

from mlmd.numerics.displacement import all_origins_msd_axes, first_origin_msd_axes


def all_origins_msd(positions: np.ndarray, **settings: object) -> np.ndarray:
    """The sum over the axes."""
    return all_origins_msd_axes(positions, **settings).sum(axis=1)


def by_definition(positions: np.ndarray) -> np.ndarray:
    """Double loop over lags and origins."""
    frames = len(positions)
    msd = np.zeros(frames)
    for lag in range(frames):
        for start in range(frames - lag):
            step = positions[start + lag] - positions[start]
            msd[lag] += (step**2).sum(axis=-1).mean() / (frames - lag)
    return msd


@pytest.fixture
def positions():
    rng = np.random.default_rng(1)
    return 5.0 + np.cumsum(rng.normal(0, 0.3, (97, 7, 3)), axis=0)


def test_all_lags_equal_the_double_loop(positions):
    assert all_origins_msd(positions) == pytest.approx(by_definition(positions), rel=1e-9, abs=0)


def test_far_from_the_origin_and_in_single_precision(positions):
    far = positions + 1e3
    assert all_origins_msd(far) == pytest.approx(by_definition(far), rel=1e-9, abs=0)
    single = far.astype(np.float32)
    expected = by_definition(single.astype(float))
    assert all_origins_msd(single) == pytest.approx(expected, rel=1e-9, abs=0)


def test_short_lags_of_a_long_flight_keep_their_digits():
    # 1e4 frames, 1000 A in all: the worst cancellation that a real run can have.
    time = np.arange(10_000.0)
    positions = np.zeros((10_000, 1, 3))
    positions[:, 0, 0] = 0.1 * time
    assert all_origins_msd(positions)[1:] == pytest.approx((0.1 * time[1:]) ** 2, rel=1e-7)


def test_chosen_atoms_offset_and_longest_lag(positions):
    rng = np.random.default_rng(2)
    offset = np.cumsum(rng.normal(size=(97, 3)), axis=0)
    for atoms in (np.array([0, 3, 6]), np.array([2, 3, 4]), np.array([5])):
        expected = by_definition(positions[:, atoms] - offset[:, None])
        ours = all_origins_msd(positions, atoms=atoms, offset=offset, max_lag=20)
        assert ours.shape == (21,)
        assert ours == pytest.approx(expected[:21], rel=1e-9, abs=0)


def test_first_origin(positions):
    atoms = np.array([1, 4])
    step = positions[:31, atoms] - positions[0, atoms]
    ours = first_origin_msd_axes(positions, atoms=atoms, max_lag=30)
    assert ours == pytest.approx((step**2).mean(axis=1))


def test_input_is_not_changed(positions):
    before = positions.copy()
    all_origins_msd(positions, offset=np.ones((97, 3)))
    first_origin_msd_axes(positions, offset=np.ones((97, 3)))
    assert (positions == before).all()


def test_memory_does_not_grow_with_the_number_of_atoms():
    peaks = []
    for atoms in (20, 200):
        positions = np.zeros((3000, atoms, 3), dtype=np.float32)
        all_origins_msd(positions[:, :2])  # imports and plans
        tracemalloc.start()
        all_origins_msd(positions)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < 12e6  # 200 atoms in float64 are 14 MB, padded and transformed 58 MB
