"""What happens to directories, clocks, nodes and submissions costs a campaign no case."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from campaigns import (
    assert_as_alone,
    assert_every_case_once,
    content_of,
    here,
    kill_again_and_again,
    starts_and_ends,
    write_campaign,
)

from mlmd.campaign import Campaign, LocalPool, run_campaign, state_of
from mlmd.campaign.journal import read_journals
from mlmd.run.lock import RunLock


@pytest.fixture
def campaign(tmp_path):
    return Campaign.from_dict(content_of(tmp_path), beside=tmp_path)


def cut_manifest(directory: Path) -> None:
    for path in directory.glob("run*.json"):
        path.write_bytes(path.read_bytes()[:100])


def no_directory(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.write_text("a file of somebody's\n")


def another_run(directory: Path) -> None:
    other = next(one for one in directory.parent.iterdir() if one.is_dir() and one != directory)
    shutil.rmtree(directory)
    shutil.copytree(other, directory)


@pytest.mark.parametrize("damage", [cut_manifest, no_directory, another_run])
def test_a_directory_that_cannot_be_used_fails_alone_and_nothing_of_it_is_lost(campaign, damage):
    here(campaign)
    directory = campaign.folder / campaign.cases[0].name
    damage(directory)
    for journal in campaign.folder.glob("campaign-*.jsonl"):
        journal.unlink()  # or nobody would look into what is done

    def held() -> list[tuple[str, bytes]]:
        files = [directory] if directory.is_file() else sorted(directory.rglob("*"))
        return [(str(one), one.read_bytes()) for one in files if one.is_file()]

    before = held()
    state = here(campaign)
    assert state.counts == {"done": 3, "running": 0, "failed": 1, "waiting": 0}
    ((name, failure),) = state.failures.items()
    assert name == directory.name
    assert failure["kind"] in ("input", "other")
    assert "\n" not in failure["message"]
    assert str(directory) in failure["message"]
    assert [one for one in held() if one[0].endswith((".h5md", ".json", ".extxyz"))] == [
        one for one in before if one[0].endswith((".h5md", ".json", ".extxyz"))
    ]


def test_a_damaged_trajectory_is_set_aside_and_made_again(campaign, tmp_path):
    here(campaign)
    file = campaign.folder / campaign.cases[0].name / "02-production" / "trajectory.h5md"
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    file.write_bytes(damaged)
    for journal in campaign.folder.glob("campaign-*.jsonl"):
        journal.unlink()
    assert here(campaign).counts["done"] == 4
    assert_as_alone(campaign, tmp_path / "alone")


def test_a_node_that_is_gone_leaves_a_lock_that_is_taken_over(campaign, tmp_path, monkeypatch):
    monkeypatch.setitem(RunLock.__init__.__kwdefaults__, "patience_s", 1.0)
    here(campaign)
    name = campaign.cases[0].name
    directory = campaign.folder / name
    # As if the node had died in the middle: half a run, a lock, a heartbeat that stands still.
    run = json.loads((directory / "run.json").read_text())
    with RunLock(directory):
        lock = json.loads((directory / "lock").read_text())
        heartbeat = (directory / "heartbeat").read_bytes()
    shutil.rmtree(directory)
    assert run["stages"]
    directory.mkdir()
    (directory / "lock").write_text(json.dumps({**lock, "host": "node17", "boot_id": "gone"}))
    (directory / "heartbeat").write_bytes(heartbeat)
    for journal in campaign.folder.glob("campaign-*.jsonl"):
        journal.unlink()
    assert state_of(campaign).counts["done"] == 0
    assert here(campaign).counts["done"] == 4
    assert_as_alone(campaign, tmp_path / "alone")


class Twice(LocalPool):
    """A scheduler that submits everything twice, and hands back what the second one says."""

    def submit(self, fn, /, *args, **kwargs) -> Future:
        super().submit(fn, *args, **kwargs)
        return super().submit(fn, *args, **kwargs)


@pytest.mark.slow
def test_what_is_submitted_twice_is_done_once(campaign, tmp_path, monkeypatch):
    monkeypatch.setattr("mlmd.campaign.engine.BUSY_AGAIN_S", 0.2)
    pool = Twice(2)
    try:
        assert run_campaign(campaign, pool, in_flight=2).counts["done"] == 4
    finally:
        pool.shutdown()
    logs = [(campaign.folder / case.name / "log.jsonl").read_text() for case in campaign.cases]
    assert [log.count('"stage done", "stage": "production"') for log in logs] == [1] * 4
    assert_as_alone(campaign, tmp_path / "alone")


@pytest.mark.parametrize("seed", range(5))
def test_clocks_that_differ_by_days_neither_lose_a_case_nor_do_one_twice(campaign, seed):
    rng = np.random.default_rng(seed)
    here(campaign)
    truth = {name: told.event for name, told in read_journals(campaign.folder).items()}
    assert set(truth.values()) == {"done"}
    # Each line as a worker of its own wrote it, whose clock is off by up to three days.
    lines = [
        line
        for file in campaign.folder.glob("campaign-*.jsonl")
        for line in file.read_text().splitlines()
    ]
    for file in campaign.folder.glob("campaign-*.jsonl"):
        file.unlink()
    for number, text in enumerate(rng.permutation(lines)):
        line = json.loads(text)
        when = datetime.now(UTC) + timedelta(days=float(rng.uniform(-3, 3)))
        line["time"] = when.isoformat(timespec="milliseconds")
        (campaign.folder / f"campaign-w{number}.jsonl").write_text(json.dumps(line) + "\n")
    assert state_of(campaign).counts["done"] == 4
    before = starts_and_ends(campaign)
    here(campaign)
    assert starts_and_ends(campaign) == before


@pytest.mark.slow
def test_kills_of_client_and_workers_cost_nothing(tmp_path):
    # benchmarks/campaign_kills.py does it with 50 cases and 100 kills.
    campaign = write_campaign(tmp_path, content_of(tmp_path), seeds=8, duration_ps=0.4)
    kill_again_and_again(tmp_path, campaign, kills=8, seed=1)
    assert_every_case_once(campaign, tmp_path / "alone")
