"""Framework atoms that leave their sites for good: melting, and what comes before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.analysis.checks import cells_of_distances_A
from mlmd.errors import InputError
from mlmd.periodic.neighbourhood import Neighbourhood
from mlmd.plain import plain_fields

if TYPE_CHECKING:
    from mlmd.analysis.events.coarse import CoarsePath
    from mlmd.arrays import BoolArray, FloatArray, IntArray
    from mlmd.trajectory.trajectory import Trajectory


FRACTION = 0.5
"""Of the distance to the nearest other framework site, beyond which an atom has left its site."""

_PERSIST = 5  # windows in a row that make an absence more than a large vibration
_FIRST = 3  # windows that define the sites
_CLOSEST_A = 0.4  # half of a bond in H2


@dataclass(frozen=True, eq=False)
class FrameworkMotion:
    """Which atoms of the framework left their sites, and since when.

    A polyanion that rotates is among them, too: its displacements stay within its own diameter,
    those of a melt grow.

    Attributes
    ----------
    left : (n,)
        Indices of the atoms that left, in the order of ``since_ps``.
    since_ps : (n,)
        When each of them left, from the first frame.
    displacement_A : (n,)
        How far each is from its site at the end.
    by_species : mapping of str to (int, int)
        Number that left, and of all, by chemical symbol.
    n_framework : int
        Atoms of the framework.
    threshold_A : float
        Smallest distance from a site that counts, over the atoms: ``FRACTION`` of their distance
        to the nearest other site.
    persist_ps : float
        How long an atom has to stay away.
    """

    left: IntArray
    since_ps: FloatArray
    displacement_A: FloatArray
    by_species: dict[str, tuple[int, int]]
    n_framework: int
    threshold_A: float
    persist_ps: float

    @property
    def is_found(self) -> bool:
        """Whether any atom left its site."""
        return len(self.left) > 0

    @property
    def start_ps(self) -> float | None:
        """When the first atom left."""
        return float(self.since_ps[0]) if self.is_found else None

    @property
    def half_ps(self) -> float | None:
        """When half of those that left had left."""
        return float(np.median(self.since_ps)) if self.is_found else None

    @property
    def is_melt(self) -> bool:
        """Whether at least half of the framework left its sites."""
        return 2 * len(self.left) >= self.n_framework

    @property
    def reason(self) -> str:
        """What was found, in words."""
        if not self.is_found:
            return f"all {self.n_framework} framework atoms stay at their sites"
        counts = ", ".join(f"{n} of {of} {s}" for s, (n, of) in self.by_species.items() if n)
        word = "the framework melts" if self.is_melt else "framework atoms leave their sites"
        return (
            f"{word}: {counts}, from {self.start_ps:.3g} ps on (half of them by "
            f"{self.half_ps:.3g} ps), up to {self.displacement_A.max():.2g} A away at the end"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain types for JSON."""
        return {
            "is_found": self.is_found,
            "is_melt": self.is_melt,
            "reason": self.reason,
            "start_ps": self.start_ps,
            "half_ps": self.half_ps,
            **plain_fields(self),
        }


def framework_motion(
    trajectory: Trajectory, path: CoarsePath, framework: IntArray
) -> FrameworkMotion:
    """Find the framework atoms that leave their sites and stay away.

    The sites are the mean positions at the start of the run. An atom has left when its mean
    position over a window is further from its site than half of the distance to the nearest other
    framework site for at least five windows in a row (a twentieth of the run): vibration, however
    large, averages out within a window. It is dated back to the end of the window in which it was
    last within half of that distance.

    Parameters
    ----------
    trajectory
        Cell and species.
    path
        Of the same trajectory, with the framework's centre at rest.
    framework
        Indices of the framework atoms.

    Raises
    ------
    InputError
        If framework atoms overlap, or there is no cell.
    """
    sites = path.positions_A[:_FIRST].mean(axis=0)
    threshold = FRACTION * _nearest_A(trajectory, sites, framework)
    away = np.linalg.norm(path.positions_A[:, framework] - sites[framework], axis=2)
    left, since = [], []
    for number, atom in enumerate(framework):
        start = _first_run(away[:, number] > threshold[number])
        if start is None:
            continue
        near = np.flatnonzero(away[:start, number] < threshold[number] / 2.0)
        ended = path.time_ps[near[-1]] + path.window_ps / 2.0 if near.size else 0.0
        left.append((ended, atom, number))
    left.sort()
    since = [time for time, _, _ in left]
    numbers = np.array([number for _, _, number in left], dtype=int)
    atoms = np.array([atom for _, atom, _ in left], dtype=int)
    symbols = np.array(trajectory.symbols)
    species = dict.fromkeys(symbols[framework].tolist())
    return FrameworkMotion(
        left=atoms,
        since_ps=np.array(since, dtype=float),
        displacement_A=away[-1, numbers],
        by_species={
            s: (int((symbols[atoms] == s).sum()), int((symbols[framework] == s).sum()))
            for s in species
        },
        n_framework=len(framework),
        threshold_A=float(threshold.min()),
        persist_ps=_PERSIST * path.window_ps,
    )


def _first_run(outside: BoolArray) -> int | None:
    """Return the first index of the first long enough run of True."""
    length = 0
    for index, value in enumerate(outside):
        length = length + 1 if value else 0
        if length == _PERSIST:
            return index - _PERSIST + 1
    return None


def _nearest_A(trajectory: Trajectory, sites: FloatArray, framework: IntArray) -> FloatArray:
    """Distance from each framework site to the nearest other one, with periodic images."""
    cell = cells_of_distances_A(trajectory)
    cell = cell if cell.ndim == 2 else cell.mean(axis=0)
    around = Neighbourhood(sites[framework], cell)
    everyone = np.ones(len(framework), dtype=bool)
    pairs = around.pairs_beyond_nearest(0.0, everyone, everyone)
    nearest = pairs.shortest_A(len(framework))
    if nearest.min() < _CLOSEST_A:
        raise InputError(
            f"framework atoms of {trajectory.source} lie {nearest.min():.2g} A apart at the start; "
            "expected positions, of atoms that do not overlap, not displacements"
        )
    return nearest
