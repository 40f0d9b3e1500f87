"""Small campaigns for the tests, and what holds for each of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from runs import assert_equal_bits

from mlmd import Run
from mlmd.campaign import Campaign, run_campaign, state_of
from mlmd.campaign.sources import starting_structure

LJ = {"name": "lj", "options": {"cutoff_A": 4.5}}
PROTOCOL = """\
schema: 1
name: short
stages:
  - {name: melt, class: Equilibrate, temperature_K: 500, duration_ps: 0.04, record_every_fs: 20}
  - {name: production, class: Production, temperature_K: 500, duration_ps: DURATION,
     record_every_fs: 20}
"""


def content_of(folder: Path) -> dict:
    """Four cases of liquids, without a file; their protocol is written."""
    (folder / "p.yaml").write_text(PROTOCOL.replace("DURATION", "0.1"))
    return {
        "compositions": ["LiCl", "LiF"],
        "n_atoms": 24,
        "volume_per_atom_A3": 45,
        "protocol": "p.yaml",
        "calculators": LJ,
        "seeds": 2,
    }


def here(campaign: Campaign, **how):
    """Run in threads of this process: quick, and an executor like any other."""
    with ThreadPoolExecutor(2) as pool:
        return run_campaign(campaign, pool, **how)


def starts_and_ends(campaign: Campaign) -> dict[str, list[str]]:
    """All that was written of each case."""
    found: dict[str, list[str]] = {}
    for file in campaign.folder.glob("campaign-*.jsonl"):
        for text in file.read_text().splitlines():
            line = json.loads(text)
            found.setdefault(line["case"], []).append(line["event"])
    return found


def assert_as_alone(campaign: Campaign, folder: Path) -> None:
    """Hold every case against an undisturbed run of it."""
    for case in campaign.cases:
        alone = campaign.protocols[0].run(
            starting_structure(case.source, case.seed),
            campaign.calculators[case.calculator],
            folder / case.name,
            seed=case.seed,
        )
        assert_equal_bits(Run.open(campaign.folder / case.name), alone)


def command(tmp_path: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "mlmd.cli", "campaign", *words, str(tmp_path / "c.yaml")]


def write_campaign(tmp_path: Path, content: dict, seeds: int, duration_ps: float) -> Campaign:
    (tmp_path / "p.yaml").write_text(PROTOCOL.replace("DURATION", str(duration_ps)))
    (tmp_path / "c.yaml").write_text(json.dumps({**content, "seeds": seeds, "workers": 2}))
    return Campaign.load(tmp_path / "c.yaml")


def kill_again_and_again(folder: Path, campaign: Campaign, kills: int, seed: int) -> int:
    """Kill clients and workers at random moments, then let the campaign end; count the clients."""
    rng = np.random.default_rng(seed)
    clients, left = 0, kills
    while left:
        client = subprocess.Popen(
            command(folder, "run"), start_new_session=True, stderr=subprocess.DEVNULL
        )
        clients += 1
        place = Path(f"/proc/{client.pid}/task/{client.pid}/children")
        for _ in range(int(rng.integers(2, 7))):
            time.sleep(float(rng.uniform(0.5, 1.5)))
            workers = [
                pid
                for pid in (place.read_text().split() if place.exists() else [])
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
            if left > 1 and workers:
                os.kill(int(rng.choice(workers)), signal.SIGKILL)
                left -= 1
        client.kill()
        client.wait()
        left -= 1
    subprocess.run(command(folder, "run"), check=True, capture_output=True)
    return clients


def assert_every_case_once(campaign: Campaign, alone: Path) -> None:
    assert state_of(campaign).counts["done"] == len(campaign.cases)
    for case in campaign.cases:
        log = (campaign.folder / case.name / "log.jsonl").read_text()
        assert log.count('"stage done", "stage": "production"') == 1
        assert Run.open(campaign.folder / case.name).verify() == {}
    assert_as_alone(campaign, alone)
    told = [one for events in starts_and_ends(campaign).values() for one in events]
    assert told.count("done") >= len(campaign.cases)
