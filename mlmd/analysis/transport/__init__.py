"""Transport beyond one number: tensor, charge, conductivity, finite size.

May import `analysis/checks`, `analysis/diffusion`, `arrays`, `checks`, `errors`, `findings`,
`numerics`, `plain`, `trajectory`.
"""

from mlmd.analysis.transport.charge import ChargeDiffusivity, charge_diffusivity
from mlmd.analysis.transport.conductivity import (
    Conductivity,
    ConductivityValue,
    conductivity,
    conductivity_factor,
)
from mlmd.analysis.transport.finite_size import FiniteSizeCorrection, finite_size_correction
from mlmd.analysis.transport.tensor import DiffusionTensor, diffusion_tensor

__all__ = [
    "ChargeDiffusivity",
    "Conductivity",
    "ConductivityValue",
    "DiffusionTensor",
    "FiniteSizeCorrection",
    "charge_diffusivity",
    "conductivity",
    "conductivity_factor",
    "diffusion_tensor",
    "finite_size_correction",
]
