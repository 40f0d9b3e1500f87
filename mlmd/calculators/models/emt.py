"""ASE's effective medium theory, made to depend on the positions alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT

from mlmd.calculators.plain_spec import refuse_unknown
from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.calculators.spec import CalculatorSpec


class StatelessEMT(EMT):
    """EMT with a new neighbour list at each call.

    ASE's keeps a list with a skin, whose order depends on where the atoms have been; a
    restarted run would then differ in the last digit.
    """

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Compute everything as for atoms never seen before."""
        super().calculate(atoms, properties, all_changes)


def build(spec: CalculatorSpec) -> StatelessEMT:
    """Make the calculator."""
    model_identity(spec)
    refuse_unknown(spec, EMT.default_parameters)
    return StatelessEMT(**spec.options)


def model_identity(spec: CalculatorSpec) -> None:
    """EMT has no weights; refuse a model."""
    if spec.model is not None:
        raise InputError(f"calculator 'emt' has no models; given '{spec.model}'")
