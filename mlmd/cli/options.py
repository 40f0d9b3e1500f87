"""Options that several commands share, and reading their values."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from mlmd.checks import (
    number_of_at_least,
    positive_number,
    usable_path,
    usable_text,
    whole_number,
)
from mlmd.errors import InputError
from mlmd.yaml_text import number_of, read_yaml

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Replace a file that is in the way; never an input or a file of a run.",
    ),
]
NAtoms = Annotated[int, typer.Option("--n-atoms", help="About how many atoms to pack.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
Density = Annotated[
    float | None, typer.Option("--density-g-cm3", help="Density to pack at, in g/cm3.")
]
VolumePerAtom = Annotated[
    float | None,
    typer.Option("--volume-per-atom-A3", help="Volume per atom to pack at, in cubic angstrom."),
]
Format = Annotated[
    str | None,
    typer.Option("--format", help="ASE's name of the file's format, where it does not tell."),
]
SupercellDiameter = Annotated[
    float | None,
    typer.Option(
        "--supercell-diameter-A", help="Repeat the crystal until a sphere of this diameter fits in."
    ),
]
SupercellAtoms = Annotated[
    int | None,
    typer.Option(
        "--supercell-n-atoms",
        help="Repeat the crystal to this many atoms, up to half as many more.",
    ),
]
Vacancies = Annotated[
    list[str] | None,
    typer.Option(
        "--vacancies",
        help="Li=0.02 takes out 2 % of the Li atoms, Li=2 two of them; may be repeated.",
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, ...")]
Threads = Annotated[int, typer.Option("--threads", help="CPU threads of the model.")]
Dtype = Annotated[
    str | None, typer.Option("--dtype", help="float32 or float64, where not the model's own.")
]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="Deterministic algorithms of torch only.")
]
Python = Annotated[
    str | None,
    typer.Option("--python", help="Interpreter of another environment for the calculator."),
]
CalculatorOptions = Annotated[
    list[str] | None,
    typer.Option("--calculator-option", help="KEY=VALUE handed to the calculator."),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Load files of weights that run code when they are loaded.")
]
RunDirectory = Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")]


MAY_BE_ZERO = ("seed", "skip_ps", "fit_ps", "start", "stop")
"""Parameters whose number may be zero; that of every other one is above."""
UNITS = ("g_cm3", "A3", "fs", "ps", "s", "K", "A")
"""As names of parameters end."""
LARGEST = 1e12
"""In the units of the options more is a slip of the pen, and so is less than one over it; squares
and their products are then numbers still."""


class CheckedCommand(TyperCommand):
    """A command that looks at each of its values before it does anything.

    What can be told from the type of an option is told here for all of them: numbers are finite
    and of the right sign, texts are texts, paths can be looked at. What else a command wants of a
    value it checks itself.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See that every word is a text, then parse them: an empty path would be this folder."""
        for word in args:
            option, equals, value = word.partition("=")
            is_assigned = option.startswith("--") and bool(equals)
            name = option if is_assigned else f"an argument of mlmd {ctx.info_name}"
            usable_text(name, value if is_assigned else word)
        return super().parse_args(ctx, self._with_whole_numbers(args))

    def _with_whole_numbers(self, words: list[str]) -> list[str]:
        """Spell whole numbers that are written as 1e3 or 1_000 as Typer wants them."""
        options = {
            option
            for parameter in self.params
            if getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
            in (int, list[int])
            for option in parameter.opts
        }
        spelt = list(words)
        for i, word in enumerate(words):
            option, equals, value = word.partition("=")
            if option in options and equals:
                spelt[i] = f"{option}={_whole(value)}"
            elif i and words[i - 1] in options:
                spelt[i] = _whole(word)
        return spelt

    def invoke(self, ctx: Any) -> Any:
        """Check the values, then run the command."""
        for parameter in self.params:
            check_value(parameter, ctx.params.get(str(parameter.name)))
        return super().invoke(ctx)


def _whole(text: str) -> str:
    """Return a whole number in digits, however it is spelt; any other text as it is."""
    try:
        value = number_of(text)
    except ValueError:
        return text
    return str(value) if isinstance(value, int) else text


def check_value(parameter: Any, value: Any) -> None:
    """Raise InputError where a value cannot be meant, whatever the command."""
    name, said = str(parameter.name), _said(parameter)
    if isinstance(value, list | tuple):
        for one in value:
            check_value(parameter, one)
    elif isinstance(value, Path):
        usable_path(said, str(value))
    elif isinstance(value, int) and not isinstance(value, bool):
        whole_number(said, value, least=int(name not in MAY_BE_ZERO))
    elif isinstance(value, float):
        unit = next((unit for unit in UNITS if name.endswith(f"_{unit}")), "").replace("_", "/")
        if name in MAY_BE_ZERO:
            number_of_at_least(said, value, 0, unit)
        else:
            positive_number(said, value, unit)
        if value and not 1 / LARGEST < value < LARGEST:
            raise InputError(
                f"{said} is {value:g}; expected a number from {1 / LARGEST:g} to {LARGEST:g} {unit}"
            )


def refuse_given(context: Any, names: Collection[str], why: str) -> None:
    """Raise InputError for options that were given and would be passed over.

    Parameters
    ----------
    context
        Of the command, which knows what was given.
    names
        Of the parameters that do nothing as the command is used.
    why
        What they belong to and what to do, as the end of a sentence that begins with the option.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name)
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            raise InputError(f"{_said(parameter)} {why}")


def _said(parameter: Any) -> str:
    """Return what a parameter is called on the command line."""
    option: str = parameter.opts[0]
    return option if option.startswith("-") else str(parameter.metavar or option.upper())


def assignments(texts: list[str], option: str) -> dict[str, Any]:
    """Read ``KEY=VALUE`` texts; values as YAML reads them (numbers, true, text, lists).

    Of a key that comes twice the last counts, as of an option.

    Raises
    ------
    InputError
        If a text has no ``=`` or its value is not YAML.
    """
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"{option} '{text}' is not understood; expected KEY=VALUE")
        values[key] = read_yaml(value, f"the value of {option} '{key}'")
    return values
