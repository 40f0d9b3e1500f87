r"""The straight path of a mobile atom to its nearest mobile neighbour.

For the segment from atom i to its nearest mobile atom j (or its image), :math:`d_{ik}` is the
distance from the segment to atom k, any atom or image but i and j themselves, :math:`r_k` its
radius and :math:`X_k` its electronegativity:

.. math:: w_i = \min_k (d_{ik} - r_k), \quad k^* = \arg\min_k (d_{ik} - r_k), \quad
          w_i^{pp} = \min_k d_{ik}

SLPW is the mean of :math:`w_i` over the mobile atoms, SLPE that of :math:`X_{k^*}`, and SLPW_pp
("point to point") that of :math:`w_i^{pp}`. What the table of Zheng et al. 2024 proves of it: in
121 of 123 rows of binaries SLPE is a whole number of each element; SLPW_pp - SLPW is never above
the mean radius of those elements, and equal to it where all atoms are of one kind, so that k* is
the atom whose *surface* is nearest and radii are covalent. That the path ends at its ends (a
segment, no infinite line) is not proven.

Where several mobile atoms are equally near, as in crystals, the mean over their paths is taken;
where several atoms are equally near to a path, the mean of their electronegativities. So the
values do not depend on the order of atoms or on rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.descriptors.neighbours import REACH_A, Neighbourhood, Pairs, segments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.floating[Any]]
    BoolArray = NDArray[np.bool_]

EQUAL_A = 1e-4
"""Lengths that differ by less are the same."""


@dataclass(frozen=True)
class StraightPaths:
    """Means over the mobile atoms.

    Attributes
    ----------
    width_A : float
        SLPW: from the path to the nearest surface of an atom, in angstrom; may be negative.
    centre_width_A : float
        SLPW_pp: from the path to the nearest centre of an atom, in angstrom.
    electronegativity : float
        SLPE: of the atom with the nearest surface.
    """

    width_A: float
    centre_width_A: float
    electronegativity: float


def straight_paths(
    neighbourhood: Neighbourhood,
    mobile: BoolArray,
    radii_A: FloatArray,
    electronegativity: FloatArray,
) -> StraightPaths:
    """Measure the straight paths of all mobile atoms.

    Parameters
    ----------
    neighbourhood : Neighbourhood
        The atoms.
    mobile : (atoms,) bool
        Which of them are mobile, at least one.
    radii_A, electronegativity : (atoms,)
        Of each atom.
    """
    n = neighbourhood.n_atoms
    paths = neighbourhood.pairs_beyond_nearest(EQUAL_A, mobile, mobile)
    paths = paths.where(paths.distance_A <= paths.shortest_A(n)[paths.first] + EQUAL_A)
    per_path = np.empty((3, len(paths.first)))
    waiting, reach_A = np.ones(len(paths.first), dtype=bool), REACH_A
    everyone = np.ones(n, dtype=bool)
    while waiting.any():
        starts = np.zeros(n, dtype=bool)
        starts[paths.first[waiting]] = True
        around = neighbourhood.pairs(reach_A, starts, everyone)
        found = _measure(paths.where(waiting), around, radii_A, electronegativity)
        # An atom not yet seen is further than the reach from i, so further than this from the path.
        unseen_A = reach_A - paths.distance_A[waiting]
        done = (found[1] <= unseen_A) & (found[0] + EQUAL_A <= unseen_A - radii_A.max())
        per_path[:, np.flatnonzero(waiting)[done]] = found[:, done]
        waiting[np.flatnonzero(waiting)[done]] = False
        if waiting.any():
            reach_A = _next_reach_A(reach_A, paths.distance_A[waiting], found[:, ~done], radii_A)
    counts = np.bincount(paths.first, minlength=n)[mobile]
    sums = [np.bincount(paths.first, weights=one, minlength=n)[mobile] for one in per_path]
    return StraightPaths(*(float((one / counts).mean()) for one in sums))


def _next_reach_A(
    reach_A: float, length_A: FloatArray, found: FloatArray, radii_A: FloatArray
) -> float:
    """Return the reach that settles all paths, if something was seen near each of them."""
    needed = length_A + np.maximum(found[1], found[0] + radii_A.max() + EQUAL_A)
    furthest_A = float(needed.max()) + EQUAL_A
    return furthest_A if reach_A < furthest_A < np.inf else 1.5 * reach_A


def _measure(
    paths: Pairs, around: Pairs, radii_A: FloatArray, electronegativity: FloatArray
) -> FloatArray:
    """Return width, centre width and electronegativity of each path among the pairs, (3, paths)."""
    begin = segments(around.first, len(radii_A))
    number = (begin[1:] - begin[:-1])[paths.first]
    path = np.repeat(np.arange(len(number)), number)
    offset = np.cumsum(number) - number
    pair = np.arange(len(path)) - offset[path] + begin[paths.first][path]
    along, to = paths.vector_A[path], around.vector_A[pair]
    share = np.einsum("ij,ij->i", along, to) / paths.distance_A[path] ** 2
    away = to - np.clip(share, 0.0, 1.0)[:, None] * along
    centre_A = np.sqrt(np.einsum("ij,ij->i", away, away))
    atom = around.second[pair]
    is_end = (atom == paths.second[path]) & (np.abs(to - along).max(axis=1) < EQUAL_A**2)
    centre_A[is_end] = np.inf
    surface_A = centre_A - radii_A[atom]
    result = np.full((3, len(number)), np.inf)
    np.minimum.at(result[0], path, surface_A)
    np.minimum.at(result[1], path, centre_A)
    nearest = surface_A <= result[0][path] + EQUAL_A
    sums = np.bincount(
        path, weights=np.where(nearest, electronegativity[atom], 0.0), minlength=len(number)
    )
    with np.errstate(invalid="ignore"):
        result[2] = sums / np.bincount(path, weights=nearest, minlength=len(number))
    return result
