"""The report of a validation study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.report.comparison.report import Compared, write_comparison_report
from mlmd.report.page.elements import Group, entries
from mlmd.studies.folder import REPORT
from mlmd.studies.matching import matching_protocol
from mlmd.studies.validation import RULE

if TYPE_CHECKING:
    from mlmd.studies.reference import Reference
    from mlmd.studies.validation import ValidationStudy


def write_study_report(
    study: ValidationStudy, path: str | Path | None = None, force: bool = False
) -> Path:
    """Write the report of a study.

    Parameters
    ----------
    study
        From :func:`mlmd.studies.validate`.
    path
        The HTML file; ``report.html`` in the study's directory where not given. An earlier page
        is replaced.
    force
        Replace what else is there, but never a file of a run.

    Raises
    ------
    MissingExtraError
        If Jinja2 is not installed.
    InputError
        If the file cannot be written.
    """
    surrogates = [
        Compared(one.label, None if one.comparison is None else one.comparison.to_dict(), one.error)
        for one in study.outcomes
    ]
    return write_comparison_report(
        study.directory / REPORT if path is None else path,
        surrogates,
        force,
        settings=_settings(study),
        ranking=RULE if len(surrogates) > 1 else "",
    )


def _settings(study: ValidationStudy) -> list[Group]:
    return [
        Group(
            "Runs",
            (
                ("begun", study.created),
                (
                    "start",
                    "first frame of the reference, momenta drawn anew; cell, density, "
                    "temperature, length and interval of the reference",
                ),
                *(
                    (f"{one.formula} {one.temperature_K:g} K", _stages(study, one))
                    for one in study.references
                ),
                ("seeds", ", ".join(map(str, study.settings.seeds))),
            ),
        ),
        *(
            Group(f"Calculator: {one.label}", entries(one.calculator.to_dict()))
            for one in study.outcomes
        ),
        Group(
            "Reference files", tuple(("file", name) for r in study.references for name in r.files)
        ),
        Group("Versions", tuple(study.versions.items())),
    ]


def _stages(study: ValidationStudy, reference: Reference) -> str:
    """Say in a line what was run beside a reference."""
    stages = matching_protocol(reference, study.settings).stages
    return "; ".join(
        f"{stage.name} {stage.n_steps} steps of {settings['timestep_fs']:g} fs, "
        f"{settings['thermostat'].replace('_', '-')} thermostat"
        for stage, settings in ((stage, stage.to_dict()) for stage in stages)
    )
