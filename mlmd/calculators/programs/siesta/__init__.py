"""SIESTA for molecular dynamics.

May import `arrays`, `calculators/isolation`, `calculators/plain_spec`, `calculators/programs`,
`calculators/spec`, `calculators/weights`, `checks`, `errors`.
"""

from mlmd.calculators.programs.siesta.calculator import build, model_identity

__all__ = ["build", "model_identity"]
