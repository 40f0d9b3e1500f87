"""What a campaign would take, and how far it is while it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from io import StringIO

import pytest
from campaigns import content_of, here, write_campaign
from rich.console import Console

from mlmd.campaign import Campaign, Outcome, forecast, state_of
from mlmd.campaign.engines.settings import EngineSettings
from mlmd.campaign.forecasting import _at
from mlmd.campaign.journal import Journal
from mlmd.cli.campaign_live import Follower
from mlmd.errors import StoppedError
from mlmd.run.lock import RunLock
from mlmd.run.stopping import StopToken


@pytest.fixture
def content(tmp_path):
    return content_of(tmp_path)


@pytest.fixture
def campaign(content, tmp_path):
    return Campaign.from_dict(content, beside=tmp_path)


STEPS = 70
"""Of a case: 0.14 ps by 2 fs."""


def test_steps_and_hours_are_those_of_the_cases_that_are_left(campaign):
    token = StopToken()
    two_nodes = EngineSettings("parsl", "slurm", nodes=2, walltime_s=3600, workers_per_node=2)
    found = forecast(replace(campaign, workers=2, engine=two_nodes))
    assert (found.n_cases, found.n_left, found.n_steps) == (4, 4, 4 * STEPS)
    (step,) = found.step_times
    assert (step.n_atoms, step.n_runs) == (24, 0)
    assert 0 < step.seconds < 0.1
    assert found.worker_hours == pytest.approx(4 * STEPS * step.seconds / 3600)
    assert found.node_hours == pytest.approx(found.worker_hours / 2)
    assert found.wall_hours == pytest.approx(found.worker_hours / 4)
    assert found.most_node_hours is None
    assert found.n_jobs == 2
    assert not campaign.folder.exists()
    with pytest.raises(StoppedError):
        here(campaign, ended=lambda outcome: token.stop("enough"), stop=token, in_flight=1)
    n_done = state_of(campaign).counts["done"]
    again = forecast(replace(campaign, workers=4))
    assert (again.n_left, again.n_steps) == (4 - n_done, (4 - n_done) * STEPS)
    # More processes than cases do not make it shorter.
    assert again.wall_hours == pytest.approx(again.worker_hours / min(4, 4 - n_done))


def test_steps_of_finished_runs_are_taken_where_there_are_some(campaign, monkeypatch):
    here(campaign)
    monkeypatch.setattr("mlmd.campaign.forecasting.SHORTEST_RUN_S", 0.0)
    more = replace(campaign, cases=(*campaign.cases, replace(campaign.cases[0], name="new")))
    (step,) = forecast(more).step_times
    assert step.n_runs == 4
    # Too short to be known from whole seconds: force calls are timed.
    monkeypatch.undo()
    assert forecast(more).step_times[0].n_runs == 0


def test_what_may_be_lengthened_has_a_limit(content, tmp_path):
    until = {"relative_error": 0.1, "max_ps": 1.0}
    found = forecast(Campaign.from_dict({**content, "until": until}, beside=tmp_path))
    # 0.04 ps to melt and 1 ps at most instead of 0.1.
    assert found.most_node_hours == pytest.approx(found.node_hours * 520 / STEPS)


@pytest.mark.parametrize(
    ("n_atoms", "expected"),
    [(50, 1.0), (100, 1.0), (150, 1.5), (200, 2.0), (400, 4.0)],
)
def test_steps_between_measured_sizes_are_interpolated(n_atoms, expected):
    assert _at(n_atoms, [(100, 1.0), (200, 2.0)]) == pytest.approx(expected)


def test_a_dry_run_writes_nothing_and_says_hours(content, tmp_path):
    write_campaign(tmp_path, content, seeds=2, duration_ps=0.1)
    before = sorted(tmp_path.rglob("*"))
    words = [sys.executable, "-m", "mlmd.cli", "campaign", "run", str(tmp_path / "c.yaml")]
    said = subprocess.run([*words, "--dry-run"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("4 of 4 cases are left: dry run, nothing is written\n280 steps")
    assert "node-hours with 2 workers on a node" in said.stdout
    plain = subprocess.run([*words, "--dry-run", "--json"], capture_output=True, check=True)
    assert json.loads(plain.stdout)["n_steps"] == 280
    assert sorted(tmp_path.rglob("*")) == before


def test_the_table_shows_the_cases_at_work_and_lines_say_how_many(campaign):
    token = StopToken()
    with pytest.raises(StoppedError):
        here(campaign, ended=lambda outcome: token.stop("enough"), stop=token, in_flight=1)
    counts = state_of(campaign).counts
    done = counts["done"]
    text = StringIO()
    console = Console(file=text, width=100, force_terminal=False)
    follower = Follower(campaign, state_of(campaign), 0.0, console)
    left = [case.name for case in campaign.cases if not (campaign.folder / case.name).exists()]
    at_work = campaign.folder / left[0]
    at_work.mkdir()
    Journal(campaign.folder).write(left[0], "started")
    with RunLock(at_work):
        follower.looking([case.name for case in campaign.cases])
        console.print(follower.table())
    shown = text.getvalue()
    assert f"{done} done, 1 running" in shown
    assert "of 4 cases" in shown
    assert f"{left[0]}  starting" in shown
    assert left[1] not in shown
    follower.ended(Outcome(left[1], "failed", "unstable", "too [fast]"))
    assert f"{left[1]} failed (unstable): too [fast]" in text.getvalue()


def test_the_time_that_is_left_is_that_of_the_cases_that_have_ended(campaign, monkeypatch, capsys):
    now = [1000.0]
    monkeypatch.setattr("mlmd.cli.campaign_live.time.monotonic", lambda: now[0])
    follower = Follower(campaign, state_of(campaign), 30.0)
    assert "left" not in follower.line()
    here(campaign)
    now[0] += 40.0
    follower.looking([])
    assert "4 done, 0 running, 0 failed, 0 waiting of 4 cases; about 0:00:00 left" in (
        capsys.readouterr().err
    )
    now[0] += 10.0
    follower.looking([])
    assert capsys.readouterr().err == ""  # a line now and then
