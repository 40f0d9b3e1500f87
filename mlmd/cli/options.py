"""Options that several commands share, and reading their values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mlmd.errors import InputError

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
Trust = Annotated[
    bool, typer.Option("--trust", help="Load files of weights that run code when they are loaded.")
]
WindowPs = Annotated[float | None, typer.Option("--window-ps", help="Length of a window.")]
FitPs = Annotated[
    tuple[float, float] | None, typer.Option("--fit-ps", help="Lags that the line is fitted to.")
]
AtRest = Annotated[
    str, typer.Option("--drift", help="What is held at rest: framework, cell or none.")
]
RunDirectory = Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")]


def assignments(texts: list[str], option: str) -> dict[str, Any]:
    """Read ``KEY=VALUE`` texts; values as YAML reads them (numbers, true, text, lists).

    Raises
    ------
    InputError
        If a text has no ``=`` or its value is not YAML.
    """
    import yaml

    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"{option} '{text}' is not understood; expected KEY=VALUE")
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"{option} '{text}': the value is not YAML") from error
    return values
