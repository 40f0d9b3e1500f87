"""Many runs: what a case is, what one that failed is, and how they are worked through.

May import `analysis`, `calculators`, `campaign/engines`, `campaign/results`, `checks`, `csv_cells`,
`errors`, `files`, `plain`, `protocol`, `run`, `stages`, `structure`, `temporary`, `trajectory`,
`yaml_text`.
"""

from mlmd.campaign.case import Case, CaseFailure, run_case
from mlmd.campaign.engine import run_campaign
from mlmd.campaign.forecasting import Forecast, forecast
from mlmd.campaign.lengthening import Until
from mlmd.campaign.many import run_many
from mlmd.campaign.plan import Campaign
from mlmd.campaign.pool import LocalPool
from mlmd.campaign.results.measuring import MeasuredCase, measure_case
from mlmd.campaign.results.rows import CampaignResults, ResultRow, results_of
from mlmd.campaign.results.table import data_frame
from mlmd.campaign.state import CampaignState, state_of
from mlmd.campaign.work import Outcome

__all__ = [
    "Campaign",
    "CampaignResults",
    "CampaignState",
    "Case",
    "CaseFailure",
    "Forecast",
    "LocalPool",
    "MeasuredCase",
    "Outcome",
    "ResultRow",
    "Until",
    "data_frame",
    "forecast",
    "measure_case",
    "results_of",
    "run_campaign",
    "run_case",
    "run_many",
    "state_of",
]
