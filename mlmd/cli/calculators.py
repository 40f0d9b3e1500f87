"""``mlmd calculators``: what can be named, and what would have to be installed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlmd.cli.options import (
    AsJson,
    CalculatorOptions,
    Density,
    Deterministic,
    Device,
    Dtype,
    NAtoms,
    Python,
    Seed,
    Threads,
    Trust,
    VolumePerAtom,
    assignments,
    refuse_given,
)
from mlmd.cli.outputs import Commands
from mlmd.errors import InputError
from mlmd.plain import json_line

if TYPE_CHECKING:
    from mlmd.studies.speed import CalculatorBench

calculators_app = Commands(
    help="List the calculators that can be named; make an environment for one; time one.",
    invoke_without_command=True,
)


@calculators_app.callback()
def calculators_command(context: typer.Context, as_json: AsJson = False) -> None:
    """List the known calculators: what is installed, which weights and devices are there."""
    if context.invoked_subcommand is not None:
        command = f"mlmd calculators {context.invoked_subcommand}"
        refuse_given(context, ("as_json",), f"stands before {command}; put it at the end")
        return
    from mlmd.calculators.inventory import devices, inventory

    rows, machine = inventory(), devices()
    if as_json:
        print(json_line({"calculators": rows, "devices": machine}))
        return
    width = max(len(name) for name in rows)
    for name, row in rows.items():
        print(f"{name:<{width}}  {_state(row)}")
        print(f"{'':<{width}}    {row['summary']}")
        if row["models"]:
            print(f"{'':<{width}}    models: {_models(row['models'])}")
    print(f"{'':<{width}}  and package.module:factory, a function of yours that returns one")
    print(f"devices: {', '.join(machine) if machine else 'not known without torch'}")


@calculators_app.command("install")
def install_command(
    name: Annotated[str, typer.Argument(help="A calculator, such as mace.")],
    as_json: AsJson = False,
) -> None:
    """Make an environment for a calculator, from pinned versions, in the user's cache folder."""
    from mlmd.calculators.isolation.environments import install

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    python = install(name, say)
    if as_json:
        print(json_line({"name": name, "python": str(python)}))
    else:
        print(f"{name} runs in {python}; mlmd run --calculator {name} finds it there")


@calculators_app.command("bench")
def bench_command(
    calculator: Annotated[
        str, typer.Argument(help="A name (chgnet, mace:FILE, ...) or package.module:factory.")
    ],
    composition: Annotated[
        str, typer.Option("--composition", help="Composition of each walker, packed.")
    ],
    n_atoms: NAtoms = 100,
    walkers: Annotated[
        str | None,
        typer.Option(
            "--walkers", help="Numbers of walkers at a time, such as 1,8,64 (the default)."
        ),
    ] = None,
    density_g_cm3: Density = None,
    volume_per_atom_A3: VolumePerAtom = None,
    n_steps: Annotated[
        int | None,
        typer.Option("--steps", help="Steps to time; as many as take some seconds if not given."),
    ] = None,
    timestep_fs: Annotated[float, typer.Option("--timestep-fs", help="Of the dynamics.")] = 2.0,
    seed: Seed = 0,
    calculator_options: CalculatorOptions = None,
    device: Device = "auto",
    threads: Threads = 1,
    dtype: Dtype = None,
    deterministic: Deterministic = False,
    python: Python = None,
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Time dynamics on this machine: one walker, and many that share the model."""
    from mlmd.calculators.choice import chosen_calculator
    from mlmd.cli.progress import shown_progress
    from mlmd.structure import pack
    from mlmd.studies.speed import bench_calculator

    spec = chosen_calculator(
        calculator,
        device=device,
        threads=threads,
        dtype=dtype,
        deterministic=deterministic,
        python=python,
        trust=trust,
        options=assignments(calculator_options or [], "--calculator-option"),
    )
    atoms = pack(
        composition,
        n_atoms,
        seed=seed,
        density_g_cm3=density_g_cm3,
        volume_per_atom_A3=volume_per_atom_A3,
    )
    with shown_progress() as progress:
        found = bench_calculator(
            spec,
            atoms,
            walkers=None if walkers is None else _numbers(walkers),
            n_steps=n_steps,
            timestep_fs=timestep_fs,
            progress=progress,
        )
    if as_json:
        print(json_line({"calculator": spec.to_dict(), **found.to_dict()}))
    else:
        _show(spec.name, found)


def _numbers(text: str) -> list[int]:
    """Read numbers of walkers; what is none is refused as the text that it is."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise InputError(f"--walkers is '{text}'; expected whole numbers such as 1,8,64")
    return [int(part) for part in parts]


def _show(name: str, found: CalculatorBench) -> None:
    """Print a table, a row for each number of walkers."""
    dtype = f", {found.dtype}" if found.dtype else ""
    print(
        f"{name} on {found.device or 'cpu'} ({found.hardware}){dtype}: {found.formula}, "
        f"{found.n_atoms} atoms, steps of {found.timestep_fs:g} fs, frames every 10"
    )
    heads = ("walkers", "ms/step", "quartiles", "ns/day each", "in all", "memory")
    print("  ".join(f"{head:>11}" for head in heads) + "   model / graph / us")
    for row in found.walkers:
        low, high = (1e3 * one for one in row.step_s_quartiles)
        memory = row.peak_memory_bytes
        cells = (
            f"{row.n_walkers}",
            _three(1e3 * row.step_s),
            f"{_three(low)}-{_three(high)}",
            _three(row.ns_per_day_per_walker),
            _three(row.ns_per_day),
            "-" if memory is None else f"{memory / 1e6:.0f} MB",
        )
        graph = "in model" if row.share_graph is None else f"{row.share_graph:.1%}"
        shares = f"{row.share_model:.1%} / {graph} / {row.share_us:.1%}"
        print("  ".join(f"{cell:>11}" for cell in cells) + f"   {shares}")
    if found.note:
        print(found.note)


def _three(value: float) -> str:
    """Write a number of at least three digits without an exponent."""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _state(row: Mapping[str, Any]) -> str:
    if row["installed"]:
        return "installed"
    if row["python"] is not None:
        return f"installed in {row['python']}"
    if row["program"] is not None:
        return (
            f"needs the program '{row['program']}' on PATH, or named by {row['command_variable']}"
        )
    ways = [f"pip install '{row['install']}'"]
    if row["own_environment"]:
        ways.append(f"mlmd calculators install {row['name']}")
    return f"not installed: {' or '.join(ways)}"


def _models(models: Mapping[str, str | None]) -> str:
    return ", ".join(name if file else f"{name} (to be fetched)" for name, file in models.items())
