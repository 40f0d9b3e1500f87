"""VASP for molecular dynamics."""

from mlmd.calculators.programs.vasp.calculator import build, model_identity

__all__ = ["build", "model_identity"]
