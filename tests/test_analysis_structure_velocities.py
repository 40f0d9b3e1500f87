"""Velocity autocorrelation and density of states: oscillators, Brownian motion, lattices."""

import numpy as np
import pytest

from mlmd.analysis.diffusion.msd import mean_squared_displacement
from mlmd.analysis.diffusion.units import A2_PS_IN_CM2_S
from mlmd.analysis.structure import velocity_autocorrelation, vibrational_density
from mlmd.analysis.vibrations.density_of_states import THZ_IN_1_CM
from mlmd.errors import InputError
from mlmd.trajectory.trajectory import Trajectory

CELL = np.eye(3) * 50.0


def oscillators(frequency_THz, n_frames=4000, interval_fs=2.0, amplitude_A=0.1) -> Trajectory:
    """Eight atoms of each given species, with random phases along each axis."""
    t_ps = np.arange(n_frames) * interval_fs / 1000
    rng = np.random.default_rng(0)
    positions, velocities, numbers = [], [], []
    for number, nu in frequency_THz.items():
        phase = 2 * np.pi * (nu * t_ps[:, None, None] + rng.random((1, 8, 3)))
        positions.append(25 + amplitude_A * np.cos(phase))
        velocities.append(-amplitude_A * 2 * np.pi * nu / 1000 * np.sin(phase))
        numbers += [number] * 8
    return Trajectory(
        np.concatenate(positions, axis=1),
        CELL,
        np.array(numbers),
        t_ps * 1000,
        velocities_A_fs=np.concatenate(velocities, axis=1),
    )


@pytest.mark.parametrize("velocities", ["recorded", "positions"])
@pytest.mark.parametrize("window", ["hann", "none"])
def test_an_oscillator_gives_its_frequency(velocities, window):
    """5 and 20 THz to a fifth of the resolution; the density integrates to 3 N of each."""
    found = vibrational_density(
        oscillators({8: 5.0, 3: 20.0}), max_lag_ps=2.0, velocities=velocities, window=window
    )
    for symbol, nu in (("O", 5.0), ("Li", 20.0)):
        peak = found.frequency_THz[np.argmax(found.by_species[symbol])]
        assert peak == pytest.approx(nu, abs=found.resolution_THz / 5)
        integral = np.trapezoid(found.by_species[symbol], found.frequency_THz)
        assert integral == pytest.approx(24.0, rel=1e-9)
    assert found.total == pytest.approx(found.by_species["O"] + found.by_species["Li"])
    assert found.wavenumber_1_cm == pytest.approx(found.frequency_THz * 33.3564, rel=1e-5)
    assert pytest.approx(33.35641) == THZ_IN_1_CM


def test_a_line_is_as_wide_as_it_says():
    for window in ("hann", "none"):
        found = vibrational_density(oscillators({3: 20.0}), max_lag_ps=2.0, window=window)
        seen = found.frequency_THz[found.total > found.total.max() / 2]
        spacing = found.frequency_THz[1]
        assert np.ptp(seen) == pytest.approx(found.resolution_THz, abs=1.5 * spacing)


def test_normalisation_needs_no_trick():
    """With recorded velocities 4 dt (C(0)/2 + sum) / C(0) alone integrates to 1."""
    found = velocity_autocorrelation(oscillators({3: 20.0}), max_lag_ps=2.0)
    curve = found.of("Li") / found.of("Li")[0]
    density = vibrational_density(oscillators({3: 20.0}), max_lag_ps=2.0, window="none")
    dt_ps = 0.002
    zero = 24 * 4 * dt_ps * (0.5 * curve[0] + curve[1:].sum())
    assert density.total[0] == pytest.approx(zero, rel=2e-2, abs=2e-3 * density.total.max())


def test_velocities_from_positions_are_damped_as_stated():
    """C(0) of an oscillator by [sin(x)/x]^2 with x = pi nu dt: 0.875 at 100 THz and 2 fs."""
    fast = oscillators({1: 100.0})
    ratio = (
        velocity_autocorrelation(fast, velocities="positions").of("H")[0]
        / velocity_autocorrelation(fast, velocities="recorded").of("H")[0]
    )
    assert ratio == pytest.approx(np.sinc(100.0 * 0.002) ** 2, rel=1e-3)
    assert ratio == pytest.approx(0.875, abs=1e-3)


def test_autocorrelation_is_the_plain_sum():
    rng = np.random.default_rng(1)
    v = rng.normal(size=(40, 5, 3))
    given = Trajectory(v, CELL, np.array([3, 3, 8, 8, 8]), np.arange(40.0), velocities_A_fs=v)
    found = velocity_autocorrelation(given, max_lag_ps=0.012)
    for symbol, atoms in (("Li", [0, 1]), ("O", [2, 3, 4])):
        u = v[:, atoms]
        plain = [np.mean(np.sum(u[: 40 - m] * u[m:], axis=-1)) for m in range(13)]
        assert found.of(symbol) == pytest.approx(plain)


def langevin(n_frames=60_000, n_atoms=12, seed=2):
    """Free Langevin particles, the exact solution: D = kT / (m gamma) = s^2 / gamma."""
    dt_fs, gamma_1_fs, s = 5.0, 0.02, 0.01  # s^2: variance of one velocity component, A^2/fs^2
    rng = np.random.default_rng(seed)
    decay = np.exp(-gamma_1_fs * dt_fs)
    # Joint variances of the noise in velocity and in displacement (Chandrasekhar 1943).
    var_v = s**2 * (1 - decay**2)
    var_x = (s / gamma_1_fs) ** 2 * (2 * gamma_1_fs * dt_fs - 3 + 4 * decay - decay**2)
    both = s**2 / gamma_1_fs * (1 - decay) ** 2
    factor = np.linalg.cholesky([[var_v, both], [both, var_x]])
    noise = rng.normal(size=(n_frames, n_atoms, 3, 2)) @ factor.T
    v = np.empty((n_frames, n_atoms, 3))
    x = np.zeros((n_frames, n_atoms, 3))
    v[0] = rng.normal(0, s, (n_atoms, 3))
    for k in range(1, n_frames):
        v[k] = decay * v[k - 1] + noise[k, ..., 0]
        x[k] = x[k - 1] + (1 - decay) / gamma_1_fs * v[k - 1] + noise[k, ..., 1]
    times = np.arange(n_frames) * dt_fs
    free = Trajectory(x, CELL, np.full(n_atoms, 3), times, velocities_A_fs=v)
    return free, s**2 / gamma_1_fs * 0.1


@pytest.mark.parametrize("velocities", ["recorded", "positions"])
def test_green_kubo_is_einstein_is_the_truth(velocities):
    """Ten relaxation times are integrated; the MSD is fitted from there on."""
    free, D_cm2_s = langevin()
    found = velocity_autocorrelation(free, max_lag_ps=0.5, velocities=velocities)
    green_kubo = found.running_diffusivity_cm2_s("Li")[-1]
    msd = mean_squared_displacement(free, "Li", drift="none", max_lag_ps=1.5)
    later = msd.lag_ps >= 0.5
    slope = np.polyfit(msd.lag_ps[later], msd.msd_A2[later], 1)[0]
    assert green_kubo == pytest.approx(D_cm2_s, rel=0.05)
    assert green_kubo == pytest.approx(slope / 6 * A2_PS_IN_CM2_S, rel=0.05)
    assert found.of("Li")[20] / found.of("Li")[0] == pytest.approx(np.exp(-2), abs=0.03)


def test_zero_frequency_is_the_diffusivity():
    """g(0) = 12 N m D / kT = 12 N D / s^2: the window passes zero frequency on."""
    free, D_cm2_s = langevin()
    found = vibrational_density(free, max_lag_ps=4.0)
    expected = 12 * 12 * (D_cm2_s / 0.1) / 0.01**2 / 1000
    assert found.total[0] == pytest.approx(expected, rel=0.08)


def test_bad_input_is_refused():
    given = oscillators({3: 20.0}, n_frames=50)
    with pytest.raises(InputError, match="longest lag of 5 ps"):
        velocity_autocorrelation(given, max_lag_ps=5.0)
    with pytest.raises(InputError, match="velocities is 'guessed'"):
        velocity_autocorrelation(given, velocities="guessed")
    with pytest.raises(InputError, match="window is 'box'"):
        vibrational_density(given, window="box")
    with pytest.raises(InputError, match="no velocities of 'Na'"):
        velocity_autocorrelation(given).of("Na")
    bare = Trajectory(given.positions_A, CELL, given.numbers, given.time_fs)
    with pytest.raises(InputError, match="no recorded velocities"):
        velocity_autocorrelation(bare, velocities="recorded")
    still = Trajectory(np.zeros((50, 1, 3)), CELL, np.array([3]), given.time_fs)
    with pytest.raises(InputError, match="do not move"):
        vibrational_density(still)
    broken = given.positions_A.copy()
    broken[3, 0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        velocity_autocorrelation(Trajectory(broken, CELL, given.numbers, given.time_fs))
