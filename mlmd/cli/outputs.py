"""What a command writes for its user: checked before the command begins, from its own signature.

An option that names an output says so by `Output` beside its ``typer.Option``; every other path
that a command is given is an input, which no output replaces.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import typer

from mlmd.checks import usable_path
from mlmd.cli.options import CheckedCommand
from mlmd.errors import InputError
from mlmd.files import (
    check_folder,
    check_output,
    keeping_inputs,
    refuse_files_of_runs,
    refuse_one_place,
)

FOLDERS = ("plots", "run", "scans", "study")
"""Outputs that are folders; a run refuses by itself what is not its own."""


@dataclass(frozen=True)
class Output:
    """Says of an option that it names an output.

    Attributes
    ----------
    kind
        One of `mlmd.marks.KINDS`, or of `FOLDERS`.
    new_folder
        Whether the command makes the folder that the file is to be in.
    or_url
        Whether it may be the address of a server, which is no place for a file.
    """

    kind: str
    new_folder: bool = False
    or_url: bool = False

    def check(self, path: str | Path, force: bool) -> None:
        """Raise InputError where it cannot be written there."""
        if self.or_url and "://" in str(path):
            return
        path = usable_path("output", path)
        if self.kind not in FOLDERS:
            check_output(path, self.kind, force, new_folder=self.new_folder)
            return
        refuse_files_of_runs(path)
        if self.kind == "plots":
            check_folder(path, f"{path} cannot be written", new=True)
        elif self.kind == "scans":
            from mlmd.screening.kept import check_kept

            check_kept(path)
        elif self.kind == "study":
            from mlmd.studies.folder import REPORT, check_study

            check_study(path)
            check_output(path / REPORT, "page", force, new_folder=True)


class Commands(typer.Typer):
    """Commands, none of which begins before its values and the places of its outputs are good."""

    def command(self, *names: Any, **settings: Any) -> Callable[[Any], Any]:
        """Register a command."""
        register = super().command(*names, cls=CheckedCommand, **settings)
        return lambda function: register(_checked_first(function))


def outputs_of(command: Callable[..., Any]) -> dict[str, tuple[str, Output]]:
    """Return the outputs in a command's signature, and their options, by parameter."""
    found = {}
    for name, hint in get_type_hints(command, include_extras=True).items():
        about = getattr(hint, "__metadata__", ())
        for output in (one for one in about if isinstance(one, Output)):
            words = next(one for one in about if not isinstance(one, Output))
            option = next(one for one in (words.default, *words.param_decls) if one)
            found[name] = (option, output)
    return found


def _checked_first(command: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(command)
    def checked(**given: Any) -> None:
        outputs = {k: v for k, v in outputs_of(command).items() if given.get(k) is not None}
        inputs = {name: value for name, value in given.items() if name not in outputs}
        with keeping_inputs(_paths(inputs)):
            refuse_one_place(given[name] for name in outputs)
            for name, (option, output) in outputs.items():
                try:
                    output.check(given[name], given.get("force", False))
                except InputError as error:
                    raise InputError(f"{option} {error}") from error
            command(**given)

    return checked


def _paths(value: Any) -> Iterator[Path]:
    """Yield all that may be a path in what was given; of LABEL=mace:FILE or RUN:STAGE the parts."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Mapping):
        yield from _paths(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _paths(one)
    elif isinstance(value, str):
        for text in (value, value.partition("=")[2]):
            parts = (text, text.partition(":")[2], text.rpartition(":")[0])
            yield from (Path(part) for part in parts if part)
