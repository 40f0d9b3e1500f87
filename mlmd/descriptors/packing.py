r"""Volumes, and how much of them atoms fill.

Radii are covalent (Cordero et al., Dalton Trans. 2008, 2832). In the convention ``zheng2024`` an
atom whose bonds (pairs within 4 A) have a mean ionicity :math:`|X_i - X_j|` above 2 is an ion and
takes its crystal radius (Shannon 1976: Li 0.90, O 1.26, F 1.19 A). What the table proves: 191 of
207 formulas have covalent radii throughout; the other 16 fit a whole number of ionic atoms, all of
elements that differ by more than 2 from another. That the *mean* decides, and 2, is not proven.
Spheres may overlap; overlaps count twice, so that a packing fraction can exceed 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.descriptors.snapshot import Snapshot

_G_CM3_PER_U_A3 = 1.66053906892


def atom_volume(s: Snapshot) -> float:
    """AAV: volume of the cell per atom, in cubic angstrom."""
    return s.volume_A3 / s.n_atoms


def anion_volume(s: Snapshot) -> float:
    """VPA: volume of the cell per anion, in cubic angstrom.

    With the convention's anion exact in all 792 rows of the table of Zheng et al. 2024.
    """
    n = int(s.is_anion.sum())
    return s.volume_A3 / n if n else math.nan


def density(s: Snapshot) -> float:
    """Mass of the atoms over the volume of the cell, in g/cm3."""
    return s.mass_u / s.volume_A3 * _G_CM3_PER_U_A3


def packing_fraction(s: Snapshot) -> float:
    r"""PF: volume of all atoms' spheres over that of the cell, :math:`\sum_i 4 \pi r_i^3 / 3V`."""
    return _filled(s.radii_A, s)


def sublattice_packing_fraction(s: Snapshot) -> float:
    """SPF: volume of the spheres of the atoms that are not mobile over that of the cell."""
    return _filled(s.radii_A[s.is_sublattice], s)


def _filled(radius_A: FloatArray, s: Snapshot) -> float:
    return float(4.0 / 3.0 * math.pi * (radius_A**3).sum() / s.volume_A3)
