"""A surrogate and a reference that are there already: two files or runs, compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.analysis.recipe import RecipeAnalysis
from mlmd.checks import positive_number, usable_path
from mlmd.comparison import Comparison, ComparisonSettings, compare
from mlmd.errors import InputError
from mlmd.run.measured import measured_stages, read_file
from mlmd.run.run import Run
from mlmd.trajectory import Trajectory

if TYPE_CHECKING:
    Side = Mapping[float | None, Trajectory]


def compare_files(
    surrogate: str | Path,
    reference: str | Path,
    temperature_K: float | None = None,
    timestep_fs: float | None = None,
    surrogate_timestep_fs: float | None = None,
    elements: Sequence[str] | None = None,
    surrogate_elements: Sequence[str] | None = None,
    **options: Any,
) -> Comparison:
    """Read two trajectories or run directories, and compare them.

    Two runs are compared at every temperature that both have measured. A run beside a file gives
    the stage of `temperature_K`, or its only one.

    Parameters
    ----------
    surrogate, reference
        Trajectory files or run directories.
    temperature_K
        Of both; not needed where a run says it.
    timestep_fs, surrogate_timestep_fs
        Time between the frames of files that do not say it, of the surrogate where it differs.
    elements, surrogate_elements
        Of the types of LAMMPS dumps, as for :meth:`mlmd.Trajectory.read`; likewise.
    **options
        Further keywords of :func:`mlmd.compare`. D is measured as the recipes of runs say where
        they agree and ``settings`` do not say it.

    Raises
    ------
    InputError
        If a file cannot be read, or a run has not measured anything at that temperature.
    """
    for name, value in (
        ("temperature_K", temperature_K),
        ("timestep_fs", timestep_fs),
        ("surrogate_timestep_fs", surrogate_timestep_fs),
    ):
        if value is not None:
            positive_number(name, value)
    paths = usable_path("surrogate", surrogate), usable_path("reference", reference)
    recipes = [RecipeAnalysis.of(Run.open(path)) for path in paths if path.is_dir()]
    settings = options.get("settings") or ComparisonSettings()
    options["settings"] = replace(settings, recipes=settings.recipes or tuple(recipes))
    steps_fs = surrogate_timestep_fs or timestep_fs, timestep_fs
    types = surrogate_elements or elements, elements
    sides = [_by_temperature(*one) for one in zip(paths, steps_fs, types, strict=True)]
    known = [set(side) - {None} for side in sides]
    if temperature_K is None and all(known):
        one, other = ({(_formula(run), T): run for T, run in side.items()} for side in sides)
        return compare(one, other, **options)
    if temperature_K is None:
        temperature_K = next((next(iter(side)) for side in known if len(side) == 1), None)
    runs = [_at(side, temperature_K, path) for side, path in zip(sides, paths, strict=True)]
    return compare(*runs, temperature_K=temperature_K, **options)


def _by_temperature(path: Path, timestep_fs: float | None, elements: Sequence[str] | None) -> Side:
    """Read a file, or what a run has measured where its temperature is known."""
    if not path.is_dir():
        return {None: read_file(path, timestep_fs, elements=elements)}
    return {T: run for run, T in measured_stages(Run.open(path)).values() if T is not None}


def _at(side: Side, temperature_K: float | None, path: Path) -> Trajectory:
    """Return the trajectory of one temperature; a file is taken at its word."""
    if len(side) == 1 and (None in side or temperature_K is None):
        return next(iter(side.values()))
    if temperature_K not in side:
        known = ", ".join(f"{T:g} K" for T in side if T is not None) or "none"
        at = (
            "no temperature was given"
            if temperature_K is None
            else f"nothing at {temperature_K:g} K"
        )
        raise InputError(f"{path} has {known}, and {at}; give one with --temperature-K")
    return side[temperature_K]


def _formula(run: Trajectory) -> str:
    return "".join(f"{symbol}{len(run.indices(symbol))}" for symbol in run.species)
