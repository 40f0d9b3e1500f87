"""Shortest distances between mobile atoms and anions, and the anion framework.

Which element the anion is depends on the convention. Distances to an atom's own periodic images
count, so that a value depends on the crystal and not on the cell it is given in.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlmd.descriptors.snapshot import Snapshot

SHELL_A = 1.0
_ROUNDING_A = 1e-6  # of distances that are the limit exactly, as in crystals


def anion_coordination(s: Snapshot) -> float:
    r"""AFC: mean number of anions around an anion, from the nearest to 1 A beyond it.

    With :math:`d_i` the distance of anion i to its nearest anion, those with
    :math:`d_i \le r_{ij} \le d_i + 1` A are counted. The table of Zheng et al. 2024 has whole
    numbers over the number of anions; that d is each anion's own is not proven.
    """
    if not s.is_anion.any():
        return math.nan
    pairs = s.anion_pairs
    reach_A = pairs.shortest_A(s.n_atoms) + SHELL_A + _ROUNDING_A
    return float((pairs.distance_A <= reach_A[pairs.first]).sum() / s.is_anion.sum())


def anion_anion_separation(s: Snapshot) -> float:
    """AASD: mean over the anions of the distance to the nearest anion, in angstrom."""
    if not s.is_anion.any():
        return math.nan
    return float(s.anion_pairs.shortest_A(s.n_atoms)[s.is_anion].mean())


def mobile_anion_separation(s: Snapshot) -> float:
    """LASD: mean over the mobile atoms of the distance to the nearest anion, in angstrom."""
    if not s.is_anion.any():
        return math.nan
    pairs = s.neighbourhood.pairs_beyond_nearest(0.0, s.is_mobile, s.is_anion)
    return float(pairs.shortest_A(s.n_atoms)[s.is_mobile].mean())


def mobile_mobile_separation(s: Snapshot) -> float:
    """LLSD: mean over the mobile atoms of the distance to the nearest mobile one, in angstrom."""
    return float(s.mobile_pairs.shortest_A(s.n_atoms)[s.is_mobile].mean())
