r"""Neighbour counts and bond ionicities (Sendek et al. 2017).

A bond is a pair of atoms at most 4 A apart, periodic images included; :math:`B_M` are the bonds
of mobile atoms, :math:`B_S` those of the sublattice (all other atoms), each bond counted once
from either end. The ionicity of a bond is :math:`|X_i - X_j|` on Pauling's scale.

What the table of Zheng et al. 2024 proves: whole numbers of neighbours in all rows, a population
standard deviation of them in 789 of 792, ionicities of the binaries in 121 (LBI), 123 (SBI) and
117 (SDLI) of 123. The cutoff itself is taken from Sendek et al.; the table is consistent with it.
A value that has nothing to be taken over (no sublattice, no bond) is NaN.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.descriptors.snapshot import Snapshot


def mobile_neighbours(s: Snapshot) -> float:
    r"""LNC: mean number of atoms within 4 A of a mobile atom, :math:`|B_M| / N_M`."""
    return _mean(s.bond_counts[s.is_mobile])


def sublattice_neighbours(s: Snapshot) -> float:
    r"""SNC: mean number of atoms within 4 A of an atom that is not mobile."""
    return _mean(s.bond_counts[s.is_sublattice])


def neighbour_ratio(s: Snapshot) -> float:
    """RNC: LNC / SNC."""
    return _ratio(mobile_neighbours(s), sublattice_neighbours(s))


def mobile_mobile_bonds(s: Snapshot) -> float:
    """LLB: mean number of mobile atoms within 4 A of a mobile atom."""
    both = s.is_mobile[s.bonds.first] & s.is_mobile[s.bonds.second]
    return float(both.sum() / s.is_mobile.sum())


def neighbour_count_deviation(s: Snapshot) -> float:
    r"""SDLC: standard deviation over the mobile atoms of their number of neighbours.

    :math:`\sqrt{\sum_i (n_i - \bar n)^2 / N_M}`, not over :math:`N_M - 1`.
    """
    return float(np.std(s.bond_counts[s.is_mobile]))


def mobile_ionicity(s: Snapshot) -> float:
    r"""LBI: mean ionicity of the bonds of mobile atoms.

    :math:`\sum_{B_M} |X_i - X_j| / |B_M|`; the convention ``zheng2024`` divides by
    :math:`|B_M| - 1`.
    """
    found = s.ionicities[s.is_mobile[s.bonds.first]]
    return float(found.sum()) / _number(len(found), s.convention.n_minus_one)


def sublattice_ionicity(s: Snapshot) -> float:
    r"""SBI: mean ionicity of the bonds of the atoms that are not mobile, to atoms of any kind."""
    return _mean(s.ionicities[s.is_sublattice[s.bonds.first]])


def ionicity_ratio(s: Snapshot) -> float:
    """RBI: LBI / SBI."""
    return _ratio(mobile_ionicity(s), sublattice_ionicity(s))


def ionicity_deviation(s: Snapshot) -> float:
    r"""SDLI: standard deviation of the ionicity over the bonds of mobile atoms.

    In the convention ``zheng2024`` over :math:`|B_M| - 1`.
    """
    found = s.ionicities[s.is_mobile[s.bonds.first]]
    if len(found) == 0:
        return math.nan
    squares = float(np.square(found - found.mean()).sum())
    return math.sqrt(squares / _number(len(found), s.convention.n_minus_one))


def _number(n: int, n_minus_one: bool) -> float:
    n = n - 1 if n_minus_one else n
    return float(n) if n > 0 else math.nan


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else math.nan


def _ratio(above: float, below: float) -> float:
    return above / below if below != 0.0 else math.nan
