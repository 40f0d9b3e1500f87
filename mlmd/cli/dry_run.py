"""``mlmd run --dry-run``: what the run would take, writing nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.cli.progress import clock
from mlmd.errors import CalculatorError
from mlmd.plain import json_line
from mlmd.temporary import TemporaryFolder

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.calculators.spec import CalculatorSpec
    from mlmd.protocol import Protocol
    from mlmd.protocol.calculators import StageCalculators
    from mlmd.run.manifest import Manifest

SLOW_START_S = 1.0
"""A first force call below this is not worth a word."""


def show_plan(
    protocol: Protocol,
    atoms: Atoms,
    specs: Mapping[str, CalculatorSpec],
    out: Path,
    seed: int,
    extend: Mapping[str, float],
    as_json: bool,
) -> None:
    """Print steps, frames, disk and an estimate of the time of every stage.

    Whatever the run itself would refuse, a directory of another run too, is refused here.
    """
    from mlmd.protocol.calculators import StageCalculators

    folder = TemporaryFolder("dry-run")
    calculators = StageCalculators(specs, protocol, folder.path)
    try:
        content = _content(protocol, atoms, calculators, out, seed, extend)
    except CalculatorError:
        calculators.close()
        folder.keep()  # it points to the program's files
        raise
    finally:
        calculators.close()
        folder.remove()
    content["calculators"] = {key: spec.to_dict() for key, spec in specs.items()}
    if as_json:
        print(json_line(content))
        return
    _print(content, " and ".join(dict.fromkeys(spec.name for spec in specs.values())))


def _content(
    protocol: Protocol,
    atoms: Atoms,
    calculators: StageCalculators,
    out: Path,
    seed: int,
    extend: Mapping[str, float],
) -> dict[str, Any]:
    """Return what is to be shown, as plain data."""
    from mlmd.protocol.extension import extended
    from mlmd.protocol.plan import ForceCallTime, plan, time_force_calls
    from mlmd.protocol.start import Asked, find_run
    from mlmd.protocol.trials import try_calculators
    from mlmd.run.identity import structure_from_text
    from mlmd.structure import check_structure

    check_structure(atoms)
    asked = Asked(protocol, atoms, calculators, seed)
    found = find_run(out, asked)
    lengthened = extended(protocol, extend, found.extensions if found else {})
    start = structure_from_text(asked.structure())
    tried = try_calculators(calculators, lengthened.stages, start)
    first_s: float | None = tried["first_call_s"]
    calls: dict[int, ForceCallTime] = {}
    rows = []
    for stage in plan(lengthened, len(atoms)):
        calculator = calculators.serve(lengthened.stage(stage.name))
        if id(calculator) not in calls:
            calls[id(calculator)] = time_force_calls(calculator, start, first_s=first_s)
            first_s = None  # another one's is still to be made
        call = calls[id(calculator)]
        rows.append(
            {
                **asdict(stage),
                "status": _status(found, stage.name, extend),
                "first_force_call_s": call.first_s,
                "force_call_s": call.seconds,
                "seconds": stage.n_steps * call.seconds,
            }
        )
    left = [row for row in rows if row["status"] != "done"]
    return {
        "protocol": protocol.name,
        "formula": atoms.get_chemical_formula(),
        "n_atoms": len(atoms),
        "directory": str(out),
        "n_force_calls_timed": min(call.n_calls for call in calls.values()),
        "stages": rows,
        "n_steps": sum(row["n_steps"] for row in rows),
        "n_frames": sum(row["n_frames"] for row in rows),
        "disk_bytes": sum(row["disk_bytes"] for row in rows),
        "seconds": sum(row["seconds"] for row in rows),
        "seconds_left": sum(row["seconds"] for row in left),
    }


def _status(found: Manifest | None, name: str, extend: Mapping[str, float]) -> str:
    """Return a stage's status in the directory; an extended one is not done."""
    if found is None:
        return "pending"
    longer = name in extend and found.duration_ps(name) != extend[name]
    return "stopped" if longer else found.stage(name).status


def _print(content: Mapping[str, Any], calculator: str) -> None:
    rows = content["stages"]
    print(
        f"{content['protocol']} on {content['formula']} ({content['n_atoms']} atoms) with "
        f"{calculator} in {content['directory']}: dry run, nothing is written"
    )
    width = max(len(row["name"]) for row in rows)
    before = max(len(row["starts_from"] or "") for row in rows)
    print(
        f"  {'stage':<{width}}  {'starts from':<{max(before, 11)}}  {'steps':>9}  {'frames':>8}  "
        f"{'disk':>8}  {'time':>9}"
    )
    for row in rows:
        state = "" if row["status"] == "pending" else f"  {row['status']}"
        print(
            f"  {row['name']:<{width}}  {row['starts_from'] or '-':<{max(before, 11)}}  "
            f"{row['n_steps']:>9}  {row['n_frames']:>8}  {size(row['disk_bytes']):>8}  "
            f"{clock(row['seconds']):>9}{state}"
        )
    print(
        f"  {'total':<{width}}  {'':<{max(before, 11)}}  {content['n_steps']:>9}  "
        f"{content['n_frames']:>8}  {size(content['disk_bytes']):>8}  "
        f"{clock(content['seconds']):>9}"
    )
    if content["seconds_left"] < content["seconds"]:
        print(f"left to do: {clock(content['seconds_left'])}")
    print(
        f"The time is an estimate: the median of {content['n_force_calls_timed']} force calls on "
        f"the starting structure here and now, {_call_times(rows)}, times the "
        "steps. Relaxations may end earlier; volume equilibrations may add runs."
    )
    for first_s, call_s in dict.fromkeys(
        (r["first_force_call_s"], r["force_call_s"]) for r in rows
    ):
        if first_s > max(SLOW_START_S, 2 * call_s):
            print(
                f"The first force call took {duration(first_s)} (its start, and electrons from "
                f"atoms where it has any), each after it {duration(call_s)}."
            )


def _call_times(rows: Sequence[Mapping[str, Any]]) -> str:
    return " or ".join(dict.fromkeys(duration(row["force_call_s"]) for row in rows))


def duration(seconds: float) -> str:
    """Write a time that is short."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def size(number: float) -> str:
    """Write a number of bytes."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.0f} {unit}" if unit in ("B", "kB") else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError
