"""Measurement: pure functions from a Trajectory to a frozen result with its uncertainty."""

from mlmd.analysis.arrhenius import Arrhenius, ArrheniusValue, arrhenius
from mlmd.analysis.diffusivity import ESTIMATORS, Diffusivity, diffusivity
from mlmd.analysis.drift import Drift, drift_A
from mlmd.analysis.estimate import DiffusivitySettings, Estimate, Origins
from mlmd.analysis.measured import measured_stages
from mlmd.analysis.motion import Motion, judge_motion
from mlmd.analysis.msd import MeanSquaredDisplacement, mean_squared_displacement
from mlmd.analysis.summary import AnalysisSummary, StageDiffusivity, summarize

__all__ = [
    "ESTIMATORS",
    "AnalysisSummary",
    "Arrhenius",
    "ArrheniusValue",
    "Diffusivity",
    "DiffusivitySettings",
    "Drift",
    "Estimate",
    "MeanSquaredDisplacement",
    "Motion",
    "Origins",
    "StageDiffusivity",
    "arrhenius",
    "diffusivity",
    "drift_A",
    "judge_motion",
    "mean_squared_displacement",
    "measured_stages",
    "summarize",
]
