"""``mlmd rdf``: radial distribution functions of a run or a trajectory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlmd.cli.figures import save_axes
from mlmd.cli.options import AsJson, Force
from mlmd.cli.outputs import Output
from mlmd.cli.sources import (
    Elements,
    Every,
    LongStepsChoice,
    Paths,
    Source,
    Start,
    Stop,
    TimestepFs,
)
from mlmd.errors import InputError
from mlmd.files import check_output, refuse_one_place, write_output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlmd.analysis.structure import FirstShell, Pair, RadialDistribution


def rdf_command(
    paths: Paths,
    timestep_fs: TimestepFs = None,
    start: Start = None,
    stop: Stop = None,
    every: Every = 1,
    long_steps: LongStepsChoice = "refuse",
    elements: Elements = None,
    r_max_A: Annotated[
        float | None,
        typer.Option("--r-max-A", help="Range; half the smallest height of the cell if not given."),
    ] = None,
    bin_A: Annotated[
        float | None, typer.Option("--bin-A", help="Width of the bins; 0.05 A if not given.")
    ] = None,
    convention: Annotated[
        str, typer.Option("--convention", help="exact, zheng2024 or zheng2024_files.")
    ] = "exact",
    species: Annotated[
        list[str] | None,
        typer.Option("--species", help="Pair such as Li-O; may be repeated; all if not given."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Folder for rdf-STAGE.png."), Output("plots")
    ] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", help="Table of all curves; one per stage."),
        Output("curves", new_folder=True),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Total and partial g(r) with errors, first shells and coordination numbers."""
    from mlmd.analysis.structure import first_shells, rdf

    pairs = None if not species else [_pair(text) for text in species]
    source = Source(
        paths,
        timestep_fs,
        start=start,
        stop=stop,
        every=every,
        long_steps=long_steps,
        elements=elements,
        needs_time=False,
    )
    stages = source.stages()
    tables = {} if csv_file is None else _tables(list(stages), csv_file)
    plots = {} if plot is None else {name: plot / f"rdf-{name}.png" for name in stages}
    for kind, paths_of_kind in (("curves", tables), ("plot", plots)):
        for path in paths_of_kind.values():
            check_output(path, kind, force, new_folder=True)
    refuse_one_place([*tables.values(), *plots.values()])
    results = {
        name: rdf(trajectory, r_max_A=r_max_A, bin_A=bin_A, convention=convention, pairs=pairs)
        for name, (trajectory, _) in stages.items()
    }
    for name, path in tables.items():
        with write_output(path, "curves", force, new_folder=True) as place:
            place.write_text(results[name].to_csv(), encoding="utf-8")
    if plots:
        _plot(results, plots, force)
    shells = {name: first_shells(result) for name, result in results.items()}
    if as_json:
        print(json.dumps({"stages": {n: _to_dict(results[n], shells[n]) for n in results}}))
        return
    for name, result in results.items():
        _print(name, result, shells[name])
    for file in (*tables.values(), *plots.values()):
        print(f"written: {file}")


def _pair(text: str) -> Pair:
    """Read ``Li-O``."""
    words = text.split("-")
    if len(words) != 2 or not all(words):
        raise InputError(f"--species '{text}' is not a pair; expected one such as Li-O")
    return words[0], words[1]


def _to_dict(result: RadialDistribution, shells: Mapping[str, FirstShell | str]) -> dict[str, Any]:
    found = {
        pair: None if isinstance(shell, str) else vars(shell) for pair, shell in shells.items()
    }
    return result.to_dict() | {"first_shells": found}


def _tables(stages: list[str], file: Path) -> dict[str, Path]:
    """Return the file of a stage: the one given, or with its name before the suffix."""
    if len(stages) == 1:
        return {stages[0]: file}
    return {name: file.with_name(f"{file.stem}-{name}{file.suffix}") for name in stages}


def _plot(
    results: Mapping[str, RadialDistribution], paths: Mapping[str, Path], force: bool
) -> None:
    from mlmd.plot import plot_rdf

    for name, path in paths.items():
        save_axes(plot_rdf(results[name]), path, force)


def _print(name: str, result: RadialDistribution, shells: Mapping[str, FirstShell | str]) -> None:
    settings = result.settings
    doubt = "" if result.errors_reliable else ", errors not reliable: too few independent blocks"
    print(
        f"{name}: g(r) up to {settings.r_max_A:g} A in bins of {settings.bin_A:g} A "
        f"({settings.convention}), {settings.n_frames} frames, {settings.n_blocks} blocks{doubt}"
    )
    for pair, shell in shells.items():
        if isinstance(shell, str):
            print(f"  {pair:<6} {shell}")
            continue
        print(
            f"  {pair:<6} peak {shell.peak_g:5.2f} at {shell.peak_A:.2f} A, minimum "
            f"{shell.minimum_g:.2f} at {shell.minimum_A:.2f} A, "
            f"coordination number {shell.coordination:.2f}"
        )
