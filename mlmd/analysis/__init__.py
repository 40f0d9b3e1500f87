"""Measurement: pure functions from a Trajectory to a frozen result with its uncertainty."""

from mlmd.analysis.arrhenius import Arrhenius, ArrheniusValue, arrhenius
from mlmd.analysis.combine import CombinedDiffusivity, combine
from mlmd.analysis.diffusivity import ESTIMATORS, Diffusivity, diffusivity
from mlmd.analysis.drift import Drift, drift_A
from mlmd.analysis.estimate import DiffusivitySettings, Estimate, Origins
from mlmd.analysis.estimator_options import (
    BlocksOptions,
    EstimatorOptions,
    KinisiOptions,
    WeightedOptions,
)
from mlmd.analysis.events import RunEvents, what_happened
from mlmd.analysis.formation import (
    FormationEnergy,
    energy_above,
    formation_energy,
    reference_energies,
)
from mlmd.analysis.measured import measured_stages
from mlmd.analysis.motion import Motion, judge_motion
from mlmd.analysis.msd import MeanSquaredDisplacement, mean_squared_displacement
from mlmd.analysis.start_sensitivity import StartSensitivity, start_sensitivity
from mlmd.analysis.summary import AnalysisSummary, StageDiffusivity, summarize
from mlmd.analysis.transport import (
    Conductivity,
    charge_diffusivity,
    conductivity,
    diffusion_tensor,
    finite_size_correction,
)
from mlmd.analysis.vogel import VogelFulcherTammann, vogel_fulcher_tammann

__all__ = [
    "ESTIMATORS",
    "AnalysisSummary",
    "Arrhenius",
    "ArrheniusValue",
    "BlocksOptions",
    "CombinedDiffusivity",
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
    "RunEvents",
    "StageDiffusivity",
    "StartSensitivity",
    "VogelFulcherTammann",
    "WeightedOptions",
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
