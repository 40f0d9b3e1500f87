"""Many runs: what a case is, what one that failed is, and how they are worked through.

May import `errors`, `protocol`, `run`, `stages`.
"""

from mlmd.campaign.case import Case, CaseFailure, run_case

__all__ = ["Case", "CaseFailure", "run_case"]
