"""Energies asked for only where the answer depends on them: the ion's basin as it fills.

Water rises from the place of the ion. A point is asked about when its neighbour is under water, so
that the level at which a way opens is exact though most of the grid is never seen.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mlmd.arrays import BoolArray, IntArray
    from mlmd.screening.landscape.levels import Place
    from mlmd.screening.scan.energies import SiteEnergies

_STEPS = np.array([step for step in product((-1, 0, 1), repeat=3) if any(step)])


def site_minimum(energies: SiteEnergies) -> Place:
    """Return the minimum that the ion rolls down to from where it stands."""
    around = _Around(energies.site.shape)
    here = np.array([0])
    lowest = energies.of(here)[0]
    while True:
        points, _ = around.of(here)
        values = energies.of(points[0])
        best = int(values.argmin())
        if values[best] >= lowest:
            n1, n2, n3 = (int(one[0]) for one in np.unravel_index(here, energies.site.shape))
            return n1, n2, n3
        here, lowest = points[0, best : best + 1], values[best]


class Flood:
    """Water that rises from the place of an ion.

    Parameters
    ----------
    energies
        Of the ion; asked for what is needed.
    start
        Its minimum.
    matrix : (3, 3)
        That takes its grid to the one of the ion that the water rises for, which is turned by
        symmetry: neighbours of a point, and faces of the box of -1...1 cells, are those that it
        has there.

    Attributes
    ----------
    next_eV
        Above the energy at the start: the lowest point of the shore, to which the water rises
        next. Below it everything that can be reached is known. Infinite where there is no shore.
    is_out
        Whether it has come to a face of the box of -1...1 cells around the ion.
    """

    def __init__(self, energies: SiteEnergies, start: Place, matrix: IntArray) -> None:
        shape = energies.site.shape
        self._energies, self._shape, self._matrix = energies, np.array(shape), matrix
        self._around = _Around(shape, _turned(matrix))
        first = int(np.ravel_multi_index(start, shape))
        self._start = np.array(start)
        self._at_start = float(energies.of(np.array([first]))[0])
        self._wet = np.zeros(energies.site.n_points, dtype=bool)
        self._reached = self._wet.copy()
        self._reached[first] = True
        # Which cell a point is first reached in.
        self._cell: IntArray = np.zeros((energies.site.n_points, 3), dtype=int)
        self._ways: IntArray = np.empty((0, 3), dtype=int)
        self._shore = [(self._at_start, first)]
        self.is_out = False
        self.rise()

    @property
    def next_eV(self) -> float:
        """See above."""
        return self._shore[0][0] - self._at_start if self._shore else np.inf

    @property
    def dimensions(self) -> int:
        """Return in how many independent directions it has come to images of itself."""
        return len(self._ways)

    def rise(self) -> None:
        """Rise to the lowest point of the shore, and fill what lies behind it."""
        level = self._shore[0][0]
        wave = np.array(_taken(self._shore, level))
        while len(wave):
            self._wet[wave] = True
            points, crossed = self._around.of(wave)
            cells = self._cell[wave][:, None] + crossed
            again = (cells - self._cell[points])[self._wet[points]]
            self._ways = _independent(self._ways, again)
            self.is_out = self.is_out or self.dimensions > 0 or self._at_face(wave)
            fresh = ~self._reached[points]
            new, which = np.unique(points[fresh], return_index=True)
            self._cell[new] = cells[fresh][which]
            self._reached[new] = True
            values = self._energies.of(new)
            for value, point in zip(values.tolist(), new.tolist(), strict=True):
                if level < value < np.inf:
                    heapq.heappush(self._shore, (value, point))
            wave = new[values <= level]

    def _at_face(self, points: IntArray) -> bool:
        """Tell whether some of the points are a whole cell away from the start along an axis.

        Until the water meets an image of itself, the way to each of its points is the only one.
        """
        places = np.stack(np.unravel_index(points, tuple(self._shape)), axis=1)
        away = places + self._cell[points] * self._shape - self._start
        return bool((np.abs(away @ self._matrix.T) >= self._shape).any())


def distinct(matrices: Iterable[IntArray]) -> list[IntArray]:
    """Return those of some matrices that neighbours or faces are different by."""
    found: dict[tuple[frozenset[Any], frozenset[Any]], IntArray] = {}
    for matrix in matrices:
        faces = frozenset(max(tuple(row), tuple(-row)) for row in matrix)
        found.setdefault((frozenset(map(tuple, _turned(matrix))), faces), matrix)
    return list(found.values())


def _turned(matrix: IntArray) -> IntArray:
    """Return the steps to neighbours that a matrix takes to the 26 steps."""
    steps: IntArray = np.rint(_STEPS @ np.linalg.inv(matrix).T).astype(int)
    return steps


def rise_together(
    floods: Sequence[Flood], at_least_eV: float, at_most_eV: float, dimensions: int
) -> float:
    """Let the water of several ions rise until one is out, always that which stands lowest.

    Parameters
    ----------
    floods
        Of each ion, and of those turned by symmetry.
    at_least_eV
        All rise to this level.
    at_most_eV
        None rises higher.
    dimensions
        In so many directions one has to come to images of itself; 0 if the face of a box is enough.

    Returns
    -------
    float
        The level up to which everything is known of all of them.
    """
    for one in floods:
        while one.next_eV < at_least_eV:
            one.rise()
    while True:
        lowest = min(floods, key=lambda one: one.next_eV)
        out = any(one.is_out and one.dimensions >= dimensions for one in floods)
        if out or lowest.next_eV > at_most_eV:
            return min(lowest.next_eV, at_most_eV)
        lowest.rise()


def _taken(shore: list[tuple[float, int]], level: float) -> list[int]:
    taken = []
    while shore and shore[0][0] <= level:
        taken.append(heapq.heappop(shore)[1])
    return taken


def _independent(ways: IntArray, found: IntArray) -> IntArray:
    """Add those of the translations found that lead in new directions."""
    if len(ways) == 3 or not found.any():
        return ways
    for way in np.unique(found[found.any(axis=1)], axis=0):
        if np.linalg.matrix_rank(np.vstack([ways, way])) > len(ways):
            ways = np.vstack([ways, way])
    return ways


class _Around:
    """The 26 neighbours of points, by flat index."""

    def __init__(self, shape: Place, steps: IntArray = _STEPS) -> None:
        self._shape, self._steps = np.array(shape), steps

    def of(self, points: IntArray) -> tuple[IntArray, IntArray]:
        """Return the neighbours (n, 26) of points (n,), and the cells (n, 26, 3) gone across."""
        indices = np.stack(np.unravel_index(points, tuple(self._shape)), axis=-1)
        moved = indices[:, None, :] + self._steps
        crossed = moved // self._shape
        moved = moved - crossed * self._shape
        flat = np.ravel_multi_index(tuple(np.moveaxis(moved, -1, 0)), tuple(self._shape))
        return np.asarray(flat), crossed


def pockets(energies: SiteEnergies, start: Place, below_eV: float, margin_eV: float) -> IntArray:
    """Find what lies below a level away from the ion, from every other point along each axis.

    Where such a point is below the level its pocket is filled. Where it is less than a margin above
    its neighbours are looked at, and pockets that show up are filled too.

    Returns
    -------
    (points,)
        Flat indices of what the points in the upper half of the margin alone have led to: about
        as much may lie beside those above it.
    """
    shape = energies.site.shape
    around = _Around(shape)
    limit = float(energies.of(np.array([np.ravel_multi_index(start, shape)]))[0]) + below_eV
    axes = np.meshgrid(*(_every_other(n) for n in shape), indexing="ij")
    coarse = np.ravel_multi_index(tuple(axis.ravel() for axis in axes), shape)
    values = energies.of(coarse)
    seen = np.zeros(energies.site.n_points, dtype=bool)
    _fill(energies, around, coarse[values < limit], limit, seen)
    for half in (0.5, 1.0):
        before = seen.copy()
        near = coarse[(values >= limit) & (values < limit + half * margin_eV)]
        beside = np.unique(around.of(near)[0])
        _fill(energies, around, beside[energies.of(beside) < limit], limit, seen)
    found: IntArray = np.flatnonzero(seen & ~before)
    return found


def _every_other(n: int) -> IntArray:
    """Return every other of n points around a circle; the same ones counted the other way."""
    steps = 2 * np.arange(n // 2 if n % 2 == 0 else (n + 5) // 4)
    return np.unique(np.concatenate([steps, -steps]) % n)


def _fill(
    energies: SiteEnergies, around: _Around, wave: IntArray, limit: float, seen: BoolArray
) -> None:
    """Mark all points below a limit that hang together with some."""
    wave = wave[~seen[wave]]
    while len(wave):
        seen[wave] = True
        new = np.unique(around.of(wave)[0])
        new = new[~seen[new]]
        wave = new[energies.of(new) < limit]
