"""Studies: what joins the layers into one answer.

May import `_version`, `arrays`, `calculators`, `comparison`, `errors`, `model`, `protocol`,
`run`, `stages`, `structure`, `trajectory`.
"""

from mlmd.studies.reference import Reference
from mlmd.studies.settings import StudySettings
from mlmd.studies.validation import Outcome, ValidationStudy, validate

__all__ = ["Outcome", "Reference", "StudySettings", "ValidationStudy", "validate"]
