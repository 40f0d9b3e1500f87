"""Diffusion tensor, conductivity in SI units, finite-size correction: known motions."""

import json
import math

import numpy as np
import pytest

import mlmd
from mlmd.analysis.transport import (
    conductivity,
    conductivity_factor,
    diffusion_tensor,
    finite_size_correction,
)
from mlmd.errors import InputError
from mlmd.trajectory.trajectory import Trajectory

INTERVAL_PS = 0.1


def make(positions: np.ndarray, numbers: list[int], edge_A: float = 12.0, **more) -> Trajectory:
    time_fs = np.arange(len(positions)) * INTERVAL_PS * 1000
    return Trajectory(positions, np.eye(3) * edge_A, np.array(numbers), time_fs, **more)


def walk(seed: int, frames: int, atoms: int, D_A2_ps: np.ndarray) -> np.ndarray:
    """Random walks with the diffusion tensor of that kind."""
    factor = np.linalg.cholesky(2 * D_A2_ps * INTERVAL_PS)
    steps = np.random.default_rng(seed).normal(size=(frames, atoms, 3)) @ factor.T
    return np.cumsum(steps, axis=0)


def rotation() -> np.ndarray:
    """An orthogonal matrix without any zero."""
    return np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]


def test_anisotropic_walk_gives_its_tensor_after_rotation():
    principal = np.array([0.1, 0.4, 1.6])
    turned = rotation() @ np.diag(principal) @ rotation().T
    assert np.abs(turned[np.triu_indices(3, 1)]).min() > 0.05  # off-diagonals to be found
    result = diffusion_tensor(make(walk(1, 4000, 40, turned), [3] * 40), "Li", drift="none")
    assert result.tensor_cm2_s == pytest.approx(turned * 1e-4, abs=0.12e-4)
    assert result.principal_cm2_s == pytest.approx(principal * 1e-4, rel=0.12)
    overlap = np.abs(np.einsum("pi,ip->p", result.principal_axes, rotation()))
    assert overlap.min() > 0.99
    assert (result.tensor_cm2_s == result.tensor_cm2_s.T).all()
    assert result.D_raw_cm2_s == pytest.approx(0.7e-4, rel=0.08)
    assert result.D_axes_cm2_s == pytest.approx(np.diag(turned) * 1e-4, rel=0.16)
    sigmas = (result.tensor_cm2_s - turned * 1e-4) / result.stderr_cm2_s
    assert np.abs(sigmas).max() < 4
    assert result.stderr_cm2_s.max() < 0.06e-4


def test_vibration_is_no_diffusion_and_no_bias_of_the_tensor():
    D = np.diag([0.05, 0.05, 0.5])
    positions = walk(2, 4000, 20, D)
    positions += np.random.default_rng(3).normal(0, 0.3, positions.shape)
    result = diffusion_tensor(make(positions, [3] * 20), "Li", drift="none")
    assert (np.abs(result.tensor_cm2_s - D * 1e-4) < 3.5 * result.stderr_cm2_s).all()
    assert result.principal_cm2_s[-1] == pytest.approx(0.5e-4, rel=0.15)


@pytest.mark.slow
def test_errors_of_the_tensor_cover_the_truth():
    D = rotation() @ np.diag([0.1, 0.3, 0.9]) @ rotation().T
    inside = []
    for seed in range(200):
        trajectory = make(walk(seed, 400, 6, D), [3] * 6)
        result = diffusion_tensor(trajectory, "Li", drift="none", fit_ps=(0.3, 2.4))
        half = result.error_factor * result.stderr_cm2_s
        inside.append(np.abs(result.tensor_cm2_s - D * 1e-4) < half)
    assert len(result.block_tensors_cm2_s) == 7
    covered = np.mean(inside, axis=0)
    assert 0.64 < covered.mean() < 0.74
    assert covered.min() > 0.58  # six elements, 200 runs each


def test_tensor_of_a_short_run_is_refused():
    with pytest.raises(InputError, match="run longer"):
        diffusion_tensor(
            make(walk(1, 60, 4, np.eye(3)), [3] * 4), "Li", drift="none", fit_ps=(1.0, 5.0)
        )
    with pytest.raises(InputError, match="n_blocks is 1"):
        diffusion_tensor(make(walk(1, 60, 4, np.eye(3)), [3] * 4), "Li", n_blocks=1)


def test_conductivity_by_hand_in_si():
    # 20 ions of charge 2 in a cube of 12 A at 800 K; everything in metres here.
    n_per_m3, charge_C = 20 / 12e-10**3, 2 * 1.602176634e-19
    positions = np.concatenate(
        [walk(4, 3000, 20, 0.3 * np.eye(3)), np.zeros((3000, 10, 3))], axis=1
    )
    trajectory = make(positions, [12] * 20 + [8] * 10)
    result = conductivity(trajectory, {"Mg": 2}, "Mg", temperature_K=800, reference="framework")
    for value, D_cm2_s in (
        (result.nernst_einstein_raw, result.charge.tracer_D_raw_cm2_s),
        (result.full_raw, result.charge.D_raw_cm2_s),
    ):
        S_per_m = n_per_m3 * charge_C**2 * (D_cm2_s * 1e-4) / (1.380649e-23 * 800)
        assert value.S_cm == pytest.approx(S_per_m / 100, rel=1e-12)
        assert value.mS_cm == pytest.approx(10 * S_per_m, rel=1e-12)
    assert result.nernst_einstein_raw.S_cm == pytest.approx(3.227, rel=0.05)  # D = 0.3 A^2/ps
    relative = result.charge.D_stderr_cm2_s / result.charge.D_raw_cm2_s
    assert result.full_raw.stderr_S_cm == pytest.approx(relative * result.full_raw.S_cm)
    low, high = result.full_raw.interval68_S_cm
    assert low < result.full_raw.S_cm < high
    assert result.is_diffusive
    assert result.full is result.full_raw
    assert json.loads(json.dumps(result.to_dict()))["full"]["mS_cm"] == result.full_raw.mS_cm
    assert mlmd.conductivity is conductivity


def test_conductivity_takes_recorded_temperatures_and_mean_volume():
    positions = np.concatenate([walk(6, 300, 8, 0.3 * np.eye(3)), np.zeros((300, 2, 3))], axis=1)
    edges = np.linspace(11, 13, 300)
    cells = np.eye(3) * edges[:, None, None]
    time_fs = np.arange(300) * 100.0
    numbers = np.array([3] * 8 + [16] * 2)
    warm = Trajectory(positions, cells, numbers, time_fs, temperatures_K=np.full(300, 750.0))
    result = conductivity(warm, {"Li": 1}, "Li", reference="framework")
    assert result.temperature_K == 750.0
    assert result.volume_A3 == pytest.approx((edges**3).mean())
    with pytest.raises(InputError, match="give temperature_K"):
        conductivity(make(positions, [3] * 8 + [16] * 2), {"Li": 1}, "Li", reference="framework")
    with pytest.raises(InputError, match="temperature_K is -3"):
        conductivity_factor(1.0, 1.0, -3.0)


def test_finite_size_correction_by_hand():
    # Yeh and Hummer's water: eta = 0.32 mPa s, L = 18.6 A, 298 K. SI throughout.
    shift_m2_s = 2.837297 * 1.380649e-23 * 298 / (6 * math.pi * 0.32e-3 * 18.6e-10)
    result = finite_size_correction(
        4.9e-5,
        np.eye(3) * 18.6,
        temperature_K=298,
        viscosity_Pa_s=0.32e-3,
        D_stderr_cm2_s=1e-6,
        viscosity_stderr_Pa_s=0.032e-3,
    )
    assert result.correction_cm2_s == pytest.approx(shift_m2_s * 1e4, rel=1e-9)
    assert result.correction_cm2_s == pytest.approx(1.04e-5, rel=0.01)
    assert result.D_cm2_s == 4.9e-5
    assert result.D_infinite_cm2_s == pytest.approx(4.9e-5 + shift_m2_s * 1e4)
    assert result.D_infinite_stderr_cm2_s == pytest.approx(math.hypot(1e-6, 1.04e-6), rel=0.01)


def test_finite_size_correction_makes_two_sizes_agree():
    # Of two cells the correction removes the 1/L between them, rotated or not.
    eta, T, D_infinite = 1e-3, 900.0, 6e-5
    for edge in (10.0, 20.0):
        shift = 2.837297 * 1.380649e-23 * T / (6 * math.pi * eta * edge * 1e-10) * 1e4
        result = finite_size_correction(
            D_infinite - shift, edge * rotation(), temperature_K=T, viscosity_Pa_s=eta
        )
        assert result.D_infinite_cm2_s == pytest.approx(D_infinite, rel=1e-9)


@pytest.mark.parametrize(
    ("cell", "settings", "message"),
    [
        (np.diag([10, 10, 11]), {}, "10 x 10 x 11 A .*cubic"),
        (np.array([[10, 0, 0], [1, 9.95, 0], [0, 0, 10]]), {}, "cubic"),
        (np.zeros((3, 3)), {}, "cubic"),
        (np.eye(3), {"viscosity_Pa_s": 0.0}, "viscosity_Pa_s is 0.0"),
        (np.eye(3), {"temperature_K": math.nan}, "temperature_K is nan"),
        (np.eye(3), {"viscosity_stderr_Pa_s": -1.0}, "expected 0 or more"),
        (np.eye(2), {}, "shape"),
    ],
)
def test_finite_size_of_bad_input(cell, settings, message):
    with pytest.raises(InputError, match=message):
        finite_size_correction(
            1e-5, cell, **{"temperature_K": 300.0, "viscosity_Pa_s": 1e-3, **settings}
        )
