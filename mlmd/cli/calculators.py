"""``mlmd calculators``: what can be named, and what would have to be installed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from mlmd.cli.options import AsJson, refuse_given
from mlmd.cli.outputs import Commands
from mlmd.plain import json_line

calculators_app = Commands(
    help="List the calculators that can be named; make an environment for one.",
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
