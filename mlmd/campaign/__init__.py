"""Many runs: what a case is, what one that failed is, and how they are worked through.

May import `calculators`, `campaign/results`, `checks`, `csv_cells`, `errors`, `files`, `protocol`,
`run`, `stages`, `structure`, `yaml_text`.
"""

from mlmd.campaign.case import Case, CaseFailure, run_case
from mlmd.campaign.engine import CampaignState, run_campaign, state_of
from mlmd.campaign.many import run_many
from mlmd.campaign.plan import Campaign
from mlmd.campaign.pool import LocalPool
from mlmd.campaign.results.measuring import MeasuredCase, measure_case
from mlmd.campaign.results.rows import CampaignResults, ResultRow, results_of
from mlmd.campaign.results.table import data_frame
from mlmd.campaign.work import Outcome

__all__ = [
    "Campaign",
    "CampaignResults",
    "CampaignState",
    "Case",
    "CaseFailure",
    "LocalPool",
    "MeasuredCase",
    "Outcome",
    "ResultRow",
    "data_frame",
    "measure_case",
    "results_of",
    "run_campaign",
    "run_case",
    "run_many",
    "state_of",
]
