"""SIESTA for molecular dynamics."""

from mlmd.calculators.programs.siesta.calculator import build, model_identity

__all__ = ["build", "model_identity"]
