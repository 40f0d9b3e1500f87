"""Statistics and fits that know no physics: arrays in, frozen dataclass out.

May import `arrays`, `errors`.
"""

from mlmd.numerics.autocorrelation import CorrelatedMean, standard_error
from mlmd.numerics.displacement import all_origins_msd, first_origin_msd
from mlmd.numerics.equilibration import Drift, Equilibration, detect_equilibration, drift
from mlmd.numerics.exponential import ExponentialFit, fit_exponential
from mlmd.numerics.student import ONE_SIGMA, IndependentMean, independent_mean, student_factor
from mlmd.numerics.weighted_line import (
    LinearFit,
    WeightedLine,
    weighted_least_squares,
    weighted_line,
)

__all__ = [
    "ONE_SIGMA",
    "CorrelatedMean",
    "Drift",
    "Equilibration",
    "ExponentialFit",
    "IndependentMean",
    "LinearFit",
    "WeightedLine",
    "all_origins_msd",
    "detect_equilibration",
    "drift",
    "first_origin_msd",
    "fit_exponential",
    "independent_mean",
    "standard_error",
    "student_factor",
    "weighted_least_squares",
    "weighted_line",
]
