r"""Positions and cell as one set of variables for an optimizer: the logarithm of the deformation.

The cell is :math:`h_0 F^T` and an atom is at :math:`F r_0` with :math:`F = e^U`. The variables are
:math:`r_0` and :math:`c U`, those of ASE's ``FrechetCellFilter``; as they are kept here and not
taken from the cell again by a matrix logarithm, a step costs 0.2 ms instead of 10 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress
from ase.utils.abc import Optimizable
from scipy.linalg import expm, expm_frechet

from mlmd.calculators.evaluation import evaluate

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray


class LogStrain(Optimizable):
    """Atoms whose cell relaxes with them.

    Parameters
    ----------
    atoms
        With a calculator that gives stress; changed in place. Strain is counted from their cell.
    cell_factor
        c: how far a unit of strain is for the optimizer, in angstrom.
    """

    def __init__(self, atoms: Atoms, cell_factor: float) -> None:
        self._atoms, self._factor = atoms, cell_factor
        self._cell_A = atoms.cell.array.copy()
        self.undeformed_A: FloatArray = atoms.get_positions()
        self.log_strain: FloatArray = np.zeros((3, 3))

    def ndofs(self) -> int:
        """Return the number of variables."""
        return 3 * (len(self._atoms) + 3)

    def get_x(self) -> FloatArray:
        """Return the variables: undeformed positions, then the scaled strain."""
        return np.concatenate([self.undeformed_A, self._factor * self.log_strain]).ravel()

    def set_x(self, x: FloatArray) -> None:
        """Move cell and atoms."""
        rows = x.reshape(-1, 3)
        self.place(rows[:-3].copy(), rows[-3:] / self._factor)

    def place(self, undeformed_A: FloatArray, log_strain: FloatArray) -> None:
        """Move cell and atoms to a strain."""
        self.undeformed_A, self.log_strain = undeformed_A, log_strain
        deformation = expm(log_strain)
        self._atoms.set_cell(self._cell_A @ deformation.T)
        self._atoms.set_positions(undeformed_A @ deformation.T)

    def get_gradient(self) -> FloatArray:
        r"""Return the derivatives of the energy.

        By U it is :math:`L(U^T, V \sigma F^{-T})`, with L the derivative of the matrix
        exponential, which is its own adjoint at the transposed matrix.
        """
        deformation = expm(self.log_strain)
        found = evaluate(self._atoms, ("stress", "forces"))
        assert found.stress_eV_A3 is not None  # asked for, of a calculator that has it
        assert found.forces_eV_A is not None
        stress = voigt_6_to_full_3x3_stress(found.stress_eV_A3)
        by_deformation = self._atoms.get_volume() * stress @ np.linalg.inv(deformation).T
        by_strain: Any = expm_frechet(self.log_strain.T, by_deformation, compute_expm=False)
        by_position = -found.forces_eV_A @ deformation
        return np.concatenate([by_position, by_strain / self._factor]).ravel()

    def get_value(self) -> float:
        """Return the energy."""
        energy = evaluate(self._atoms, ("energy",)).energy_of_forces_eV
        assert energy is not None  # it was asked for
        return energy

    def iterimages(self) -> Iterator[Atoms]:
        """Yield the atoms."""
        yield self._atoms
