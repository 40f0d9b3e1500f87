"""Many runs: what a case is, what one that failed is, and how they are worked through.

May import `calculators`, `checks`, `errors`, `protocol`, `run`, `stages`.
"""

from mlmd.campaign.case import Case, CaseFailure, run_case
from mlmd.campaign.many import run_many

__all__ = ["Case", "CaseFailure", "run_case", "run_many"]
