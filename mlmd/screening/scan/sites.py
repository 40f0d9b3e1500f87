"""The mobile ions that no symmetry makes equal, each with its grid.

The grid has a point at the ion and steps along the vectors of the cell. An operation of the crystal
is used where it maps the grid of one ion onto that of the other, point on point: steps of different
lengths along axes that it mixes do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from mlmd.checks import element
from mlmd.errors import InputError
from mlmd.periodic.cell import cell_heights
from mlmd.screening.landscape.basins import SMALLEST_GRID

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import BoolArray, FloatArray, IntArray
    from mlmd.screening.landscape.levels import Place
    from mlmd.screening.scan.crystal import Crystal

SPACING_A = 0.25
"""No step of the grid is longer."""
CLOSEST_A = 1.2
"""Points closer to another atom are not asked about."""
_SAME_A = 1e-4
_WHOLE = 1e-6


@dataclass(frozen=True, eq=False)
class Site:
    """An ion that is moved, for itself and those equal to it.

    Attributes
    ----------
    ion
        Its index among the atoms.
    images : mapping of int to (3, 3)
        The ions that it stands for, itself among them, and the matrices that take its grid to
        theirs: steps from the ion, as columns.
    shape
        Points of the grid along the vectors of the cell.
    orbit : (points,)
        For each point the first of those that the symmetry of the site makes equal.
    closed : (points,)
        Whether it is too close to another atom.
    """

    ion: int
    images: dict[int, IntArray]
    shape: Place
    orbit: IntArray
    closed: BoolArray

    @property
    def n_points(self) -> int:
        """How many points the grid has."""
        return len(self.orbit)

    @property
    def n_inequivalent(self) -> int:
        """Points that a calculator would have to be asked about, all in all."""
        return len(np.unique(self.orbit[~self.closed]))

    def displacements_A(self, points: IntArray, cell_A: FloatArray) -> FloatArray:
        """Return where points (by their flat index) lie, from the ion, shape (points, 3)."""
        indices = np.stack(np.unravel_index(points, self.shape), axis=1)
        moved: FloatArray = indices / np.array(self.shape) @ cell_A
        return moved


def mobile_ions(atoms: Atoms, mobile: str) -> IntArray:
    """Return the indices of the atoms of an element.

    Raises
    ------
    InputError
        If there are none.
    """
    number = atoms.symbols.search(element("mobile", mobile))
    if not len(number):
        raise InputError(
            f"the structure {atoms.symbols} has no {mobile}; expected it to hold the mobile element"
        )
    ions: IntArray = np.asarray(number)
    return ions


def grid_shape(cell_A: FloatArray, spacing_A: float = SPACING_A) -> Place:
    """Return the fewest points along the vectors of a cell whose steps are short enough."""
    steps = np.ceil(np.linalg.norm(cell_A, axis=1) / spacing_A - _WHOLE).astype(int)
    n1, n2, n3 = np.maximum(steps, SMALLEST_GRID).tolist()
    return n1, n2, n3


def inequivalent_sites(crystal: Crystal, mobile: str, spacing_A: float = SPACING_A) -> list[Site]:
    """Return the ions to be moved, one of each set that symmetry makes equal.

    Raises
    ------
    InputError
        If there is no ion of the mobile element, or one too close to another atom.
    """
    atoms = crystal.atoms
    ions = mobile_ions(atoms, mobile)
    shape = grid_shape(atoms.cell.array, spacing_A)
    n = np.array(shape, dtype=float)
    steps = crystal.rotations * n[:, None] / n
    kept = np.abs(steps - np.rint(steps)).max(axis=(1, 2)) < _WHOLE
    matrices: IntArray = np.rint(steps[kept]).astype(int)
    fractions = atoms.get_scaled_positions()
    left = set(ions.tolist())
    sites = []
    for ion in ions.tolist():
        if ion not in left:
            continue
        moved = crystal.rotations[kept] @ fractions[ion] + crystal.translations[kept]
        becomes = [_which(one, fractions, ions, atoms.cell.array) for one in moved]
        images: dict[int, IntArray] = {ion: np.eye(3, dtype=int)}
        for other, matrix in zip(becomes, matrices, strict=True):
            images.setdefault(other, matrix)
        left -= set(images)
        stabiliser = matrices[[other == ion for other in becomes]]
        closed = _closed(atoms, ion, shape)
        if closed[0]:
            raise InputError(
                f"{mobile} atom {ion} is closer than {CLOSEST_A} A to another atom; expected a "
                "relaxed structure without partly occupied sites"
            )
        sites.append(Site(ion, images, shape, _orbits(stabiliser, shape), closed))
    return sites


def _which(place: FloatArray, fractions: FloatArray, ions: IntArray, cell_A: FloatArray) -> int:
    """Return the ion at a place."""
    apart = fractions[ions] - place
    away_A = np.linalg.norm((apart - np.rint(apart)) @ cell_A, axis=1)
    nearest = int(away_A.argmin())
    if away_A[nearest] > _SAME_A:
        raise InputError(
            f"an operation of the crystal's symmetry takes an ion {away_A[nearest]:.2g} A beside "
            "another; expected a crystal as crystal_of gives it"
        )
    return int(ions[nearest])


def _orbits(matrices: IntArray, shape: Place) -> IntArray:
    """Return for each point the first that operations take it to."""
    points = np.stack([axis.ravel() for axis in np.indices(shape)])
    first: IntArray = np.arange(points.shape[1])
    for matrix in matrices:
        image = np.ravel_multi_index(tuple(matrix @ points % np.array(shape)[:, None]), shape)
        first = np.minimum(first, image)
    return first


def _closed(atoms: Atoms, ion: int, shape: Place) -> BoolArray:
    """Tell which points are closer to another atom than is asked about."""
    cell_A = atoms.cell.array
    points = np.stack([axis.ravel() for axis in np.indices(shape)], axis=1) / np.array(shape)
    others = (
        np.delete(atoms.get_scaled_positions(), ion, axis=0) - atoms.get_scaled_positions()[ion]
    )
    if not len(others):
        return np.zeros(len(points), dtype=bool)
    apart = others - np.floor(others)
    around = np.ceil(CLOSEST_A / cell_heights(cell_A)).astype(int).tolist()
    images = np.array(list(product(*(range(-n, n + 1) for n in around))))
    places = (apart[:, None, :] + images).reshape(-1, 3) @ cell_A
    near = cKDTree(places).query(points @ cell_A, distance_upper_bound=CLOSEST_A - 1e-9)[0]
    closed: BoolArray = np.isfinite(near)
    return closed
