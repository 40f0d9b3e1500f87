r"""Kinetic temperature and pressure with one count of degrees of freedom.

With the centre of mass at rest N atoms have 3N - 3 momenta to share the energy:

.. math:: k_B T = 2 K / N_f, \qquad N_f = 3N - 3, \qquad
          P = N k_B T / V - \operatorname{tr}(\sigma) / 3

The kinetic pressure has N, not N - 1: the momentum of the centre of mass is zero in the
simulation, not in the ensemble. ASE's ``Atoms.get_temperature`` and its stress count otherwise.

Atoms that are held in place (``FixAtoms``) take up momentum, so that the centre of mass of the
others is free: M atoms that move have 3M momenta, and the kinetic pressure is theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import units

from mlmd.structure.constraints import held_atoms

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.random import Generator

    from mlmd.arrays import BoolArray, FloatArray


def degrees_of_freedom(atoms: Atoms) -> int:
    """Return 3N - 3, the centre of mass at rest, or 3M where all but M atoms are held."""
    held = int(held_atoms(atoms).sum())
    return 3 * (len(atoms) - (held or 1))


def kinetic_temperature_K(atoms: Atoms) -> float:
    """Return 2K / (N_f kB) in kelvin."""
    return temperature_of_energy_K(atoms.get_kinetic_energy(), degrees_of_freedom(atoms))


def temperature_of_energy_K(kinetic_energy_eV: float, degrees_of_freedom: int) -> float:
    """Return the temperature that belongs to a kinetic energy in eV, in kelvin."""
    return float(2.0 * kinetic_energy_eV / (degrees_of_freedom * units.kB))


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
        Cell volume over number of atoms that move.
    """
    virial = -float(np.sum(stress_eV_A3[:3])) / 3.0
    return float((virial + units.kB * temperature_K / volume_per_atom_A3) / units.GPa)


def draw_momenta(atoms: Atoms, temperature_K: float, rng: Generator) -> None:
    """Draw momenta from Maxwell and Boltzmann, the centre of mass or the held atoms at rest.

    The expected kinetic temperature is `temperature_K` exactly, by :func:`degrees_of_freedom`:
    the momentum of the centre of mass is independent of the rest and is taken out.
    """
    masses = atoms.get_masses()[:, None]
    momenta = rng.standard_normal((len(atoms), 3)) * np.sqrt(units.kB * temperature_K * masses)
    atoms.set_momenta(allowed(momenta, masses, held_atoms(atoms)), apply_constraint=False)


def allowed(momenta: FloatArray, masses: FloatArray, held: BoolArray) -> FloatArray:
    """Return `momenta` without those of held atoms, or else without the centre of mass's.

    `momenta` has shape (atoms, 3), `masses` (atoms, 1), `held` (atoms,).
    """
    if held.any():
        return np.where(held[:, None], 0.0, momenta)
    return at_rest(momenta, masses)


def at_rest(momenta: FloatArray, masses: FloatArray) -> FloatArray:
    """Return `momenta` less the motion of the centre of mass; masses have shape (atoms, 1)."""
    at_rest: FloatArray = momenta - masses * (momenta.sum(axis=0) / masses.sum())
    return at_rest
