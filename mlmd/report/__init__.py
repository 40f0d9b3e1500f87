"""Reports: one HTML file each, to be read offline, printed, sent and kept.

May import `report/campaign`, `report/comparison`, `report/model`, `report/run`, `report/screening`.
"""

from mlmd.report.campaign.report import write_campaign_report
from mlmd.report.comparison.report import Compared, write_comparison_report
from mlmd.report.comparison.study_report import write_study_report
from mlmd.report.model.report import write_model_report
from mlmd.report.run.report import write_run_report
from mlmd.report.screening.report import write_screening_report

__all__ = [
    "Compared",
    "write_campaign_report",
    "write_comparison_report",
    "write_model_report",
    "write_run_report",
    "write_screening_report",
    "write_study_report",
]
