"""Energies asked for only where the answer depends on them: the ion's basin as it fills.

Water rises from the place of the ion. A point is asked about when its neighbour is under water, so
that the level at which a way opens is exact though most of the grid is never seen.
"""

from __future__ import annotations

import heapq
from itertools import product
from typing import TYPE_CHECKING

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


def flood(energies: SiteEnergies, start: Place, at_least_eV: float, at_most_eV: float) -> None:
    """Fill the landscape from the start until ways to images are open in three directions.

    Parameters
    ----------
    energies
        Of the ion; asked for what is needed.
    start
        Its minimum.
    at_least_eV
        Above the energy there: rise to this level also where the ways have opened below.
    at_most_eV
        Go on no higher.
    """
    shape = energies.site.shape
    around = _Around(shape)
    first = int(np.ravel_multi_index(start, shape))
    at_start = float(energies.of(np.array([first]))[0])
    wet = np.zeros(energies.site.n_points, dtype=bool)
    reached = wet.copy()
    cell = np.zeros((energies.site.n_points, 3), dtype=int)  # which a point is first reached in
    ways = np.empty((0, 3), dtype=int)
    shore: list[tuple[float, int]] = []
    level, wave = at_start, np.array([first])
    reached[first] = True
    while True:
        while len(wave):
            wet[wave] = True
            points, crossed = around.of(wave)
            cells = cell[wave][:, None] + crossed
            ways = _independent(ways, (cells - cell[points])[wet[points]])
            new, which = np.unique(points[~reached[points]], return_index=True)
            cell[new] = cells[~reached[points]][which]
            reached[new] = True
            values = energies.of(new)
            for value, point in zip(values.tolist(), new.tolist(), strict=True):
                if level < value < np.inf:
                    heapq.heappush(shore, (value, point))
            wave = new[values <= level]
        next_level = shore[0][0] if shore else np.inf
        done = len(ways) == 3 and next_level - at_start >= at_least_eV
        if done or next_level - at_start > at_most_eV:
            return
        level = next_level
        wave = np.array(_taken(shore, level))


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

    def __init__(self, shape: Place) -> None:
        self._shape = np.array(shape)

    def of(self, points: IntArray) -> tuple[IntArray, IntArray]:
        """Return the neighbours (n, 26) of points (n,), and the cells (n, 26, 3) gone across."""
        indices = np.stack(np.unravel_index(points, tuple(self._shape)), axis=-1)
        moved = indices[:, None, :] + _STEPS
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
