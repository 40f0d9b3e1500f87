"""CP2K for molecular dynamics.

May import `arrays`, `calculators/plain_spec`, `calculators/programs`, `calculators/weights`,
`checks`, `errors`, `numerics`.
"""

from mlmd.calculators.programs.cp2k.calculator import Cp2k, model_identity

build = Cp2k

__all__ = ["build", "model_identity"]
