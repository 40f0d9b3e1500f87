"""VASP for molecular dynamics.

May import `arrays`, `calculators/plain_spec`, `calculators/programs`, `checks`, `errors`.
"""

from mlmd.calculators.programs.vasp.calculator import Vasp, model_identity

build = Vasp

__all__ = ["build", "model_identity"]
