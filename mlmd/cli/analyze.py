"""``mlmd analyze``: diffusivities and activation energies of a run or a trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlmd.cli.analyze_plots import check_plots, plot_summary, plot_volumes, plots_of, volumes_of
from mlmd.cli.analyze_text import print_summary
from mlmd.cli.measuring import (
    AtomsChosen,
    AtRest,
    Carriers,
    Estimator,
    EstimatorOption,
    ExtrapolateK,
    FitPs,
    Mobile,
    OriginsChoice,
    OxidationStates,
    ReferenceChoice,
    WindowPs,
    charge_options,
    diffusivity_options,
)
from mlmd.cli.options import AsJson, Force
from mlmd.cli.outputs import Output
from mlmd.cli.sources import (
    Elements,
    Every,
    FrameIntervalFs,
    LongStepsChoice,
    MdStepFs,
    Paths,
    Pieces,
    Source,
    Start,
    Stop,
    TemperaturesK,
    one_interval,
)
from mlmd.errors import InputError
from mlmd.plain import json_line

if TYPE_CHECKING:
    from mlmd.analysis.recipe import RecipeAnalysis
    from mlmd.trajectory import Trajectory


def analyze_command(
    paths: Paths,
    frame_interval_fs: FrameIntervalFs = None,
    md_step_fs: MdStepFs = None,
    elements: Elements = None,
    temperature_K: TemperaturesK = None,
    start: Start = None,
    stop: Stop = None,
    every: Every = 1,
    pieces: Pieces = False,
    long_steps: LongStepsChoice = "refuse",
    species: Annotated[
        list[str] | None, typer.Option("--species", help="Chemical symbol; may be repeated.")
    ] = None,
    estimator: Estimator = None,
    window_ps: WindowPs = None,
    fit_ps: FitPs = None,
    drift: AtRest = None,
    mobile: Mobile = None,
    origins: OriginsChoice = None,
    estimator_option: EstimatorOption = None,
    atoms: AtomsChosen = None,
    replicas: Annotated[
        bool,
        typer.Option(
            "--replicas",
            help="Each path is an independent run of the same, as several run directories are.",
        ),
    ] = False,
    oxidation_states: OxidationStates = None,
    carriers: Carriers = None,
    reference: ReferenceChoice = None,
    extrapolate_K: ExtrapolateK = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            help="Folder for msd-SPECIES.png, rdf-STAGE.png, events-STAGE.png, arrhenius.png, "
            "volume-STAGE.png.",
        ),
        Output("plots"),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Diffusivity of every species with its interval, and the activation energy.

    Several run directories are analysed together: stages of one name and temperature are samples of
    the same. So are several files where each has its --temperature-K, or with --replicas; else they
    are the parts of one trajectory.
    """
    from mlmd.analysis.diffusion.diffusivity import diffusivity_settings
    from mlmd.analysis.summary import summarize

    charged = charge_options(oxidation_states, carriers, reference, extrapolate_K)
    how = diffusivity_options(
        estimator, window_ps, fit_ps, drift, mobile, origins, estimator_option, atoms
    )
    diffusivity_settings(**how)
    each_K = _temperatures(paths, temperature_K or [])
    several = len(paths) > 1 and (
        replicas or len(temperature_K or []) > 1 or all(path.is_dir() for path in paths)
    )
    if replicas and not several:
        raise InputError("--replicas was given for one path; expected two independent runs or more")
    together = [([path], T_K) for path, T_K in zip(paths, each_K, strict=True)]
    sources = [
        Source(
            these,
            frame_interval_fs=one_interval(frame_interval_fs),
            md_step_fs=md_step_fs,
            elements=elements,
            pieces=pieces,
            temperature_K=T_K,
            start=start,
            stop=stop,
            every=every,
            long_steps=long_steps,
        )
        for these, T_K in (together if several else [(paths, each_K[0])])
    ]
    for source in sources:
        source.check()
    runs = [source.run for source in sources if source.run is not None]
    volumes = volumes_of(runs[0]) if plot is not None and len(sources) == len(runs) == 1 else {}
    if plot is not None:
        check_plots([f"volume-{name}.png" for name in volumes], plot, force)
    try:
        stages, groups = _stages_of(sources)
    except InputError as error:
        if not volumes or plot is None:
            raise
        _print_volumes_only(plot_volumes(volumes, plot, force), error, as_json)
        return
    if plot is not None:
        check_plots(plots_of(stages, species), plot, force)
    summary = summarize(
        stages, species=species or None, recipe=_recipe(runs), replicas=groups, **charged, **how
    )
    written = []
    if plot is not None:
        written = [*plot_volumes(volumes, plot, force), *plot_summary(summary, plot, force)]
    if as_json:
        print(json_line(summary))
        return
    print_summary(summary)
    for file in written:
        print(f"plot: {file}")


def _temperatures(paths: Sequence[Path], given_K: Sequence[float]) -> list[float | None]:
    """Return the temperature of each path, one for all or one for each."""
    if len(given_K) > 1 and len(given_K) != len(paths):
        raise InputError(
            f"--temperature-K was given {len(given_K)} times for {len(paths)} path(s); expected "
            "it once for all of them, or once for each"
        )
    if len(given_K) > 1:
        return list(given_K)
    return [given_K[0] if given_K else None] * len(paths)


def _stages_of(
    sources: Sequence[Source],
) -> tuple[dict[str, tuple[Trajectory, float | None]], dict[str, list[str]]]:
    """Return all stages, and which are samples of the same.

    Those are what has one name and one temperature in several sources, and pieces of one.
    """
    stages: dict[str, tuple[Trajectory, float | None]] = {}
    alike: dict[str, dict[float | None, list[str]]] = {}
    for source in sources:
        for name, stage in source.stages().items():
            own = name if len(sources) == 1 else f"{source.label}:{name}"
            if own in stages:
                raise InputError(f"{source.label} was given twice; expected each path once")
            stages[own] = stage
            alike.setdefault(source.sample_of(name), {}).setdefault(stage[1], []).append(own)
    groups = {
        name if len(by_K) == 1 or T_K is None else f"{name} {T_K:g} K": names
        for name, by_K in alike.items()
        for T_K, names in by_K.items()
        if len(names) > 1
    }
    return stages, groups


def _recipe(runs: Sequence[Path]) -> RecipeAnalysis | None:
    """Return how the runs' recipes measure; they must say the same."""
    from mlmd.analysis.recipe import RecipeAnalysis, shared_analysis
    from mlmd.run.run import Run

    if not runs:
        return None
    recipes = [RecipeAnalysis.of(Run.open(run)) for run in runs]
    shared = shared_analysis(recipes)
    if shared is None:
        said = "; ".join(str(recipe) for recipe in recipes)
        raise InputError(
            f"the recipes of the runs measure differently ({said}); expected runs that are samples "
            "of the same: analyse each by itself"
        )
    return shared


def _print_volumes_only(written: list[Path], error: InputError, as_json: bool) -> None:
    """Say that there was nothing else to analyse."""
    if as_json:
        print(json_line({"stages": {}, "arrhenius": {}, "from_recipe": None, "findings": []}))
        return
    for file in written:
        print(f"plot: {file}")
    print(f"nothing else: {error}")
