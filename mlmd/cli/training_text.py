"""Scores of models as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlmd.model import Report

_HEAD = ("RMSE", "+-", "MAE", "R2", "in 68 %", "in 95 %", "fits")


def print_reports(reports: list[Report], published: Mapping[str, Any]) -> None:
    """Print cross-validations of a model side by side, with what a paper gives for the first."""
    first = reports[0]
    print(f"{first.model}, {first.target} in {first.unit}")
    print(f"  {'folds':<26}" + "".join(f"{text:>9}" for text in _HEAD))
    for report in reports:
        result = report.out_of_fold
        numbers = (report.rmse, report.rmse_std, report.mae, report.r2)
        _line(report.folds, numbers, (result.coverage_68, result.coverage_95), len(report.by_fold))
        theirs = published if report.folds == "published" else {}
        if "rmse" in theirs:
            _line("  as the paper has it", (theirs["rmse"], theirs["rmse_std"], None, None))
        if len(report.rmse_by_repeat) > 1:
            low, high = min(report.rmse_by_repeat), max(report.rmse_by_repeat)
            print(f"    {len(report.rmse_by_repeat)} shuffles: RMSE {low:.3f} to {high:.3f}")
        if report.test is not None:
            test = report.test
            _line("  held out", (test.rmse, None, test.mae, test.r2))
            if "test_rmse" in theirs:
                given = (theirs["test_rmse"], None, None, theirs.get("test_r2"))
                _line("  as the paper has it", given)


def _line(
    name: str,
    numbers: tuple[float | None, ...],
    coverage: tuple[float | None, ...] = (),
    n: int | None = None,
) -> None:
    cells = [f"{'' if x is None else format(x, '.3f'):>9}" for x in numbers]
    cells += [f"{'' if x is None else format(x, '.0%'):>9}" for x in coverage]
    cells.append(f"{'' if n is None else n:>9}")
    print(f"  {name:<26}{''.join(cells)}".rstrip())
