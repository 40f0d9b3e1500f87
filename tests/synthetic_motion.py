"""Motion whose diffusivity is known: for tests and for the calibration plot."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from mlmd.trajectory.trajectory import Trajectory

JUMP_A = 3.0
STEP_A, EDGE_A = 0.35, 12.0
UNDER_PRESSURE_D_CM2_S = STEP_A**2 / 2.0 / 0.1 * 1e-4  # one step in 0.1 ps
CELL_MOTIONS = ("still", "breathes", "fluctuates", "each edge by itself", "is pressed together")


def trajectory_of(positions: np.ndarray, interval_fs: float = 100.0, number: int = 3) -> Trajectory:
    frames, atoms = positions.shape[:2]
    times = np.arange(frames) * interval_fs
    return Trajectory(positions, np.eye(3) * 50, np.full(atoms, number), times)


def walk(rng, frames: int, atoms: int, *, noise: float = 0.0) -> np.ndarray:
    """Free walkers with D = 1/2 (unit of length)^2 for each frame, and white noise on top."""
    positions = np.cumsum(rng.normal(0, 1, (frames, atoms, 3)), axis=0)
    return positions + rng.normal(0, noise, positions.shape) if noise else positions


def vibration(rng, frames: int, atoms: int, interval_ps: float, *, width_A=0.5, memory_ps=0.3):
    """Damped motion about a site, as an Ornstein-Uhlenbeck process."""
    kept = np.exp(-interval_ps / memory_ps)
    kicks = rng.normal(0, width_A * np.sqrt(1 - kept**2), (frames, atoms, 3))
    kicks[0] = rng.normal(0, width_A, (atoms, 3))
    return lfilter([1.0], [1.0, -kept], kicks, axis=0)


def caged_hopping(rng, frames: int, atoms: int, rate_per_ps: float, interval_ps: float = 0.1):
    """Vibration and jumps of 3 A along the axes; D = rate * 9 / 6 A2/ps."""
    axes = np.eye(3)[rng.integers(0, 3, (frames, atoms))]
    jumps = axes * rng.choice([-JUMP_A, JUMP_A], (frames, atoms, 1))
    jumps *= rng.random((frames, atoms, 1)) < rate_per_ps * interval_ps
    return vibration(rng, frames, atoms, interval_ps) + np.cumsum(jumps, axis=0)


def in_groups(rng, frames: int, atoms: int, size: int) -> np.ndarray:
    """Free walkers that move rigidly in groups."""
    steps = rng.normal(0, 1, (frames, atoms // size, 3))
    return np.cumsum(np.repeat(steps, size, axis=1), axis=0)


def lattice_gas(rng, frames: int, side: int, occupancy: float, width_A: float = 0.3) -> np.ndarray:
    """Atoms that jump 3 A on a periodic cubic lattice, each tries once a frame, never onto another.

    A moved atom finds its old site empty: jumps are correlated in time, and between atoms.
    """
    atoms = round(occupancy * side**3)
    site = rng.permutation(side**3)[:atoms]
    full = np.zeros(side**3, bool)
    full[site] = True
    cell = np.stack(np.unravel_index(site, (side,) * 3), axis=1)
    unwrapped, out = cell.astype(float), np.empty((frames, atoms, 3))
    steps = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    for frame in range(frames):
        order = rng.permutation(atoms)
        step = steps[rng.integers(0, 6, atoms)]
        new = (cell[order] + step) % side
        target = (new[:, 0] * side + new[:, 1]) * side + new[:, 2]
        first = np.zeros(atoms, bool)
        first[np.unique(target, return_index=True)[1]] = True
        moves = first & ~full[target]
        moved = order[moves]
        full[site[moved]], full[target[moves]] = False, True
        site[moved], cell[moved] = target[moves], new[moves]
        unwrapped[moved] += step[moves]
        out[frame] = unwrapped
    return JUMP_A * out + rng.normal(0, width_A, out.shape)


def cells_of(kind: str, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Cells under a barostat; 1 to 2 % as in small cells of liquids."""
    time = np.arange(frames)[:, None]
    noise = rng.normal(0.0, 1.0, (frames, 3))
    kept = np.exp(-1.0 / 30.0)
    for frame in range(1, frames):
        noise[frame] = kept * noise[frame - 1] + np.sqrt(1.0 - kept**2) * noise[frame]
    strain = {
        "still": np.zeros((frames, 3)),
        "breathes": 0.014 * np.sin(2.0 * np.pi * time / 20.0 + rng.uniform(0.0, 6.0)) * np.ones(3),
        "fluctuates": 0.02 * noise[:, :1] * np.ones(3),
        "each edge by itself": 0.02 * noise,
        "is pressed together": -0.2 * time / frames * np.ones(3),
    }[kind]
    return EDGE_A * (1.0 + strain)[:, :, None] * np.eye(3)


def under_pressure(kind: str, seed: int, frames: int = 1500, ions: int = 20) -> Trajectory:
    """Ions that diffuse with a known D in a vibrating framework, in a cell that moves."""
    rng = np.random.default_rng(seed)
    cells = cells_of(kind, frames, rng)
    steps = rng.normal(0.0, STEP_A, (frames, ions, 3))
    steps[0] = rng.uniform(0.0, EDGE_A, (ions, 3))
    vibrations = rng.normal(0.0, 0.15, (frames, ions, 3))
    inverse = np.linalg.inv(cells)
    mobile = np.cumsum(steps @ inverse, axis=0)
    framework = rng.uniform(0.0, 1.0, (ions, 3)) + vibrations @ inverse
    positions = np.concatenate([mobile, framework], axis=1) @ cells
    numbers = np.repeat([3, 8], ions)
    return Trajectory(positions, cells, numbers, 100.0 * np.arange(frames))
