"""A validation study: the reference's own dynamics repeated by surrogates, and compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.campaign import Case, CaseFailure, run_case
from mlmd.comparison import Comparison, ComparisonSettings, compare
from mlmd.errors import InputError
from mlmd.plain import to_plain
from mlmd.protocol.calculators import StageCalculators
from mlmd.protocol.start import Asked, find_run
from mlmd.protocol.trials import try_calculators
from mlmd.run.identity import structure_from_text
from mlmd.run.run import Run
from mlmd.studies.folder import RUNS, check_study, created, write_comparison, write_study
from mlmd.studies.matching import PRODUCTION, matching_protocol
from mlmd.studies.reference import Reference
from mlmd.studies.settings import StudySettings
from mlmd.studies.surrogates import Calculators, folder_names, labelled

if TYPE_CHECKING:
    from mlmd.calculators.spec import CalculatorSpec
    from mlmd.run.stopping import StopToken
    from mlmd.stages.context import Progress, ProgressReport
    from mlmd.trajectory import Trajectory

    Systems = dict[tuple[str, float | None], list[Trajectory]]

NO_POINTS = (
    "the reference has neither energies nor forces; a vasprun.xml, OUTCAR or extxyz has them"
)
RULE = (
    "Ranked by the fewest properties that are wrong (no), then the fewest that are open "
    "(inconclusive), then the smallest error of D, then of g(r)."
)


@dataclass(frozen=True)
class Outcome:
    """What a study found about one surrogate.

    Attributes
    ----------
    label
        Of the surrogate.
    calculator
        Its spec.
    runs
        Directories of its runs.
    comparison
        With the reference; None where a run failed.
    error
        The line that a run failed with.
    """

    label: str
    calculator: CalculatorSpec
    runs: tuple[Path, ...]
    comparison: Comparison | None = None
    error: str | None = None


@dataclass(frozen=True)
class ValidationStudy:
    """Surrogates held against the same reference, the best first.

    Attributes
    ----------
    directory
        Holds ``study.json``, ``comparison.json`` and ``runs/``.
    references
        What they were held against.
    settings
        How they were run.
    outcomes
        One of each surrogate, ranked (:func:`ranked`).
    created
        When the study was begun.
    versions
        Of the packages that made the runs.
    """

    directory: Path
    references: tuple[Reference, ...]
    settings: StudySettings
    outcomes: tuple[Outcome, ...]
    created: str
    versions: Mapping[str, str]

    @property
    def failures(self) -> dict[str, str]:
        """What the runs of surrogates failed with, by label."""
        return {one.label: one.error for one in self.outcomes if one.error is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers of all surrogates as plain data, as ``comparison.json`` has them."""
        return {
            "ranking": [one.label for one in self.outcomes],
            "surrogates": {
                one.label: {
                    "calculator": one.calculator.to_dict(),
                    "runs": [str(path.relative_to(self.directory)) for path in one.runs],
                    "error": one.error,
                    "comparison": to_plain(one.comparison),
                }
                for one in self.outcomes
            },
        }


def validate(
    references: Reference | Sequence[Reference],
    calculators: Calculators,
    directory: str | Path,
    *,
    settings: StudySettings | None = None,
    compare_options: Mapping[str, Any] | None = None,
    progress: ProgressReport | None = None,
    stop: StopToken | None = None,
) -> ValidationStudy:
    """Repeat the dynamics of a reference with each surrogate, and compare.

    Each run starts from the reference's first frame and has its cell, density, temperature,
    length and interval (:func:`mlmd.studies.matching.matching_protocol`). The same call on the
    same directory goes on where it stopped; one calculator more runs that one alone.

    Parameters
    ----------
    references
        One, or several: other temperatures or compositions, or the same again from another seed.
    calculators
        One, several, or a mapping from label to calculator.
    directory
        Made where it does not exist.
    settings
        How surrogates are run.
    compare_options
        Further keywords of :func:`mlmd.compare`. D is measured as the recipes of references that
        are runs say, where they agree and ``settings`` do not say it.
    progress
        Called with :class:`~mlmd.stages.context.Progress`; its stage names the surrogate too.
    stop
        Set it to stop at a checkpoint.

    Returns
    -------
    ValidationStudy
        Also where the runs of some surrogates failed: ``failures`` says how.

    Raises
    ------
    InputError
        If something given cannot be used; nothing was run then.
    StoppedError
        If it was stopped; the same call goes on.
    """
    settings = settings or StudySettings()
    folder = Path(directory).absolute()
    held = (references,) if isinstance(references, Reference) else tuple(references)
    if not held:
        raise InputError("no reference was given; expected at least one trajectory")
    options = dict(compare_options or {})
    how = options.get("settings") or ComparisonSettings()
    recipes = tuple(one.recipe for one in held if one.recipe is not None)
    options["settings"] = replace(how, recipes=how.recipes or recipes)
    specs = labelled(calculators)
    check_study(folder)
    jobs = _jobs(held, specs, settings, folder)
    aims = _by_system(held, [one.trajectory for one in held])
    # What the comparison would refuse, it refuses now and not after hours of dynamics.
    compare(aims, aims, **options)
    for label, spec in specs.items():
        _check(spec, [job for job in jobs if job.label == label])
    begun = created(folder)
    write_study(folder, _description(held, specs, settings, begun))
    outcomes: dict[str, Outcome] = {}
    versions: dict[str, str] = {}
    for label, spec in specs.items():
        mine = [job for job in jobs if job.label == label]
        paths = tuple(job.case.directory for job in mine)
        runs: list[Run] = []
        for job in mine:
            result = job.run(settings, progress, stop)
            if isinstance(result, CaseFailure):
                if result.kind == "input":
                    raise InputError(result.message)
                outcomes[label] = Outcome(label, spec, paths, error=result.message)
                break
            runs.append(result)
        if label in outcomes:
            continue
        for run in runs:
            versions.update(run.manifest.versions)
        made = [run.trajectory(PRODUCTION) for run in runs]
        found = _by_system([job.reference for job in mine], made)
        outcomes[label] = Outcome(label, spec, paths, _compared(found, aims, spec, options))
    order = ranked({label: to_plain(one.comparison) for label, one in outcomes.items()})
    study = ValidationStudy(
        folder, held, settings, tuple(outcomes[label] for label in order), begun, versions
    )
    write_comparison(folder, study.to_dict())
    return study


def ranked(contents: Mapping[str, Mapping[str, Any] | None]) -> list[str]:
    """Return labels, the best first.

    Parameters
    ----------
    contents
        What :meth:`mlmd.comparison.Comparison.to_dict` gives by label; None for a surrogate
        whose dynamics failed, which comes last. What was not computed counts as the worst.
    """
    return sorted(contents, key=lambda label: _key(contents[label]))


def _key(content: Mapping[str, Any] | None) -> tuple[float, ...]:
    if content is None:
        return (math.inf,)
    answers = [verdict["answer"] for verdict in content["verdict"].values()]
    error_of_D = (content["diffusivity"] or {}).get("log10_mae")
    r2 = (content["rdf"] or {}).get("r2_pooled")
    return (
        float(answers.count("no")),
        float(answers.count("inconclusive")),
        math.inf if error_of_D is None else error_of_D,
        math.inf if r2 is None else 1.0 - r2,
    )


@dataclass(frozen=True)
class _Job:
    """One run: a surrogate beside a reference, from one seed."""

    label: str
    spec: CalculatorSpec
    reference: Reference
    case: Case
    title: str

    def run(
        self, settings: StudySettings, progress: ProgressReport | None, stop: StopToken | None
    ) -> Run | CaseFailure:
        """Run it, or go on with it."""

        def report(now: Progress) -> None:
            if progress is not None:
                progress(replace(now, stage=f"{self.title} {now.stage}"))

        return run_case(self.case, self.spec, progress=report, stop=stop, keep=settings.run)


def _jobs(
    references: Sequence[Reference],
    specs: Mapping[str, CalculatorSpec],
    settings: StudySettings,
    folder: Path,
) -> list[_Job]:
    """Return every run of the study; a repeated reference takes seeds of its own."""
    names = folder_names(list(specs))
    jobs: list[_Job] = []
    repeats: dict[tuple[str, float], int] = {}
    several = len({one.formula for one in references}) > 1
    for reference in references:
        key = (reference.formula, reference.temperature_K)
        repeat = repeats[key] = repeats.get(key, -1) + 1
        protocol = matching_protocol(reference, settings)
        system = f"{reference.formula}-{reference.temperature_K:g}K"
        for label, spec in specs.items():
            for given in settings.seeds:
                seed = given + repeat * (max(settings.seeds) + 1)
                place = folder / RUNS / names[label] / f"{system}-{seed}"
                title = f"{label} {f'{reference.formula} ' if several else ''}"
                title += f"{reference.temperature_K:g} K"
                title += f" seed {seed}" if len(settings.seeds) > 1 or repeat else ""
                case = Case(protocol, reference.start(), place, seed)
                jobs.append(_Job(label, spec, reference, case, title))
    # All runs of one surrogate after those of another.
    return sorted(jobs, key=lambda job: list(specs).index(job.label))


def _check(spec: CalculatorSpec, jobs: Sequence[_Job]) -> None:
    """See that all runs of a surrogate can begin or go on, with one calculator made for that."""
    with closing(StageCalculators(spec, jobs[0].case.protocol)) as calculators:
        for job in jobs:
            case = job.case
            asked = Asked(case.protocol, case.structure, calculators, case.seed)
            if find_run(case.directory, asked) is None:
                start = structure_from_text(asked.structure())
                try_calculators(calculators, case.protocol.stages, start)


def _compared(
    found: Systems, aims: Systems, spec: CalculatorSpec, options: Mapping[str, Any]
) -> Comparison:
    """Compare, point by point too where the reference has results of its own."""
    runs = [one for side in aims.values() for one in side]
    if all(one.energies_eV is None and one.forces_eV_A is None for one in runs):
        comparison = compare(found, aims, **options)
        return replace(comparison, missing={**comparison.missing, "points": NO_POINTS})
    calculator = spec.load()
    try:
        return compare(found, aims, calculator=calculator, **options)
    finally:
        close = getattr(calculator, "close", None)
        if callable(close):
            close()


def _by_system(references: Sequence[Reference], trajectories: Sequence[Trajectory]) -> Systems:
    """Bring trajectories together that differ in nothing but their seed."""
    systems: Systems = {}
    for reference, trajectory in zip(references, trajectories, strict=True):
        systems.setdefault((reference.formula, reference.temperature_K), []).append(trajectory)
    return systems


def _description(
    references: Sequence[Reference],
    specs: Mapping[str, CalculatorSpec],
    settings: StudySettings,
    begun: str,
) -> dict[str, Any]:
    return {
        "created": begun,
        "references": [
            {
                "files": list(one.files),
                "formula": one.formula,
                "temperature_K": one.temperature_K,
                "n_frames": len(one.trajectory),
                "duration_ps": one.trajectory.duration_ps,
            }
            for one in references
        ],
        "calculators": to_plain(specs),
        "settings": settings.to_dict(),
    }
