"""One structure with what its features share, each worked out once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols, covalent_radii

from mlmd.checks import element, one_structure
from mlmd.descriptors.composition import ElementalAverages
from mlmd.descriptors.conventions import CONVENTIONS, Convention
from mlmd.descriptors.elements import ElementTable, package_elements
from mlmd.descriptors.paths import EQUAL_A, StraightPaths, straight_paths
from mlmd.errors import InputError
from mlmd.periodic.neighbourhood import Neighbourhood, Pairs

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import BoolArray, FloatArray, IntArray


BOND_A = 4.0
"""Atoms no further apart than this are neighbours, and their pair a bond (Sendek et al. 2017)."""

POLAR = 2.0
"""Mean ionicity of its bonds above which an atom counts as an ion; see `packing`."""

ROUNDING_A = 1e-6
"""Distances of crystals often are a limit exactly; this much beyond it still counts."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Atoms in a cell that is periodic in three directions.

    Attributes
    ----------
    positions_A : (atoms, 3)
        Positions in angstrom.
    cell_A : (3, 3)
        Cell vectors as rows, in angstrom.
    numbers : (atoms,)
        Atomic numbers.
    mobile : str
        Chemical symbol of the mobile element; the others are the sublattice.
    convention : Convention
        Choices where more than one definition is in use.
    elements : ElementTable
        Where elemental properties are looked up.
    masses_u : (atoms,), optional
        Masses in u; the natural ones if not given.
    temperature_K : float, optional
        Temperature, for the feature 1/(kB T).
    """

    positions_A: FloatArray
    cell_A: FloatArray
    numbers: IntArray
    mobile: str = "Li"
    convention: Convention = CONVENTIONS["mlmd"]
    elements: ElementTable = field(default_factory=package_elements)
    masses_u: FloatArray | None = None
    temperature_K: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no bulk structure with mobile atoms."""
        element("mobile element", self.mobile)
        if len(self.numbers) == 0:
            raise InputError("the structure has no atoms; expected a bulk structure")
        if not (self.numbers.min() > 0 and self.numbers.max() < len(atomic_masses)):
            raise InputError("an atom is of no known element; expected atomic numbers 1 to 118")
        if not (np.isfinite(self.positions_A).all() and np.isfinite(self.cell_A).all()):
            raise InputError("positions or cell have numbers that are not finite; check the file")
        if not self.volume_A3 > 0.0:
            raise InputError("the cell has no volume; expected a structure periodic in three ways")
        if not self.is_mobile.any():
            present = ", ".join(chemical_symbols[n] for n in np.unique(self.numbers))
            raise InputError(
                f"no {self.mobile} in the structure ({present}); expected some of the element "
                "whose motion was asked for (--mobile), or that the model has learnt from"
            )

    @classmethod
    def of_atoms(
        cls,
        atoms: Atoms,
        mobile: str = "Li",
        convention: Convention = CONVENTIONS["mlmd"],
        elements: ElementTable | None = None,
        temperature_K: float | None = None,
    ) -> Snapshot:
        """Make it from ASE's atoms.

        Raises
        ------
        InputError
            If the structure is not periodic in three directions, or has no mobile atom.
        """
        one_structure("atoms", atoms)
        if not all(atoms.pbc):
            raise InputError(
                f"the structure is periodic as {atoms.pbc.tolist()}; expected all three directions"
            )
        return cls(
            atoms.positions,
            atoms.cell.array,
            atoms.numbers,
            mobile,
            convention,
            package_elements() if elements is None else elements,
            atoms.get_masses(),
            temperature_K,
        )

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.numbers)

    @cached_property
    def volume_A3(self) -> float:
        """Volume of the cell, in cubic angstrom."""
        return abs(float(np.linalg.det(self.cell_A)))

    @cached_property
    def mass_u(self) -> float:
        """Mass of all atoms, in u."""
        masses = atomic_masses[self.numbers] if self.masses_u is None else self.masses_u
        return float(masses.sum())

    @cached_property
    def is_mobile(self) -> BoolArray:
        """Which atoms are mobile."""
        mobile: BoolArray = self.numbers == atomic_numbers[self.mobile]
        return mobile

    @cached_property
    def is_sublattice(self) -> BoolArray:
        """Which atoms are not."""
        return ~self.is_mobile

    @cached_property
    def is_anion(self) -> BoolArray:
        """Which atoms are anions in the convention; none if all atoms are mobile."""
        others = np.unique(self.numbers[self.is_sublattice])
        if others.size == 0:
            return np.zeros(self.n_atoms, dtype=bool)
        anion: BoolArray = self.numbers == anion_of(others, self.convention, self.elements)
        return anion

    @cached_property
    def electronegativity(self) -> FloatArray:
        """Electronegativity of each atom (Pauling), shape (atoms,)."""
        return self.elements.of("electronegativity", self.numbers)

    @cached_property
    def averages(self) -> ElementalAverages:
        """The composition."""
        numbers, counts = np.unique(self.numbers, return_counts=True)
        mobile = int(atomic_numbers[self.mobile])
        return ElementalAverages(numbers, counts.astype(float), mobile, self.elements)

    @cached_property
    def neighbourhood(self) -> Neighbourhood:
        """The search that all features share."""
        return Neighbourhood(self.positions_A, self.cell_A)

    @cached_property
    def bonds(self) -> Pairs:
        """All pairs no further apart than `BOND_A`, whatever the rounding."""
        return self.neighbourhood.pairs(BOND_A + ROUNDING_A)

    @cached_property
    def bond_counts(self) -> IntArray:
        """Number of bonds of each atom, shape (atoms,)."""
        return self.bonds.counts(self.n_atoms)

    @cached_property
    def anion_pairs(self) -> Pairs:
        """Pairs of anions, to at least 1 A beyond the nearest of each."""
        reach_A = 1.0 + ROUNDING_A
        return self.neighbourhood.pairs_beyond_nearest(reach_A, self.is_anion, self.is_anion)

    @cached_property
    def ionicities(self) -> FloatArray:
        """Absolute difference of electronegativity of each of `bonds`."""
        x = self.electronegativity
        return np.abs(x[self.bonds.first] - x[self.bonds.second])

    @cached_property
    def mobile_pairs(self) -> Pairs:
        """Pairs of mobile atoms, to at least the nearest of each."""
        mobile = self.is_mobile
        return self.neighbourhood.pairs_beyond_nearest(EQUAL_A, mobile, mobile)

    @cached_property
    def radii_A(self) -> FloatArray:
        """Radius of each atom's sphere in the convention, in angstrom, shape (atoms,)."""
        covalent: FloatArray = covalent_radii[self.numbers]
        if self.convention.radii == "covalent":
            return covalent
        total = np.bincount(self.bonds.first, weights=self.ionicities, minlength=self.n_atoms)
        ionic = self.elements.of("ionic_radius_A", self.numbers)
        # An atom without bonds, or an element without ionic radius, stays covalent.
        polar = (total > POLAR * self.bond_counts) & np.isfinite(ionic)
        return np.where(polar, ionic, covalent)

    @cached_property
    def paths(self) -> StraightPaths:
        """The straight paths between mobile atoms."""
        return straight_paths(
            self.neighbourhood, self.mobile_pairs, self.radii_A, self.electronegativity
        )


def anion_of(others: IntArray, convention: Convention, elements: ElementTable) -> int:
    """Return which of the atomic numbers besides the mobile one is the anion in a convention.

    Of two elements equally electronegative the one later in the alphabet is taken.
    """
    electronegativity = np.nan_to_num(elements.of("electronegativity", others))
    if convention.anion == "alphabetically_last":
        electronegativity[:] = 0.0
    rank = [(float(x), chemical_symbols[n]) for x, n in zip(electronegativity, others, strict=True)]
    return int(others[rank.index(max(rank))])
