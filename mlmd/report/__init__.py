"""Reports: one HTML file each, to be read offline, printed, sent and kept."""

from mlmd.report.comparison_report import write_comparison_report
from mlmd.report.run_report import write_run_report

__all__ = ["write_comparison_report", "write_run_report"]
