"""CP2K for molecular dynamics."""

from mlmd.calculators.programs.cp2k.building import build, model_identity

__all__ = ["build", "model_identity"]
