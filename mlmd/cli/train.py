"""``mlmd train``: a model from a table, and how well it predicts what it has not seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mlmd.cli.options import AsJson
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.model import Report
    from mlmd.model.table import Problem

_REPEATS = 5
_GROUPED = ("formula", "chemical_system")


def train_command(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Table to learn from.")],
    format: Annotated[
        Literal["mlmd", "zheng2024"],
        typer.Option(
            "--format", help="mlmd (mlmd features -o, with a column D_cm2_s added) or zheng2024."
        ),
    ] = "mlmd",
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="random_forest, xgboost, gaussian_process, ridge, mlp, kernel_ridge or sisso.",
        ),
    ] = "random_forest",
    target: Annotated[str, typer.Option("--target", help="ln_D, D or E_a.")] = "ln_D",
    folds: Annotated[
        str,
        typer.Option("--folds", help="published, random, formula, chemical_system or element."),
    ] = "chemical_system",
    beside: Annotated[
        list[str] | None,
        typer.Option(
            "--beside",
            help="Other folds to show beside, or none; chemical_system if not given.",
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", help="Shuffles of grouped folds.")
    ] = _REPEATS,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the shuffles.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for the model, trained on all rows."),
    ] = None,
    n_bootstrap: Annotated[
        int, typer.Option("--bootstrap", help="Models behind a standard deviation.")
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """Train a model on a table of features; report its errors on rows left out."""
    from mlmd.model import PUBLISHED_SCORES, TrainingTable, fit_predictor

    if output is not None and output.exists():
        raise InputError(f"{output} exists; nothing is overwritten: give another name")
    if output is not None and not output.parent.is_dir():
        raise InputError(f"folder {output.parent} does not exist; make it first")
    names = [folds, *(_wanted(beside) if beside else _default_beside(folds))]
    rows = TrainingTable.read(table, format)
    problem = rows.problem(target)
    reports = [_report(problem, model, name, repeats, seed, rows.mobile) for name in names]
    published = PUBLISHED_SCORES.get((model, target), {}) if format == "zheng2024" else {}
    content = {
        **reports[0].to_dict(),
        "published": dict(published),
        "beside": [report.to_dict() for report in reports[1:]],
        "saved": None if output is None else str(output),
    }
    if output is not None:
        predictor = fit_predictor(rows, model, target, n_bootstrap)
        predictor.save(output)
        calibration = predictor.training.calibration
        content["coverage_95"] = calibration.coverage_95
    if as_json:
        print(json.dumps(content))
        return
    _print(reports, published)
    if output is not None:
        print(
            f"written: {output}; its intervals of 95 % hold {calibration.coverage_95:.0%} of what "
            f"was left out by {calibration.grouped_by}"
        )


def _wanted(beside: list[str]) -> list[str]:
    return [name for name in beside if name != "none"]


def _default_beside(folds: str) -> list[str]:
    """Show optimistic folds never alone."""
    return [] if folds == "chemical_system" else ["chemical_system"]


def _report(
    problem: Problem, model: str, folds: str, repeats: int, seed: int, mobile: str
) -> Report:
    from mlmd.cli.progress import shown_progress
    from mlmd.model import cross_validate
    from mlmd.stages.context import Progress

    n_repeats = repeats if folds in _GROUPED else 1
    with shown_progress() as show:
        return cross_validate(
            problem,
            model,
            folds,
            n_repeats=n_repeats,
            seed=seed,
            mobile=mobile,
            progress=lambda done, n: show(Progress(f"folds {folds}", done, n)),
        )


def _print(reports: list[Report], published: Mapping[str, Any]) -> None:
    first = reports[0]
    print(f"{first.model}, {first.target} in {first.unit}")
    head = ("folds", "RMSE", "+-", "MAE", "R2", "n")
    print(f"  {head[0]:<26}" + "".join(f"{text:>9}" for text in head[1:]))
    for report in reports:
        numbers = (report.rmse, report.rmse_std, report.mae, report.r2)
        _line(report.folds, numbers, str(len(report.by_fold)))
        if report.folds == "published" and published:
            given = (published["rmse"], published["rmse_std"], None, None)
            _line("  as the paper has it", given, "")
        if len(report.rmse_by_repeat) > 1:
            low, high = min(report.rmse_by_repeat), max(report.rmse_by_repeat)
            print(f"    {len(report.rmse_by_repeat)} shuffles: RMSE {low:.3f} to {high:.3f}")
        if report.test is not None:
            test = report.test
            _line("  held out", (test.rmse, None, test.mae, test.r2), "")
            if published:
                given = (published["test_rmse"], None, None, published["test_r2"])
                _line("  as the paper has it", given, "")


def _line(name: str, numbers: tuple[float | None, ...], n: str) -> None:
    cells = "".join(f"{'' if x is None else format(x, '.3f'):>9}" for x in numbers)
    print(f"  {name:<26}{cells}{n:>9}".rstrip())
