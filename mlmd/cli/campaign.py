"""``mlmd campaign``: many runs from one file, by workers that may be killed."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlmd.cli.options import AsJson
from mlmd.cli.outputs import Commands
from mlmd.plain import json_line

if TYPE_CHECKING:
    from mlmd.campaign import Campaign, CampaignState, Outcome

campaign_app = Commands(help="Run many cases from one file; see how far they are.")
CampaignFile = Annotated[Path, typer.Argument(metavar="FILE", help="A campaign in YAML.")]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out cases that cannot be run, and list them.")
]
Workers = Annotated[int | None, typer.Option(help="Processes on this machine.")]
Engine = Annotated[
    str | None,
    typer.Option(
        metavar="WORD_OR_FILE",
        help="Where it runs: local, parsl, dask, executorlib, mpi, or a YAML file with one.",
    ),
]
FAILURES_SHOWN = 10
LINE_EVERY_S = 10.0


@campaign_app.command("run")
def run_command(
    file: CampaignFile,
    workers: Workers = None,
    engine: Engine = None,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
) -> None:
    """Run the cases that have not ended, or go on with them. Exit code 1 where cases failed."""
    _run(_campaign(file, workers, engine, skip_bad), as_json, retry=False)


@campaign_app.command("retry")
def retry_command(
    file: CampaignFile,
    workers: Workers = None,
    engine: Engine = None,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
) -> None:
    """Run the cases that have not ended, and those that failed once more."""
    _run(_campaign(file, workers, engine, skip_bad), as_json, retry=True)


@campaign_app.command("status")
def status_command(file: CampaignFile, skip_bad: SkipBad = False, as_json: AsJson = False) -> None:
    """Say how many cases are done, running, failed and waiting, and why some failed."""
    from mlmd.campaign import Campaign, state_of

    _show(state_of(Campaign.load(file, skip_bad=skip_bad)), as_json)


def _campaign(file: Path, workers: int | None, engine: str | None, skip_bad: bool) -> Campaign:
    """Read a campaign, with what the command line says otherwise."""
    from mlmd.campaign import Campaign
    from mlmd.campaign.engines.settings import EngineSettings

    campaign = Campaign.load(file, skip_bad=skip_bad)
    for what, why in (campaign.bad or {}).items():
        print(f"left out: {what}: {why}", file=sys.stderr)
    if workers is not None:
        campaign = dataclasses.replace(campaign, workers=workers)
    if engine is not None:
        campaign = dataclasses.replace(campaign, engine=EngineSettings.of(engine))
    return campaign


def _run(campaign: Campaign, as_json: bool, *, retry: bool) -> None:
    from mlmd.campaign import run_campaign
    from mlmd.cli.signals import stop_on_signals

    with stop_on_signals() as stop:
        state = run_campaign(campaign, retry=retry, ended=_follow(campaign), stop=stop)
    _show(state, as_json)
    if state.failures:
        raise typer.Exit(1)


def _follow(campaign: Campaign) -> Callable[[Outcome], None]:
    """Return what says from time to time how many have ended."""
    counts: Counter[str] = Counter()
    said = [0.0]

    def ended(outcome: Outcome) -> None:
        counts[outcome.state] += 1
        if outcome.state == "failed":
            print(f"{outcome.case} failed ({outcome.kind}): {outcome.message}", file=sys.stderr)
        if time.monotonic() - said[0] > LINE_EVERY_S:
            said[0] = time.monotonic()
            done = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
            print(f"{campaign.name}: {done} of {len(campaign.cases)} cases", file=sys.stderr)

    return ended


def _show(state: CampaignState, as_json: bool) -> None:
    if as_json:
        print(json_line(state.to_dict()))
        return
    print(", ".join(f"{number} {name}" for name, number in state.counts.items()))
    for case, failure in list(state.failures.items())[:FAILURES_SHOWN]:
        print(f"  {case}: {failure['kind']}: {failure['message']}")
    if len(state.failures) > FAILURES_SHOWN:
        print(f"  and {len(state.failures) - FAILURES_SHOWN} more; --json has all")
