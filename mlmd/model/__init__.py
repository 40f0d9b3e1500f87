"""Predictors: diffusivity from the features of a structure.

`TrainingTable` reads what is learnt from, `REGRESSORS` are what learns, `cross_validate` says how
well on compositions that were not learnt from, and `Predictor` is the result, which can be saved.
`mlmd.model.sisso.regressor` is imported by name: it needs scikit-learn, the rest only in use.

May import `checks`, `descriptors`, `errors`, `model/best`, `model/data`, `model/predictor`,
`model/sisso`, `model/tuning`, `model/validation`.
"""

from __future__ import annotations

from mlmd.model.data.folds import FOLDS
from mlmd.model.data.run_table import table_from_runs
from mlmd.model.data.table import TARGETS, TrainingTable
from mlmd.model.predictor.prediction import Prediction
from mlmd.model.predictor.predictor import Predictor, fit_predictor
from mlmd.model.predictor.published import PUBLISHED_MODELS, PUBLISHED_SCORES, load_model
from mlmd.model.regressors import REGRESSORS
from mlmd.model.tuning.tune import Tuning
from mlmd.model.validation.cross_validation import Report, cross_validate

__all__ = [
    "FOLDS",
    "PUBLISHED_MODELS",
    "PUBLISHED_SCORES",
    "REGRESSORS",
    "TARGETS",
    "Prediction",
    "Predictor",
    "Report",
    "TrainingTable",
    "Tuning",
    "cross_validate",
    "fit_predictor",
    "load_model",
    "table_from_runs",
]
