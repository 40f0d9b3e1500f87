r"""Features of the composition alone: averages of elemental properties.

With :math:`x_k` the share of element k among the atoms and :math:`p_k` its property,

.. math:: \bar p = \sum_k x_k p_k, \qquad \bar p^{\,rest} = \frac{\sum_{k \ne mobile} x_k p_k}
          {\sum_{k \ne mobile} x_k}

All of them reproduce all 792 rows of the table of Zheng et al. 2024 to 1e-9 with the elemental
values behind it (`mlmd.descriptors.inference`). An average is not a number (NaN) where an element
has no value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers

from mlmd.descriptors.elements import ElementTable, package_elements
from mlmd.errors import InputError
from mlmd.structure.composition import Composition

if TYPE_CHECKING:
    from mlmd.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class ElementalAverages:
    """What a material is made of, and averages of elemental properties over it.

    Attributes
    ----------
    numbers, counts : (elements,)
        Atomic number of each element and how many atoms of it there are, in any proportion.
    mobile : int
        Atomic number of the mobile element.
    elements : ElementTable
        Where properties are looked up.
    """

    numbers: IntArray
    counts: FloatArray
    mobile: int
    elements: ElementTable = field(default_factory=package_elements)

    @classmethod
    def of_formula(
        cls, formula: str, mobile: str = "Li", elements: ElementTable | None = None
    ) -> ElementalAverages:
        """Make it from a formula such as ``Li3PS4``.

        Raises
        ------
        InputError
            If the formula is not understood or the mobile element is not in it.
        """
        amounts = Composition.parse(formula).reduced
        if mobile not in amounts:
            raise InputError(f"no {mobile} in {formula}; name its mobile element (mobile=...)")
        numbers = np.array([atomic_numbers[symbol] for symbol in amounts])
        counts = np.array(list(amounts.values()), dtype=float)
        table = package_elements() if elements is None else elements
        return cls(numbers, counts, int(atomic_numbers[mobile]), table)

    def mean(self, name: str, with_mobile: bool = True) -> float:
        """Return the mean of a property of `ElementTable` over the atoms.

        Parameters
        ----------
        name : str
            Property, with its unit in its name.
        with_mobile : bool
            Whether the mobile element counts; if not and there is no other, NaN is returned.
        """
        return self._means[with_mobile][name]

    @cached_property
    def _means(self) -> tuple[dict[str, float], dict[str, float]]:
        """Means of all properties without, and with the mobile element."""
        present = self.counts > 0
        return self._means_over(present & (self.numbers != self.mobile)), self._means_over(present)

    def _means_over(self, used: BoolArray) -> dict[str, float]:
        # An element without a value spoils the means of what it is part of, and no other.
        numbers, counts = self.numbers[used], self.counts[used]
        values = np.array([column[numbers] for column in self.elements.columns.values()])
        means = values @ counts / counts.sum() if len(counts) else np.full(len(values), math.nan)
        return dict(zip(self.elements.columns, means.tolist(), strict=True))


def mobile_share(a: ElementalAverages) -> float:
    """Share of the mobile element among the atoms (Li%), between 0 and 1."""
    return float(a.counts[a.numbers == a.mobile].sum() / a.counts.sum())


def bulk_modulus(a: ElementalAverages, with_mobile: bool = True) -> float:
    """Mean bulk modulus of the elements, in GPa."""
    return a.mean("bulk_modulus_GPa", with_mobile)


def shear_modulus(a: ElementalAverages, with_mobile: bool = True) -> float:
    """Mean shear modulus of the elements, in GPa."""
    return a.mean("shear_modulus_GPa", with_mobile)


def cohesive_energy(a: ElementalAverages, with_mobile: bool = True) -> float:
    """Mean cohesive energy of the elements, in eV per atom."""
    return a.mean("cohesive_energy_eV", with_mobile)


def atomic_radius(a: ElementalAverages, with_mobile: bool = True) -> float:
    """Mean atomic radius (Slater), in angstrom."""
    return a.mean("atomic_radius_A", with_mobile)


def mass(a: ElementalAverages, with_mobile: bool = True) -> float:
    """Mean atomic mass, in u (the paper's Table 1 says kg; its numbers are in u)."""
    return a.mean("mass_u", with_mobile)


def electronegativity(a: ElementalAverages, with_mobile: bool = True) -> float:
    """Mean electronegativity on Pauling's scale; without the mobile element also ENS."""
    return a.mean("electronegativity", with_mobile)


def bulk_stiffness(a: ElementalAverages, with_mobile: bool = True) -> float:
    r"""Return :math:`\bar R^2 \sqrt{\bar B \bar R / \bar m}`, in A^(5/2) GPa^(1/2) u^(-1/2).

    It has the dimension of a diffusivity; the unit is 7.76e-8 m2/s.
    """
    return _root(bulk_modulus(a, with_mobile), 5, a, with_mobile)


def shear_stiffness(a: ElementalAverages, with_mobile: bool = True) -> float:
    r"""Return :math:`\bar R^2 \sqrt{\bar G \bar R / \bar m}`; unit as of `bulk_stiffness`."""
    return _root(shear_modulus(a, with_mobile), 5, a, with_mobile)


def cohesion_rate(a: ElementalAverages, with_mobile: bool = True) -> float:
    r"""Return :math:`\sqrt{\bar E_{coh} \bar R^2 / \bar m}`, in A eV^(1/2) u^(-1/2).

    It has the dimension of a diffusivity; the unit is 9.82e-7 m2/s.
    """
    return _root(cohesive_energy(a, with_mobile), 2, a, with_mobile)


def radius_ratio(a: ElementalAverages) -> float:
    r"""Return :math:`\bar R^{\,rest} / \bar R`."""
    return atomic_radius(a, with_mobile=False) / atomic_radius(a)


def electronegativity_difference(a: ElementalAverages) -> float:
    r"""Return :math:`\bar X^{\,rest} - \bar X`, on the scale of Pauling."""
    return electronegativity(a, with_mobile=False) - electronegativity(a)


def _root(value: float, power: int, a: ElementalAverages, with_mobile: bool) -> float:
    radius_A = atomic_radius(a, with_mobile)
    return math.sqrt(value * radius_A**power / mass(a, with_mobile))
