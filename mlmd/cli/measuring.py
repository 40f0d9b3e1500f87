"""Options of how diffusivity and conductivity are measured, which several commands share."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from mlmd.checks import is_number, known_keys, shown
from mlmd.cli.options import assignments
from mlmd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmd.analysis.diffusion.estimators.estimate import DiffusivityOptions
    from mlmd.analysis.diffusion.estimators.options import EstimatorOptions
    from mlmd.analysis.summary import LawOptions

Estimator = Annotated[
    str | None,
    typer.Option(
        "--estimator",
        help="How D is estimated: as the run's recipe says if not given, else gls, or windowed "
        "where a window is given.",
    ),
]
WindowPs = Annotated[float | None, typer.Option("--window-ps", help="Length of a window.")]
FitPs = Annotated[
    tuple[float, float] | None, typer.Option("--fit-ps", help="Lags that the line is fitted to.")
]
AtRest = Annotated[
    str | None,
    typer.Option("--drift", help="What is held at rest: framework, cell (the default) or none."),
]
Mobile = Annotated[
    str | None,
    typer.Option(
        "--mobile", help="The species that is not framework; each one measured if not given."
    ),
]
OriginsChoice = Annotated[
    str | None,
    typer.Option("--origins", help="Time origins in a window: sliding (the default) or first."),
]
EstimatorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--estimator-option",
        help="KEY=VALUE of the estimator blocks, weighted or kinisi, such as smoothed=max.",
    ),
]
AtomsChosen = Annotated[
    str | None,
    typer.Option(
        "--atoms", help="Indices of the atoms whose D is measured, from 0, such as 0-31,40."
    ),
]
OxidationStates = Annotated[
    list[str] | None,
    typer.Option("--oxidation-state", help="Li=1, for every species: gives the conductivity."),
]
Carriers = Annotated[
    list[str] | None,
    typer.Option(
        "--carrier",
        help="Ion of the conductivity; may be repeated; all charged ones that move if not given.",
    ),
]
ReferenceChoice = Annotated[
    str | None,
    typer.Option(
        "--reference",
        help="Of the charges: neutral (all ions of a neutral cell, the default) or framework (the "
        "mobile ions against the rest).",
    ),
]
ExtrapolateK = Annotated[
    list[float] | None,
    typer.Option(
        "--extrapolate-K",
        help="Temperature at which the laws give D, and the conductivity; may be repeated.",
    ),
]


def diffusivity_options(
    estimator: str | None,
    window_ps: float | None,
    fit_ps: tuple[float, float] | None,
    drift: str | None,
    mobile: str | None = None,
    origins: str | None = None,
    estimator_option: list[str] | None = None,
    atoms: str | None = None,
) -> DiffusivityOptions:
    """Return what was given of how D is measured; the rest is as a recipe or the default says."""
    given = {
        "estimator": estimator,
        "window_ps": window_ps,
        "fit_ps": fit_ps,
        "drift": drift,
        "mobile": mobile,
        "origins": origins,
        "options": _options_of(estimator, estimator_option or []),
        "atoms": None if atoms is None else _indices(atoms),
    }
    return cast(
        "DiffusivityOptions", {key: value for key, value in given.items() if value is not None}
    )


def charge_options(
    oxidation_states: list[str] | None,
    carriers: list[str] | None,
    reference: str | None,
    extrapolate_K: list[float] | None,
) -> LawOptions:
    """Return what was given of charges and of other temperatures, as keywords of a summary."""
    states = assignments(oxidation_states or [], "--oxidation-state")
    for symbol, state in states.items():
        if not is_number(state):
            raise InputError(
                f"--oxidation-state {symbol}={state} is not a number; expected one such as Li=1"
            )
    for option, value in (("--carrier", carriers), ("--reference", reference)):
        if value and not states:
            raise InputError(
                f"{option} is of a conductivity; give --oxidation-state as well, or leave it out"
            )
    given = {
        "oxidation_states": states or None,
        "carriers": carriers,
        "reference": reference,
        "extrapolate_K": extrapolate_K,
    }
    return cast("LawOptions", {key: value for key, value in given.items() if value})


def _options_of(estimator: str | None, texts: list[str]) -> EstimatorOptions | None:
    """Return the options of an estimator as its dataclass; None where none was given."""
    if not texts:
        return None
    from mlmd.analysis.diffusion.estimators.options import (
        BlocksOptions,
        KinisiOptions,
        WeightedOptions,
    )

    kinds: dict[str, type[Any]] = {
        "blocks": BlocksOptions,
        "weighted": WeightedOptions,
        "kinisi": KinisiOptions,
    }
    if estimator not in kinds:
        whose = "without --estimator"
        if estimator is not None:
            whose = f"for estimator {shown(estimator)}, which has none"
        raise InputError(
            f"--estimator-option was given {whose}; expected one that has options: "
            f"--estimator {' or '.join(kinds)}"
        )
    kind, values = kinds[estimator], assignments(texts, "--estimator-option")
    known_keys("--estimator-option", values, [one.name for one in fields(kind)])
    options: EstimatorOptions = kind(**values)
    return options


_MOST_INDICES = 10_000_000
"""More atoms than any trajectory has that is kept in memory: a slip of the pen."""


def _indices(text: str) -> list[int]:
    """Return the indices that a text such as 0-31,40 names."""
    return list(dict.fromkeys(index for part in text.split(",") for index in _range(part, text)))


def _range(part: str, text: str) -> Iterator[int]:
    first, dash, last = part.strip().partition("-")
    ends = (first, last if dash else first)
    if not all(end.isascii() and end.isdigit() and len(end) < 9 for end in ends):
        raise InputError(
            f"--atoms '{text}' is not understood at '{part}'; expected indices from 0 and ranges "
            "of them, such as 0-31,40"
        )
    start, stop = int(ends[0]), int(ends[1])
    if not start <= stop < _MOST_INDICES:
        raise InputError(f"--atoms '{text}' has the range '{part}'; expected the lower index first")
    return iter(range(start, stop + 1))
