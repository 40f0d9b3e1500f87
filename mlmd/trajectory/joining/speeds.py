"""Whether atoms move faster than heat moves them: then the time between frames is wrong.

In equilibrium the mean squared displacement within a time t is at most that of free flight,
<|r(t) - r(0)|^2> <= 3 kB T / m t^2, since no velocity is correlated more than with itself
(Hansen and McDonald, Theory of Simple Liquids, 4th ed., section 7.2). Turned round, a displacement
and a time tell the lowest temperature that goes with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from mlmd.findings import Finding
from mlmd.trajectory.joining.motion import image_steps

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.frame_block import FrameBlock

# Everything has boiled, and dynamics of condensed matter ends: what moves like that was most
# likely given a wrong time. Plasmas are simulated at up to some 1e5 K.
HOT_K, IMPOSSIBLE_K = 2e4, 2e5
# Steps of the first block, and of a trajectory that is at hand; then one of some blocks.
SAMPLES = 16
BLOCKS_APART = 4
CODE = "faster_than_thermal"


@dataclass(frozen=True)
class Fastest:
    """The species that needs the highest temperature.

    Attributes
    ----------
    species : str
        Chemical symbol.
    moved_A, interval_fs : float
        Root mean square of its steps, and the time between frames.
    temperature_K : float
        At which free flight takes it that far.
    n_atoms : int
        How many there are.
    """

    species: str
    moved_A: float
    interval_fs: float
    temperature_K: float
    n_atoms: int

    def __str__(self) -> str:
        """Say it."""
        return (
            f"{self.species} moves by {self.moved_A:.3g} A (rms) in the {self.interval_fs:g} fs "
            f"between two frames, for which it takes {self.temperature_K:.3g} K "
            "(3 kB T / m = (displacement / time)^2)"
        )

    @property
    def numbers(self) -> dict[str, float | None]:
        """The same as numbers."""
        return {
            "moved_A": self.moved_A,
            "frame_interval_fs": self.interval_fs,
            "temperature_K": self.temperature_K,
        }


WRONG_TIME = (
    "is that the MD step, and are frames several steps apart? Give the time between frames of the "
    "file (--frame-interval-fs, frame_interval_fs=)"
)


class Speeds:
    """Looks at a few steps of a trajectory as its frames come."""

    def __init__(self) -> None:
        self._last: FrameBlock | None = None
        self._n = 0
        self._n_blocks = 0
        self._species: list[IntArray] = []
        self._numbers: IntArray = np.empty(0, dtype=int)
        self._masses_u: FloatArray | None = None
        self._frames: list[int] = []
        self._squares: list[list[float]] = []

    def add(self, block: FrameBlock) -> None:
        """Take note of the next frames."""
        if self._n == 0:
            self._numbers, self._masses_u = block.numbers, block.masses_u
            self._species = [
                np.flatnonzero(block.numbers == one) for one in np.unique(block.numbers)
            ]
        self._n_blocks += 1
        if self._n == 0 or self._n_blocks % BLOCKS_APART == 0:
            self._look(block)
        self._last = block
        self._n += len(block)

    def _look(self, block: FrameBlock) -> None:
        if len(block) > 1:
            n = SAMPLES if self._n == 0 else 1
            for i in np.unique(np.linspace(0, len(block) - 2, n).astype(int)):
                self._sample(block.positions_A[i : i + 2], block.cell_A[i : i + 2], block, int(i))
        elif self._last is not None:
            places = np.concatenate([self._last.positions_A[-1:], block.positions_A])
            cells = np.concatenate([self._last.cell_A[-1:], block.cell_A])
            self._sample(places, cells, block, -1)

    def _sample(self, places: FloatArray, cells: FloatArray, block: FrameBlock, i: int) -> None:
        squares = (image_steps(places, cells, block.pbc)[0] ** 2).sum(axis=1)
        self._frames.append(self._n + i)
        self._squares.append([float(squares[atoms].mean()) for atoms in self._species])

    def fastest(self, times_fs: FloatArray) -> Fastest | None:
        """Return the species that needs the highest temperature, with the times of all frames."""
        if not self._frames:
            return None
        frames = np.array(self._frames)
        apart_fs = times_fs[frames + 1] - times_fs[frames]
        return fastest_of(np.array(self._squares), apart_fs, self._numbers, self._masses_u)


def fastest_of(
    squares_A2: FloatArray, apart_fs: FloatArray, numbers: IntArray, masses_u: FloatArray | None
) -> Fastest | None:
    """Return the species that needs the highest temperature for its steps.

    The median over steps is taken: what heats up or is cooled down is not judged by that.

    Parameters
    ----------
    squares_A2 : (steps, species)
        Mean squared step of each species, in the order of their atomic numbers.
    apart_fs : (steps,)
        Time that each takes.
    numbers, masses_u : (atoms,)
        Atomic numbers and masses; the natural ones where not given.
    """
    from ase.data import atomic_masses, chemical_symbols

    grows = apart_fs > 0
    if not grows.any():
        return None
    found = []
    for i, number in enumerate(np.unique(numbers)):
        atoms = numbers == number
        mass_u = float((atomic_masses[numbers] if masses_u is None else masses_u)[atoms].mean())
        per_fs2 = squares_A2[grows, i] / apart_fs[grows] ** 2
        kelvin = mass_u * float(np.median(per_fs2)) / units.fs**2 / (3.0 * units.kB)
        moved_A = float(np.sqrt(np.median(squares_A2[grows, i])))
        found.append(
            Fastest(
                chemical_symbols[number],
                moved_A,
                float(np.median(apart_fs[grows])),
                kelvin,
                int(atoms.sum()),
            )
        )
    return max(found, key=lambda one: one.temperature_K)


def doubt_speed(source: str, fastest: Fastest | None, refuse: bool) -> list[Finding]:
    """Return what there is to say where the temperature is not known.

    An ``invalid`` one is refused where motion is measured: where the user gave the times, so that
    others can be given, and did not accept it.
    """
    if fastest is None or not fastest.temperature_K > HOT_K:
        return []
    text = f"{source}: {fastest}"
    if not refuse:
        return [Finding(CODE, "doubt", f"{text}: are these its times?", fastest.numbers)]
    if fastest.temperature_K <= IMPOSSIBLE_K:
        return [Finding(CODE, "doubt", f"{text}: {WRONG_TIME}", fastest.numbers)]
    text += f": {WRONG_TIME}, or accept it with --long-steps warn (long_steps='warn')"
    return [Finding(CODE, "invalid", text, fastest.numbers)]
