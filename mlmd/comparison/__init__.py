"""Judging: how far a surrogate potential can be trusted against its reference.

May import `analysis`, `arrays`, `bounds`, `calculators`, `checks`, `comparison/features`,
`comparison/forces`, `comparison/motion`, `comparison/structure`, `comparison/verdict`, `errors`,
`findings`, `numerics`, `trajectory`.
"""

from mlmd.comparison.checks import Functionals
from mlmd.comparison.comparing import ComparisonSettings, compare
from mlmd.comparison.comparison import Comparison
from mlmd.comparison.curves import PairCurves
from mlmd.comparison.features.agreement import FeatureAgreement, feature_agreement
from mlmd.comparison.features.choice import FeatureChoice
from mlmd.comparison.features.parity import FeatureParity, feature_parity
from mlmd.comparison.forces.frames import evaluate_frames
from mlmd.comparison.forces.points import PointErrors, point_errors
from mlmd.comparison.motion.diffusivity_parity import DiffusivityParity, diffusivity_parity
from mlmd.comparison.motion.diffusivity_point import DiffusivityPoint, diffusivity_point, point_of
from mlmd.comparison.noise import Noise, excess, noise_ceiling
from mlmd.comparison.structure.distribution import R2Distribution
from mlmd.comparison.structure.rdf_parity import RdfParity, rdf_parity
from mlmd.comparison.structure.runs import RdfChoice
from mlmd.comparison.verdict.thresholds import Thresholds
from mlmd.comparison.verdict.verdict import Verdict
from mlmd.numerics.r_squared import r_squared

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
    "evaluate_frames",
    "excess",
    "feature_agreement",
    "feature_parity",
    "noise_ceiling",
    "point_errors",
    "point_of",
    "r_squared",
    "rdf_parity",
]
