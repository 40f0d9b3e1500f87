"""``mlmd train``: a model from a table or from runs, and how well it predicts the unseen."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mlmd.cli.options import AsJson, refuse_missing_folder, refuse_to_overwrite
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.model import Report, TrainingTable
    from mlmd.model.data.table import Problem
    from mlmd.model.tuning.tune import Tuning

_REPEATS = 5
_GROUPED = ("formula", "chemical_system")
_JUDGED = "chemical_system"  # intervals of bootstrapped models take many fits
_FEWEST_JUDGED = 25


def train_command(
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
    repeats: Annotated[
        int, typer.Option("--repeats", help="Shuffles of grouped folds.")
    ] = _REPEATS,
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
    ] = None,
    features_from: Annotated[
        Literal["start", "production"],
        typer.Option(
            "--features-from",
            help="Of runs: the structure that a production starts from, or the frames that gave D.",
        ),
    ] = "start",
    mobile: Annotated[str, typer.Option("--mobile", help="Of runs: the mobile element.")] = "Li",
    convention: Annotated[
        str, typer.Option("--convention", help="Of runs: mlmd or zheng2024.")
    ] = "mlmd",
    save_table: Annotated[
        Path | None, typer.Option("--save-table", help="Keep the table made of runs (CSV).")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Page (HTML) with parity, importance, SHAP and curves."),
    ] = None,
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
    from mlmd.cli.progress import shown_progress
    from mlmd.cli.training_text import print_reports
    from mlmd.model import PUBLISHED_SCORES, Predictor
    from mlmd.model.regressors import regressor_of
    from mlmd.model.tuning.tune import Tuning
    from mlmd.stages.context import Progress

    _check_files(sources, output, save_table, report)
    if storage is not None and n_trials is None:
        raise InputError("--study keeps what --tune tries; give --tune N as well")
    if report is not None and n_trials is not None:
        raise InputError(
            "--report is of a model with its own settings; leave out --tune or --report"
        )
    known = regressor_of(model)
    rows, n_left_out = _table(sources, format, features_from, mobile, convention)
    if save_table is not None:
        rows.to_csv(save_table)
    theirs = format == "zheng2024"
    wanted = target or (_published_target(model) if theirs else "ln_D")
    problem = rows.problem(wanted, weighted, known.learns_elements)
    names = _fold_names(problem, folds or ("published" if theirs else None), beside, rows.mobile)
    tuning = None if n_trials is None else Tuning(n_trials, storage)
    predictor = None
    if output is not None:
        predictor = Predictor(model, wanted, n_bootstrap, weighted=weighted, tuning=tuning)
    reports = [_report(problem, model, one, repeats, seed, rows.mobile, tuning) for one in names]
    published = PUBLISHED_SCORES.get((model, wanted), {}) if theirs else {}
    content: dict[str, Any] = {
        **reports[0].to_dict(),
        "published": dict(published),
        "beside": [one.to_dict() for one in reports[1:]],
        "n_rows": len(problem.y),
        "n_left_out": n_left_out,
        "D_from": rows.D_from,
        "saved": None if output is None else str(output),
    }
    said = []
    if predictor is not None and output is not None:
        with shown_progress() as show:
            predictor.fit(rows, lambda done, n: show(Progress("the model to keep", done, n)))
        predictor.save(output)
        calibration = predictor.training.calibration
        content["calibration"] = vars(calibration)
        said.append(
            f"written: {output}; its intervals of 68 and 95 % hold {calibration.coverage_68:.0%} "
            f"and {calibration.coverage_95:.0%} of what was left out by {calibration.grouped_by}"
        )
    if as_json:
        print(json.dumps(content), flush=True)
    else:
        print_reports(reports, published)
        for line in said:
            print(line, flush=True)
    # Last: it takes longest.
    if report is not None:
        _write_page(report, rows, problem, reports, published, seed)
        print(f"written: {report}", file=sys.stderr if as_json else sys.stdout)


def _check_files(
    sources: list[Path], output: Path | None, save_table: Path | None, report: Path | None
) -> None:
    """Before anything is computed."""
    for path in (output, save_table):
        if path is not None:
            refuse_to_overwrite(path)
    if report is not None:
        refuse_missing_folder(report)
        if report.is_dir():
            raise InputError(f"--report {report} is a folder; expected a file such as model.html")
    if save_table is not None and not all(path.is_dir() for path in sources):
        raise InputError("--save-table keeps a table made of runs; what is given is a table")


def _table(
    sources: list[Path],
    format: Literal["mlmd", "zheng2024"],
    features_from: Literal["start", "production"],
    mobile: str,
    convention: str,
) -> tuple[TrainingTable, int]:
    """Read a table or make one of runs; also say how many productions were left out."""
    from mlmd.cli.progress import shown_progress
    from mlmd.model import TrainingTable, table_from_runs
    from mlmd.stages.context import Progress

    if all(path.is_dir() for path in sources):
        with shown_progress() as show:
            made = table_from_runs(
                sources,
                features_from,
                mobile,
                convention,
                lambda done, n: show(Progress("runs", done, n)),
            )
        if made.skipped:
            first = f"; {made.skipped[0]}" + (" ..." if len(made.skipped) > 1 else "")
            print(f"{len(made.skipped)} left out{first}", file=sys.stderr)
        return made.table, len(made.skipped)
    if len(sources) > 1:
        raise InputError(
            f"{len(sources)} files or folders; expected one table, or run directories alone"
        )
    return TrainingTable.read(sources[0], format), 0


def _published_target(model: str) -> str:
    """Return what the paper trained a model on."""
    from mlmd.model import PUBLISHED_SCORES

    return next((target for name, target in PUBLISHED_SCORES if name == model), "ln_D")


def _fold_names(
    problem: Problem, first: str | None, beside: list[str] | None, mobile: str
) -> list[str]:
    """Show all folds side by side, the optimistic ones never alone, where not told otherwise."""
    from mlmd.model.data.folds import GROUPINGS
    from mlmd.studies.model_study import usable_folds

    usable = usable_folds(problem, mobile)
    if first is None:
        first = next((name for name in GROUPINGS if name in usable), "chemical_system")
        if first != "chemical_system":
            print(
                f"too few chemical systems for five folds: folds are by {first}, which is "
                "optimistic for new materials",
                file=sys.stderr,
            )
    others = usable if beside is None else [name for name in beside if name != "none"]
    return [first, *(name for name in others if name != first)]


def _report(
    problem: Problem,
    model: str,
    folds: str,
    repeats: int,
    seed: int,
    mobile: str,
    tuning: Tuning | None,
) -> Report:
    from mlmd.cli.progress import shown_progress
    from mlmd.model import cross_validate
    from mlmd.model.validation.spread import FEWEST_MEMBERS
    from mlmd.stages.context import Progress

    n_repeats = repeats if folds in _GROUPED else 1
    judged = folds == _JUDGED and len(problem.y) >= _FEWEST_JUDGED
    n_bootstrap = FEWEST_MEMBERS if judged else 0
    with shown_progress() as show:
        return cross_validate(
            problem,
            model,
            folds,
            n_repeats=n_repeats,
            seed=seed,
            mobile=mobile,
            n_bootstrap=n_bootstrap,
            tuning=tuning,
            progress=lambda done, n: show(Progress(f"folds {folds}", done, n)),
        )


def _write_page(
    path: Path,
    table: TrainingTable,
    problem: Problem,
    reports: list[Report],
    published: Any,
    seed: int,
) -> None:
    from mlmd.cli.progress import shown_progress
    from mlmd.report import write_model_report
    from mlmd.stages.context import Progress
    from mlmd.studies.model_study import study_model

    how = {
        "command": shlex.join(["mlmd", *sys.argv[1:]]),
        "D": table.D_from,
        "features": f"convention {table.convention}, mobile element {table.mobile}",
    }
    with shown_progress() as show:
        study = study_model(
            table,
            problem,
            reports,
            published,
            how,
            seed=seed,
            progress=lambda name, done, n: show(Progress(name, done, n)),
        )
    write_model_report(path, study)
