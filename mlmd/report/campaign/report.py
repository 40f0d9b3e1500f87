"""The report of a campaign: how far it is, what failed, and every result in a table to search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.campaign import results_of, state_of
from mlmd.errors import InputError
from mlmd.files import check_output
from mlmd.report.campaign.contents import page_contents
from mlmd.report.page.elements import Group, entries
from mlmd.report.page.page import render, require_jinja, write_page

if TYPE_CHECKING:
    from mlmd.campaign import Campaign, CampaignResults, CampaignState
    from mlmd.report.page.figures import PageFigure

NAME = "report.html"
MOST_LINES = 20
"""Failures of one kind that are listed; the table has all."""


def write_campaign_report(
    campaign: Campaign,
    path: str | Path | None = None,
    force: bool = False,
    *,
    results: CampaignResults | None = None,
    figures: Callable[[CampaignResults], Sequence[PageFigure]] = lambda results: (),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a report of a campaign, ended or not.

    Parameters
    ----------
    campaign
        As for :func:`mlmd.campaign.run_campaign`.
    path
        The HTML file; ``report.html`` in the campaign's folder where not given. An earlier page is
        replaced.
    force
        Replace what else is there, but never a file of a run, or one that cases are made from.
    results
        From :func:`mlmd.campaign.results_of`, which is asked where None.
    figures
        Makes further pictures of the results.
    progress
        Called with the number of cases looked at, and of all.

    Raises
    ------
    MissingExtraError
        If Jinja2 is not installed.
    InputError
        If the campaign has not been begun, or the file cannot be written.
    """
    require_jinja()
    if not campaign.folder.is_dir():
        raise InputError(
            f"campaign {campaign.name} has not been begun (there is no {campaign.folder}); "
            "mlmd campaign run begins it"
        )
    place = campaign.folder / NAME if path is None else path
    place = check_output(place, "page", force, inputs=campaign.files)
    found = results_of(campaign, progress) if results is None else results
    page = campaign_page(campaign, found, state_of(campaign), place.parent, figures(found))
    return write_page(page, place, force)


def campaign_page(
    campaign: Campaign,
    results: CampaignResults,
    state: CampaignState,
    beside: Path,
    figures: Sequence[PageFigure] = (),
) -> str:
    """Return the HTML of :func:`write_campaign_report`, for a page in the folder `beside`."""
    n_rows = sum(row.n_melts == 1 for row in results.rows)
    return render(
        "campaign.html.j2",
        own="campaign",
        eyebrow="Campaign",
        title=campaign.name,
        lead=f"{len(campaign.cases)} cases; {n_rows} finished productions",
        counts=[(name, n) for name, n in state.counts.items() if n],
        n_cases=len(campaign.cases),
        failures=_failures(state.failures),
        problems=list(results.problems.items())[:MOST_LINES],
        n_problems=len(results.problems),
        figures=figures,
        copies=[],
        settings=_settings(campaign, results),
        content=page_contents(campaign, results, state, beside),
    )


def _failures(
    failures: Mapping[str, Mapping[str, Any]],
) -> list[tuple[str, int, list[tuple[str, str]]]]:
    """Return kinds of failure, each with its number and the first of them; frequent ones first."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for case, failure in failures.items():
        kind = str(failure.get("kind") or "other").replace("_", " ")
        kinds.setdefault(kind, []).append((case, str(failure.get("message") or "")))
    found = sorted(kinds.items(), key=lambda one: -len(one[1]))
    return [(kind, len(cases), cases[:MOST_LINES]) for kind, cases in found]


def _settings(campaign: Campaign, results: CampaignResults) -> list[Group]:
    references = [one.reference for one in campaign.protocols if one.reference]
    about = {
        "cases": len(campaign.cases),
        "melts of the same": max((row.n_melts for row in results.rows), default=1),
        "protocol": ", ".join(one.name for one in campaign.protocols),
        "reference": "; ".join(dict.fromkeys(references)) or None,
        "walkers": campaign.walkers,
    }
    versions = {
        name: sorted({row.versions[name] for row in results.rows if name in row.versions})
        for name in dict.fromkeys(name for row in results.rows for name in row.versions)
    }
    return [
        Group("Campaign", entries(about)),
        *(
            Group(f"Calculator: {spec.name}", entries(spec.to_dict()))
            for spec in campaign.calculators
        ),
        Group(
            "Stages",
            tuple(
                (stage.name, ", ".join(f"{key} {text}" for key, text in entries(_unnamed(stage))))
                for protocol in campaign.protocols
                for stage in protocol.stages
            ),
        ),
        Group("Versions", entries(versions)),
    ]


def _unnamed(stage: Any) -> dict[str, Any]:
    return {key: value for key, value in stage.to_dict().items() if key != "name"}
