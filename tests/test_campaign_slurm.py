"""A campaign through jobs of a real scheduler, which are killed in the middle."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from engines import (
    assert_done_once,
    hasten_parsl,
    import_also_from,
    in_production,
    small_campaign,
    undisturbed,
    until,
)
from slurm import NoSlurmError, queue, running_slurm

from mlmd.campaign import Campaign, run_campaign
from mlmd.errors import InputError, StoppedError
from mlmd.run.stopping import StopToken

pytestmark = pytest.mark.slow
ENGINE = """\
name: parsl
scheduler: slurm
partition: main
nodes: 1
walltime: 00:10:00
workers_per_node: 2
commands: export MLMD_TEST=1
"""


@pytest.fixture(scope="module")
def slurm():
    pytest.importorskip("parsl")
    with contextlib.ExitStack() as stack:
        try:
            yield stack.enter_context(running_slurm())
        except NoSlurmError as error:
            pytest.skip(str(error))


@pytest.fixture
def quick(slurm, monkeypatch):
    from parsl.providers import SlurmProvider

    hasten_parsl(monkeypatch)
    import_also_from(monkeypatch)
    monkeypatch.setattr(SlurmProvider, "status_polling_interval", 1)


def at_work(campaign: Campaign) -> set[int]:
    """Processes that hold a case of the campaign."""
    found = set()
    for lock in campaign.folder.glob("*/lock"):
        with contextlib.suppress(OSError, ValueError):
            found.add(json.loads(lock.read_text())["pid"])
    return {pid for pid in found if Path(f"/proc/{pid}").exists()}


def scripts(campaign: Campaign) -> list[Path]:
    """What was given to the scheduler."""
    found = campaign.folder.glob("parsl/*/000/submit_scripts/*")
    return [path for path in found if path.suffix not in (".stdout", ".stderr")]


def test_a_job_and_a_worker_are_killed_and_every_case_is_done_once(quick, tmp_path):
    (tmp_path / "slurm.yaml").write_text(ENGINE)
    campaign = small_campaign(tmp_path, 6.0, engine="slurm.yaml")
    found = []
    client = threading.Thread(target=lambda: found.append(run_campaign(campaign)))
    client.start()
    until(lambda: len(in_production(campaign)) >= 2, "no two cases began")
    os.kill(until(lambda: at_work(campaign), "no worker holds a case").pop(), signal.SIGKILL)
    until(lambda: len(at_work(campaign)) == 2, "no worker took its place")
    (job,) = queue()
    number, state = job.split()
    assert state == "R"
    subprocess.run(["scancel", "--full", "--signal=KILL", number], check=True)
    client.join(timeout=80)
    assert found[0].counts == {"done": 4, "running": 0, "failed": 0, "waiting": 0}
    assert len(scripts(campaign)) == 2
    assert_done_once(campaign, undisturbed(tmp_path, 6.0))


def test_a_job_that_the_scheduler_refuses_is_one_line(quick, tmp_path):
    (tmp_path / "slurm.yaml").write_text(ENGINE.replace("main", "nowhere"))
    campaign = small_campaign(tmp_path, 6.0, engine="slurm.yaml")
    with pytest.raises(InputError, match=r"no job of the engine starts: .*partition"):
        run_campaign(campaign)
    assert list(campaign.folder.glob("campaign-*")) == []


def test_a_stop_while_the_job_waits_waits_for_nobody(quick, tmp_path):
    subprocess.run(["sbatch", "--cpus-per-task=4", "--wrap", "sleep 600"], check=True, cwd=tmp_path)
    (tmp_path / "slurm.yaml").write_text(ENGINE)
    campaign = small_campaign(tmp_path, 6.0, engine="slurm.yaml")
    token = StopToken()

    def stop() -> None:
        until(lambda: any(one.endswith(" PD") for one in queue()), "no job waits")
        token.stop("enough")

    threading.Thread(target=stop).start()
    with pytest.raises(StoppedError, match="enough: 0 of 4 cases are done"):
        run_campaign(campaign, stop=token)
    until(lambda: len(queue()) == 1, "the job still waits")
    subprocess.run(["scancel", queue()[0].split()[0]], check=True)
