"""Many runs: what a case is, what one that failed is, and how they are worked through.

May import `analysis`, `calculators`, `campaign/engines`, `checks`, `csv_cells`, `errors`, `files`,
`plain`, `protocol`, `run`, `stages`, `structure`, `temporary`, `trajectory`, `yaml_text`.
"""

from mlmd.campaign.case import Case, CaseFailure, run_case
from mlmd.campaign.engine import CampaignState, run_campaign, state_of
from mlmd.campaign.forecasting import Forecast, forecast
from mlmd.campaign.lengthening import Until
from mlmd.campaign.many import run_many
from mlmd.campaign.plan import Campaign
from mlmd.campaign.pool import LocalPool
from mlmd.campaign.work import Outcome

__all__ = [
    "Campaign",
    "CampaignState",
    "Case",
    "CaseFailure",
    "Forecast",
    "LocalPool",
    "Outcome",
    "Until",
    "forecast",
    "run_campaign",
    "run_case",
    "run_many",
    "state_of",
]
