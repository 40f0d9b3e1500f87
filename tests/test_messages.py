"""What messages and help texts tell to do can be done: the options that they name are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from mlmd.cli.app import app

OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
PACKAGE = Path(__file__).parents[1] / "mlmd"
FOREIGN = {"--signal", "--force-reinstall"}
"""Of sbatch and pip."""


def commands() -> Iterator[tuple[str, set[str]]]:
    """Yield each command with its options."""
    waiting = [("mlmd", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop()
        options = {one for p in command.params for one in (*p.opts, *p.secondary_opts)}
        yield name, {one for one in options if one.startswith("--")} | {"--help"}
        for inner, one in getattr(command, "commands", {}).items():
            waiting.append((f"{name} {inner}", one))


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield every text of a module; of one with values in it, its pieces joined."""
    pieces = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            constants = [one for one in node.values if isinstance(one, ast.Constant)]
            pieces |= {id(one) for one in constants}
            yield node.lineno, "{}".join(str(one.value) for one in constants)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in pieces
        ):
            yield node.lineno, node.value


def named() -> list[tuple[str, str]]:
    """Every option that a text of the package names, with where that is."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for line, text in texts(ast.parse(path.read_text(encoding="utf-8"))):
            for option in OPTION.findall(text):
                found.append((option, f"{path.relative_to(PACKAGE)}:{line}"))
    return found


def test_every_option_that_a_text_names_is_there():
    known = set().union(*(options for _, options in commands()))
    assert len(known) > 50
    assert "--also" in known
    names = named()
    assert len({option for option, _ in names}) > 30  # or nothing was looked at
    unknown = [f"{option} ({where})" for option, where in names if option not in known | FOREIGN]
    assert unknown == []


@pytest.mark.parametrize("command", sorted(name for name, _ in commands() if name.count(" ") == 1))
def test_a_command_names_options_of_its_own_or_with_the_command_that_has_them(command):
    path = PACKAGE / "cli" / f"{command.split()[1]}.py"
    known = dict(commands())
    groups = [name for name in known if name.startswith(f"{command} ")]
    its = known[command].union(*(known[name] for name in groups))
    for line, text in texts(ast.parse(path.read_text(encoding="utf-8"))):
        for option in OPTION.findall(text):
            other = re.search(rf"mlmd (\w+)[^.;]*{option}\b", text)
            there = known.get(f"mlmd {other[1]}", set()) if other else its
            assert option in there | FOREIGN, f"{path.name}:{line}: {option}"


@pytest.mark.parametrize("command", sorted(name for name, _ in commands()))
def test_options_in_the_help_of_a_command_are_its_own_or_named_with_theirs(command):
    """An option of another command is named after it: "mlmd train --also"."""
    known = dict(commands())
    found = typer.main.get_command(app)
    for word in command.split()[1:]:
        found = found.commands[word]
    for parameter in found.params:
        text = " ".join((getattr(parameter, "help", None) or "").split())
        for option in OPTION.findall(text):
            owner = re.search(rf"mlmd ([a-z]+)[^.;]*{option}\b", text)
            its = known[f"mlmd {owner[1]}"] if owner else known[command]
            assert option in its, f"{command} {parameter.name}: {option}"
