"""Measurement: pure functions from a Trajectory to a frozen result with its uncertainty.

May import `analysis/activation`, `analysis/diffusion`, `analysis/energies`, `analysis/events`,
`analysis/structure`, `analysis/transport`, `arrays`, `checks`, `errors`, `findings`, `periodic`,
`plain`, `run`, `trajectory`.
"""

from mlmd.analysis.activation.arrhenius import (
    Arrhenius,
    ArrheniusValue,
    activation_energy_bound,
    arrhenius,
)
from mlmd.analysis.activation.vogel import VogelFulcherTammann, vogel_fulcher_tammann
from mlmd.analysis.diffusion.combining import combine
from mlmd.analysis.diffusion.diffusivity import ESTIMATORS, Diffusivity, diffusivity
from mlmd.analysis.diffusion.drift import Drift, drift_A
from mlmd.analysis.diffusion.estimators.estimate import DiffusivitySettings, Estimate, Origins
from mlmd.analysis.diffusion.estimators.options import (
    BlocksOptions,
    EstimatorOptions,
    KinisiOptions,
    WeightedOptions,
)
from mlmd.analysis.diffusion.gate import Motion, judge_motion
from mlmd.analysis.diffusion.msd import MeanSquaredDisplacement, mean_squared_displacement
from mlmd.analysis.energies.formation import (
    FormationEnergy,
    energy_above,
    formation_energy,
    reference_energies,
)
from mlmd.analysis.events import RunEvents, what_happened
from mlmd.analysis.recipe import RecipeAnalysis
from mlmd.analysis.stage import StageDiffusivity
from mlmd.analysis.start_sensitivity import StartSensitivity, start_sensitivity
from mlmd.analysis.summary import AnalysisSummary, summarize
from mlmd.analysis.transport import (
    Conductivity,
    charge_diffusivity,
    conductivity,
    diffusion_tensor,
    finite_size_correction,
)
from mlmd.run.measured import measured_stages

__all__ = [
    "ESTIMATORS",
    "AnalysisSummary",
    "Arrhenius",
    "ArrheniusValue",
    "BlocksOptions",
    "Conductivity",
    "Diffusivity",
    "DiffusivitySettings",
    "Drift",
    "Estimate",
    "EstimatorOptions",
    "FormationEnergy",
    "KinisiOptions",
    "MeanSquaredDisplacement",
    "Motion",
    "Origins",
    "RecipeAnalysis",
    "RunEvents",
    "StageDiffusivity",
    "StartSensitivity",
    "VogelFulcherTammann",
    "WeightedOptions",
    "activation_energy_bound",
    "arrhenius",
    "charge_diffusivity",
    "combine",
    "conductivity",
    "diffusion_tensor",
    "diffusivity",
    "drift_A",
    "energy_above",
    "finite_size_correction",
    "formation_energy",
    "judge_motion",
    "mean_squared_displacement",
    "measured_stages",
    "reference_energies",
    "start_sensitivity",
    "summarize",
    "vogel_fulcher_tammann",
    "what_happened",
]
