"""Judging: how far a surrogate potential can be trusted against its reference."""

from mlmd.comparison.checks import Functionals
from mlmd.comparison.comparison import Comparison, ComparisonSettings, compare
from mlmd.comparison.curves import PairCurves
from mlmd.comparison.diffusivity_parity import DiffusivityParity, diffusivity_parity
from mlmd.comparison.diffusivity_point import DiffusivityPoint, diffusivity_point, point_of
from mlmd.comparison.distribution import R2Distribution
from mlmd.comparison.evaluate import evaluate
from mlmd.comparison.feature_agreement import FeatureAgreement, feature_agreement
from mlmd.comparison.feature_choice import FeatureChoice
from mlmd.comparison.feature_parity import FeatureParity, feature_parity
from mlmd.comparison.points import PointErrors, point_errors
from mlmd.comparison.r_squared import Noise, excess, noise_ceiling, r_squared
from mlmd.comparison.rdf_parity import RdfChoice, RdfParity, rdf_parity
from mlmd.comparison.thresholds import Thresholds
from mlmd.comparison.verdict import Verdict

__all__ = [
    "Comparison",
    "ComparisonSettings",
    "DiffusivityParity",
    "DiffusivityPoint",
    "FeatureAgreement",
    "FeatureChoice",
    "FeatureParity",
    "Functionals",
    "Noise",
    "PairCurves",
    "PointErrors",
    "R2Distribution",
    "RdfChoice",
    "RdfParity",
    "Thresholds",
    "Verdict",
    "compare",
    "diffusivity_parity",
    "diffusivity_point",
    "evaluate",
    "excess",
    "feature_agreement",
    "feature_parity",
    "noise_ceiling",
    "point_errors",
    "point_of",
    "r_squared",
    "rdf_parity",
]
