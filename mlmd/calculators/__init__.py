"""Calculators by name: the part of mlmd that knows where forces come from.

May import `arrays`, `calculators/isolation`, `checks`, `errors`, `numerics`.
"""

from mlmd.calculators.evaluation import Evaluation, evaluate, evaluate_many
from mlmd.calculators.loading import load_calculator
from mlmd.calculators.spec import CalculatorSpec

__all__ = ["CalculatorSpec", "Evaluation", "evaluate", "evaluate_many", "load_calculator"]
