"""``mlmd screen``: crystals ranked by how freely an ion moves in their rigid frameworks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from mlmd.cli.left_out import LeftOut
from mlmd.cli.options import (
    AsJson,
    CalculatorOptions,
    Deterministic,
    Device,
    Dtype,
    Force,
    Python,
    Threads,
    Trust,
    assignments,
)
from mlmd.cli.outputs import Output
from mlmd.errors import InputError
from mlmd.plain import json_line

if TYPE_CHECKING:
    from mlmd.screening.ranking import Ranking, Screened


def screen_command(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Files of crystals, such as CIF.")
    ],
    calculator: Annotated[
        str,
        typer.Option(
            "--calculator", help="A name (chgnet, mace:FILE, ...) or package.module:factory."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Table to write (CSV)."),
        Output("table"),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Page (HTML) with the ranking, ways out and volumes."),
        Output("page"),
    ] = None,
    mobile: Annotated[str, typer.Option("--mobile", help="The element that moves.")] = "Li",
    mode: Annotated[
        str,
        typer.Option(
            "--mode",
            help="lazy: ask until MPE and Xi are known; thorough: until percolation in three "
            "directions and free volumes are; full: ask for every point.",
        ),
    ] = "lazy",
    cell: Annotated[
        str,
        typer.Option(
            "--cell",
            help="primitive, conventional, given, or a supercell of the primitive one such as "
            "2x2x1. Numbers depend on it: the ion's images move with it.",
        ),
    ] = "primitive",
    no_transition_metals: Annotated[
        bool,
        typer.Option(
            "--no-transition-metals", help="Leave out crystals that hold transition metals."
        ),
    ] = False,
    properties: Annotated[
        Path | None,
        typer.Option(
            "--properties",
            help="Table (CSV: name, band_gap_eV, hull_eV_atom): leave out crystals with a gap "
            "below 0.5 eV, or more than 0.05 eV/atom above the hull.",
        ),
    ] = None,
    orderings: Annotated[
        int | None,
        typer.Option(
            "--orderings",
            help="Take partly occupied crystals (CIF) as so many ordered ones of low "
            "electrostatic energy; refused if not given.",
        ),
    ] = None,
    control: Annotated[
        int | None,
        typer.Option("--control", help="Mark so many rows, drawn at random, as a control."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the control.")] = 0,
    no_relax: Annotated[
        bool,
        typer.Option("--no-relax", help="Scan crystals as they are: relaxed by this calculator."),
    ] = False,
    max_level_eV: Annotated[
        float, typer.Option("--max-level-eV", help="Only a full scan looks for higher ways out.")
    ] = 1.0,
    thresholds: Annotated[
        str,
        typer.Option(
            "--thresholds",
            help="Of free volumes: paper (0.5 eV) or averaged (0.46 to 0.54 eV).",
        ),
    ] = "paper",
    ions: Annotated[
        str,
        typer.Option(
            "--ions",
            help="Whose free volumes are united: inequivalent, or all, which makes Xi larger.",
        ),
    ] = "inequivalent",
    batch: Annotated[
        int, typer.Option("--batch", help="Structures that a model computes at once.")
    ] = 32,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            help="Folder of what was computed, from which the same command goes on; beside the "
            "table if not given.",
        ),
        Output("scans"),
    ] = None,
    calculator_options: CalculatorOptions = None,
    device: Device = "auto",
    threads: Threads = 1,
    dtype: Dtype = None,
    deterministic: Deterministic = False,
    python: Python = None,
    trust: Trust = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Rank ion conductors by the energies of a mobile ion in a rigid framework."""
    from mlmd.calculators.choice import chosen_calculator
    from mlmd.cli.progress import shown_progress
    from mlmd.screening.candidates import Properties, Selection, candidates, read_candidates
    from mlmd.screening.scan.scan import ScanSettings
    from mlmd.screening.screening import screen
    from mlmd.stages.context import Progress

    table = None if properties is None else Properties.read(properties)
    selection = Selection(not no_transition_metals, table)
    settings = ScanSettings(
        mode=mode,
        cell=cell,
        max_level_eV=max_level_eV,
        thresholds=thresholds,
        ions=ions,
        batch=batch,
    )
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
    if report is not None:
        from mlmd.report.page.page import require_jinja

        require_jinja()
    if keep is None and output is not None:
        keep = output.with_name(f"{output.stem}-scans")
    with shown_progress() as show:
        ranking = screen(
            candidates(read_candidates(paths, orderings or 0), selection),
            spec,
            mobile,
            settings,
            relax=not no_relax,
            kept=keep,
            report=lambda name, n, most: show(Progress(name, n, most)),
        )
    if control is not None:
        ranking = ranking.with_control(control, np.random.default_rng(seed))
    if output is not None:
        ranking.to_csv(output, force)
    if report is not None:
        from mlmd.report import write_screening_report

        how = asdict(settings)
        said = {key: value for key, value in spec.to_dict().items() if value}
        how.update(calculator=said, mobile=mobile, relaxed=not no_relax)
        write_screening_report(report, ranking, how, force)
    if as_json:
        print(json_line(ranking.to_dict()))
    else:
        _print(ranking)
    left_out = LeftOut()
    for one in ranking.screened:
        if one.descriptors is None:
            about = one.message if one.name in one.message else f"{one.name}: {one.message}"
            left_out(InputError(about))
    n_done = sum(one.descriptors is not None for one in ranking.screened)
    left_out.raise_if_any(n_done, "row(s)")


def _print(ranking: Ranking) -> None:
    rows: list[tuple[str, ...]] = [
        ("", "name", "formula", "Xi", "MPE/eV", "1-D", "2-D", "3-D", "FV conn.", "FV disc.", "n")
    ]
    ranks = [rank for rank, _ in ranking.ranked()]
    for rank, one in ranking.ranked():
        if one.descriptors is not None:
            tied = "=" if ranks.count(rank) > 1 else ""
            rows.append((f"{rank}{tied}", one.name, one.formula, *_numbers(one)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    if len(rows) > 1:
        for row in rows:
            texts = zip(row, widths, strict=True)
            print("  ".join(f"{text:<{width}}" for text, width in texts).rstrip())
    for finding in ranking.findings:
        if finding.severity != "invalid":  # failures are said at the end
            print(f"{finding.severity}: {finding.message}")


def _numbers(one: Screened) -> tuple[str, ...]:
    found = one.descriptors
    assert found is not None
    energies = (found.mpe_eV, found.mpe_1d_eV, found.mpe_2d_eV, found.mpe_3d_eV)
    return (
        f"{found.xi:.2g}",
        *map(one.energy_text, energies),
        f"{found.fv_connected:.4f}",
        one.volume_text,
        str(one.n_evaluations),
    )
