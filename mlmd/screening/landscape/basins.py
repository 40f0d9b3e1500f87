"""Basins of a landscape on a grid and the lowest saddles between them.

Each point drains to the lowest of its 26 neighbours, and so to a local minimum without ever going
up. Whatever is asked about paths of least height between points is then asked about basins, of
which there are few: going from a point to the floor of its basin costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import minimum_filter

from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray

SMALLEST_GRID = 3
"""Points along a periodic axis: with fewer a neighbour is one on both sides."""
HALF_OF_NEIGHBOURS = [d for d in product((-1, 0, 1), repeat=3) if d > (0, 0, 0)]
"""One of each pair of opposite steps to the 26 neighbours."""
_BITS = 62
"""Of a number that a saddle is packed into."""


@dataclass(frozen=True, eq=False)
class Basins:
    """Basins and the lowest saddles between them.

    Attributes
    ----------
    basin : (n1, n2, n3)
        Number of the basin of each point; -1 where there is none (infinite energy).
    n_basins
        How many there are.
    first, second : (saddles,)
        Basins on both sides of a saddle: one and the same for the way into an image of it.
    translation : (saddles, 3)
        Cells from the floor of the first to that of the second over the saddle, against what they
        are in the cell itself; zero on a grid that is not periodic.
    height : (saddles,)
        Energies of the saddles, ascending.
    """

    basin: IntArray
    n_basins: int
    first: IntArray
    second: IntArray
    translation: IntArray
    height: FloatArray


def find_basins(energies: FloatArray, *, periodic: bool) -> Basins:
    """Divide a landscape into basins.

    Parameters
    ----------
    energies : (n1, n2, n3)
        Infinite where nothing may be.
    periodic
        Whether a point on one side of the grid is a neighbour of those on the other.

    Raises
    ------
    InputError
        If there is a NaN, no finite energy, or a periodic grid of fewer than three points along
        an axis.
    """
    _check(energies, periodic)
    shape = energies.shape
    flat = energies.ravel()
    order = np.argsort(flat).astype(np.int32)
    n_finite = int(np.isfinite(flat).sum())
    rank = np.empty(shape, np.int32)  # in place of the energy: no two are equal
    rank.ravel()[order] = np.arange(flat.size, dtype=np.int32)
    mode = "wrap" if periodic else "nearest"
    lowest = minimum_filter(rank, size=3, mode=mode).ravel()
    floor = order[lowest]
    moved = _wraps(floor, shape) if periodic else None
    floor, moved = _drain(floor, moved)
    floors = np.unique(floor[order[:n_finite]])
    number = np.full(flat.size, -1, np.int32)
    number[floors] = np.arange(len(floors), dtype=np.int32)
    basin = number[floor]
    basin[order[n_finite:]] = -1
    edges = _saddles(basin.reshape(shape), rank, moved, len(floors))
    edges = edges[:, np.argsort(edges[-1], kind="stable")]
    return Basins(
        basin=basin.reshape(shape),
        n_basins=len(floors),
        first=edges[0],
        second=edges[1],
        translation=edges[2:5].T,
        height=flat[order[edges[5]]],
    )


def _check(energies: FloatArray, periodic: bool) -> None:
    if np.isnan(energies).any() or not np.isfinite(energies).any():
        raise InputError(
            "the energies on the grid hold no finite number, or one that is none; expected finite "
            "energies, infinite where no ion may be"
        )
    if periodic and min(energies.shape) < SMALLEST_GRID:
        raise InputError(
            f"the grid has {energies.shape} points; expected at least {SMALLEST_GRID} along each "
            "vector of the cell, take a finer grid"
        )


def _wraps(target: IntArray, shape: tuple[int, ...]) -> IntArray:
    """Return the cells (points, 3) that a step from each point to its target goes across."""
    points = np.arange(target.size, dtype=np.int32)
    wraps = np.empty((target.size, 3), np.int32)
    stride = target.size
    for axis, n in enumerate(shape):
        stride //= n
        step = (target // stride) % n - (points // stride) % n
        wraps[:, axis] = (step < -1).astype(np.int32) - (step > 1)
    return wraps


def _drain(target: IntArray, moved: IntArray | None) -> tuple[IntArray, IntArray | None]:
    """Follow the steps of all points down to floors; `moved` sums up the cells gone across."""
    while True:
        farther = target[target]
        if np.array_equal(farther, target):
            return target, moved
        if moved is not None:
            moved = moved + moved[target]
        target = farther


def _saddles(basin: IntArray, rank: IntArray, moved: IntArray | None, n_basins: int) -> IntArray:
    """Return the lowest saddle of each pair of basins and translation: rows of `Basins`, rank."""
    found = [np.empty((6, 0), np.int64)]
    for direction in HALF_OF_NEIGHBOURS:
        here, there = _sides(basin.shape, direction, moved is not None)
        first, second = _taken(basin, here), _taken(basin, there)
        if moved is None:
            apart = first != second
            cells = np.zeros((3, 1), dtype=int)
        else:
            cells = _translation(moved, basin.shape, direction)
            apart = (first != second) | (cells != 0).any(axis=0)
        places = np.nonzero(apart & (first >= 0) & (second >= 0))
        height = np.maximum(_taken(rank, here)[places], _taken(rank, there)[places])
        edges = np.empty((6, len(height)), np.int64)
        edges[0], edges[1], edges[5] = first[places], second[places], height
        edges[2:5] = 0 if moved is None else np.stack([one[places] for one in cells])
        found.append(edges)
    return _lowest(np.concatenate(found, axis=1), n_basins)


def _lowest(edges: IntArray, n_basins: int) -> IntArray:
    """Keep the lowest of the saddles that join the same basins by the same translation.

    All that tells saddles apart is packed into one number, the height last: those are sorted many
    times as fast as rows.
    """
    swapped = edges[0] > edges[1]
    edges[:2, swapped] = edges[1::-1, swapped]
    edges[2:5, swapped] *= -1
    if not edges.shape[1]:
        return edges
    least = edges.min(axis=1)
    sizes = edges.max(axis=1) - least + 1
    if np.log2(sizes.astype(float)).sum() > _BITS:
        raise InputError(
            f"the grid has {n_basins} minima, more than can be told apart; expected fewer points, "
            "or a smoother landscape"
        )
    packed = np.zeros(edges.shape[1], np.int64)
    for row, low, size in zip(edges, least, sizes, strict=True):
        packed = packed * size + (row - low)
    packed.sort()
    pair = packed // sizes[-1]
    packed = packed[np.append(True, pair[1:] != pair[:-1])]
    lowest = np.empty((len(edges), len(packed)), np.int64)
    for i in reversed(range(len(edges))):
        packed, lowest[i] = np.divmod(packed, sizes[i])
    lowest += least[:, None]
    return lowest


def _sides(shape: tuple[int, ...], direction: tuple[int, ...], periodic: bool) -> tuple[Any, Any]:
    """Return the places of all points that have a neighbour in a direction, and of that."""
    if periodic:
        there = [np.roll(np.arange(n), -d) for n, d in zip(shape, direction, strict=True)]
        return (slice(None),) * 3, tuple(np.ix_(*there))
    pairs = {1: (slice(None, -1), slice(1, None)), -1: (slice(1, None), slice(None, -1))}
    both = [pairs.get(d, (slice(None), slice(None))) for d in direction]
    return tuple(one for one, _ in both), tuple(other for _, other in both)


def _taken(values: IntArray, places: Any) -> IntArray:
    taken: IntArray = values[places]
    return taken


def _translation(moved: IntArray, shape: tuple[int, ...], direction: tuple[int, ...]) -> IntArray:
    """Return the cells (3, points) from floor to floor by way of a step from each point."""
    cells = moved.T.reshape(3, *shape)
    there = np.ix_(*(np.roll(np.arange(n), -d) for n, d in zip(shape, direction, strict=True)))
    translation = np.stack([one[there] for one in cells]).astype(np.int64) - cells
    for axis, step in enumerate(direction):
        if step:
            across = np.moveaxis(translation[axis], axis, 0)  # a view
            across[-1 if step > 0 else 0] += step
    return translation
