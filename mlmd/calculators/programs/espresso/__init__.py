"""Quantum ESPRESSO for molecular dynamics.

May import `arrays`, `calculators/plain_spec`, `calculators/programs`, `checks`, `errors`,
`numerics`.
"""

from mlmd.calculators.programs.espresso.calculator import Espresso, model_identity

build = Espresso

__all__ = ["build", "model_identity"]
