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
from typing import TYPE_CHECKING

import numpy as np

from mlmd.periodic.neighbourhood import REACH_A

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.periodic.neighbourhood import Neighbourhood, Pairs


EQUAL_A = 1e-4
"""Lengths that differ by less are the same."""

_COINCIDENT_A = 1e-8
_USUAL_A = 2.5  # hardly any path has nothing this near


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
    mobile_pairs: Pairs,
    radii_A: FloatArray,
    electronegativity: FloatArray,
) -> StraightPaths:
    """Measure the straight paths of all mobile atoms.

    Parameters
    ----------
    neighbourhood : Neighbourhood
        The atoms.
    mobile_pairs : Pairs
        Of the mobile atoms with mobile atoms, at least to the nearest of each.
    radii_A, electronegativity : (atoms,)
        Of each atom.
    """
    n = neighbourhood.n_atoms
    limits_A = mobile_pairs.shortest_A(n) + EQUAL_A
    paths = mobile_pairs.where(mobile_pairs.distance_A <= limits_A[mobile_pairs.first])
    mobile = np.isfinite(limits_A)
    half_A = 0.5 * paths.distance_A
    per_path = np.empty((3, len(half_A)))
    waiting = np.ones(len(half_A), dtype=bool)
    reach_A = min(REACH_A, _USUAL_A + float(half_A.max()))
    while waiting.any():
        found = _measure(neighbourhood, paths.where(waiting), reach_A, radii_A, electronegativity)
        # An atom not seen is further than the reach from the middle, so than this from the path.
        needed_A = half_A[waiting] + np.maximum(found[1], found[0] + radii_A.max() + EQUAL_A)
        done = needed_A <= reach_A
        per_path[:, np.flatnonzero(waiting)[done]] = found[:, done]
        waiting[waiting] = ~done
        if not done.all():
            furthest_A = float(needed_A.max()) * (1.0 + 1e-9)
            reach_A = furthest_A if np.isfinite(furthest_A) else 1.5 * reach_A
    counts = np.bincount(paths.first, minlength=n)[mobile]
    sums = [np.bincount(paths.first, weights=one, minlength=n)[mobile] for one in per_path]
    return StraightPaths(*(float((one / counts).mean()) for one in sums))


def _measure(
    neighbourhood: Neighbourhood,
    paths: Pairs,
    reach_A: float,
    radii_A: FloatArray,
    electronegativity: FloatArray,
) -> FloatArray:
    """Return width, centre width and electronegativity of each path, (3, paths).

    Only atoms within reach of the middle of a path are seen.
    """
    starts_A = paths.origins_A[paths.first]
    half_A = 0.5 * paths.distance_A
    unit = paths.vector_A / paths.distance_A[:, None]
    around = neighbourhood.around(starts_A + half_A[:, None] * unit, reach_A)
    path, atom, away = around.first, around.second, around.vector_A
    direction, half_A = unit[path], half_A[path]
    along_A = np.einsum("ij,ij->i", away, direction)
    nearest_A = np.minimum(np.maximum(along_A, -half_A), half_A)
    away = away - nearest_A[:, None] * direction
    centre_A = np.sqrt(np.einsum("ij,ij->i", away, away))
    at_end = (centre_A < _COINCIDENT_A) & (np.abs(nearest_A) > half_A - _COINCIDENT_A)
    at_end &= atom == np.where(nearest_A < 0.0, paths.first[path], paths.second[path])
    centre_A[at_end] = np.inf
    surface_A = centre_A - radii_A[atom]
    result = np.full((3, len(paths.first)), np.inf)
    np.minimum.at(result[0], path, surface_A)
    np.minimum.at(result[1], path, centre_A)
    touching = np.flatnonzero(surface_A <= result[0][path] + EQUAL_A)
    sums = np.bincount(path[touching], electronegativity[atom[touching]], result.shape[1])
    with np.errstate(invalid="ignore"):  # where no atom is seen, which is then looked for again
        result[2] = sums / np.bincount(path[touching], minlength=result.shape[1])
    return result
