"""Statistics and fits that know no physics: arrays in, frozen dataclass out."""

from mlmd.numerics.autocorrelation import CorrelatedMean, standard_error
from mlmd.numerics.birch_murnaghan import BirchMurnaghan, fit_birch_murnaghan
from mlmd.numerics.displacement import all_origins_msd, first_origin_msd
from mlmd.numerics.equilibration import Drift, Equilibration, detect_equilibration, drift
from mlmd.numerics.exponential import ExponentialFit, fit_exponential
from mlmd.numerics.student import ONE_SIGMA, IndependentMean, independent_mean, student_factor
from mlmd.numerics.volume_search import next_volume
from mlmd.numerics.weighted_line import (
    LinearFit,
    WeightedLine,
    weighted_least_squares,
    weighted_line,
)
from mlmd.numerics.zero_pressure import ZeroPressure, fit_around_zero, zero_pressure

__all__ = [
    "ONE_SIGMA",
    "BirchMurnaghan",
    "CorrelatedMean",
    "Drift",
    "Equilibration",
    "ExponentialFit",
    "IndependentMean",
    "LinearFit",
    "WeightedLine",
    "ZeroPressure",
    "all_origins_msd",
    "detect_equilibration",
    "drift",
    "first_origin_msd",
    "fit_around_zero",
    "fit_birch_murnaghan",
    "fit_exponential",
    "independent_mean",
    "next_volume",
    "standard_error",
    "student_factor",
    "weighted_least_squares",
    "weighted_line",
    "zero_pressure",
]
