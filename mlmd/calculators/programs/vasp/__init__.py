"""VASP for molecular dynamics.

May import `arrays`, `calculators/plain_spec`, `calculators/programs`, `calculators/spec`,
`checks`, `errors`.
"""

from mlmd.calculators.programs.vasp.calculator import build, model_identity

__all__ = ["build", "model_identity"]
