"""Small campaigns for any engine, and what has to hold of them afterwards."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from runs import assert_equal_bits

from mlmd import Run
from mlmd.campaign import Campaign, run_campaign
from mlmd.campaign.engines import pilots

PROTOCOL = """\
schema: 1
name: short
stages:
  - {name: melt, class: Equilibrate, temperature_K: 500, duration_ps: 0.04, record_every_fs: 20}
  - {name: production, class: Production, temperature_K: 500, duration_ps: %s, record_every_fs: 20}
"""


def small_campaign(folder: Path, duration_ps: float, **changes: Any) -> Campaign:
    """Four cases of Lennard-Jones liquids on two workers."""
    (folder / "p.yaml").write_text(PROTOCOL % duration_ps)
    content = {
        "compositions": ["LiCl", "LiF"],
        "n_atoms": 24,
        "volume_per_atom_A3": 45,
        "protocol": "p.yaml",
        "calculators": {"name": "lj", "options": {"cutoff_A": 4.5}},
        "seeds": 2,
        "workers": 2,
    }
    return Campaign.from_dict({**content, **changes}, beside=folder)


def undisturbed(folder: Path, duration_ps: float, **changes: Any) -> Campaign:
    """Run the same campaign one case after another in this process, where nothing dies."""
    campaign = small_campaign(folder, duration_ps, **{**changes, "out": "undisturbed"})
    with ThreadPoolExecutor(1) as pool:
        run_campaign(campaign, pool, in_flight=1)
    return campaign


def assert_done_once(campaign: Campaign, alone: Campaign) -> None:
    """Hold every case against that of an undisturbed campaign, frame by frame."""
    for case in campaign.cases:
        directory = campaign.folder / case.name
        assert (directory / "log.jsonl").read_text().count(
            '"stage done", "stage": "production"'
        ) == 1
        assert_equal_bits(Run.open(directory), Run.open(alone.folder / case.name))


def import_also_from(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Have this process and its workers import from here and from these folders."""
    own = [
        str(folder) for folder in (*folders, Path(__file__).parent.parent, Path(__file__).parent)
    ]
    for folder in own:
        monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(own))


def hasten_parsl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave Parsl as it is, but for how long it waits: seconds where it has minutes."""
    monkeypatch.setattr(pilots, "HEARTBEAT_S", 1)
    monkeypatch.setattr(pilots, "LOST_AFTER_S", 6)
    monkeypatch.setattr(pilots, "SCALED_EVERY_S", 1)


@contextmanager
def nobody_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Assert that no process that began in the block outlives it for long."""
    mark = f"MLMD_TEST_MARK={uuid.uuid4()}"
    monkeypatch.setenv(*mark.split("="))

    def left() -> list[str]:
        commands = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if mark.encode() in (place / "environ").read_bytes():
                    commands.append((place / "cmdline").read_bytes().decode())
            except OSError:
                continue
        # multiprocessing's own is this process's, and stays with it.
        return [one for one in commands if one and "resource_tracker" not in one]

    yield
    end = time.monotonic() + 20
    while left() and time.monotonic() < end:
        time.sleep(0.2)
    assert left() == []


def until(true: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + timeout_s
    while not (found := true()):
        assert time.monotonic() < end, what
        time.sleep(0.1)
    return found


def in_production(campaign: Campaign) -> list[Path]:
    """Cases whose production has begun."""
    return list(campaign.folder.glob("*/02-production/checkpoint.npz"))
