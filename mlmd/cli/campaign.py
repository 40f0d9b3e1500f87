"""``mlmd campaign``: many runs from one file, by workers that may be killed."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlmd.cli.dry_run import duration, size
from mlmd.cli.options import AsJson
from mlmd.cli.outputs import Commands
from mlmd.cli.progress import clock
from mlmd.plain import json_line

if TYPE_CHECKING:
    from mlmd.campaign import Campaign, CampaignState, Forecast

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


@campaign_app.command("run")
def run_command(
    file: CampaignFile,
    workers: Workers = None,
    engine: Engine = None,
    skip_bad: SkipBad = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show steps, disk and node-hours; write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the cases that have not ended, or go on with them. Exit code 1 where cases failed."""
    campaign = _campaign(file, workers, engine, skip_bad)
    if dry_run:
        from mlmd.campaign import forecast

        _show_forecast(forecast(campaign), as_json)
        return
    _run(campaign, as_json, retry=False)


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
    from mlmd.cli.campaign_live import following
    from mlmd.cli.signals import stop_on_signals

    with stop_on_signals() as stop, following(campaign) as follower:
        state = run_campaign(
            campaign, retry=retry, ended=follower.ended, looking=follower.looking, stop=stop
        )
    _show(state, as_json)
    if state.failures:
        raise typer.Exit(1)


def _show_forecast(found: Forecast, as_json: bool) -> None:
    """Say what is left of a campaign, and what that would take."""
    if as_json:
        print(json_line(found))
        return
    print(f"{found.n_left} of {found.n_cases} cases are left: dry run, nothing is written")
    print(f"{found.n_steps} steps, {size(found.disk_bytes)} on the disk")
    for one in found.step_times:
        how = f"in {one.n_runs} finished runs" if one.n_runs else "timed here and now"
        print(f"  a step of {one.n_atoms} atoms takes {duration(one.seconds)} ({how})")
    if found.n_jobs is not None:
        print(f"at most {found.n_jobs} jobs of the scheduler")
    print(
        f"{found.node_hours:.3g} node-hours with {found.workers_per_node} workers on a node "
        f"({found.worker_hours:.3g} of one worker); {clock(found.wall_hours * 3600)} with "
        f"{found.n_workers} at work"
    )
    if found.most_node_hours is not None:
        print(f"at most {found.most_node_hours:.3g} node-hours if all go on to until.max_ps")
    print(
        "The time is an estimate: relaxations may end earlier, volume equilibrations add runs, and "
        "walkers that share a GPU take less than one after another."
    )


def _show(state: CampaignState, as_json: bool) -> None:
    if as_json:
        print(json_line(state.to_dict()))
        return
    print(", ".join(f"{number} {name}" for name, number in state.counts.items()))
    for case, failure in list(state.failures.items())[:FAILURES_SHOWN]:
        print(f"  {case}: {failure['kind']}: {failure['message']}")
    if len(state.failures) > FAILURES_SHOWN:
        print(f"  and {len(state.failures) - FAILURES_SHOWN} more; --json has all")
