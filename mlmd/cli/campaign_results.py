"""``mlmd campaign export`` and ``report``: what a campaign gave, at any time and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlmd.cli.campaign import CampaignFile, SkipBad
from mlmd.cli.options import AsJson, Force
from mlmd.cli.outputs import Output
from mlmd.cli.progress import LINE_INTERVAL_S
from mlmd.errors import InputError
from mlmd.plain import json_line

if TYPE_CHECKING:
    from mlmd.campaign import Campaign, CampaignResults

SHOWN = 10


def export_command(
    file: CampaignFile,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="FILE.db (a database of ASE), FILE.csv, or postgresql://USER@HOST/DATABASE.",
        ),
        Output("results", or_url=True),
    ],
    skip_bad: SkipBad = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a row for each finished production, and for independent melts pooled."""
    from mlmd.campaign import Campaign, results_of
    from mlmd.campaign.results.database import is_url, write_database
    from mlmd.campaign.results.table import write_table

    suffix = Path(output).suffix
    if not is_url(output) and suffix not in (".csv", ".db"):
        raise InputError(
            f"cannot export to '{output}'; expected FILE.db, FILE.csv or postgresql://..."
        )
    campaign = Campaign.load(file, skip_bad=skip_bad)
    results = results_of(campaign, _progress())
    _refuse_empty(campaign, results)
    problems = dict(results.problems)
    if suffix == ".csv" and not is_url(output):
        write_table(campaign, results, output, force)
    else:
        problems |= write_database(campaign, results, output, force)
    shown = output.rpartition("@")[2] if is_url(output) else output
    n_pooled = sum(row.n_melts > 1 for row in results.rows)
    if as_json:
        n_rows = len(results.rows)
        print(
            json_line(
                {"output": shown, "n_rows": n_rows, "n_pooled": n_pooled, "problems": problems}
            )
        )
        return
    n_cases = len({row.case for row in results.rows if row.n_melts == 1})
    print(
        f"{shown}: {len(results.rows) - n_pooled} productions of {n_cases} of "
        f"{len(campaign.cases)} cases, and {n_pooled} of several melts pooled"
    )
    _tell(problems)


def report_command(
    file: CampaignFile,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="HTML file; report.html in the campaign's folder if not given."
        ),
        Output("page"),
    ] = None,
    skip_bad: SkipBad = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write one page: how far it is, what failed, all results in a table, D(T) of each."""
    from mlmd.campaign import Campaign
    from mlmd.report import write_campaign_report

    campaign = Campaign.load(file, skip_bad=skip_bad)
    written = write_campaign_report(campaign, output, force, progress=_progress())
    print(json_line({"file": str(written)}) if as_json else f"written: {written}")


COMMANDS: Mapping[str, Callable[..., None]] = {"export": export_command, "report": report_command}


def _refuse_empty(campaign: Campaign, results: CampaignResults) -> None:
    """Raise InputError where there is nothing to show."""
    if not results.rows:
        why = next((f": {case}: {why}" for case, why in results.problems.items()), "")
        raise InputError(
            f"campaign {campaign.name} has no finished production in {campaign.folder} yet{why}; "
            "mlmd campaign status says how far it is"
        )


def _tell(problems: Mapping[str, str]) -> None:
    for case, why in list(problems.items())[:SHOWN]:
        print(f"left out: {case}: {why}", file=sys.stderr)
    if len(problems) > SHOWN:
        print(f"left out: {len(problems) - SHOWN} more; --json has all", file=sys.stderr)


def _progress() -> Callable[[int, int], None]:
    """Return what says from time to time how many cases have been looked at."""
    said = [time.monotonic()]

    def show(done: int, of: int) -> None:
        if time.monotonic() - said[0] > LINE_INTERVAL_S:
            said[0] = time.monotonic()
            print(f"{done} of {of} cases measured", file=sys.stderr, flush=True)

    return show
