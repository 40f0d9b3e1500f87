"""Free volumes, and the descriptor that ranks by them (equations 3 and 4 of Maevskiy et al.).

A free volume is the part of space below an energy: of the level map (`connected`) or of the
energies themselves (`disconnected`). Volumes of several ions are united before they are measured.

Each ion has its own grid, with a point at its site. To be united, regions are brought to the grid
of one ion by trilinear interpolation of what is inside (1) and outside (0): volumes keep their
size, and where grids fall on each other it is the union of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlmd.screening.landscape.percolation import in_box

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
    """A part of space as an ion sees it.

    Attributes
    ----------
    boxed : (2 n1 + 1, 2 n2 + 1, 2 n3 + 1)
        Whether a point of the box of -1...1 cells around its minimum belongs to it.
    repeated : (2 n1, 2 n2, 2 n3)
        The same for the eight cells of the box, repeated without end; the first point is the site
        of the ion. Opposite faces of the box are one: what either has counts.
    """

    boxed: FloatArray
    repeated: FloatArray


def disconnected_region(energies: FloatArray, start: Place, threshold_eV: float) -> Region:
    """Return where the energy is less than a threshold above that of the start."""
    return _region(in_box(energies, start) - energies[start], start, threshold_eV)


def connected_region(box: Box, start: Place, threshold_eV: float) -> Region:
    """Return where the level is below a threshold, in the box around the start."""
    return _region(box.levels_eV, start, threshold_eV)


def _region(boxed: FloatArray, start: Place, threshold_eV: float) -> Region:
    inside = boxed < threshold_eV, _repeated(boxed, start) < threshold_eV
    return Region(*(one.astype(float) for one in inside))


def eight_cells(box: Box, start: Place) -> FloatArray:
    """Return the level map of the eight cells around the start, from the site of the ion on.

    Opposite faces of the box are the same points of the eight cells: the lower level counts.
    """
    return _repeated(box.levels_eV, start)


def _repeated(boxed: FloatArray, start: Place) -> FloatArray:
    result = boxed
    for axis in range(3):
        low, high = (result.take([i], axis=axis) for i in (0, -1))
        inner = result.take(range(1, result.shape[axis] - 1), axis=axis)
        result = np.concatenate([np.minimum(low, high), inner], axis=axis)
    rolled: FloatArray = np.roll(result, _first_of_box(start, boxed.shape), axis=(0, 1, 2))
    return rolled


def _first_of_box(start: Place, shape: Sequence[int]) -> list[int]:
    """Return where a box around a place begins, a cell before it, counted from the site."""
    half = [n // 2 for n in shape]
    return [at - n for at, n in zip(_signed(start, half), half, strict=True)]


def _signed(start: Place, shape: Sequence[int]) -> list[int]:
    """Return indices counted from the site, the shorter way."""
    return [(at + n // 2) % n - n // 2 for at, n in zip(start, shape, strict=True)]


def united_volume(regions: Sequence[Region], sites: FloatArray) -> float:
    """Return the part of eight cells that is in any of several regions.

    Parameters
    ----------
    regions
        Of each ion, on grids of one shape.
    sites : (ions, 3)
        Their sites in fractions of the cell; what counts is the image next to the first.
    """
    united = regions[0].repeated
    for region, shift in zip(regions[1:], _apart(sites, 0, united)[1:], strict=True):
        united = np.maximum(united, _shifted(region.repeated, shift))
    return float(united.mean())


def boxed_volume(regions: Sequence[Region], sites: FloatArray, starts: Sequence[Place]) -> float:
    """Return the part of the box around an ion that is in any of several regions.

    Both faces of the box are of it, so that what lies there counts twice. Of several ions each has
    its box, and the mean over them is returned.

    Parameters
    ----------
    regions, sites
        As for :func:`united_volume`.
    starts
        The minima that the boxes lie around.
    """
    volumes = []
    for own, (region, start) in enumerate(zip(regions, starts, strict=True)):
        united, shape = region.boxed, region.boxed.shape
        first = _first_of_box(start, shape)
        points = [(np.arange(n) + at) % (n - 1) for n, at in zip(shape, first, strict=True)]
        shifts = _apart(sites, own, region.repeated)
        for place, other in enumerate(regions):
            if place != own:
                moved = _shifted(other.repeated, shifts[place])
                united = np.maximum(united, moved[np.ix_(*points)])
        volumes.append(united.mean())
    return float(np.mean(volumes))


def _apart(sites: FloatArray, first: int, repeated: FloatArray) -> FloatArray:
    """Return how far sites lie from one of them, the shorter way, in steps of the grid."""
    apart = sites - sites[first]
    steps: FloatArray = (apart - np.floor(apart + 0.5 + _ROUNDING)) * (np.array(repeated.shape) / 2)
    return steps


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
