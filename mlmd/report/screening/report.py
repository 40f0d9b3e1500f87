"""The report of a screening: the ranking, ways out, volumes, and what could not be ranked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlmd.plot.screening import XI_LINES, plot_free_volumes, plot_profiles
from mlmd.report.page.elements import Cell, Group, csv_block, entries, make_table, of
from mlmd.report.page.figures import PageFigure, page_figure
from mlmd.report.page.page import render, write_page
from mlmd.screening.ranking import COLUMNS, Ranking, Screened

HEADS = ("Structure", "Rank", "Formula", "Ξ", "MPE (eV)", "1-D", "2-D", "3-D", "FV connected")
MORE_HEADS = ("FV disconnected", "Energies")


def write_screening_report(
    path: str | Path, ranking: Ranking, settings: Mapping[str, Any], force: bool = False
) -> Path:
    """Write a report of a screening.

    Parameters
    ----------
    path
        The HTML file; an earlier one is replaced.
    ranking
        From :func:`mlmd.screen`.
    settings
        What the page says of how it was done, by name.
    force
        Replace what else is there, but never a file of a run.

    Raises
    ------
    MissingExtraError
        If Jinja2 is not installed.
    InputError
        If the file cannot be written.
    """
    return write_page(screening_page(ranking, settings), Path(path), force)


def screening_page(ranking: Ranking, settings: Mapping[str, Any]) -> str:
    """Return the HTML of :func:`write_screening_report`."""
    done = [one for one in ranking.screened if one.descriptors is not None]
    n_energies = sum(one.n_evaluations for one in ranking.screened)
    failed = [one for one in ranking.screened if one.descriptors is None]
    rows = [_row(rank, one, _tied(ranking, rank)) for rank, one in ranking.ranked()]
    table = make_table(
        "Ranking",
        (*HEADS, *MORE_HEADS),
        [row for row in rows if row is not None],
        "Energies in eV above the ion's site. An equals sign marks ties.",
    )
    return render(
        "screening.html.j2",
        eyebrow="Conductors ranked without dynamics",
        title=f"{len(done)} crystals ranked",
        lead=f"{n_energies} energies; {len(failed)} could not be ranked",
        notes=[
            f"{finding.severity}: {finding.message}" for one in done for finding in one.findings
        ],
        ranking=table,
        figures=list(_figures(ranking)),
        failures=make_table(
            "Not ranked", ("Structure", "Why"), [(f.name, f.message) for f in failed]
        ),
        copies=[csv_block("Ranking", ".", COLUMNS, [_plain(row) for row in ranking.rows()])],
        settings=[Group("Screening", entries(settings))],
        content=ranking.to_dict(),
    )


def _tied(ranking: Ranking, rank: int | None) -> bool:
    return [one for one, _ in ranking.ranked()].count(rank) > 1


def _row(rank: int | None, one: Screened, tied: bool) -> tuple[Any, ...] | None:
    found = one.descriptors
    if found is None:
        return None
    energies = (found.mpe_eV, found.mpe_1d_eV, found.mpe_2d_eV, found.mpe_3d_eV)
    return (
        one.name,
        Cell(f"{rank}{'=' if tied else ''}", rank),
        one.formula,
        of(found.xi),
        *(
            of(value) if math.isfinite(value) else Cell(one.energy_text(value))
            for value in energies
        ),
        of(found.fv_connected),
        Cell(one.volume_text, found.fv_disconnected),
        Cell(str(one.n_evaluations), one.n_evaluations),
    )


def _plain(row: Mapping[str, Any]) -> list[float | int | str | None]:
    return [row[column] for column in COLUMNS]


def _figures(ranking: Ranking) -> Iterator[PageFigure]:
    if any(one.profile is not None for one in ranking.screened):
        yield page_figure(
            plot_profiles(ranking),
            "profiles",
            "The easiest ways",
            "Energy of the ion along the shortest way to an image of itself that is nowhere higher "
            "than it has to be, while everything else stands still.",
        )
    if any(one.descriptors is not None for one in ranking.screened):
        yield page_figure(
            plot_free_volumes(ranking),
            "volumes",
            "Free volumes",
            "Parts of space below the threshold: reached from the site, and anywhere. Lines: "
            f"Ξ = {', '.join(f'{value:g}' for value in XI_LINES)}.",
        )
