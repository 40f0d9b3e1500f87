"""Calculators by name: the part of mlmd that knows where forces come from.

May import `arrays`, `calculators/isolation`, `calculators/models`, `checks`, `errors`, `numerics`,
`yaml_text`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlmd.calculators.spec import CalculatorSpec, load_calculator

if TYPE_CHECKING:
    from mlmd.calculators.batched import BatchServer
    from mlmd.calculators.evaluation import Evaluation, evaluate, evaluate_many

__all__ = [
    "BatchServer",
    "CalculatorSpec",
    "Evaluation",
    "evaluate",
    "evaluate_many",
    "load_calculator",
]
_HOMES = {
    "BatchServer": "batched",
    "Evaluation": "evaluation",
    "evaluate": "evaluation",
    "evaluate_many": "evaluation",
}


def __getattr__(name: str) -> Any:
    """Import what needs NumPy and ASE when it is first used: a spec is light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mlmd.calculators' has no attribute '{name}'")
    return getattr(import_module(f"mlmd.calculators.{_HOMES[name]}"), name)
