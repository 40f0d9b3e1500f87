"""Quantum ESPRESSO for molecular dynamics.

May import `arrays`, `calculators/plain_spec`, `calculators/programs`, `calculators/spec`,
`calculators/weights`, `checks`, `errors`, `numerics`.
"""

from mlmd.calculators.programs.espresso.building import build, model_identity

__all__ = ["build", "model_identity"]
