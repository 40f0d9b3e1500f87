"""Going downhill by FIRE, at fixed cell or with it, so that it can be stopped and gone on with.

FIRE is Bitzek et al., doi:10.1103/PhysRevLett.97.170201, as ASE has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units
from ase.optimize import FIRE
from ase.utils.abc import Optimizable

from mlmd.calculators.evaluation import evaluate
from mlmd.dynamics.log_strain import LogStrain
from mlmd.errors import InputError
from mlmd.structure.constraints import held_atoms

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from mlmd.arrays import FloatArray

CELL_FACTOR = 2.0
"""Times the root of the number of atoms: the weight of the strain among FIRE's variables. With
the number of atoms, as in ASE, the cell is the slowest mode: 81 steps instead of 57 at 32 atoms,
145 instead of 85 at 108 (EMT, AlCu)."""


class Relaxation:
    """A relaxation whose state can be saved and restored.

    A restored one goes on bit for bit, where forces depend on the positions alone.

    Parameters
    ----------
    atoms
        With a calculator; changed in place. A restored relaxation is to be given the atoms that
        the first one was given: strain is counted from their cell.
    max_force_eV_A
        Converged where no force is larger.
    max_stress_GPa
        And no component of the stress tensor; None leaves the cell as it is.

    Raises
    ------
    InputError
        If atoms are held and the cell is to relax, or there is a constraint other than
        ``FixAtoms``.
    """

    def __init__(
        self, atoms: Atoms, max_force_eV_A: float, max_stress_GPa: float | None = None
    ) -> None:
        if held_atoms(atoms).any() and max_stress_GPa is not None:
            raise InputError(
                "FixAtoms holds atoms in place, which a cell that relaxes would move; keep the "
                "cell or remove the constraint"
            )
        self.atoms = atoms
        self._max_force_eV_A, self._max_stress_GPa = max_force_eV_A, max_stress_GPa
        self._cell: LogStrain | None = None
        if max_stress_GPa is not None:
            self._cell = LogStrain(atoms, CELL_FACTOR * math.sqrt(len(atoms)))
        self._fire = _Fire(self._cell or _FixedCell(atoms), lambda: self.converged)

    @property
    def nsteps(self) -> int:
        """Steps taken."""
        return int(self._fire.nsteps)

    @property
    def max_force_eV_A(self) -> float:
        """Largest force on an atom that moves."""
        return float(np.linalg.norm(_moving_forces(self.atoms), axis=1).max())

    @property
    def max_stress_GPa(self) -> float | None:
        """Largest component of the stress tensor, without its sign; None at fixed cell."""
        if self._max_stress_GPa is None:
            return None
        stress = evaluate(self.atoms, ("stress",)).stress_eV_A3
        assert stress is not None  # of a calculator that has it
        return float(np.abs(stress).max() / units.GPa)

    @property
    def converged(self) -> bool:
        """Whether forces, and stress where the cell relaxes, are below their thresholds."""
        if not self.max_force_eV_A <= self._max_force_eV_A:
            return False
        stress = self.max_stress_GPa
        return stress is None or self._max_stress_GPa is None or stress <= self._max_stress_GPa

    def run(self, max_steps: int, follow: Callable[[], None] | None = None) -> None:
        """Relax until converged, or until so many steps in all.

        Parameters
        ----------
        max_steps
            Steps of earlier sessions count.
        follow
            Called at the start and after each step; what it raises ends the relaxation.
        """
        if follow is not None:
            self._fire.attach(follow)
        self._fire.run(steps=max_steps - self.nsteps)

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on as if there had been no interruption."""
        fire = self._fire
        state: dict[str, Any] = {
            "nsteps": self.nsteps,
            "cell": self.atoms.cell.array.copy(),
            "positions": self.atoms.get_positions(),
            "fire_dt": fire.dt,
            "fire_a": fire.a,
            "fire_n": fire.Nsteps,
        }
        if fire.vel is not None:
            state["fire_velocities"] = np.array(fire.vel)
        if self._cell is not None:
            state["undeformed"] = self._cell.undeformed_A.copy()
            state["log_strain"] = self._cell.log_strain.copy()
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state of :meth:`state`."""
        fire = self._fire
        fire.nsteps = state["nsteps"]
        self.atoms.positions[:] = state["positions"]
        if self._cell is not None:
            self._cell.place(state["undeformed"], state["log_strain"])
        fire.dt, fire.a, fire.Nsteps = state["fire_dt"], state["fire_a"], state["fire_n"]
        fire.vel = state.get("fire_velocities")


def _moving_forces(atoms: Atoms) -> FloatArray:
    """Return the forces (eV/angstrom), none on atoms that are held."""
    forces = evaluate(atoms, ("forces",)).forces_eV_A
    assert forces is not None  # they were asked for
    forces[held_atoms(atoms)] = 0.0
    return forces


class _FixedCell(Optimizable):
    """Positions as the variables of an optimizer."""

    def __init__(self, atoms: Atoms) -> None:
        self._atoms = atoms

    def ndofs(self) -> int:
        """Return the number of variables."""
        return 3 * len(self._atoms)

    def get_x(self) -> FloatArray:
        """Return the positions."""
        x: FloatArray = self._atoms.positions.ravel().copy()
        return x

    def set_x(self, x: FloatArray) -> None:
        """Move the atoms."""
        self._atoms.set_positions(x.reshape(-1, 3))

    def get_gradient(self) -> FloatArray:
        """Return the derivatives of the energy."""
        return -_moving_forces(self._atoms).ravel()

    def get_value(self) -> float:
        """Return the energy."""
        energy = evaluate(self._atoms, ("energy",)).energy_of_forces_eV
        assert energy is not None  # it was asked for
        return energy

    def iterimages(self) -> Iterator[Atoms]:
        """Yield the atoms."""
        yield self._atoms


class _Fire(FIRE):
    """FIRE that ends where it is told to, not at a norm that mixes forces and stress."""

    def __init__(self, moved: Any, converged: Callable[[], bool]) -> None:
        super().__init__(moved, logfile=None)
        self._converged = converged

    def gradient_converged(self, gradient: NDArray[Any]) -> bool:
        """Tell whether to end."""
        return self._converged()
