"""Pairs of near atoms in a periodic cell of any shape, however small.

Every feature of a structure takes its pairs from one `Neighbourhood`, which searches once within
a reach that is enough for most of them, and again, further, for the few atoms that have no
partner that near.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.numerics.periodic_cell import cell_heights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.floating[Any]]
    IntArray = NDArray[np.integer[Any]]
    BoolArray = NDArray[np.bool_]

REACH_A = 5.0
"""Radius of the one search; the features' own cutoff is 4 A."""

_GROWTH = 1.5
_MOST_DENSE = 1_000_000  # distances; beyond some 400 atoms a tree is faster than all of them


@dataclass(frozen=True, eq=False)
class Pairs:
    """Directed pairs, sorted by their first atom; an atom and its own image are a pair too.

    Attributes
    ----------
    first, second : (pairs,)
        Indices of the atoms.
    vector_A : (pairs, 3)
        From the first to the image of the second, in angstrom.
    distance_A : (pairs,)
        Length of it.
    """

    first: IntArray
    second: IntArray
    vector_A: FloatArray
    distance_A: FloatArray

    def where(self, chosen: BoolArray) -> Pairs:
        """Return the pairs that are chosen."""
        return Pairs(
            self.first[chosen],
            self.second[chosen],
            self.vector_A[chosen],
            self.distance_A[chosen],
        )

    def shortest_A(self, n_atoms: int) -> FloatArray:
        """Return the shortest distance of each first atom, infinite where it has no pair."""
        shortest = np.full(n_atoms, np.inf)
        np.minimum.at(shortest, self.first, self.distance_A)
        return shortest

    def counts(self, n_atoms: int) -> IntArray:
        """Return the number of pairs of each first atom."""
        return np.bincount(self.first, minlength=n_atoms)


class Neighbourhood:
    """The periodic surroundings of the atoms of one structure.

    Parameters
    ----------
    positions_A : (atoms, 3)
        Positions in angstrom, wrapped or not.
    cell_A : (3, 3)
        Cell vectors as rows, in angstrom.
    """

    def __init__(self, positions_A: FloatArray, cell_A: FloatArray) -> None:
        self.n_atoms = len(positions_A)
        self._cell = np.asarray(cell_A, dtype=float)
        self._heights = cell_heights(self._cell)
        fractional = np.linalg.solve(self._cell.T, np.asarray(positions_A, dtype=float).T).T
        self._fractional: FloatArray = fractional - np.floor(fractional)
        self._everyone: BoolArray = np.ones(self.n_atoms, dtype=bool)

    def pairs(self, cutoff_A: float, first: BoolArray, second: BoolArray) -> Pairs:
        """Return all pairs of the chosen atoms no further apart than the cutoff."""
        if cutoff_A > REACH_A:
            return self._search(cutoff_A, first, second)
        near = self._near
        return near.where((near.distance_A <= cutoff_A) & first[near.first] & second[near.second])

    def pairs_beyond_nearest(self, extra_A: float, first: BoolArray, second: BoolArray) -> Pairs:
        """Return pairs that hold, for each first atom, its nearest and all up to `extra_A` further.

        Others may be among them. There must be at least one second atom.
        """
        cutoff_A = REACH_A
        while True:
            pairs = self.pairs(cutoff_A, first, second)
            furthest_A = float(pairs.shortest_A(self.n_atoms)[first].max(initial=0.0)) + extra_A
            if furthest_A <= cutoff_A:
                return pairs
            # Where the nearest of some atom is not even found yet, look further step by step.
            known = np.isfinite(furthest_A)
            cutoff_A = furthest_A * (1.0 + 1e-12) if known else cutoff_A * _GROWTH

    @cached_property
    def _near(self) -> Pairs:
        return self._search(REACH_A, self._everyone, self._everyone)

    def _search(self, cutoff_A: float, first: BoolArray, second: BoolArray) -> Pairs:
        centres = np.flatnonzero(first)
        index, images = self._images(cutoff_A, np.flatnonzero(second))
        origin, target = self._fractional[centres] @ self._cell, images @ self._cell
        i, j, distance_A = _within(cutoff_A, origin, target)
        pairs = Pairs(centres[i], index[j], target[j] - origin[i], distance_A)
        # Only an atom on itself: two atoms in one place are a pair of distance zero.
        zero = np.flatnonzero((distance_A == 0.0) & (pairs.first == pairs.second))
        keep = np.ones(len(i), dtype=bool)
        keep[zero] = False
        return pairs.where(keep)

    def _images(self, cutoff_A: float, atoms: IntArray) -> tuple[IntArray, FloatArray]:
        """Return atom and fractional coordinates of all images within the cutoff of the cell."""
        index, images = atoms, self._fractional[atoms]
        for axis, margin in enumerate(cutoff_A / self._heights):
            n = int(np.ceil(margin))
            shifts = np.arange(-n, n + 1)
            shifted = images[:, axis, None] + shifts
            inside = (shifted >= -margin) & (shifted <= 1.0 + margin)
            which, _ = np.nonzero(inside)
            index, images = index[which], images[which]
            images[:, axis] = shifted[inside]
        return index, images


def _within(
    cutoff_A: float, origin: FloatArray, target: FloatArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return indices and distance of all near points of two sets, sorted by the first index."""
    if len(origin) * len(target) <= _MOST_DENSE:
        from scipy.spatial.distance import cdist

        squared = cdist(origin, target, "sqeuclidean").ravel()
        near = np.flatnonzero(squared <= cutoff_A**2)
        i, j = np.divmod(near, len(target))
        return i, j, np.sqrt(squared[near])
    from scipy.spatial import cKDTree

    found = cKDTree(origin).sparse_distance_matrix(cKDTree(target), cutoff_A, output_type="ndarray")
    found = found[np.lexsort((found["j"], found["i"]))]
    return found["i"], found["j"], found["v"]


def segments(first: IntArray, n_atoms: int) -> IntArray:
    """Return where the pairs of each atom begin, and after the last where they end."""
    return np.searchsorted(first, np.arange(n_atoms + 1))
