"""Calculators by name: the part of mlmd that knows where forces come from.

May import `calculators/isolation`, `checks`, `errors`.
"""

from mlmd.calculators.loading import load_calculator
from mlmd.calculators.spec import CalculatorSpec

__all__ = ["CalculatorSpec", "load_calculator"]
