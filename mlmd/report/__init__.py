"""Reports: one HTML file each, to be read offline, printed, sent and kept."""

from mlmd.report.comparison_report import Compared, write_comparison_report
from mlmd.report.model_report import write_model_report
from mlmd.report.run_report import write_run_report
from mlmd.report.study_report import write_study_report

__all__ = [
    "Compared",
    "write_comparison_report",
    "write_model_report",
    "write_run_report",
    "write_study_report",
]
