"""Dynamics to be measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mlmd.stages.dynamics.molecular_dynamics import MolecularDynamicsStage

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.stages.context import StageContext


@dataclass(frozen=True, kw_only=True)
class Production(MolecularDynamicsStage):
    """Nosé-Hoover dynamics whose trajectory is analysed.

    Goes on with the momenta of the stage before; draws them only where there are none.
    """

    measured: ClassVar[bool] = True

    def prepare(self, atoms: Atoms, context: StageContext) -> None:
        """Draw momenta where the stage before left none."""
        if not atoms.has("momenta") or not atoms.get_momenta().any():
            super().prepare(atoms, context)
