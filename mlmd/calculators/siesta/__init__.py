"""SIESTA for molecular dynamics."""

from mlmd.calculators.siesta.calculator import build, model_identity

__all__ = ["build", "model_identity"]
