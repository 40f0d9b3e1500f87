"""Verdicts, intervals and bounds on motion that is correlated as real motion is.

Samples of ``benchmarks/diffusivity_on_liquids.py``. Counts lie within what the stated rates give in
all but one of a thousand cases, on any processor: no single trajectory is judged.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from real_motion import HAS_COMPILER, as_trajectory, kob_andersen, ordinary_liquid
from scipy.spatial.transform import Rotation as Turn
from scipy.stats import binom
from synthetic_motion import in_groups, trajectory_of, vibration, walk

from mlmd import Trajectory
from mlmd.analysis import diffusivity
from mlmd.analysis.diffusion.relaxation import relaxation
from mlmd.analysis.diffusion.scatter import scatter
from mlmd.analysis.diffusion.walkers import Walkers
from mlmd.numerics.displacement import all_origins_msd_axes

ARGYRODITE = Path(__file__).resolve().parents[2] / "shared" / "data" / "argyrodite_aimd"
needs_compiler = pytest.mark.skipif(not HAS_COMPILER, reason="the liquids need a C compiler")


def fits(found, low: float, high: float) -> bool:
    n, held = len(found), int(np.sum(found))
    return bool(binom.ppf(0.0005, n, low) <= held <= binom.ppf(0.9995, n, high))


def pieces(frames, liquid, interval_fs: float, length: int):
    return [
        as_trajectory(frames[start : start + length + 1], liquid, interval_fs)
        for start in range(0, len(frames) - length, length)
    ]


def slope_cm2_s(frames, first: int, last: int, interval_ps: float) -> float:
    msd = all_origins_msd_axes(frames, max_lag=last).sum(axis=1)
    return (msd[last] - msd[first]) / (last - first) / interval_ps / 6 * 1e-4


@pytest.fixture(scope="module")
def liquid():
    made = ordinary_liquid(1, density=0.84, temperature=1.1)
    frames, _ = made.move(1.1, 360.0, every_fs=40.0)
    return made, frames, slope_cm2_s(frames, 25, 250, 0.04)


@needs_compiler
@pytest.mark.parametrize("length_ps", [5, 12])
def test_intervals_hold_on_an_ordinary_liquid(liquid, length_ps):
    made, frames, true = liquid
    results = [diffusivity(part, "Na") for part in pieces(frames, made, 40.0, length_ps * 25)]
    ends = np.array([one.D_interval68_cm2_s for one in results])
    assert fits((ends[:, 0] < true) & (true < ends[:, 1]), 0.63, 0.75)
    # Negative control: the errors of independent atoms, which move together in a liquid.
    alone = [one.D_stderr_cm2_s / np.sqrt(one.details["collective"]) for one in results]
    assert np.median([one.details["collective"] for one in results]) > 1.2
    assert np.mean(alone) < np.mean([one.D_stderr_cm2_s for one in results])


@needs_compiler
def test_an_ordinary_liquid_of_20_ps_is_diffusive(liquid):
    made, frames, _ = liquid
    results = [diffusivity(part, "Na") for part in pieces(frames, made, 40.0, 500)]
    assert sum(not one.is_diffusive for one in results) <= binom.ppf(0.999, len(results), 0.02)
    # Length over relaxation time: 20 ps of a liquid whose F_s falls to 1/e in some 0.3 ps.
    times = [one.motion.relaxation.time_ps for one in results]
    assert 0.1 < np.mean(times) < 1.0
    assert "relaxation times" in results[0].reason


@needs_compiler
def test_the_interval_is_continuous_in_the_start_of_the_fit(liquid):
    made, frames, _ = liquid
    part = as_trajectory(frames[:501], made, 40.0)
    starts = 0.4 + 0.04 * np.arange(12)
    widths = []
    for start in starts:
        low, high = diffusivity(part, "Na", fit_ps=(start, 3.0 * start)).D_interval68_cm2_s
        widths.append(high - low)
    steps = np.array(widths[1:]) / np.array(widths[:-1])
    assert steps.max() < 2.0
    assert steps.min() > 0.5


@needs_compiler
@pytest.mark.slow
def test_supercooled_runs_are_not_trusted_too_early_and_bounds_hold():
    """Kob and Andersen's mixture: short runs pass rarely, long ones mostly; 95 % bounds hold."""
    bounds, late, diffusive, intervals = [], [], [], []
    for seed in (1, 2):
        made = kob_andersen(seed, 0.7, equilibration_ps=300.0)
        frames, _ = made.move(0.7, 1600.0, every_fs=100.0)
        for symbol, atoms in (("Na", slice(0, 80)), ("Li", slice(80, 100))):
            true = slope_cm2_s(frames[:, atoms], 100, 500, 0.1)
            for length in (200, 500, 2000):
                for part in pieces(frames, made, 100.0, length):
                    one = diffusivity(part, symbol)
                    if length == 2000:
                        late.append(one.is_diffusive)
                    if one.is_diffusive:
                        low, high = one.D_interval68_cm2_s
                        intervals.append(low < true < high)
                        diffusive.append(one.D_cm2_s / true)
                    else:
                        bounds.append(one.D_upper_bound_cm2_s / true)
    assert binom.ppf(0.0005, len(bounds), 0.92) <= np.sum(np.array(bounds) >= 1)
    assert np.median(bounds) < 4.0
    assert np.mean(late) > 0.8  # 40 relaxation times and more
    assert fits(intervals, 0.55, 0.73)
    assert np.mean(diffusive) == pytest.approx(1.0, abs=0.15)


def turning(rng, frames: int, groups: int, radius_A: float, memory_ps: float) -> Trajectory:
    """Tetrahedra in rotational Brownian motion, each about its place: D is zero."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3) * radius_A
    edge = int(np.ceil(groups ** (1 / 3)))
    places = 7.0 * np.stack(np.unravel_index(np.arange(groups), (edge,) * 3), axis=1)
    now, out = Turn.random(groups, random_state=rng), np.empty((frames, groups, 4, 3))
    for frame in range(frames):
        out[frame] = np.einsum("nij,kj->nki", now.as_matrix(), corners) + places[:, None]
        now = Turn.from_rotvec(rng.normal(0, np.sqrt(0.1 / memory_ps), (groups, 3))) * now
    positions = out.reshape(frames, -1, 3) + vibration(rng, frames, 4 * groups, 0.1, width_A=0.1)
    return Trajectory(
        positions,
        np.eye(3) * 7.0 * edge,
        np.full(4 * groups, 16),
        np.arange(frames) * 100.0,
        source="rotation",
    )


@pytest.mark.parametrize("radius_A", [1.5, 2.05, 2.9])
@pytest.mark.parametrize("memory_ps", [1.0, 5.0, 20.0])
def test_groups_that_rotate_do_not_diffuse(radius_A, memory_ps):
    rng = np.random.default_rng(int(10 * radius_A + memory_ps))
    for frames in (201, 601):
        one = diffusivity(turning(rng, frames, 12, radius_A, memory_ps), "S", drift="none")
        assert not one.is_diffusive
        if one.motion.rotation is not None:
            assert one.verdict == "localised"
            assert "groups rotate in place" in one.reason
            assert one.D_lower_bound_cm2_s == 0.0
            assert one.motion.rotation.distance_A == pytest.approx(1.633 * radius_A, abs=0.15)
    if radius_A == 2.9 and memory_ps >= 5.0:
        assert one.motion.rotation is not None


def test_groups_that_rotate_and_travel_diffuse():
    """Molecules: the same tetrahedra on the paths of their centres."""
    rng = np.random.default_rng(2)
    still = turning(rng, 401, 16, 1.5, 2.0)
    paths = np.repeat(np.cumsum(rng.normal(0, 0.6, (401, 16, 3)), axis=0), 4, axis=1)
    moving = Trajectory(
        still.positions_A + paths, still.cell_A, still.numbers, still.time_fs, source="molecules"
    )
    one = diffusivity(moving, "S", drift="none")
    assert one.verdict == "diffusive"
    assert one.D_cm2_s == pytest.approx(0.6**2 / 2 / 0.1 * 1e-4, abs=4 * one.D_stderr_cm2_s)


def single_file(rng, frames: int, channels: int, sites: int, ions: int) -> np.ndarray:
    """Ions that hop 3 A along rings and never pass each other."""
    out = np.zeros((frames, channels, ions, 3))
    for channel in range(channels):
        at = np.sort(rng.permutation(sites)[:ions])
        for frame in range(frames):
            for ion in rng.permutation(ions):
                step = rng.choice((-1, 1)) * (rng.random() < 0.15)
                ahead = at[(ion + step) % ions] + sites * ((ion + step) // ions)
                if step and at[ion] + step != ahead:
                    at[ion] += step
            out[frame, channel, :, 2] = 3.0 * at
    return out.reshape(frames, -1, 3) + rng.normal(0, 0.2, (frames, channels * ions, 3))


def test_ions_in_single_file_do_not_diffuse_before_they_have_been_round():
    """MSD ~ t^0.5 while t is far below L^2 / D, here 24 A squared over 1.5 A2/ps of one ion."""
    rng = np.random.default_rng(8)
    runs = (trajectory_of(single_file(rng, 201, 12, 12, 9)) for _ in range(8))
    passed = sum(diffusivity(run, "Li", drift="none").is_diffusive for run in runs)
    assert passed <= binom.ppf(0.999, 8, 0.02)


@pytest.mark.parametrize(("ordering", "most"), [("0p", 0), ("50p", 5)])
def test_pieces_of_ordered_argyrodite_are_not_diffusive(ordering, most):
    """Ions that go round their cages: slopes at later lags are 3 to 15 times lower."""
    folder = ARGYRODITE / f"Li6PS5Cl_{ordering}"
    if not folder.exists():
        pytest.skip("the ab initio trajectories of Li6PS5Cl are not here")
    whole = Trajectory.read(sorted(folder.glob("XDATCAR_run*.gz")), timestep_fs=100.0)
    parts = [whole.part(start, start + 141) for start in range(0, len(whole) - 140, 140)]
    found = [diffusivity(part, "Li", drift="framework") for part in parts]
    assert len(found) >= 4
    assert sum(one.is_diffusive for one in found) <= most
    if ordering == "0p":
        one = diffusivity(whole, "Li", drift="framework")
        assert one.verdict == "subdiffusive"
        assert one.needs_ps > whole.duration_ps
        assert one.D_lower_bound_cm2_s < 2e-6 < one.D_upper_bound_cm2_s


def test_variance_of_walks_that_move_alone_in_groups_and_at_their_own_rates():
    """Against the spread over many runs: independent, eight as one, half of them faster."""
    rng = np.random.default_rng(9)
    lags, weights = np.array([2, 3, 4]), np.array([-0.5, 0.0, 0.5])
    rates = np.repeat([0.4, 1.6], 20)[None, :, None]

    def one(kind):
        if kind == "alone":
            return walk(rng, 160, 40)
        if kind == "groups":
            return in_groups(rng, 160, 40, 8)
        return walk(rng, 160, 40) * np.sqrt(rates)

    for kind, collective in (("alone", 1.0), ("groups", 8.0), ("rates", None)):
        sums, variances, shared = [], [], []
        for _ in range(120):
            positions = one(kind)
            msd = all_origins_msd_axes(positions, max_lag=4).sum(axis=1)
            sums.append(weights @ msd[lags])
            found = scatter(Walkers(positions, np.arange(40), None), lags, weights)
            variances.append(found.variance)
            shared.append(found.collective)
        if kind != "rates":
            assert np.mean(shared) == pytest.approx(collective, rel=0.35)
        ratio = np.mean(variances) / np.var(sums, ddof=1)
        if kind == "rates":
            assert ratio > 1.5
        else:
            assert 0.7 < ratio < 1.6


def test_relaxation_time_of_a_walk_is_one_over_q_squared_D():
    rng = np.random.default_rng(10)
    positions = np.cumsum(rng.normal(0, 0.1, (2000, 200, 3)), axis=0)
    D_A2_ps = 0.1**2 / 2 / 0.02
    found = relaxation(Walkers(positions, np.arange(200), None), 0.02)
    assert found.time_ps == pytest.approx(1 / ((2 * np.pi / 3.0) ** 2 * D_A2_ps), rel=0.03)
    assert found.relaxations == pytest.approx(1999 * 0.02 / found.time_ps)
    still = relaxation(Walkers(vibration(rng, 300, 20, 0.1), np.arange(20), None), 0.1)
    assert still.time_ps is None or still.time_ps < 1.0
