"""Predictors: diffusivity from the features of a structure.

`TrainingTable` reads what is learnt from, `REGRESSORS` are what learns, `cross_validate` says how
well on compositions that were not learnt from, and `Predictor` is the result, which can be saved.
"""

from __future__ import annotations

from mlmd.model.folds import FOLDS
from mlmd.model.predictor import Prediction, Predictor, fit_predictor
from mlmd.model.published import PUBLISHED_MODELS
from mlmd.model.regressors import REGRESSORS
from mlmd.model.sisso import SissoRegressor
from mlmd.model.table import TARGETS, TrainingTable
from mlmd.model.validation import Report, cross_validate

__all__ = [
    "FOLDS",
    "PUBLISHED_MODELS",
    "REGRESSORS",
    "TARGETS",
    "Prediction",
    "Predictor",
    "Report",
    "SissoRegressor",
    "TrainingTable",
    "cross_validate",
    "fit_predictor",
]
