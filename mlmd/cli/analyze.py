"""``mlmd analyze``: diffusivities and activation energies of a run or a trajectory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlmd.checks import is_number
from mlmd.cli.figures import save_axes, save_figure
from mlmd.cli.options import (
    AsJson,
    AtRest,
    FitPs,
    Force,
    WindowPs,
    assignments,
    diffusivity_options,
)
from mlmd.cli.outputs import Output
from mlmd.cli.sources import (
    Every,
    LongStepsChoice,
    Paths,
    Source,
    Start,
    Stop,
    TemperatureK,
    TimestepFs,
)
from mlmd.digits import TERMINAL, with_error
from mlmd.errors import InputError
from mlmd.files import check_output

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.diffusivity import Diffusivity
    from mlmd.analysis.recipe import RecipeAnalysis
    from mlmd.analysis.summary import AnalysisSummary, StageDiffusivity
    from mlmd.analysis.transport import ConductivityValue
    from mlmd.stages.volume.result import VolumeResult
    from mlmd.trajectory import Trajectory

PUBLISHED_WINDOW_PS = 15.0


def analyze_command(
    paths: Paths,
    timestep_fs: TimestepFs = None,
    temperature_K: TemperatureK = None,
    start: Start = None,
    stop: Stop = None,
    every: Every = 1,
    long_steps: LongStepsChoice = "refuse",
    species: Annotated[
        list[str] | None, typer.Option("--species", help="Chemical symbol; may be repeated.")
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(
            "--estimator",
            help="How D is estimated: as the run's recipe says if not given, else gls, or windowed "
            "where a window is given.",
        ),
    ] = None,
    window_ps: WindowPs = None,
    fit_ps: FitPs = None,
    drift: AtRest = None,
    replicas: Annotated[
        bool,
        typer.Option(
            "--replicas",
            help="Each path is an independent run of the same, as several run directories are.",
        ),
    ] = False,
    oxidation_states: Annotated[
        list[str] | None,
        typer.Option("--oxidation-state", help="Li=1, for every species: gives the conductivity."),
    ] = None,
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
    """Diffusivity of every species with its interval, and the activation energy."""
    from mlmd.analysis.diffusion.diffusivity import diffusivity_settings
    from mlmd.analysis.summary import summarize

    states = _oxidation_states(oxidation_states)
    how = diffusivity_options(estimator, window_ps, fit_ps, drift)
    diffusivity_settings(**how)
    several = len(paths) > 1 and (replicas or all(path.is_dir() for path in paths))
    if replicas and not several:
        raise InputError("--replicas was given for one path; expected two independent runs or more")
    frames = (timestep_fs, temperature_K, start, stop, every, long_steps)
    sources = [Source([path], *frames) for path in paths] if several else [Source(paths, *frames)]
    for source in sources:
        source.check()
    runs = [source.run for source in sources if source.run is not None]
    run = None if several or not runs else runs[0]
    volumes = _volumes(run) if plot is not None and run is not None else {}
    if plot is not None:
        _check_plots([f"volume-{name}.png" for name in volumes], plot, force)
    try:
        stages, groups = _stages_of(sources)
    except InputError as error:
        if not volumes or plot is None:
            raise
        _print_volumes_only(_plot_volumes(volumes, plot, force), error, as_json)
        return
    if plot is not None:
        _check_plots(_plots_of(stages, species), plot, force)
    summary = summarize(
        stages,
        species=species or None,
        flags=_flags(sources),
        oxidation_states=states,
        recipe=_recipe(runs),
        replicas=groups,
        **how,
    )
    written = []
    if plot is not None:
        written = [*_plot_volumes(volumes, plot, force), *_plot(summary, plot, force)]
    if as_json:
        print(json.dumps(summary.to_dict()))
        return
    _print(summary)
    for file in written:
        print(f"plot: {file}")


def _oxidation_states(texts: list[str] | None) -> dict[str, float] | None:
    if not texts:
        return None
    states = assignments(texts, "--oxidation-state")
    for symbol, state in states.items():
        if not is_number(state):
            raise InputError(
                f"--oxidation-state {symbol}={state} is not a number; expected one such as Li=1"
            )
    return states


def _stages_of(
    sources: Sequence[Source],
) -> tuple[dict[str, tuple[Trajectory, float | None]], dict[str, list[str]]]:
    """Return all stages, and which are samples of the same: those of one name in several runs."""
    if len(sources) == 1:
        return sources[0].stages(), {}
    stages: dict[str, tuple[Trajectory, float | None]] = {}
    groups: dict[str, list[str]] = {}
    for source in sources:
        for name, stage in source.stages().items():
            stages[f"{source.label}:{name}"] = stage
            groups.setdefault(name, []).append(f"{source.label}:{name}")
    return stages, {name: names for name, names in groups.items() if len(names) > 1}


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


def _flags(sources: Sequence[Source]) -> dict[str, list[str]]:
    """Return what the stages of runs are marked with."""
    from mlmd.run.run import Run

    flags = {}
    for source in sources:
        if source.run is not None:
            before = "" if len(sources) == 1 else f"{source.label}:"
            entries = Run.open(source.run).stages
            flags.update({before + entry.name: entry.flags for entry in entries})
    return flags


def _check_plots(names: Iterable[str], folder: Path, force: bool) -> None:
    """Before anything is computed."""
    for name in names:
        check_output(folder / name, "plot", force, new_folder=True)


def _plots_of(
    stages: Mapping[str, tuple[Trajectory, float | None]], species: Sequence[str] | None
) -> Iterator[str]:
    """Yield the names of all that may be drawn of stages; see `_plot`."""
    for name, (trajectory, _) in stages.items():
        yield from (f"rdf-{name}.png", f"events-{name}.png")
        yield from (f"msd-{symbol}.png" for symbol in species or trajectory.species)
    yield "arrhenius.png"


def _volumes(path: Path) -> dict[str, VolumeResult]:
    """Return what each volume search of a run has found, one that failed too."""
    from mlmd.run.run import Run
    from mlmd.stages.volume.result import VolumeResult

    return {
        entry.name: VolumeResult(**entry.result)
        for entry in Run.open(path).stages
        if entry.kind == "EquilibrateVolume" and entry.result is not None
    }


def _plot_volumes(volumes: Mapping[str, VolumeResult], folder: Path, force: bool) -> list[Path]:
    """Draw pressure against volume."""
    from mlmd.plot import plot_equation_of_state

    written = []
    for name, result in volumes.items():
        written.append(folder / f"volume-{name}.png")
        save_axes(plot_equation_of_state(result), written[-1], force)
    return written


def _print_volumes_only(written: list[Path], error: InputError, as_json: bool) -> None:
    """Say that there was nothing else to analyse."""
    if as_json:
        print(json.dumps({"stages": {}, "arrhenius": {}, "from_recipe": None, "findings": []}))
        return
    for file in written:
        print(f"plot: {file}")
    print(f"nothing else: {error}")


def _plot(summary: AnalysisSummary, folder: Path, force: bool) -> list[Path]:
    """Draw the mean squared displacements of each species, g(r), and all Arrhenius lines."""
    from mlmd.plot import plot_arrhenius, plot_events, plot_msd, plot_rdf

    written = []
    for symbol in summary.arrhenius:
        results = {
            name: stage.species[symbol]
            for name, stage in summary.stages.items()
            if symbol in stage.species
        }
        written.append(folder / f"msd-{symbol}.png")
        save_axes(plot_msd(results), written[-1], force)
    for name, stage in summary.stages.items():
        written.append(folder / f"rdf-{name}.png")
        save_axes(plot_rdf(stage.structure), written[-1], force)
        if stage.events is not None:
            written.append(folder / f"events-{name}.png")
            save_figure(plot_events(stage.events), written[-1], force)
    axes = None
    for symbol, law in summary.arrhenius.items():
        if law is not None:
            axes = plot_arrhenius(law, ax=axes, label=symbol)
    if axes is not None:
        written.append(folder / "arrhenius.png")
        save_axes(axes, written[-1], force)
    return written


def _print(summary: AnalysisSummary) -> None:
    stages = summary.stages.items()
    first = next(iter(next(iter(summary.stages.values())).species.values())).settings
    how = f"estimator {first.estimator}"
    if first.window_ps is not None and first.fit_ps is not None:
        short = f" (short: {PUBLISHED_WINDOW_PS:g} ps is usual)" if first.window_ps < 15.0 else ""
        how += (
            f", windows of {first.window_ps:g} ps{short}, fitted {first.fit_ps[0]:g} to "
            f"{first.fit_ps[1]:g} ps"
        )
    print(f"D in cm2/s with its 68 % interval; {how}")
    if summary.from_recipe is not None:
        print(f"measured as the run's recipe says: {summary.from_recipe}")
    width = max(len(name) for name, _ in stages)
    for name, stage in stages:
        at = "" if stage.temperature_K is None else f" {stage.temperature_K:6.0f} K"
        doubts = "".join(f"  {flag.upper()}" for flag in stage.flags)
        for symbol, result in stage.species.items():
            print(f"{name:<{width}}{at}  {symbol:<2}  {_line(result)}{doubts}")
        for line in _more(stage):
            print(f"{name:<{width}}  {line}")
    for name, group in summary.replicas.items():
        at = "" if group.temperature_K is None else f" {group.temperature_K:6.0f} K"
        for symbol, result in group.species.items():
            print(f"{name}, {len(group.stages)} runs{at}  {symbol:<2}  {_line(result)}")
            print(f"{name}, {len(group.stages)} runs{at}  {symbol:<2}  {_sources(result)}")
    for symbol, law in summary.arrhenius.items():
        if law is not None:
            E_a = with_error(law.E_a_eV, law.E_a_stderr_eV, TERMINAL)
            no_error = ", no error" if law.E_a_stderr_eV is None else ""
            print(f"{symbol}: E_a = {E_a} eV{no_error}, D0 = {law.D0_cm2_s:.2e} cm2/s")
    for finding in summary.findings:
        print(f"{finding.severity}: {finding.message}")


def _more(stage: StageDiffusivity) -> Iterator[str]:
    """Yield what there is to say of a stage besides its diffusivities."""
    shells = {k: v for k, v in stage.coordination().items() if not isinstance(v, str)}
    if shells:
        told = (f"{pair} {s.coordination:.2f} ({s.minimum_A:.2f} A)" for pair, s in shells.items())
        yield f"coordination numbers (up to): {', '.join(told)}"
    if stage.conductivity is not None:
        full, alone = stage.conductivity.full, stage.conductivity.nernst_einstein
        if full is None or alone is None:
            yield "no conductivity: a mobile species does not diffuse"
        else:
            haven = alone.S_cm / full.S_cm
            yield (
                f"conductivity {_with_error(full)} mS/cm; as if ions moved independently "
                f"{_with_error(alone)} mS/cm; Haven ratio {haven:.2f}"
            )


def _with_error(value: ConductivityValue) -> str:
    return with_error(value.mS_cm, value.stderr_mS_cm, TERMINAL)


def _sources(result: Diffusivity) -> str:
    """What the runs' own errors and the spread between them give the error of their mean."""
    shown = []
    for key, what in (("within", "the runs' own errors"), ("between", "the spread between them")):
        error = result.details.get(f"{key}_stderr_cm2_s")
        shown.append(f"{what} {'unknown' if error is None else f'{error:.2e}'}")
    return f"standard error of the mean by {shown[0]}, by {shown[1]}"


def _line(result: Diffusivity) -> str:
    """One diffusivity: value, interval and what it rests on; or why there is none."""
    if result.D_cm2_s is None:
        bound = result.D_upper_bound_cm2_s
        limit = "no bound" if bound is None else f"D < {bound:.2e} (95 %)"
        return f"NOT DIFFUSIVE  {limit}  raw {result.D_raw_cm2_s:.2e}  {result.reason}"
    interval = result.D_interval68_cm2_s
    error = "no error" if interval is None else f"[{interval[0]:.2e}, {interval[1]:.2e}]"
    if result.settings.estimator == "windowed":
        if interval is None:
            error += " (one window)"
        windows = "window" if result.n_windows == 1 else "windows"
        rests = f"{result.n_windows} {windows} of {result.settings.window_ps:g} ps"
        rests += f" in {result.duration_ps:g} ps"
    else:
        fit_ps = result.settings.fit_ps
        rests = f"{result.duration_ps:g} ps"
        if fit_ps is not None:
            rests += f", fitted {fit_ps[0]:.3g} to {fit_ps[1]:.3g} ps"
    return f"D = {result.D_cm2_s:9.2e}  {error}  {rests}; {result.reason}"
