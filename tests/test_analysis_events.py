"""What happened in a run: melting, a change of mobility, drifts; and alarms where there is none."""

import json
import logging

import numpy as np
import pytest
from matplotlib.colors import to_hex
from scipy.signal import lfilter

from mlmd.analysis.events import what_happened
from mlmd.errors import InputError
from mlmd.trajectory.trajectory import Trajectory

INTERVAL_PS, FRAMES, EDGE_A = 0.02, 2000, 12.0
GRID = np.stack(np.meshgrid(*[np.arange(3) * 4.0] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
N_FRAMEWORK, N_MOBILE = len(GRID), 8


def ar1(count: int, n: int, phi: float, seed: int) -> np.ndarray:
    """Stationary series of unit variance, shape (count, n)."""
    burn = int(20 / (1 - phi))
    noise = np.random.default_rng(seed).normal(size=(count, n + burn))
    return lfilter([1], [1, -phi], noise, axis=1)[:, burn:] * np.sqrt(1 - phi**2)


def walk(rng: np.random.Generator, D_A2_ps: np.ndarray, atoms: int) -> np.ndarray:
    """Free walkers with a diffusivity for each frame."""
    sigma = np.sqrt(2 * D_A2_ps * INTERVAL_PS)[:, None, None]
    return np.cumsum(rng.normal(size=(len(D_A2_ps), atoms, 3)) * sigma, axis=0)


def crystal(
    seed: int,
    *,
    melts_at: int | None = None,
    n_melting: int = N_FRAMEWORK,
    D_melt_A2_ps: float = 0.3,
    amplitude_A: float = 0.25,
    mobile: np.ndarray | None = None,
    frames: int = FRAMES,
    **recorded,
) -> Trajectory:
    """Iodide on a vibrating simple cubic lattice, of which a part melts, and walking lithium."""
    rng = np.random.default_rng(seed)
    vibration = ar1(3 * N_FRAMEWORK, frames, 0.8, seed).T.reshape(frames, N_FRAMEWORK, 3)
    framework = GRID + amplitude_A * vibration
    if melts_at is not None:
        D = np.where(np.arange(frames) >= melts_at, D_melt_A2_ps, 0.0)
        framework[:, :n_melting] += walk(rng, D, n_melting)
    if mobile is None:
        mobile = walk(rng, np.full(frames, 0.5), N_MOBILE)
    mobile = mobile + GRID[:N_MOBILE] + 2.0 + rng.normal(0, 0.2, (frames, N_MOBILE, 3))
    return Trajectory(
        np.concatenate([framework, mobile], axis=1),
        np.eye(3) * EDGE_A,
        np.array([53] * N_FRAMEWORK + [3] * N_MOBILE),
        np.arange(frames) * INTERVAL_PS * 1000,
        **recorded,
    )


@pytest.mark.parametrize("D_A2_ps", [0.1, 0.5])
def test_a_framework_that_melts_at_half_time_is_caught_with_its_time(D_A2_ps):
    starts, halves = [], []
    for seed in range(15):
        events = what_happened(crystal(seed, melts_at=1000, D_melt_A2_ps=D_A2_ps), "Li")
        found = events.framework
        assert found.is_melt
        assert len(found.left) >= 22  # of 27; a few have not got far enough yet
        starts.append(found.start_ps)
        halves.append(found.half_ps)
        assert set(found.left) <= set(range(N_FRAMEWORK))
        assert found.by_species == {"I": (len(found.left), 27)}
        assert events.findings[0].message.startswith("the framework melts")
    # At 20 ps; a walker needs a while to get beyond half of the 4 A between the sites.
    assert np.abs(np.array(starts) - 20.0).max() < 1.5
    assert np.abs(np.array(halves) - 20.0).max() < 0.5 + 1.0 / D_A2_ps * 0.5


def test_the_few_atoms_that_leave_are_named():
    found = what_happened(crystal(1, melts_at=1200, n_melting=3), "Li").framework
    assert sorted(found.left) == [0, 1, 2]
    assert not found.is_melt
    assert (np.diff(found.since_ps) >= 0).all()
    assert (np.abs(found.since_ps - 24.0) < 6.0).all()
    assert "framework atoms leave their sites: 3 of 27 I" in found.reason


def test_large_vibration_is_no_melting_while_a_slow_jump_is_an_event():
    # 0.6 A along each axis: single frames are further than 2 A from their sites, yet none has left.
    hot = crystal(2, amplitude_A=0.6)
    away = np.linalg.norm(hot.positions_A[:, :N_FRAMEWORK] - GRID, axis=2)
    assert away.max() > 2.0
    assert not what_happened(hot, "Li").framework.is_found
    positions = hot.positions_A.copy()
    positions[1500:, 5] += [0.0, 4.0, 0.0]
    jumped = Trajectory(positions, hot.cell_A, hot.numbers, hot.time_fs)
    found = what_happened(jumped, "Li").framework
    assert found.left.tolist() == [5]
    assert found.start_ps == pytest.approx(30.0, abs=2 * 0.4)  # windows of 0.4 ps
    assert found.displacement_A == pytest.approx([4.0], abs=1.2)


def test_neither_a_swelling_cell_nor_drift_moves_the_framework():
    still = crystal(3, amplitude_A=0.1)
    factor = np.linspace(1.0, 1.4, FRAMES)[:, None, None]
    swelling = Trajectory(
        still.positions_A * factor + np.linspace(0, 50, FRAMES)[:, None, None],
        np.eye(3) * EDGE_A * factor,
        still.numbers,
        still.time_fs,
    )
    assert not what_happened(swelling, "Li").framework.is_found


@pytest.mark.parametrize("factor", [5.0, 0.2])
def test_a_change_of_mobility_midway_is_found(factor):
    times, factors = [], []
    for seed in range(10):
        D = np.where(np.arange(FRAMES) < 1000, 0.5, 0.5 * factor)
        mobile = walk(np.random.default_rng(seed), D, N_MOBILE)
        change = what_happened(crystal(seed, mobile=mobile), "Li").mobility["Li"]
        assert change.is_found
        times.append(change.change_ps)
        factors.append(change.factor)
        assert change.before.D_raw_cm2_s == pytest.approx(0.5e-4, rel=0.4)
        assert change.after.D_raw_cm2_s == pytest.approx(0.5e-4 * factor, rel=0.4)
    assert np.abs(np.array(times) - 20.0).max() < 1.0
    assert np.mean(factors) == pytest.approx(factor, rel=0.15)


def test_lithium_iodide_at_667_K():
    # As published: nothing moves for 35 ps, then over 1 S/cm for 30; here D = 5e-5 cm^2/s.
    frames = 3250
    D = np.where(np.arange(frames) < 1750, 0.0, 0.5)
    mobile = walk(np.random.default_rng(4), D, N_MOBILE)
    events = what_happened(crystal(4, mobile=mobile, frames=frames), "Li")
    change = events.mobility["Li"]
    assert change.change_ps == pytest.approx(35.0, abs=1.0)
    assert change.p_value <= 0.002
    assert not change.before.is_diffusive
    assert change.after.D_cm2_s == pytest.approx(5e-5, rel=0.3)
    assert not events.framework.is_found
    assert any("mobility changes by a factor" in one.message for one in events.findings)


def test_drifts_and_equilibration_are_reported_and_logged(caplog):
    index = np.arange(FRAMES)
    temperatures = 700 + 40 * ar1(1, FRAMES, 0.5, 1)[0] + 25 * index / FRAMES
    pressures = ar1(1, FRAMES, 0.3, 2)[0] + 8 * np.exp(-index / 60)
    energies = -350 + 0.5 * ar1(1, FRAMES, 0.5, 3)[0]
    trajectory = crystal(
        3, temperatures_K=temperatures, pressures_GPa=pressures, energies_eV=energies
    )
    with caplog.at_level(logging.INFO, logger="mlmd"):
        events = what_happened(trajectory, "Li")
    found = events.stationarity
    assert found["temperature"].is_stationary is False
    # Two thirds of the rise lie between the middles of the thirds.
    assert found["temperature"].difference == pytest.approx(
        25 * 2 / 3, abs=3 * found["temperature"].stderr
    )
    assert found["energy"].is_stationary
    # 8 GPa decay into noise of 1 GPa within 60 ln(16) = 166 frames of 0.02 ps.
    assert 1.5 < found["pressure"].discard_ps < 8.0
    assert found["pressure"].is_settled
    assert events.discard_ps >= found["pressure"].discard_ps
    assert [record.getMessage().split(": ", 1)[1] for record in caplog.records] == [
        finding.message for finding in events.findings
    ]
    assert any("temperature drifts: " in one.message for one in events.findings)
    assert any("ps of pressure look like equilibration" in one.message for one in events.findings)
    told = json.loads(json.dumps(events.to_dict()))
    assert told["stationarity"]["temperature"]["is_stationary"] is False
    assert told["discard_ps"] == events.discard_ps
    assert told["mobility"]["Li"]["change_ps"] is None


def test_what_was_not_recorded_is_said():
    events = what_happened(crystal(5, frames=200), "Li")
    assert events.not_recorded == ("temperature", "pressure", "energy")
    assert "temperature: not recorded" in events.not_judged


def test_a_liquid_has_no_framework():
    rng = np.random.default_rng(6)
    positions = walk(rng, np.full(500, 0.5), 20)
    liquid = Trajectory(positions, np.eye(3) * 9, np.array([11] * 20), np.arange(500) * 20.0)
    events = what_happened(liquid, "Na")
    assert events.framework is None
    assert events.to_dict()["framework"] is None


@pytest.mark.parametrize(
    ("frames", "mobile", "message"),
    [
        (5, "Li", "expected at least 10"),
        (50, "Na", "no atom of species 'Na'"),
        (50, (), "such as Li"),
    ],
)
def test_bad_input_says_what_to_do(frames, mobile, message):
    with pytest.raises(InputError, match=message):
        what_happened(crystal(1, frames=frames), mobile)


def test_an_exploded_run_is_refused():
    trajectory = crystal(1, frames=100)
    positions = trajectory.positions_A.copy()
    positions[80:, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        what_happened(
            Trajectory(positions, trajectory.cell_A, trajectory.numbers, trajectory.time_fs), "Li"
        )


def test_displacements_are_no_positions():
    trajectory = crystal(1, frames=100)
    moved = trajectory.positions_A - trajectory.positions_A[0]
    with pytest.raises(InputError, match="not displacements"):
        what_happened(
            Trajectory(moved, trajectory.cell_A, trajectory.numbers, trajectory.time_fs), "Li"
        )


def test_plot_marks_what_was_found():
    from mlmd.plot.events import plot_events

    D = np.where(np.arange(FRAMES) < 900, 0.5, 3.0)
    trajectory = crystal(
        3,
        melts_at=1200,
        mobile=walk(np.random.default_rng(1), D, N_MOBILE),
        temperatures_K=700 + 40 * ar1(1, FRAMES, 0.5, 1)[0],
    )
    events = what_happened(trajectory, "Li")
    figure = plot_events(events)
    assert [ax.get_ylabel().split("\n")[0] for ax in figure.axes] == [
        "Temperature (K)",
        "MSD slope of Li",
    ]
    drawn = {
        float(line.get_xdata()[0]) for line in figure.axes[0].lines if len(line.get_xdata()) == 2
    }
    assert {events.framework.start_ps, events.framework.half_ps} <= drawn
    assert events.mobility["Li"].change_ps in drawn
    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named[:3] == [
        "single values",
        "mean over a sixtieth of the run",
        r"first and last third ($\pm 2$ standard errors)",
    ]
    left = f"({len(events.framework.left)} of {events.framework.n_framework})"
    assert "first framework atom leaves" in named
    assert f"half of those that leave {left} have left" in named
    assert any(text.startswith("mobility of Li") for text in named)
    # Nothing is drawn that the legend does not name.
    colours = {to_hex(handle.get_color()) for handle in legend.get_lines()}
    assert {to_hex(line.get_color()) for ax in figure.axes for line in ax.lines} <= colours
    slope = figure.axes[1].lines[0]
    assert slope.get_ydata() == pytest.approx(events.mobility["Li"].msd_slope_A2_ps)
