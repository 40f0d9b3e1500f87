"""Going downhill by FIRE, at fixed cell or with it, so that it can be stopped and gone on with.

FIRE is Bitzek et al., doi:10.1103/PhysRevLett.97.170201, as ASE has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units
from ase.optimize import FIRE

from mlmd.dynamics.log_strain import LogStrain
from mlmd.errors import InputError
from mlmd.structure.constraints import held_atoms

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

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
        self._fire = _Fire(self._cell or atoms, lambda: self.converged)

    @property
    def nsteps(self) -> int:
        """Steps taken."""
        return int(self._fire.nsteps)

    @property
    def max_force_eV_A(self) -> float:
        """Largest force on an atom."""
        return float(np.linalg.norm(self.atoms.get_forces(), axis=1).max())

    @property
    def max_stress_GPa(self) -> float | None:
        """Largest component of the stress tensor, without its sign; None at fixed cell."""
        if self._max_stress_GPa is None:
            return None
        return float(np.abs(self.atoms.get_stress()).max() / units.GPa)

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


class _Fire(FIRE):
    """FIRE that ends where it is told to, not at a norm that mixes forces and stress."""

    def __init__(self, moved: Any, converged: Callable[[], bool]) -> None:
        super().__init__(moved, logfile=None)
        self._converged = converged

    def gradient_converged(self, gradient: NDArray[Any]) -> bool:
        """Tell whether to end."""
        return self._converged()
