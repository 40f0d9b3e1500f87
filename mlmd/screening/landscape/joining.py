"""Basins that become one, and the images of itself that such a one reaches.

A union-find whose members know the translation to the head of their group. Where a saddle joins a
group to itself, what is left over is a net translation: a way to an image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Joining:
    """Groups of basins.

    Parameters
    ----------
    n_basins
        Each begins as a group of its own.
    """

    def __init__(self, n_basins: int) -> None:
        self._group = list(range(n_basins))
        self._place = [(0, 0, 0)] * n_basins
        self._members = [[b] for b in range(n_basins)]
        self._ways: list[list[tuple[int, int, int]]] = [[] for _ in range(n_basins)]

    def join(self, first: int, second: int, translation: Sequence[int]) -> None:
        """Join two basins of which the second lies `translation` cells from the first."""
        one, other = self._group[first], self._group[second]
        t1, t2, t3 = translation
        p1, p2, p3 = self._place[first]
        q1, q2, q3 = self._place[second]
        between = (p1 + t1 - q1, p2 + t2 - q2, p3 + t3 - q3)
        if one == other:
            self._add(one, [between])
            return
        if len(self._members[one]) < len(self._members[other]):
            one, other = other, one
            between = (-between[0], -between[1], -between[2])
        for basin in self._members[other]:
            q1, q2, q3 = self._place[basin]
            self._place[basin] = (between[0] + q1, between[1] + q2, between[2] + q3)
            self._group[basin] = one
        self._members[one] += self._members[other]
        self._members[other] = []
        self._add(one, self._ways[other])

    def _add(self, group: int, ways: list[tuple[int, int, int]]) -> None:
        """Keep those translations of a group that lead in a new direction."""
        known = self._ways[group]
        for way in ways:
            if len(known) < 3 and np.linalg.matrix_rank([*known, way]) > len(known):
                known.append(way)

    def dimensions(self, basin: int) -> int:
        """Return in how many independent directions the group of a basin reaches images."""
        return len(self._ways[self._group[basin]])
