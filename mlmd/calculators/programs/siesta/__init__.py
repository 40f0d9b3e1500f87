"""SIESTA for molecular dynamics.

May import `arrays`, `calculators/isolation`, `calculators/plain_spec`, `calculators/programs`,
`checks`, `errors`, `numerics`, `temporary`.
"""

from mlmd.calculators.programs.siesta.calculator import Siesta, model_identity

build = Siesta

__all__ = ["build", "model_identity"]
