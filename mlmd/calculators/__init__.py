"""Calculators by name: the part of mlmd that knows where forces come from.

May import `arrays`, `calculators/isolation`, `calculators/models`, `checks`, `errors`, `numerics`,
`yaml_text`.
"""

from typing import TYPE_CHECKING, Any

from mlmd.calculators.loading import load_calculator
from mlmd.calculators.spec import CalculatorSpec

if TYPE_CHECKING:
    from mlmd.calculators.evaluation import Evaluation, evaluate, evaluate_many

__all__ = ["CalculatorSpec", "Evaluation", "evaluate", "evaluate_many", "load_calculator"]


def __getattr__(name: str) -> Any:
    """Import what needs NumPy and ASE when it is first used: a spec is light."""
    if name not in ("Evaluation", "evaluate", "evaluate_many"):
        raise AttributeError(f"module 'mlmd.calculators' has no attribute '{name}'")
    from mlmd.calculators import evaluation

    return getattr(evaluation, name)
