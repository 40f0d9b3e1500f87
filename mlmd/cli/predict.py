"""``mlmd predict``: diffusivity in a structure by a trained or published model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlmd.checks import is_number
from mlmd.cli.left_out import LeftOut
from mlmd.cli.options import AsJson, Force, assignments, refuse_given
from mlmd.cli.outputs import Output
from mlmd.errors import InputError
from mlmd.plain import json_line

if TYPE_CHECKING:
    from mlmd.model import Prediction


def predict_command(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="File of mlmd train -o, zheng2024_sisso or zheng2024_preprint_sisso.",
        ),
    ],
    structures: Annotated[
        list[Path],
        typer.Argument(
            metavar="STRUCTURE...", help="Files of structures, as CIF say: each in a file is taken."
        ),
    ],
    temperatures_K: Annotated[
        list[float] | None,
        typer.Option(
            "--temperature-K",
            "-T",
            help="Temperature in K that the structure was equilibrated at; may be repeated.",
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also",
            help="NAME=VALUE of a column that the model was trained on by mlmd train --also; may "
            "be repeated.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Image of D against 1000/T: .png, .svg or .pdf."),
        Output("plot"),
    ] = None,
    other_versions: Annotated[
        bool,
        typer.Option("--other-versions", help="Take a model of other versions of its packages."),
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Predict diffusivity (or activation energy) of structures, with intervals."""
    from mlmd.model import load_model
    from mlmd.structure.reading import read_structures

    predictor = load_model(model, other_versions)
    at_K: list[float | None] = list(dict.fromkeys(temperatures_K or [])) or [None]
    if predictor.target == "E_a":
        refuse_given(
            context,
            ("temperatures_K",),
            f"is of models of D; {model} gives an activation energy, which has none: leave it out",
        )
    own = _own(also)
    found: list[tuple[str, Prediction]] = []
    left_out = LeftOut()
    for name, atoms in (one for path in structures for one in read_structures(path)):
        try:
            if isinstance(atoms, InputError):
                raise atoms
            found += [(name, predictor.predict_structure(atoms, T_K, own)) for T_K in at_K]
        except InputError as error:
            left_out(error if name in str(error) else InputError(f"{name}: {error}"))
    if len(at_K) > 1:
        print(
            "one structure at several temperatures: it should be of each, see docs/models.md",
            file=sys.stderr,
        )
    if as_json:
        rows = [{"structure": name, **one.to_dict()} for name, one in found]
        content = {"model": model, "D_from": predictor.D_from, "predictions": rows}
        print(json_line({**content, "left_out": left_out.messages}))
    else:
        _print(found, predictor.D_from)
    if plot is not None and found:
        _plot(found, plot, force)
    left_out.raise_if_any(len(found), "prediction(s)")


def _own(texts: list[str] | None) -> dict[str, float]:
    values = assignments(texts or [], "--also")
    for name, value in values.items():
        if not is_number(value):
            raise InputError(
                f"--also {name}={value} is not a number; expected one such as {name}=1"
            )
    return values


def _plot(found: list[tuple[str, Prediction]], path: Path, force: bool) -> None:
    from mlmd.cli.figures import save_axes
    from mlmd.plot import plot_predictions

    names = {structure: Path(structure).name for structure, _ in found}
    if len(set(names.values())) < len(names):  # files of one name in several folders
        names = {structure: structure for structure in names}
    by_structure: dict[str, list[Prediction]] = {}
    for structure, one in found:
        by_structure.setdefault(names[structure], []).append(one)
    save_axes(plot_predictions(by_structure), path, force)


def _print(found: list[tuple[str, Prediction]], D_from: str) -> None:
    from mlmd.model.data.labelled_file import AS_PUBLISHED

    for name, one in found:
        print(f"{name}  {_text(one)}")
    if found and D_from == AS_PUBLISHED:
        print(f"D {D_from}: it may be three times slope / 6 of the 3-D MSD")


def _text(one: Prediction) -> str:
    low, high = one.interval_95
    if one.D_cm2_s is None:
        text = f"E_a {one.value:.3f} eV, 95 % {low:.3f} to {high:.3f}"
    elif one.D_cm2_s == 0.0:
        # A model that is linear in D may give less than nothing.
        most = f"D below {high:.2g} cm2/s (95 %)" if high > 0 else "D not known"
        text = f"{one.temperature_K:g} K  {most}: the model gives {one.value:.2g} {one.unit}"
    else:
        text = f"{one.temperature_K:g} K  D {one.D_cm2_s:.3g} cm2/s, 95 % {low:.2g} to {high:.2g}"
    return f"{text}  outside of the training: {', '.join(one.outside)}" if one.outside else text
