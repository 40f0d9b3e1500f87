"""Molecular dynamics of non-crystalline materials and ion conductors with any ASE calculator.

Names are imported when they are first used, so that ``import mlmd`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mlmd._version import __version__

if TYPE_CHECKING:
    from mlmd.analysis.activation.arrhenius import arrhenius
    from mlmd.analysis.diffusion.diffusivity import diffusivity
    from mlmd.analysis.diffusion.msd import mean_squared_displacement
    from mlmd.analysis.structure.rdf import rdf
    from mlmd.analysis.transport.conductivity import conductivity
    from mlmd.calculators.spec import CalculatorSpec, load_calculator
    from mlmd.campaign.case import Case
    from mlmd.campaign.engine import run_campaign
    from mlmd.campaign.many import run_many
    from mlmd.campaign.plan import Campaign
    from mlmd.comparison.comparing import compare
    from mlmd.descriptors.featurize import featurize
    from mlmd.errors import MlmdError
    from mlmd.model.predictor.predictor import Predictor, fit_predictor
    from mlmd.protocol import Protocol
    from mlmd.run.run import Run
    from mlmd.screening.screening import screen
    from mlmd.stages.equilibrate import Equilibrate
    from mlmd.stages.equilibrate_volume import EquilibrateVolume
    from mlmd.stages.production import Production
    from mlmd.stages.quench import Quench
    from mlmd.stages.relax import Relax
    from mlmd.stages.sample_inherent_structures import SampleInherentStructures
    from mlmd.structure.packing import pack
    from mlmd.trajectory.trajectory import Trajectory

_HOMES = {
    "CalculatorSpec": "mlmd.calculators.spec",
    "Campaign": "mlmd.campaign.plan",
    "Case": "mlmd.campaign.case",
    "Equilibrate": "mlmd.stages.equilibrate",
    "EquilibrateVolume": "mlmd.stages.equilibrate_volume",
    "MlmdError": "mlmd.errors",
    "Predictor": "mlmd.model.predictor.predictor",
    "Production": "mlmd.stages.production",
    "Protocol": "mlmd.protocol",
    "Quench": "mlmd.stages.quench",
    "Relax": "mlmd.stages.relax",
    "Run": "mlmd.run.run",
    "SampleInherentStructures": "mlmd.stages.sample_inherent_structures",
    "Trajectory": "mlmd.trajectory.trajectory",
    "arrhenius": "mlmd.analysis.activation.arrhenius",
    "compare": "mlmd.comparison.comparing",
    "conductivity": "mlmd.analysis.transport.conductivity",
    "diffusivity": "mlmd.analysis.diffusion.diffusivity",
    "featurize": "mlmd.descriptors.featurize",
    "fit_predictor": "mlmd.model.predictor.predictor",
    "load_calculator": "mlmd.calculators.spec",
    "mean_squared_displacement": "mlmd.analysis.diffusion.msd",
    "pack": "mlmd.structure.packing",
    "rdf": "mlmd.analysis.structure.rdf",
    "run_campaign": "mlmd.campaign.engine",
    "run_many": "mlmd.campaign.many",
    "screen": "mlmd.screening.screening",
}

__all__ = [
    "CalculatorSpec",
    "Campaign",
    "Case",
    "Equilibrate",
    "EquilibrateVolume",
    "MlmdError",
    "Predictor",
    "Production",
    "Protocol",
    "Quench",
    "Relax",
    "Run",
    "SampleInherentStructures",
    "Trajectory",
    "__version__",
    "arrhenius",
    "compare",
    "conductivity",
    "diffusivity",
    "featurize",
    "fit_predictor",
    "load_calculator",
    "mean_squared_displacement",
    "pack",
    "rdf",
    "run_campaign",
    "run_many",
    "screen",
]


def __getattr__(name: str) -> Any:
    """Import a public name at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mlmd' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
