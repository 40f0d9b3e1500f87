"""``mlmd features``: numbers that describe structures, for models to learn from."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mlmd.cli.options import AsJson, refuse_to_overwrite
from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.descriptors import FeatureTable
    from mlmd.trajectory import Trajectory

    Item = Atoms | Trajectory

Chosen = Literal["start", "last", "mean"]


@dataclass(frozen=True)
class _Source:
    """A row to be: what it is called, of what, and how to read it when its turn comes."""

    name: str
    kind: Literal["production", "file"]
    temperature_K: float | None
    load: Callable[[], Item]


def features_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN_OR_FILE...", help="Run directories, trajectories or structures."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Table to write (CSV).")
    ] = None,
    mobile: Annotated[str, typer.Option("--mobile", help="The mobile element.")] = "Li",
    convention: Annotated[str, typer.Option("--convention", help="mlmd or zheng2024.")] = "mlmd",
    every: Annotated[
        int, typer.Option("--every", help="Take every so many frames of a trajectory.")
    ] = 1,
    last: Annotated[
        bool,
        typer.Option("--last", help="Only the last frame, as in the paper; not a mean over all."),
    ] = False,
    start: Annotated[
        bool,
        typer.Option(
            "--start",
            help="Only the first frame: what a production began with, which knows nothing of it.",
        ),
    ] = False,
    timestep_fs: Annotated[
        float | None,
        typer.Option("--timestep-fs", help="Time between frames of a file that does not say."),
    ] = None,
    temperature_K: Annotated[
        float | None, typer.Option("--temperature-K", help="Temperature of files; runs know it.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes to use.")] = 1,
    list_all: Annotated[
        bool, typer.Option("--list", help="List the features with units and definitions.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Features of runs, trajectories and structures, one row each, as a table."""
    if list_all:
        _print_list(as_json)
        return
    if output is not None:
        refuse_to_overwrite(output)
    if every < 1:
        raise InputError(f"--every is {every}; expected a whole number of at least 1")
    if start and last:
        raise InputError("--start and --last are two different frames; give one of them")
    chosen: Chosen = "start" if start else "last" if last else "mean"
    sources = [
        source
        for path in _each_once(paths or [])
        for source in _sources(path, every, chosen, timestep_fs, temperature_K)
    ]
    if not sources:
        raise InputError("nothing to compute features of; give run directories or files")
    table = _featurize(sources, chosen, mobile, convention, jobs)
    if output is not None:
        table.to_csv(output)
    if as_json:
        print(json.dumps(table.to_dict()))
    elif output is not None:
        print(f"{output}: {len(table)} rows of {table.values.shape[1]} features")
    else:
        _print(table)


def _each_once(paths: list[Path]) -> list[Path]:
    """Refuse what is given twice: it would count twice in whatever is made of the table."""
    first: dict[Path, Path] = {}
    for path in paths:
        other = first.setdefault(path.resolve(), path)
        if other is not path:
            same = "" if other == path else f", as {other}"
            raise InputError(f"{path} is given twice{same}; a table has a row of each once")
    return paths


def _sources(
    path: Path,
    every: int,
    chosen: Chosen,
    timestep_fs: float | None,
    temperature_K: float | None,
) -> Iterator[_Source]:
    """Find what is to be read, without reading it."""
    if not path.exists():
        raise InputError(f"no file or run directory {path}")
    if not path.is_dir():
        yield _Source(
            str(path), "file", temperature_K, partial(_read_file, path, every, timestep_fs)
        )
        return
    if timestep_fs is not None or temperature_K is not None:
        raise InputError(
            f"run {path} knows its times and temperatures; leave those options out, or give runs "
            "and files in two commands"
        )
    from mlmd.run.run import Run
    from mlmd.stages.registry import stage_class

    run = Run.open(path)
    done = [e for e in run.stages if stage_class(e.kind).measured and e.status == "done"]
    if not done:
        raise InputError(f"{path} has no finished production stage; let it run on first")
    for entry in done:
        name = f"{path}/{entry.name}"
        stop = 1 if chosen == "start" else None
        load = partial(run.trajectory, entry.name, stop=stop, every=every)
        yield _Source(name, "production", entry.settings.get("temperature_K"), load)


def _read_file(path: Path, every: int, timestep_fs: float | None) -> Item:
    """Read a file of one structure as that, any other as a trajectory."""
    from mlmd.trajectory import Trajectory

    if _is_one_structure(path):
        from mlmd.structure.reading import read_structure

        return read_structure(path)
    return Trajectory.read(path, timestep_fs, every=every, long_steps="warn")


def _is_one_structure(path: Path) -> bool:
    """Whether ASE finds exactly one structure in the file."""
    from itertools import islice

    from ase.io import iread

    if path.suffix == ".h5md":
        return False
    try:
        return len(list(islice(iread(path, index=":", do_not_split_by_at_sign=True), 2))) == 1
    except Exception:  # the reader that is then tried says what is wrong
        return False


def _featurize(
    sources: list[_Source], chosen: Chosen, mobile: str, convention: str, jobs: int
) -> FeatureTable:
    from mlmd.cli.progress import shown_progress
    from mlmd.descriptors import featurize
    from mlmd.stages.context import Progress

    frames: list[str] = []

    def items() -> Iterator[Item]:
        for source in sources:
            item = source.load()
            frames.append(_frames(item, source.kind, chosen))
            yield _named(_chosen(item, chosen), source.name)

    with shown_progress() as show:
        table = featurize(
            items(),
            mobile,
            convention,
            [source.temperature_K for source in sources],
            jobs,
            lambda done, _: show(Progress("features", done, len(sources))),
        )
    return replace(table, about=table.about.assign(frames=frames))


def _frames(item: Item, kind: str, chosen: Chosen) -> str:
    """Say which frames the features of a row are of."""
    from mlmd.trajectory import Trajectory

    if not isinstance(item, Trajectory):
        return "structure"
    return {"start": "start of", "last": "last frame of", "mean": "mean over"}[chosen] + f" {kind}"


def _named(item: Item, name: str) -> Item:
    from mlmd.trajectory import Trajectory

    if isinstance(item, Trajectory):
        return replace(item, source=name)
    item.info["name"] = name
    return item


def _chosen(item: Item, chosen: Chosen) -> Item:
    """Return the frame that is wanted, or the trajectory."""
    from ase import Atoms

    if isinstance(item, Atoms) or chosen == "mean":
        return item
    if len(item) == 0:
        raise InputError(f"{item.source} has no frames")
    index = 0 if chosen == "start" else -1
    return Atoms(
        numbers=item.numbers,
        positions=item.positions_A[index],
        cell=item.cells_A()[index],
        pbc=True,
        masses=item.masses_u,
    )


def _print(table: FeatureTable) -> None:
    for i, name in enumerate(table.values.index):
        about = table.about.iloc[i]
        kelvin = about["temperature_K"]
        at = "" if math.isnan(kelvin) else f" at {kelvin:g} K"
        print(
            f"{name}: {about['formula']}{at}, {about['n_frames']} frame(s), "
            f"{about['frames']}, {table.convention}"
        )
        for column, unit in table.units.items():
            value, spread = table.values[column].iloc[i], table.spread[column].iloc[i]
            error = "" if math.isnan(spread) else f" +- {spread:.4g}"
            print(f"  {column:<28} {value:12.6g}{error} {unit if unit != '1' else ''}".rstrip())


def _print_list(as_json: bool) -> None:
    from mlmd.descriptors import FEATURES

    if as_json:
        keys = ("name", "unit", "definition", "status")
        print(json.dumps([{key: getattr(f, key) for key in keys} for f in FEATURES]))
        return
    for feature in FEATURES:
        print(f"{feature.name:<28} {feature.unit:<26} {feature.status:<10} {feature.definition}")
