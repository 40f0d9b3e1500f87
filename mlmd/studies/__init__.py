"""Studies: what joins the layers into one answer.

May import `_version`, `analysis/recipe`, `arrays`, `calculators`, `campaign`, `checks`,
`comparison`, `descriptors`, `errors`, `files`, `findings`, `model`, `plain`, `protocol`, `run`,
`stages`, `structure`, `trajectory`.
"""

from mlmd.studies.file_features import featurize_files
from mlmd.studies.pair import compare_files
from mlmd.studies.reference import Reference, read_references
from mlmd.studies.settings import StudySettings
from mlmd.studies.training import TrainingSettings, TrainingStudy, train_study, training_table
from mlmd.studies.validation import Outcome, ValidationStudy, validate

__all__ = [
    "Outcome",
    "Reference",
    "StudySettings",
    "TrainingSettings",
    "TrainingStudy",
    "ValidationStudy",
    "compare_files",
    "featurize_files",
    "read_references",
    "train_study",
    "training_table",
    "validate",
]
