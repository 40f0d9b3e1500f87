"""Pairs of near atoms in a periodic cell of any shape, however small.

Every feature of a structure takes its pairs from one `Neighbourhood`, which searches once within
a reach that is enough for most of them, and again, further, for the few atoms that have no
partner that near.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mlmd.periodic.cell import cell_heights

if TYPE_CHECKING:
    from mlmd.arrays import BoolArray, FloatArray, IntArray


REACH_A = 5.0
"""Radius of the one search; the features' own cutoff is 4 A."""

_GROWTH = 1.5
_MOST_PER_ATOM = 500  # five times what diamond has within 5 A
_MOST_DENSE = 1_000_000  # distances; beyond some 400 atoms a tree is faster than all of them


@dataclass(frozen=True, eq=False)
class Pairs:
    """Directed pairs, sorted by their first atom; an atom and its own image are a pair too.

    Attributes
    ----------
    first, second : (pairs,)
        Indices of the atoms.
    distance_A : (pairs,)
        From the first to the image of the second, in angstrom.
    image : (pairs,)
        Which of `images_A` that image is.
    origins_A, images_A : (atoms, 3), (images, 3)
        Positions of the atoms in the cell, and of all images around it, in angstrom.
    """

    first: IntArray
    second: IntArray
    distance_A: FloatArray
    image: IntArray
    origins_A: FloatArray
    images_A: FloatArray

    @cached_property
    def vector_A(self) -> FloatArray:
        """From the first atom to the image of the second, in angstrom, shape (pairs, 3)."""
        vectors: FloatArray = self.images_A[self.image] - self.origins_A[self.first]
        return vectors

    def where(self, chosen: BoolArray) -> Pairs:
        """Return the pairs that are chosen."""
        index = np.flatnonzero(chosen)  # quicker to take by than a mask
        return Pairs(
            self.first.take(index),
            self.second.take(index),
            self.distance_A.take(index),
            self.image.take(index),
            self.origins_A,
            self.images_A,
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
    reach_A
        Radius of the one search.
    """

    def __init__(
        self, positions_A: FloatArray, cell_A: FloatArray, reach_A: float = REACH_A
    ) -> None:
        self.n_atoms = len(positions_A)
        self._reach_A = reach_A
        self._cell = np.asarray(cell_A, dtype=float)
        self._heights = cell_heights(self._cell)
        fractional = np.linalg.solve(self._cell.T, np.asarray(positions_A, dtype=float).T).T
        self._fractional: FloatArray = fractional - np.floor(fractional)
        self._origins_A: FloatArray = self._fractional @ self._cell

    def pairs(
        self, cutoff_A: float, first: BoolArray | None = None, second: BoolArray | None = None
    ) -> Pairs:
        """Return all pairs of the chosen atoms no further apart than the cutoff; all by default."""
        if cutoff_A > self._reach_A:
            everyone = np.arange(self.n_atoms)
            centres = everyone if first is None else everyone[first]
            index, images = self._images(cutoff_A, everyone if second is None else everyone[second])
            return self._search(cutoff_A, centres, index, images @ self._cell)
        near = self._near
        chosen = near.distance_A <= cutoff_A
        if first is not None:
            chosen &= first[near.first]
        if second is not None:
            chosen &= second[near.second]
        return near.where(chosen)

    def pairs_beyond_nearest(self, extra_A: float, first: BoolArray, second: BoolArray) -> Pairs:
        """Return pairs that hold, for each first atom, its nearest and all up to `extra_A` further.

        Others may be among them. There must be at least one second atom.
        """
        cutoff_A = self._reach_A
        while True:
            pairs = self.pairs(cutoff_A, first, second)
            furthest_A = float(pairs.shortest_A(self.n_atoms)[first].max(initial=0.0)) + extra_A
            if furthest_A <= cutoff_A:
                return pairs
            # Where the nearest of some atom is not even found yet, look further step by step.
            known = np.isfinite(furthest_A)
            cutoff_A = furthest_A * (1.0 + 1e-12) if known else cutoff_A * _GROWTH

    def nearest_pairs(self, cutoff_A: float) -> Pairs:
        """Return all pairs up to the cutoff, at most the reach; of a heap the nearest alone.

        In a heap each atom is near all others: their number would grow with its square.
        """
        from scipy.spatial import cKDTree

        index, images_A = self._near_images
        if self.n_atoms * len(index) > _MOST_DENSE:
            tree = cKDTree(images_A)
            n_pairs = cKDTree(self._origins_A).count_neighbors(tree, cutoff_A)
            if n_pairs > _MOST_PER_ATOM * self.n_atoms:
                distance_A, image = tree.query(self._origins_A, k=2)
                first = np.arange(self.n_atoms)
                # Of atoms in one place either may be the one that is found first.
                other = np.where(index[image[:, 0]] == first, 1, 0)
                image, distance_A = image[first, other], distance_A[first, other]
                return Pairs(first, index[image], distance_A, image, self._origins_A, images_A)
        return self.pairs(cutoff_A)

    def around(self, points_A: FloatArray, cutoff_A: float) -> Pairs:
        """Return all pairs of a point, anywhere, with an atom no further from it than the cutoff.

        The first of a pair is the number of the point.
        """
        fractional = np.linalg.solve(self._cell.T, points_A.T).T
        origins_A = (fractional - np.floor(fractional)) @ self._cell
        if cutoff_A > self._reach_A:
            index, images = self._images(cutoff_A, np.arange(self.n_atoms))
            images_A = images @ self._cell
        else:
            index, images_A = self._near_images
        i, image, distance_A = _within(cutoff_A, origins_A, images_A)
        return Pairs(i, index[image], distance_A, image, origins_A, images_A)

    @cached_property
    def _near_images(self) -> tuple[IntArray, FloatArray]:
        index, images = self._images(self._reach_A, np.arange(self.n_atoms))
        return index, images @ self._cell

    @cached_property
    def _near(self) -> Pairs:
        return self._search(self._reach_A, np.arange(self.n_atoms), *self._near_images)

    def _search(
        self, cutoff_A: float, centres: IntArray, index: IntArray, images_A: FloatArray
    ) -> Pairs:
        i, image, distance_A = _within(cutoff_A, self._origins_A[centres], images_A)
        # Only an atom on itself: two atoms in one place are a pair of distance zero.
        other = (distance_A > 0.0) | (centres[i] != index[image])
        i, image, distance_A = i[other], image[other], distance_A[other]
        return Pairs(centres[i], index[image], distance_A, image, self._origins_A, images_A)

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
