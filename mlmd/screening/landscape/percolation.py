"""The lowest energy at which an ion gets out of its cell, by two conventions, and by what path.

`paper` is that of Maevskiy et al. (arXiv:2411.06804): the lowest level on any face
of a box of -1...1 cells around the place of the ion, which is not periodic. `periodic` asks for a
way to an image: in one direction at least, in two, or in all three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.screening.landscape.basins import find_basins
from mlmd.screening.landscape.joining import Joining
from mlmd.screening.landscape.levels import Place, level_map, start_energy

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray


@dataclass(frozen=True, eq=False)
class Box:
    """The box of -1...1 cells around an ion and the level map in it.

    Attributes
    ----------
    levels_eV : (2 n1 + 1, 2 n2 + 1, 2 n3 + 1)
        Above the energy where the ion starts, which is in the middle.
    percolation_eV
        The lowest level on a face: the minimal percolation energy of the paper. Infinite where
        there is no way out.
    """

    levels_eV: FloatArray
    percolation_eV: float

    @property
    def shape(self) -> Place:
        """Points along the vectors of the cell."""
        n1, n2, n3 = ((n - 1) // 2 for n in self.levels_eV.shape)
        return n1, n2, n3


@dataclass(frozen=True)
class PeriodicPercolation:
    """Energies above the start at which an ion gets to images of itself; infinite where never.

    Attributes
    ----------
    in_1d_eV, in_2d_eV, in_3d_eV
        With images in one direction at least, in two independent ones, in three.
    """

    in_1d_eV: float
    in_2d_eV: float
    in_3d_eV: float


def percolation_box(energies: FloatArray, start: Place) -> Box:
    """Return the box around an ion, of equation 2 of the paper.

    Parameters
    ----------
    energies : (n1, n2, n3)
        Of the ion in a cell, in eV; infinite where it may not be.
    start
        Its place: the minimum that energies are counted from.

    Raises
    ------
    InputError
        If the energies cannot be used, or the ion may not be where it starts.
    """
    at_start = start_energy(energies, start)
    boxed = in_box(energies, start)
    n1, n2, n3 = energies.shape
    levels = level_map(boxed, (n1, n2, n3)) - at_start
    faces = [levels.take((0, -1), axis=axis).min() for axis in range(3)]
    return Box(levels, float(min(faces)))


def in_box(values: FloatArray, start: Place) -> FloatArray:
    """Return what a cell has, in the box of -1...1 cells around a place."""
    offsets = ((np.arange(-n, n + 1) + at) % n for n, at in zip(values.shape, start, strict=True))
    boxed: FloatArray = values[np.ix_(*offsets)]
    return boxed


def periodic_percolation(energies: FloatArray, start: Place | None = None) -> PeriodicPercolation:
    """Return the energies at which a way to images opens, by net translations.

    Parameters
    ----------
    energies : (n1, n2, n3)
        Of the ion in a cell, in eV; infinite where it may not be.
    start
        Its place, from which the way begins and the energy is counted. If None, any way through
        the crystal counts, and energies are above the lowest.

    Raises
    ------
    InputError
        If the energies cannot be used, or the ion may not be where it starts.
    """
    reference = float(energies.min()) if start is None else start_energy(energies, start)
    basins = find_basins(energies, periodic=True)
    home = None if start is None else int(basins.basin[start])
    joining = Joining(basins.n_basins)
    opened: list[float] = []
    for first, second, translation, height in zip(
        basins.first.tolist(),
        basins.second.tolist(),
        basins.translation.tolist(),
        basins.height.tolist(),
        strict=True,
    ):
        joining.join(first, second, translation)
        dimensions = joining.dimensions(first if home is None else home)
        opened += [max(height - reference, 0.0)] * (dimensions - len(opened))
        if len(opened) == 3:
            break
    return PeriodicPercolation(*(*opened, np.inf, np.inf, np.inf)[:3])
