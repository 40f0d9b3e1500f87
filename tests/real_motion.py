"""Real correlated motion in seconds: Lennard-Jones liquids, ordinary and supercooled.

What it makes is deterministic for a seed on one machine, and chaotic: another processor gives
another trajectory of the same liquid. Tests look at many.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mlmd import Trajectory

KB_EV_K = 8.617333262e-5
EPSILON_EV, SIGMA_A, MASS_U = 0.08, 3.0, 20.0
EV_A3_GPA = 160.21766208
UNIT_PS = SIGMA_A * np.sqrt(MASS_U / (EPSILON_EV * 9.648533212e-3)) / 1000.0
"""The Lennard-Jones unit of time, 0.48 ps."""

HAS_COMPILER = shutil.which("cc") is not None


@cache
def _library() -> ctypes.CDLL:
    """Compile the dynamics, once for each machine and source."""
    source = Path(__file__).with_name("real_motion.c")
    key = hashlib.sha256(source.read_bytes() + b"2").hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"mlmd-real-motion-{os.getuid()}-{key}"
    library = folder / "real_motion.so"
    if not library.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        compiled, made = (folder / f"{os.getpid()}.{end}" for end in ("o", "so"))
        flags = ["-O3", "-march=native", "-ffast-math", "-fPIC"]
        subprocess.run(["cc", *flags, "-c", str(source), "-o", str(compiled)], check=True)
        # Linked without -ffast-math, which would switch off subnormal numbers in all of Python.
        subprocess.run(["cc", "-shared", str(compiled), "-o", str(made), "-lm"], check=True)
        made.rename(library)
        compiled.unlink()
    loaded = ctypes.CDLL(str(library))
    loaded.energy_and_forces.restype = ctypes.c_double
    return loaded


def _pointer(array: np.ndarray[Any, Any] | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if array is None else array.ctypes.data)


@dataclass
class Liquid:
    """Atoms in a cubic cell, at rest at random sites of a lattice to begin with.

    Attributes
    ----------
    numbers : (species,)
        How many of each, and ``symbols`` what they are called.
    edge_A
        Of the cell.
    epsilon, sigma : (species, species)
        In units of ``EPSILON_EV`` and ``SIGMA_A``.
    masses : (species,)
        In units of ``MASS_U``.
    reach
        Cutoff in sigma, at most half the cell.
    """

    numbers: tuple[int, ...]
    edge_A: float
    symbols: tuple[str, ...] = ("Na", "Li")
    epsilon: Any = ((1.0,),)
    sigma: Any = ((1.0,),)
    masses: tuple[float, ...] = (1.0, 1.0)
    reach: float = 2.5
    seed: int = 0
    positions: np.ndarray[Any, Any] = field(init=False)
    velocities: np.ndarray[Any, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        n = self.n
        cells = int(np.ceil((n / 4) ** (1 / 3)))
        base = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
        corners = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), -1).reshape(
            -1, 1, 3
        )
        sites = ((corners + base) / cells).reshape(-1, 3)
        chosen = self.rng.choice(len(sites), n, replace=False)
        self.positions = np.ascontiguousarray(sites[chosen].T * self.edge_A)
        self.velocities = np.zeros((3, n))

    @property
    def n(self) -> int:
        return sum(self.numbers)

    @property
    def mass_u(self) -> np.ndarray[Any, Any]:
        return np.repeat(np.array(self.masses[: len(self.numbers)]) * MASS_U, self.numbers)

    def draw(self, temperature: float) -> None:
        """Draw velocities of a reduced temperature, the centre of mass at rest."""
        mass = self.mass_u
        speed = np.sqrt(temperature * EPSILON_EV * 9.648533212e-3 / mass)
        self.velocities = self.rng.normal(size=(3, self.n)) * speed
        self.velocities -= (self.velocities @ mass / mass.sum())[:, None]

    def parameters(self) -> tuple[Any, ...]:
        """Return what the forces are made of, as arrays that must be kept while they are used."""
        first = np.concatenate([[0], np.cumsum(self.numbers)]).astype(np.int32)
        kinds = len(self.numbers)
        epsilon = np.ascontiguousarray(np.array(self.epsilon, float)[:kinds, :kinds]) * EPSILON_EV
        sigma = np.ascontiguousarray(np.array(self.sigma, float)[:kinds, :kinds]) * SIGMA_A
        return kinds, first, epsilon, sigma, np.minimum(self.reach * sigma, self.edge_A / 2.0)

    def move(
        self,
        temperature: float,
        duration_ps: float,
        *,
        every_fs: float = 0.0,
        step_fs: float = 2.0,
        tau_fs: float = 100.0,
        keep_positions: bool = True,
    ) -> tuple[np.ndarray[Any, Any] | None, dict[str, np.ndarray[Any, Any]]]:
        """Go on for a time; positions (frames, n, 3), energies in eV, pressures in GPa."""
        kinds, first, epsilon, sigma, cutoff = self.parameters()
        steps = round(duration_ps * 1000.0 / step_fs)
        every = max(1, round(every_fs / step_fs)) if every_fs else max(1, steps)
        count = steps // every + 1
        normal = self.rng.normal(size=max(steps, 1))
        chi2 = self.rng.chisquare(3 * self.n - 4, size=max(steps, 1))
        frames = np.empty((count, self.n, 3), np.float32) if keep_positions and every_fs else None
        energies, kinetic, virials = (np.empty(count) for _ in range(3))
        mass = np.ascontiguousarray(self.mass_u)
        real, whole = ctypes.c_double, ctypes.c_long
        _library().run(
            self.n, real(self.edge_A), kinds, *map(_pointer, (first, epsilon, sigma, cutoff, mass)),
            _pointer(self.positions), _pointer(self.velocities), real(temperature * EPSILON_EV),
            real(step_fs), real(tau_fs), whole(steps), whole(every),
            *map(_pointer, (normal, chi2, frames, energies, kinetic, virials)),
        )  # fmt: skip
        pressure = (self.n * temperature * EPSILON_EV + virials / 3.0) / self.edge_A**3 * EV_A3_GPA
        return frames, {"energy_eV": energies, "kinetic_eV": kinetic, "pressure_GPa": pressure}

    def trajectory(
        self, temperature: float, duration_ps: float, every_fs: float, **more: Any
    ) -> Trajectory:
        """Go on for a time, and return the motion."""
        frames, _ = self.move(temperature, duration_ps, every_fs=every_fs, **more)
        assert frames is not None
        return as_trajectory(frames, self, every_fs)

    def forces(
        self, positions_A: np.ndarray[Any, Any]
    ) -> tuple[float, np.ndarray[Any, Any], float]:
        """Return energy (eV), forces (n, 3) and virial (eV) at given positions (n, 3)."""
        kinds, first, epsilon, sigma, cutoff = self.parameters()
        at = np.ascontiguousarray(positions_A.T)
        force, virial = np.empty((3, self.n)), np.empty(1)
        energy = _library().energy_and_forces(
            self.n, ctypes.c_double(self.edge_A), kinds,
            *map(_pointer, (first, epsilon, sigma, cutoff, at, force, virial)),
        )  # fmt: skip
        return float(energy), force.T.copy(), float(virial[0])


def as_trajectory(frames: np.ndarray[Any, Any], liquid: Liquid, every_fs: float) -> Trajectory:
    """Return frames as a trajectory of that liquid."""
    from ase.data import atomic_numbers

    kinds = [atomic_numbers[symbol] for symbol in liquid.symbols]
    return Trajectory(
        frames,
        np.eye(3) * liquid.edge_A,
        np.repeat(kinds[: len(liquid.numbers)], liquid.numbers),
        np.arange(len(frames)) * every_fs,
        masses_u=liquid.mass_u,
        source="real motion",
    )


def ordinary_liquid(
    seed: int, density: float = 0.8, temperature: float = 1.0, n: int = 100
) -> Liquid:
    """Equilibrated liquid of one species; density and temperature in reduced units."""
    liquid = Liquid((n,), (n / density) ** (1 / 3) * SIGMA_A, seed=seed)
    liquid.draw(4 * temperature)
    liquid.move(4 * temperature, 3.0)
    liquid.move(temperature, 10.0)
    return liquid


def kob_andersen(
    seed: int,
    temperature: float,
    n: int = 100,
    *,
    equilibration_ps: float = 450.0,
    masses: tuple[float, float] = (1.0, 1.0),
) -> Liquid:
    """Supercooled liquid of 80 % large and 20 % small atoms (Kob and Andersen 1995)."""
    large = round(0.8 * n)
    liquid = Liquid(
        (large, n - large),
        (n / 1.2) ** (1 / 3) * SIGMA_A,
        epsilon=((1.0, 1.5), (1.5, 0.5)),
        sigma=((1.0, 0.8), (0.8, 0.88)),
        masses=masses,
        seed=seed,
    )
    liquid.draw(3.0)
    liquid.move(3.0, 10.0, step_fs=1.0)
    for hot in (1.5, 1.0, 0.8, 0.7):
        liquid.move(max(hot, temperature), 50.0)
    liquid.move(temperature, equilibration_ps)
    return liquid
