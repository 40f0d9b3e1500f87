r"""Kinetic temperature and pressure with one count of degrees of freedom.

With the centre of mass at rest N atoms have 3N - 3 momenta to share the energy:

.. math:: k_B T = 2 K / (3N - 3), \qquad
          P = N k_B T / V - \operatorname{tr}(\sigma) / 3

The kinetic pressure has N, not N - 1: the momentum of the centre of mass is zero in the
simulation, not in the ensemble. ASE's ``Atoms.get_temperature`` and its stress count otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import units

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.random import Generator

    from mlmd.arrays import FloatArray


def degrees_of_freedom(n_atoms: int) -> int:
    """Return 3N - 3: the momenta of N atoms whose centre of mass is at rest."""
    return 3 * n_atoms - 3


def kinetic_temperature_K(atoms: Atoms) -> float:
    """Return 2K / ((3N - 3) kB) in kelvin."""
    return temperature_of_energy_K(atoms.get_kinetic_energy(), len(atoms))


def temperature_of_energy_K(kinetic_energy_eV: float, n_atoms: int) -> float:
    """Return the temperature that belongs to a kinetic energy in eV, in kelvin."""
    return float(2.0 * kinetic_energy_eV / (degrees_of_freedom(n_atoms) * units.kB))


def pressure_GPa(
    stress_eV_A3: FloatArray, temperature_K: float, volume_per_atom_A3: float
) -> float:
    """Return the total pressure, virial and kinetic part, in GPa.

    Parameters
    ----------
    stress_eV_A3 : (6,)
        Virial stress in ASE's sign (positive under tension) and Voigt order, eV/angstrom^3,
        without the kinetic part, as ``Atoms.get_stress()`` gives it.
    temperature_K
        Kinetic temperature.
    volume_per_atom_A3
        Cell volume over number of atoms.
    """
    virial = -float(np.sum(stress_eV_A3[:3])) / 3.0
    return float((virial + units.kB * temperature_K / volume_per_atom_A3) / units.GPa)


def draw_momenta(atoms: Atoms, temperature_K: float, rng: Generator) -> None:
    """Draw momenta from Maxwell and Boltzmann, the centre of mass at rest.

    The expected kinetic temperature is `temperature_K` exactly, by 3N - 3 degrees of freedom:
    the momentum of the centre of mass is independent of the rest and is taken out.
    """
    masses = atoms.get_masses()[:, None]
    momenta = rng.standard_normal((len(atoms), 3)) * np.sqrt(units.kB * temperature_K * masses)
    atoms.set_momenta(at_rest(momenta, masses))


def at_rest(momenta: FloatArray, masses: FloatArray) -> FloatArray:
    """Return `momenta` less the motion of the centre of mass; masses have shape (atoms, 1)."""
    at_rest: FloatArray = momenta - masses * (momenta.sum(axis=0) / masses.sum())
    return at_rest
