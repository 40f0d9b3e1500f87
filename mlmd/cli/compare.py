"""``mlmd compare``: two trajectories held against each other, or a whole validation study."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlmd.checks import known_keys
from mlmd.cli.options import AsJson, Device, Force, Threads, Trust, assignments, refuse_given
from mlmd.cli.outputs import Output
from mlmd.cli.sources import Elements, FrameIntervalFs, element_list, one_interval
from mlmd.errors import InputError, RunLostError, StageFailedError, StoppedError
from mlmd.plain import json_line

if TYPE_CHECKING:
    from mlmd.calculators.spec import CalculatorSpec
    from mlmd.studies import Reference, StudySettings, ValidationStudy

OF_A_STUDY = (
    "trust",
    "skip_ps",
    "equilibration_ps",
    "md_timestep_fs",
    "seed",
    "calculator_options",
    "device",
    "threads",
    "checkpoint_every_s",
)


def compare_command(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SURROGATE REFERENCE]", help="Two trajectories or run directories."
        ),
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            "--reference",
            help="Trajectory to repeat with each calculator; several of one restarted run, or "
            "one for each --temperature-K.",
        ),
    ] = None,
    temperature_K: Annotated[
        list[float] | None,
        typer.Option("--temperature-K", help="Of the thermostat; one for each reference."),
    ] = None,
    frame_interval_fs: FrameIntervalFs = None,
    surrogate_timestep_fs: Annotated[
        float | None,
        typer.Option("--surrogate-timestep-fs", help="The same of SURROGATE, where it differs."),
    ] = None,
    elements: Elements = None,
    surrogate_elements: Annotated[
        str | None,
        typer.Option("--surrogate-elements", help="The same of SURROGATE, where they differ."),
    ] = None,
    skip_ps: Annotated[
        float, typer.Option("--skip-ps", help="Left out at the beginning of each reference.")
    ] = 0.0,
    calculator: Annotated[
        list[str] | None,
        typer.Option(
            "--calculator",
            help="A surrogate (chgnet, mace:FILE, package.module:factory), with a label if you "
            "like: LABEL=chgnet; may be repeated; or a YAML file of labels and calculators.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory of the study."), Output("study")
    ] = None,
    equilibration_ps: Annotated[
        float | None,
        typer.Option(
            "--equilibrate-ps",
            help="Before what is compared; a tenth of the reference, at least 1 ps, if not given.",
        ),
    ] = None,
    md_timestep_fs: Annotated[
        float | None,
        typer.Option(
            "--md-timestep-fs",
            help="Longest time step of the runs; 2 fs if not given (0.5 with H, 1 from 4000 K).",
        ),
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option("--seed", help="Seed of the runs; may be repeated for more runs."),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            help="NAME=VALUE, such as diffusivity_factor=1.5; a study that is done is judged "
            "again without running again.",
        ),
    ] = None,
    mobile: Annotated[
        str | None,
        typer.Option("--mobile", help="Whose structure features are compared; Li if not given."),
    ] = None,
    feature_convention: Annotated[
        str, typer.Option("--feature-convention", help="Of the features: mlmd or zheng2024.")
    ] = "mlmd",
    report: Annotated[
        Path | None,
        typer.Option("--report", help="HTML file about SURROGATE and REFERENCE."),
        Output("page"),
    ] = None,
    calculator_options: Annotated[
        list[str] | None,
        typer.Option("--calculator-option", help="KEY=VALUE handed to the only calculator."),
    ] = None,
    device: Device = "auto",
    threads: Threads = 1,
    trust: Trust = False,
    checkpoint_every_s: Annotated[
        float, typer.Option("--checkpoint-every-s", help="Wall time between checkpoints.")
    ] = 30.0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Hold a surrogate against a reference: g(r), D, vibrations, forces, with verdicts.

    mlmd compare SURROGATE REFERENCE compares what is there. With --reference, --calculator and
    --out each calculator repeats the reference's dynamics first; the same command goes on where
    it stopped, and writes report.html and comparison.json.
    """
    from mlmd.comparison import ComparisonSettings, FeatureChoice, Thresholds

    limits = assignments(threshold or [], "--threshold")
    known_keys("--threshold", limits, Thresholds.__dataclass_fields__)
    options: dict[str, Any] = {
        "thresholds": Thresholds(**limits),
        "settings": ComparisonSettings(features=FeatureChoice(mobile, feature_convention)),
    }
    interval_fs = one_interval(frame_interval_fs)
    if not (reference or calculator or out):
        refuse_given(
            context,
            OF_A_STUDY,
            "is for a study: options of a study need --reference, --calculator and --out",
        )
        _refuse_of_files(context, paths or [])
        options |= {
            "timestep_fs": interval_fs,
            "surrogate_timestep_fs": surrogate_timestep_fs,
            "elements": element_list(elements),
            "surrogate_elements": element_list(surrogate_elements),
        }
        _compare_two(paths or [], temperature_K or [], report, force, as_json, **options)
        return
    of_two = (paths, report, surrogate_timestep_fs, surrogate_elements)
    if any(one not in (None, []) for one in of_two):
        raise InputError(
            "give either SURROGATE and REFERENCE, or --reference, --calculator and --out"
        )
    if not (reference and calculator and out):
        raise InputError(
            "a study needs --reference FILE, --calculator NAME and --out DIR; to compare what is "
            "there: mlmd compare SURROGATE REFERENCE"
        )
    from mlmd.protocol.settings import RunSettings
    from mlmd.report.page.page import require_jinja
    from mlmd.studies import StudySettings
    from mlmd.studies.reference import read_references
    from mlmd.studies.surrogates import read_surrogates

    require_jinja()
    specs = read_surrogates(
        calculator,
        device=device,
        threads=threads,
        trust=trust,
        options=assignments(calculator_options or [], "--calculator-option"),
    )
    settings = StudySettings(
        equilibration_ps, md_timestep_fs, tuple(seed or [0]), RunSettings(checkpoint_every_s)
    )
    references = read_references(
        reference, temperature_K or [], interval_fs, skip_ps, element_list(elements)
    )
    _study(references, specs, out, settings, options, force, as_json)


def _refuse_of_files(context: typer.Context, paths: Sequence[Path]) -> None:
    """Raise InputError for what is said of files where none is."""
    why = "is of files; a run knows its times and elements: leave it out"
    if paths and paths[0].is_dir():
        refuse_given(context, ("surrogate_timestep_fs", "surrogate_elements"), why)
    if paths and all(path.is_dir() for path in paths):
        refuse_given(context, ("frame_interval_fs", "elements"), why)


def _study(
    references: Sequence[Reference],
    specs: Mapping[str, CalculatorSpec],
    out: Path,
    settings: StudySettings,
    options: Mapping[str, Any],
    force: bool,
    as_json: bool,
) -> None:
    """Run a study, write its report, say what came out."""
    from mlmd.cli.progress import shown_progress
    from mlmd.cli.signals import stop_on_signals
    from mlmd.report import write_study_report
    from mlmd.studies import validate

    with stop_on_signals() as stop, shown_progress() as progress:
        try:
            study = validate(
                references, specs, out, settings=settings, compare_options=options,
                progress=progress, stop=stop,
            )  # fmt: skip
        except RunLostError:
            raise  # the same command is not what helps
        except StoppedError as error:
            raise type(error)(f"{error}: {shlex.join(['mlmd', *sys.argv[1:]])}") from error
    written = write_study_report(study, force=force)
    if as_json:
        print(json_line({**study.to_dict(), "report": str(written)}))
    else:
        _print_study(study, written)
    if study.failures:
        failed = "; ".join(f"{label}: {error}" for label, error in study.failures.items())
        raise StageFailedError(f"{failed}; the report has the others")


def _compare_two(
    paths: Sequence[Path],
    at_K: Sequence[float],
    report: Path | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare two trajectories or runs that are there."""
    from mlmd.studies.pair import compare_files

    if len(paths) != 2:
        raise InputError(
            f"{len(paths)} path(s) given; expected SURROGATE and REFERENCE, or --reference, "
            "--calculator and --out for a study"
        )
    if len(at_K) > 1:
        raise InputError("two trajectories have one temperature; give --temperature-K once")
    comparison = compare_files(paths[0], paths[1], at_K[0] if at_K else None, **options)
    content = comparison.to_dict()
    if report is not None:
        from mlmd.report import Compared, write_comparison_report

        write_comparison_report(report, [Compared(paths[0].name, content)], force)
    if as_json:
        print(json_line(content))
        return
    _print_comparison(content)
    if report is not None:
        print(f"written: {report}")


def _print_study(study: ValidationStudy, written: Path) -> None:
    from mlmd.studies.validation import RULE

    for i, outcome in enumerate(study.outcomes, start=1):
        print(f"{i}. {outcome.label}")
        if outcome.comparison is None:
            print(f"  failed: {outcome.error}")
        else:
            _print_comparison(outcome.comparison.to_dict(), missing=i == 1)
    if len(study.outcomes) > 1:
        print(RULE)
    print(f"written: {written} and {study.directory / 'comparison.json'}")


def _print_comparison(content: Mapping[str, Any], missing: bool = True) -> None:
    """Print the verdicts, one a line, at each temperature where there are several."""
    from mlmd.comparison.comparison import NOT_COMPARED
    from mlmd.report.comparison.features import feature_lines

    rows = []
    for name, verdict in content["verdict"].items():
        rows.append((name, verdict["answer"], verdict["reason"]))
        by_temperature = verdict["by_temperature"]
        if len(by_temperature) > 1:
            rows += [
                (f"  {T} K", one["answer"], one["reason"]) for T, one in by_temperature.items()
            ]
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, answer, reason in rows:
        print(f"  {name:<{width}}  {answer:<12}  {reason}")
    for line in feature_lines(content["features"]):
        print(f"  {line}")
    if missing:
        for what, why in content["missing"].items():
            print(f"  not known: {what}: {why}")
    for finding in content["findings"]:
        # What is missing stands above.
        if finding["severity"] == "note" and finding["code"] != NOT_COMPARED:
            print(f"  note: {finding['message']}")
    for warning in content["warnings"]:
        print(f"  warning: {warning}")
