r"""A small Lennard-Jones calculator for tests and benchmarks.

No neighbour list that is kept, and no other state: forces depend on the positions alone, so that a
restarted run repeats them bit for bit. Of few atoms all pairs are formed; of more, those within
the cutoff are found in a tree, in memory that grows with the number of atoms.

.. math::

    u(r) = v(r) - v(r_c) - (r - r_c) v'(r_c), \quad
    v(r) = 4 \epsilon [(\sigma / r)^{12} - (\sigma / r)^6], \quad r < r_c

The shifted force makes energy and force continuous at the cutoff (Toxvaerd and Dyre, J. Chem.
Phys. 134, 081102 (2011), doi:10.1063/1.3558787), without which no integrator conserves energy.
Unlike pairs by Lorentz and Berthelot: sigma the arithmetic, epsilon the geometric mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.data import chemical_symbols, covalent_radii

from mlmd.checks import positive_number
from mlmd.errors import InputError
from mlmd.numerics.voigt import to_voigt
from mlmd.periodic.cell import cell_heights, minimum_image
from mlmd.periodic.neighbourhood import Neighbourhood

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray, IntArray
    from mlmd.calculators.spec import CalculatorSpec


DEFAULT_EPSILON_EV = 0.02
# Two atoms of one element then have their minimum at the sum of their covalent radii.
SIGMA_PER_RADIUS = 2.0 / 2.0 ** (1.0 / 6.0)
DEFAULT_CUTOFF_PER_SIGMA = 2.0
MOST_DENSE = 300
"""Atoms up to which all pairs are formed; beyond, searching for the near ones is faster, too."""


class LennardJones(Calculator):
    """Lennard-Jones with shifted forces; fast at about 100 atoms, linear beyond 300.

    Parameters
    ----------
    sigma_A, epsilon_eV
        One number for all species or a mapping from chemical symbol to number. A species
        that is not given takes sigma from its covalent radius and epsilon 0.02 eV: a
        liquid of the right size, not a model of any material.
    cutoff_A
        One cutoff for all pairs; twice the largest sigma where not given. At most half the
        smallest height of the cell.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(
        self,
        sigma_A: float | Mapping[str, float] | None = None,
        epsilon_eV: float | Mapping[str, float] | None = None,
        cutoff_A: float | None = None,
    ) -> None:
        # ASE keeps these as `parameters`, by which a ready-made calculator is known.
        super().__init__(sigma_A=sigma_A, epsilon_eV=epsilon_eV, cutoff_A=cutoff_A)
        self._sigma_A = _checked("sigma_A", sigma_A, "angstrom")
        self._epsilon_eV = _checked("epsilon_eV", epsilon_eV, "eV")
        self._cutoff_A = None if cutoff_A is None else positive_number("cutoff_A", cutoff_A, "A")
        self._tables: tuple[bytes, FloatArray, FloatArray, float] | None = None
        self._matrices: tuple[FloatArray, FloatArray] | None = None

    # Atoms on top of each other: forces that are not finite, which the dynamics reports.
    @np.errstate(divide="ignore", invalid="ignore", over="ignore")
    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Compute energy (eV), forces (eV/A) and stress (eV/A^3, Voigt) by all pairs."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None  # the line above copies them
        sigma, epsilon, cutoff = self._atom_tables(self.atoms.numbers)
        cell = self.atoms.cell.array
        if not self.atoms.pbc.all() or self.atoms.cell.rank < 3:
            raise InputError(
                "Lennard-Jones is periodic in three directions; the atoms are not: set "
                "atoms.cell and atoms.pbc = True"
            )
        heights = cell_heights(cell)
        if 2.0 * cutoff > heights.min() * (1 + 1e-12):
            raise InputError(
                f"Lennard-Jones cutoff {cutoff:.3f} A is more than half the smallest cell height "
                f"{heights.min():.3f} A; give a smaller cutoff_A or a larger cell"
            )
        positions = self.atoms.positions
        if len(positions) <= MOST_DENSE:
            found = _all_pairs(positions, cell, *self._pair_matrices(sigma, epsilon), cutoff)
        else:
            found = _near_pairs(positions, cell, sigma, epsilon, cutoff)
        stress = 0.5 * found.virial_eV / abs(np.linalg.det(cell))
        self.results = {
            "energy": found.energy_eV,
            "free_energy": found.energy_eV,
            "forces": found.forces_eV_A,
            "stress": to_voigt(stress),
        }

    def _atom_tables(self, numbers: IntArray) -> tuple[FloatArray, FloatArray, float]:
        """Return sigma, epsilon (atoms,) and the cutoff; kept while the atoms are the same."""
        key = numbers.tobytes()
        if self._tables is None or self._tables[0] != key:
            sigma = np.array([self._sigma_of(int(number)) for number in numbers])
            epsilon = np.array([self._epsilon_of(int(number)) for number in numbers])
            cutoff = self._cutoff_A or DEFAULT_CUTOFF_PER_SIGMA * float(sigma.max())
            self._tables = (key, sigma, epsilon, cutoff)
            self._matrices = None
        return self._tables[1:]

    def _pair_matrices(
        self, sigma: FloatArray, epsilon: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return sigma and 4 epsilon of all pairs; kept while the atoms are the same."""
        if self._matrices is None:
            self._matrices = _mixed(
                sigma[:, None], sigma[None, :], epsilon[:, None], epsilon[None, :]
            )
        return self._matrices

    def _sigma_of(self, number: int) -> float:
        default = SIGMA_PER_RADIUS * float(covalent_radii[number])
        return _of_species(self._sigma_A, number, default)

    def _epsilon_of(self, number: int) -> float:
        return _of_species(self._epsilon_eV, number, DEFAULT_EPSILON_EV)


@dataclass(frozen=True, eq=False)
class _Sums:
    """What the pairs add up to; the virial counts each of them twice."""

    energy_eV: float
    forces_eV_A: FloatArray
    virial_eV: FloatArray


def _all_pairs(
    positions: FloatArray, cell: FloatArray, sigma: FloatArray, epsilon4: FloatArray, cutoff: float
) -> _Sums:
    """Form every pair."""
    separation = minimum_image(positions, cell)
    squared = np.einsum("kij,kij->ij", separation, separation)
    np.fill_diagonal(squared, np.inf)
    squared[squared > cutoff**2] = np.inf
    energies, slope_over_r = _pair_terms(squared, sigma, epsilon4, cutoff)
    pair_gradient = slope_over_r * separation
    virial = np.einsum("aij,bij->ab", pair_gradient, separation)
    return _Sums(0.5 * float(energies.sum()), pair_gradient.sum(axis=2).T.copy(), virial)


def _near_pairs(
    positions: FloatArray, cell: FloatArray, sigma: FloatArray, epsilon: FloatArray, cutoff: float
) -> _Sums:
    """Search for the pairs anew in each call: what was near before makes no difference."""
    near = Neighbourhood(positions, cell, cutoff).pairs(cutoff)
    near = near.where(near.first < near.second)
    i, j = near.first, near.second
    separation = near.vector_A
    squared = np.einsum("pk,pk->p", separation, separation)
    squared[squared > cutoff**2] = np.inf
    mixed = _mixed(sigma[i], sigma[j], epsilon[i], epsilon[j])
    energies, slope_over_r = _pair_terms(squared, *mixed, cutoff)
    pair_gradient = slope_over_r[:, None] * separation
    forces = np.empty_like(positions)
    for axis, gradient in enumerate(pair_gradient.T):
        forces[:, axis] = np.bincount(i, gradient, len(positions))
        forces[:, axis] -= np.bincount(j, gradient, len(positions))
    virial = 2.0 * np.einsum("pa,pb->ab", pair_gradient, separation)
    return _Sums(float(energies.sum()), forces, virial)


def _mixed(
    sigma_i: FloatArray, sigma_j: FloatArray, epsilon_i: FloatArray, epsilon_j: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return sigma and 4 epsilon of pairs by the rules of Lorentz and Berthelot."""
    return 0.5 * (sigma_i + sigma_j), 4.0 * np.sqrt(epsilon_i * epsilon_j)


def _pair_terms(
    squared: FloatArray, sigma: FloatArray, epsilon4: FloatArray, cutoff: float
) -> tuple[FloatArray, FloatArray]:
    """Return u and (du/dr) / r of pairs by their squared distance, infinite beyond the cutoff.

    The force on i is the sum over j of the latter times (r_j - r_i).
    """
    inverse = 1.0 / squared
    sixth = (sigma**2 * inverse) ** 3
    at_cutoff6 = (sigma / cutoff) ** 6
    energy_cutoff = epsilon4 * (at_cutoff6**2 - at_cutoff6)
    slope_cutoff = -6.0 * epsilon4 * (2.0 * at_cutoff6**2 - at_cutoff6) / cutoff
    inside = np.isfinite(squared)
    distance = np.sqrt(np.where(inside, squared, 1.0))
    energies = epsilon4 * (sixth**2 - sixth)
    energies -= inside * (energy_cutoff + (distance - cutoff) * slope_cutoff)
    slope_over_r = -6.0 * epsilon4 * (2.0 * sixth**2 - sixth) * inverse
    slope_over_r -= inside * slope_cutoff / distance
    return energies, slope_over_r


def _checked(
    name: str, value: float | Mapping[str, float] | None, unit: str
) -> float | dict[str, float] | None:
    if value is None:
        return None
    if isinstance(value, Mapping):
        unknown = set(value) - set(chemical_symbols[1:])
        if unknown:
            raise InputError(f"{name} has unknown element(s) {', '.join(sorted(unknown))}")
        return {s: positive_number(f"{name}[{s}]", v, unit) for s, v in value.items()}
    return positive_number(name, value, unit)


def _of_species(value: float | dict[str, float] | None, number: int, default: float) -> float:
    if isinstance(value, dict):
        return value.get(chemical_symbols[number], default)
    return default if value is None else value


def build(spec: CalculatorSpec) -> LennardJones:
    """Make the calculator."""
    model_identity(spec)
    try:
        return LennardJones(**spec.options)
    except TypeError as error:
        raise InputError(
            f"calculator 'lj' was not made: {error}; options: sigma_A, epsilon_eV, cutoff_A"
        ) from error


def model_identity(spec: CalculatorSpec) -> None:
    """Lennard-Jones has no weights; refuse a model."""
    if spec.model is not None:
        raise InputError(f"calculator 'lj' has no models; given '{spec.model}'")
