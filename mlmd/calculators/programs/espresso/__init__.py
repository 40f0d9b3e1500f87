"""Quantum ESPRESSO for molecular dynamics."""

from mlmd.calculators.programs.espresso.building import build, model_identity

__all__ = ["build", "model_identity"]
