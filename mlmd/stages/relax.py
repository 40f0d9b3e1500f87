"""Push packed atoms apart before they are set in motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmd.checks import whole_number
from mlmd.stages.relaxation.relaxing import RelaxationLimits, relax
from mlmd.stages.stage import Stage, require_positive

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.stages.context import StageContext


@dataclass(frozen=True)
class RelaxResult:
    """What a relaxation found.

    Attributes
    ----------
    n_steps
        Steps taken.
    converged
        Whether the largest force came below the threshold.
    max_force_eV_A
        Largest force on an atom at the end.
    energy_before_eV, energy_after_eV
        Potential energies.
    """

    n_steps: int
    converged: bool
    max_force_eV_A: float
    energy_before_eV: float
    energy_after_eV: float


@dataclass(frozen=True, kw_only=True)
class Relax(Stage):
    """Move downhill at fixed cell (FIRE, doi:10.1103/PhysRevLett.97.170201).

    Meant to take close contacts out of a packed cell, not to find a minimum: reaching
    `max_steps` is no error, and the result says whether it converged.

    Attributes
    ----------
    max_force_eV_A
        Stop when no force is larger.
    max_steps
        Stop after this many steps.
    """

    max_force_eV_A: float = 0.5
    max_steps: int = 200

    def __post_init__(self) -> None:
        """Check the numbers."""
        super().__post_init__()
        require_positive(self, max_force_eV_A=self.max_force_eV_A)
        whole_number(f"stage '{self.name}': max_steps", self.max_steps)

    def run(self, atoms: Atoms, context: StageContext) -> tuple[Atoms, RelaxResult]:
        """Relax and say how far it came."""
        atoms = atoms.copy()
        limits = RelaxationLimits(
            max_force_eV_A=self.max_force_eV_A,
            max_steps=self.max_steps,
            remedy="pack at a lower density",
        )
        found = relax(atoms, context, self.name, limits)
        result = RelaxResult(
            n_steps=found.n_steps,
            converged=found.converged,
            max_force_eV_A=found.max_force_eV_A,
            energy_before_eV=found.energy_before_eV,
            energy_after_eV=found.energy_after_eV,
        )
        return atoms, result
