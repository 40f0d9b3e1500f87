"""Free volumes, and the descriptor that ranks by them (equations 3 and 4 of Maevskiy et al.).

A free volume is the part of space below an energy: of the level map (`connected`) or of the
energies themselves (`disconnected`). Volumes of several ions are united before they are measured.

Each ion has its own grid, with a point at its site. To be united, regions are brought to the grid
of the first ion by trilinear interpolation of what is inside (1) and outside (0): volumes keep
their size, and where grids fall on each other it is the union of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.screening.landscape.levels import Place
    from mlmd.screening.landscape.percolation import Box

Thresholds = Literal["paper", "averaged"]
THRESHOLDS_EV: dict[str, tuple[float, ...]] = {
    "paper": (0.5,),
    "averaged": (0.46, 0.48, 0.50, 0.52, 0.54),
}
"""At which free volumes are measured and then averaged: as the paper says, and as the published
code of its authors does."""
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Region:
    """A part of space on the grid of an ion.

    Attributes
    ----------
    inside : (m1, m2, m3)
        Whether a point belongs to it; the first point is the site of the ion.
    cells : (3,)
        Cells along each vector that the grid spans, beyond which it repeats.
    """

    inside: FloatArray
    cells: tuple[int, int, int]


def disconnected_region(energies: FloatArray, start: Place, threshold_eV: float) -> Region:
    """Return where the energy is less than a threshold above that of the start."""
    return Region((energies - energies[start] < threshold_eV).astype(float), (1, 1, 1))


def connected_region(box: Box, start: Place, threshold_eV: float) -> Region:
    """Return where the level is below a threshold, over the eight cells around the start."""
    return Region((eight_cells(box, start) < threshold_eV).astype(float), (2, 2, 2))


def eight_cells(box: Box, start: Place) -> FloatArray:
    """Return the level map of the eight cells around the start, from the site of the ion on.

    Opposite faces of the box are the same points of the eight cells: the lower level counts.
    """
    levels = box.levels_eV
    for axis in range(3):
        low, high = (levels.take([i], axis=axis) for i in (0, -1))
        inner = levels.take(range(1, levels.shape[axis] - 1), axis=axis)
        levels = np.concatenate([np.minimum(low, high), inner], axis=axis)
    # The box begins a cell before the start, which has its place relative to the site.
    shift = [at - n for at, n in zip(_signed(start, box.shape), box.shape, strict=True)]
    rolled: FloatArray = np.roll(levels, shift, axis=(0, 1, 2))
    return rolled


def _signed(start: Place, shape: Place) -> list[int]:
    """Return indices counted from the site, the shorter way."""
    return [(at + n // 2) % n - n // 2 for at, n in zip(start, shape, strict=True)]


def united_volume(regions: Sequence[Region], sites: FloatArray) -> float:
    """Return the part of space in any of several regions.

    Parameters
    ----------
    regions
        Of each ion, on grids of one shape.
    sites : (ions, 3)
        Their sites in fractions of the cell; what counts is the image next to the first.
    """
    first = regions[0].inside
    shape = np.array(first.shape) // regions[0].cells
    apart = sites - sites[0]
    apart = apart - np.floor(apart + 0.5 + _ROUNDING)
    united = first
    for region, shift in zip(regions[1:], apart[1:] * shape, strict=True):
        united = np.maximum(united, _shifted(region.inside, shift))
    return float(united.mean())


def _shifted(inside: FloatArray, shift: FloatArray) -> FloatArray:
    """Return what a grid holds at points that lie between its own, periodically."""
    whole: IntArray = np.floor(shift + _ROUNDING).astype(int)
    part = np.clip(shift - whole, 0.0, 1.0)
    part[part < _ROUNDING] = 0.0
    result = np.zeros_like(inside)
    for corner in product((0, 1), repeat=3):
        weight = float(np.prod(np.where(corner, part, 1.0 - part)))
        if weight:
            result += weight * np.roll(inside, whole + corner, axis=(0, 1, 2))
    return result


def xi(connected: float, disconnected: float) -> float:
    r"""Return the ranking descriptor of the paper (equation 4), from 0 to 1.

    .. math::

        \Xi = s(2.00 + \log_{10} FV_c) \, s(1.15 + \log_{10} FV_d), \quad s(x) = 1/(1+e^{-10x})

    Its constants were set on energies of M3GNet.
    """
    return _step(2.00, connected) * _step(1.15, disconnected)


def _step(place: float, volume: float) -> float:
    if volume <= 0.0:
        return 0.0
    return float(1.0 / (1.0 + np.exp(-10.0 * (place + np.log10(volume)))))
