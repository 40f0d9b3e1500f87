"""The way an ion takes out of its cell, and the energies along it."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlmd.errors import InputError
from mlmd.screening.landscape.levels import start_energy

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.screening.landscape.levels import Place

Convention = Literal["paper", "periodic"]


@dataclass(frozen=True, eq=False)
class Path:
    """A way along points of the grid.

    Attributes
    ----------
    points : (points, 3)
        Indices counted from the cell of the start, not folded back into it.
    length_A : (points,)
        How far the ion has come.
    energy_eV : (points,)
        Above the start.
    """

    points: IntArray
    length_A: FloatArray
    energy_eV: FloatArray


def shortest_path(
    energies: FloatArray,
    cell_A: FloatArray,
    start: Place,
    level_eV: float,
    convention: Convention = "periodic",
) -> Path:
    """Return the shortest way out that nowhere exceeds a level.

    Parameters
    ----------
    energies : (n1, n2, n3)
        Of the ion in a cell, in eV; infinite where it may not be.
    cell_A : (3, 3)
        Vectors of the cell as rows.
    start
        Its place.
    level_eV
        Above the energy there: the percolation energy, for the way that costs least.
    convention
        `periodic` to the nearest image of the start; `paper` to a face of the box of -1...1 cells.

    Raises
    ------
    InputError
        If there is no such way.
    """
    limit = start_energy(energies, start) + level_eV
    allowed = energies <= limit + 1e-9
    shape = energies.shape
    steps = [step for step in product((-1, 0, 1), repeat=3) if any(step)]
    lengths = np.linalg.norm(np.array(steps) / shape @ cell_A, axis=1).tolist()
    moves = list(zip(steps, lengths, strict=True))
    come_from: dict[Place, Place | None] = {}
    queue: list[tuple[float, Place, Place | None]] = [(0.0, start, None)]
    done_A: dict[Place, float] = {}
    while queue:
        length, here, before = heapq.heappop(queue)
        if here in done_A:
            continue
        done_A[here], come_from[here] = length, before
        if here != start and _is_out(here, start, shape, convention):
            points = _back(here, come_from)
            profile = energies[tuple(points.T % np.array(shape)[:, None])] - energies[start]
            along = np.array([done_A[one] for one in map(_place, points.tolist())])
            return Path(points, along, profile)
        for (d1, d2, d3), step in moves:
            there = (here[0] + d1, here[1] + d2, here[2] + d3)
            if there in done_A:
                continue
            if allowed[there[0] % shape[0], there[1] % shape[1], there[2] % shape[2]]:
                heapq.heappush(queue, (length + step, there, here))
    raise InputError(
        f"no way out of the cell stays below {level_eV:g} eV; expected at least the percolation "
        "energy"
    )


def _is_out(here: Place, start: Place, shape: tuple[int, ...], convention: Convention) -> bool:
    away = [a - b for a, b in zip(here, start, strict=True)]
    if convention == "paper":
        return any(abs(d) >= n for d, n in zip(away, shape, strict=True))
    return all(d % n == 0 for d, n in zip(away, shape, strict=True))


def _back(last: Place, come_from: dict[Place, Place | None]) -> IntArray:
    points: list[Place] = []
    here: Place | None = last
    while here is not None:
        points.append(here)
        here = come_from[here]
    return np.array(points[::-1])


def _place(point: list[int]) -> Place:
    return point[0], point[1], point[2]
