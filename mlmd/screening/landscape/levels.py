"""Level maps: how high an ion has to go, at the least, to reach each point of a landscape.

Equation 1 of Maevskiy et al.: the minimum over all paths of the highest energy on the path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError
from mlmd.screening.landscape.basins import Basins, find_basins

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray

Place = tuple[int, int, int]
"""A point of a grid, by its indices."""


def level_map(energies: FloatArray, start: Place) -> FloatArray:
    """Return the level map of a landscape that ends at its sides; neighbours are all 26.

    Parameters
    ----------
    energies : (n1, n2, n3)
        In eV; infinite where the ion may not be.
    start
        Where it is.

    Returns
    -------
    (n1, n2, n3)
        In eV, at least the energy at the start; infinite where there is no way.

    Raises
    ------
    InputError
        If the energies cannot be used, or the ion may not be where it starts.
    """
    at_start = start_energy(energies, start)
    basins = find_basins(energies, periodic=False)
    home = int(basins.basin[start])
    levels = np.full(basins.n_basins + 1, np.inf)  # the last for the points of no basin
    levels[home] = at_start
    _fill(levels, basins, home)
    result: FloatArray = np.maximum(energies, levels[basins.basin])
    return result


def start_energy(energies: FloatArray, start: Place) -> float:
    """Return the energy where an ion starts, which has to be one."""
    at_start = float(energies[start])
    if not np.isfinite(at_start):
        raise InputError(
            f"the energy at the start {start} is {at_start}; expected a point where an ion may be"
        )
    return at_start


def _fill(levels: FloatArray, basins: Basins, home: int) -> None:
    """Set the level of each basin that can be reached, in the order of the saddles (Kruskal)."""
    group = list(range(basins.n_basins))
    members = {b: [b] for b in group}
    saddles: tuple[IntArray | FloatArray, ...] = (basins.first, basins.second, basins.height)
    for first, second, height in zip(*(one.tolist() for one in saddles), strict=True):
        one, other = group[first], group[second]
        if one == other:
            continue
        for reached, by in ((one, other), (other, one)):
            if group[home] == by:
                levels[members[reached]] = max(height, levels[home])
        if len(members[one]) < len(members[other]):
            one, other = other, one
        for basin in members[other]:
            group[basin] = one
        members[one] += members.pop(other)


def local_minimum(energies: FloatArray, start: Place) -> Place:
    """Return where a walk ends that goes on to the lowest of the 26 neighbours, periodically.

    Parameters
    ----------
    energies : (n1, n2, n3)
        Infinite or NaN where the ion does not go.
    start
        Where it begins.
    """
    start_energy(energies, start)
    here = start
    steps = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    while True:
        around = (np.array(here) + steps) % energies.shape
        values = np.nan_to_num(energies[tuple(around.T)], nan=np.inf)
        lowest = int(values.argmin())
        if values[lowest] >= energies[here]:
            return here
        here = (int(around[lowest, 0]), int(around[lowest, 1]), int(around[lowest, 2]))
