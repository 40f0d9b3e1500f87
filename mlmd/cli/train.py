"""``mlmd train``: a model from a table or from runs, and how well it predicts the unseen."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mlmd.checks import element
from mlmd.cli.options import AsJson, Force, refuse_given
from mlmd.cli.outputs import Output
from mlmd.digits import TERMINAL, r_squared_text
from mlmd.errors import InputError
from mlmd.plain import json_line

if TYPE_CHECKING:
    from mlmd.studies.training import TrainingStudy

Cells = tuple[float | None, ...]
_HEAD = ("RMSE", "+-", "MAE", "R2", "in 68 %", "in 95 %", "fits")


def train_command(
    context: typer.Context,
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="TABLE_OR_RUNS...", help="A table, or run directories and folders of them."
        ),
    ],
    format: Annotated[
        Literal["mlmd", "zheng2024"],
        typer.Option(
            "--format", help="Of a table: mlmd (mlmd features -o, with D_cm2_s added) or zheng2024."
        ),
    ] = "mlmd",
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="random_forest, xgboost, gaussian_process, ridge, mlp, kernel_ridge, sisso, "
            "sisso_formulas or best.",
        ),
    ] = "random_forest",
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            help="ln_D, D or E_a; if not given, ln_D, and for the paper's table what the paper "
            "trained that model on.",
        ),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(
            "--folds",
            help="published, random, formula, chemical_system or element; if not given, published "
            "for the paper's table, else chemical_system.",
        ),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option("--beside", help="Other folds to show beside, or none; all if not given."),
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", help="Shuffles of grouped folds.")] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the shuffles.")] = 0,
    weighted: Annotated[
        bool, typer.Option("--weighted", help="Weigh rows by the standard errors of D.")
    ] = False,
    n_trials: Annotated[
        int | None,
        typer.Option("--tune", help="Settings to try, anew in each fold (Optuna)."),
    ] = None,
    storage: Annotated[
        Path | None,
        typer.Option("--study", help="File that keeps what was tried; tuning goes on from it."),
        Output("journal"),
    ] = None,
    features_from: Annotated[
        Literal["start", "production"],
        typer.Option(
            "--features-from",
            help="Of runs: the structure that a production starts from, or the frames that gave D.",
        ),
    ] = "start",
    mobile: Annotated[
        str | None,
        typer.Option(
            "--mobile",
            help="Of runs: the mobile element, Li if not given. Of a table: only where its first "
            "line is lost.",
        ),
    ] = None,
    convention: Annotated[
        str | None,
        typer.Option(
            "--convention",
            help="Of runs: mlmd, if not given, or zheng2024. Of a table: only where its first line "
            "is lost.",
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also",
            help="Of a table: column of your own to learn from too; may be repeated. mlmd predict "
            "then needs it.",
        ),
    ] = None,
    save_table: Annotated[
        Path | None,
        typer.Option("--save-table", help="Keep the table made of runs (CSV)."),
        Output("table"),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Page (HTML) with parity, importance, SHAP and curves."),
        Output("page"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for the model, trained on all rows."),
        Output("model"),
    ] = None,
    n_bootstrap: Annotated[
        int, typer.Option("--bootstrap", help="Models behind a standard deviation.")
    ] = 100,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on a table of features; report its errors on rows left out."""
    from mlmd.cli.progress import shown_progress
    from mlmd.model import Tuning
    from mlmd.studies.training import TrainingSettings, train_study, trainable, training_table

    if save_table is not None and not all(path.is_dir() for path in sources):
        raise InputError("--save-table keeps a table made of runs; what is given is a table")
    _check_ways(context, sources, output, mobile, convention)
    if storage is not None and n_trials is None:
        raise InputError("--study keeps what --tune tries; give --tune N as well")
    if report is not None and n_trials is not None:
        raise InputError(
            "--report is of a model with its own settings; leave out --tune or --report"
        )
    others = None if beside is None else [name for name in beside if name != "none"]
    tuning, theirs = None if n_trials is None else Tuning(n_trials, storage), format == "zheng2024"
    settings = TrainingSettings(
        model, target, folds, others, repeats, seed, weighted, tuning, n_bootstrap, published=theirs
    )
    with shown_progress() as show:
        made = training_table(sources, format, features_from, mobile, convention, also or (), show)
    if made.skipped:
        more = " ..." if len(made.skipped) > 1 else ""
        print(f"{len(made.skipped)} left out; {made.skipped[0]}{more}", file=sys.stderr)
    trainable(made.table, settings)
    if save_table is not None:
        made.table.to_csv(save_table, force)
    with shown_progress() as show:
        study = train_study(made.table, settings, output, show, force)
    if as_json:
        content = {**study.to_dict(), "n_left_out": len(made.skipped)}
        print(json_line(content), flush=True)
    else:
        _print(study)
    # Last: it takes longest.
    if report is not None:
        _write_page(report, study, seed, force)
        print(f"written: {report}", file=sys.stderr if as_json else sys.stdout)


def _check_ways(
    context: typer.Context,
    sources: list[Path],
    output: Path | None,
    mobile: str | None,
    convention: str | None,
) -> None:
    """Raise InputError for options that this way of training would pass over."""
    from mlmd.descriptors.conventions import convention_of

    if all(path.is_dir() for path in sources):
        refuse_given(
            context, ("format", "also"), "is of a table; what is given are runs: leave it out"
        )
    else:
        refuse_given(
            context, ("features_from",), "is of runs; a table has been made already: leave it out"
        )
        if context.params["format"] == "zheng2024":
            theirs = ("mobile", "convention", "also")
            refuse_given(context, theirs, "is of tables of mlmd features: leave it out")
    if convention is not None:
        convention_of(convention)
    if mobile is not None:
        element("mobile element", mobile)
    if output is None:
        refuse_given(context, ("n_bootstrap",), "is of the model that --output keeps; give that")


def _write_page(path: Path, made: TrainingStudy, seed: int, force: bool) -> None:
    from mlmd.cli.progress import shown_progress
    from mlmd.report import write_model_report
    from mlmd.studies.model_study import study_model

    how = {"command": shlex.join(["mlmd", *sys.argv[1:]])}
    with shown_progress() as show:
        found = study_model(
            made.table, made.problem, made.reports, made.published, how, seed=seed, progress=show
        )
    write_model_report(path, found, force)


def _print(study: TrainingStudy) -> None:
    """Print cross-validations side by side, with what a paper gives for the first."""
    first = study.reports[0]
    print(f"{first.model}, {first.target} in {first.unit}")
    for finding in study.findings:
        print(f"  {finding.severity}: {finding.message}")
    print(f"  {'folds':<26}" + "".join(f"{text:>9}" for text in _HEAD))
    for report in study.reports:
        result = report.out_of_fold
        numbers = (report.rmse, report.rmse_std, report.mae, report.r2)
        _line(report.folds, numbers, (result.coverage_68, result.coverage_95), len(report.by_fold))
        theirs = study.published if report.folds == "published" else {}
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
    if study.predictor is not None:
        known = study.predictor.training.calibration
        print(
            f"written: {study.path}; its intervals of 68 and 95 % hold {known.coverage_68:.0%} "
            f"and {known.coverage_95:.0%} of what was left out by {known.grouped_by}",
            flush=True,
        )


def _line(name: str, numbers: Cells, coverage: Cells = (), n: int | None = None) -> None:
    *errors, r2 = numbers
    cells = [f"{'' if x is None else format(x, '.3f'):>9}" for x in errors]
    cells.append(f"{'' if r2 is None else r_squared_text(r2, TERMINAL):>9}")
    cells += [f"{'' if x is None else format(x, '.0%'):>9}" for x in coverage]
    cells.append(f"{'' if n is None else n:>9}")
    print(f"  {name:<26}{''.join(cells)}".rstrip())
