"""What an integrator has to offer: to the guards, and to the stages that drive it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray


class Guarded(Protocol):
    """What a guard looks at."""

    atoms: Atoms
    nsteps: int
    timestep_fs: float
    temperature_K: float
    degrees_of_freedom: int

    @property
    def forces_eV_A(self) -> FloatArray:
        """Forces at the present positions, shape (atoms, 3)."""

    @property
    def kinetic_temperature_K(self) -> float:
        """Temperature over the degrees of freedom (:mod:`mlmd.dynamics.kinetics`)."""

    @property
    def conserved_energy_eV(self) -> float:
        """What exact dynamics would conserve."""

    @property
    def potential_energy_eV(self) -> float:
        """Potential energy that the forces derive from."""


class Dynamics(Guarded, Protocol):
    """What a stage drives: an ASE dynamics that can stop and go on bit for bit."""

    def set_temperature(self, temperature_K: float) -> None:
        """Set the target temperature."""

    def ask_stress_every(self, steps: int) -> None:
        """Have the stress computed along with the forces at every so manyth step."""

    def attach(self, function: Callable[[], None], interval: int = 1) -> None:
        """Have an observer called every `interval` steps, as in ASE."""

    def run(self, steps: int) -> Any:
        """Take steps, calling the observers."""

    def state(self) -> dict[str, Any]:
        """Return all that a bitwise continuation needs."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state, in this process or another."""
