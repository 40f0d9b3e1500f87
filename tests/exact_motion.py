"""Motion of Lennard-Jones atoms that is the same, bit for bit, on every processor.

Motion is chaotic: kernels that differ in the last bit make another trajectory of it within a
picosecond, and with it another verdict where a verdict is near its limit. Here positions are whole
numbers, and so are the increments by which each pair of atoms moves them: below 2^53 their sums are
exact in double precision, whatever their order. What is computed between is elementary operations
of single elements (products, quotients, roots), which IEEE 754 rounds in one way only. The
integrator is the bit-reversible one of Levesque and Verlet, J. Stat. Phys. 72, 519 (1993),
doi:10.1007/BF01048022.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from ase import units
from ase.data import atomic_masses, atomic_numbers

from mlmd import Trajectory

SIGMA_A, EPSILON_EV = 3.4, 0.0104
GRAIN_A = 2.0**-36
"""Unit of the positions, 1.5e-11 angstrom: a box of 15 A is 1e12 of them."""
TIMESTEP_FS, EVERY = 5.0, 4


@cache
def argon_motion(
    seed: int,
    temperature_K: float = 110.0,
    *,
    n_frames: int = 1000,
    mass_factor: float = 1.0,
    sigma_A: float = SIGMA_A,
    volume_per_atom_A3: float = 50.0,
    n_cells: int = 4,
) -> Trajectory:
    """Liquid argon at constant energy, n_cells^3 atoms, a frame every 20 fs.

    Velocities are scaled to the temperature while it melts. Heavier atoms go with a time step as
    much longer as they are slower.
    """
    n = n_cells**3
    box_A = (n * volume_per_atom_A3) ** (1.0 / 3.0)
    box = float(round(box_A / GRAIN_A / n_cells) * n_cells)
    grid = np.stack(np.meshgrid(*[np.arange(n_cells)] * 3, indexing="ij"), -1).reshape(-1, 3)
    now = grid * (box / n_cells)
    mass_u = float(atomic_masses[atomic_numbers["Ar"]]) * mass_factor
    timestep = TIMESTEP_FS * units.fs * float(np.sqrt(mass_factor))
    # A step in grains: thermal, and rounded so coarsely that no last bit of a logarithm shows.
    thermal = float(np.sqrt(units.kB * temperature_K / mass_u)) * timestep / GRAIN_A
    drawn = np.random.default_rng(seed).standard_normal((n, 3))
    step = _at_rest(np.rint(np.rint(drawn * 2.0**16) * (thermal * 2.0**-16)))
    factor = timestep**2 / mass_u / GRAIN_A
    frames = []
    melting = 800
    for number in range(melting + n_frames * EVERY):
        step = step + _increments(now, box, factor, sigma_A)
        if number < melting and number % 20 == 0:
            step = _scaled(step, thermal)
        now = now + step
        if number >= melting and (number - melting) % EVERY == 0:
            frames.append(now)
    return Trajectory(
        positions_A=np.array(frames) * GRAIN_A,
        cell_A=np.eye(3) * (box * GRAIN_A),
        numbers=np.full(n, 18),
        time_fs=np.arange(n_frames) * (EVERY * timestep / units.fs),
        masses_u=np.full(n, mass_u),
        source=f"argon, seed {seed}",
    )


def _increments(positions: np.ndarray, box: float, factor: float, sigma_A: float) -> np.ndarray:
    """Change of each atom's step by the forces, in whole grains: f dt^2 / m, pair by pair."""
    cutoff_A = 0.5 * box * GRAIN_A
    x = positions.T
    apart = x[:, :, None] - x[:, None, :]
    apart -= box * np.rint(apart * (1.0 / box))  # the nearest image, exactly
    d_A = apart * GRAIN_A
    squared = d_A[0] * d_A[0] + d_A[1] * d_A[1] + d_A[2] * d_A[2]
    np.fill_diagonal(squared, np.inf)
    inverse = sigma_A * sigma_A / squared
    six = inverse * inverse * inverse
    strength = (24.0 * EPSILON_EV * factor) * (2.0 * six * six - six) / squared
    strength[squared >= cutoff_A * cutoff_A] = 0.0
    return np.rint(strength * d_A).sum(axis=2).T


def _scaled(step: np.ndarray, thermal: float) -> np.ndarray:
    """Scale to the temperature; the squares are those of small whole numbers, their sum exact."""
    coarse = np.rint(step * 2.0**-16)
    mean = float((coarse * coarse).sum()) / (3 * len(step) - 3)
    return _at_rest(np.rint(step * ((thermal * 2.0**-16) / float(np.sqrt(mean)))))


def _at_rest(step: np.ndarray) -> np.ndarray:
    return step - np.rint(step.sum(axis=0) / len(step))
