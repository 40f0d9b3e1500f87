r"""A small Lennard-Jones calculator for tests and benchmarks.

Dense minimum image, no neighbour list and no state: forces depend on the positions alone, so
that a restarted run repeats them bit for bit.

.. math::

    u(r) = v(r) - v(r_c) - (r - r_c) v'(r_c), \quad
    v(r) = 4 \epsilon [(\sigma / r)^{12} - (\sigma / r)^6], \quad r < r_c

The shifted force makes energy and force continuous at the cutoff (Toxvaerd and Dyre, J. Chem.
Phys. 134, 081102 (2011), doi:10.1063/1.3558787), without which no integrator conserves energy.
Unlike pairs by Lorentz and Berthelot: sigma the arithmetic, epsilon the geometric mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.data import chemical_symbols, covalent_radii

from mlmd.checks import positive_number
from mlmd.errors import InputError
from mlmd.numerics.voigt import to_voigt
from mlmd.periodic.cell import cell_heights, minimum_image

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray, IntArray
    from mlmd.calculators.spec import CalculatorSpec


DEFAULT_EPSILON_EV = 0.02
# Two atoms of one element then have their minimum at the sum of their covalent radii.
SIGMA_PER_RADIUS = 2.0 / 2.0 ** (1.0 / 6.0)
DEFAULT_CUTOFF_PER_SIGMA = 2.0


class LennardJones(Calculator):
    """Lennard-Jones with shifted forces; fast at about 100 atoms.

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
        sigma, epsilon4, cutoff = self._pair_tables(self.atoms.numbers)
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
        separation = minimum_image(self.atoms.positions, cell)
        squared = np.einsum("kij,kij->ij", separation, separation)
        np.fill_diagonal(squared, np.inf)
        squared[squared > cutoff**2] = np.inf
        inverse = 1.0 / squared
        sixth = (sigma**2 * inverse) ** 3
        at_cutoff6 = (sigma / cutoff) ** 6
        energy_cutoff = epsilon4 * (at_cutoff6**2 - at_cutoff6)
        slope_cutoff = -6.0 * epsilon4 * (2.0 * at_cutoff6**2 - at_cutoff6) / cutoff
        inside = np.isfinite(squared)
        distance = np.sqrt(np.where(inside, squared, 1.0))
        energies = epsilon4 * (sixth**2 - sixth)
        energies -= inside * (energy_cutoff + (distance - cutoff) * slope_cutoff)
        # (du/dr) / r, so that the force on i is the sum over j of this times (r_j - r_i).
        slope_over_r = -6.0 * epsilon4 * (2.0 * sixth**2 - sixth) * inverse
        slope_over_r -= inside * slope_cutoff / distance
        pair_gradient = slope_over_r * separation
        virial = np.einsum("aij,bij->ab", pair_gradient, separation)
        stress = 0.5 * virial / abs(np.linalg.det(cell))
        energy = 0.5 * float(energies.sum())
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": pair_gradient.sum(axis=2).T.copy(),
            "stress": to_voigt(stress),
        }

    def _pair_tables(self, numbers: IntArray) -> tuple[FloatArray, FloatArray, float]:
        """Return sigma, 4 epsilon (atoms, atoms) and the cutoff; kept while the atoms are."""
        key = numbers.tobytes()
        if self._tables is None or self._tables[0] != key:
            sigma = np.array([self._sigma_of(int(number)) for number in numbers])
            epsilon = np.array([self._epsilon_of(int(number)) for number in numbers])
            cutoff = self._cutoff_A or DEFAULT_CUTOFF_PER_SIGMA * float(sigma.max())
            self._tables = (
                key,
                0.5 * (sigma[:, None] + sigma[None, :]),
                4.0 * np.sqrt(epsilon[:, None] * epsilon[None, :]),
                cutoff,
            )
        return self._tables[1:]

    def _sigma_of(self, number: int) -> float:
        default = SIGMA_PER_RADIUS * float(covalent_radii[number])
        return _of_species(self._sigma_A, number, default)

    def _epsilon_of(self, number: int) -> float:
        return _of_species(self._epsilon_eV, number, DEFAULT_EPSILON_EV)


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
