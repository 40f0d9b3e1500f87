"""How many jobs of a scheduler a campaign takes.

    python benchmarks/campaign_jobs.py [--smoke]

By arithmetic for 25,000 runs, which may take 100 jobs; and counted with Slurm itself, where it is
installed, on runs of seconds in jobs of a minute: two workers, which stop a quarter of a minute
before the end, and go on in the next job.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from mlmd.campaign import Campaign, run_campaign
from mlmd.campaign.engines.jobs import jobs_needed
from mlmd.campaign.engines.settings import EngineSettings
from mlmd.campaign.work import Outcome, Task

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from slurm import NoSlurmError, running_slurm

DAY = {"name": "parsl", "scheduler": "slurm", "walltime": "24:00:00"}
MINUTE = {"name": "parsl", "scheduler": "slurm", "walltime": "00:01:00", "workers_per_node": 2}
SECONDS = 4.0


def wait(task: Task) -> list[Outcome]:
    """Take as long as a run, or stop before the job ends; sent to the workers as it stands here."""
    import time

    from mlmd.campaign.engines.ending import Ending
    from mlmd.campaign.journal import DONE, STOPPED
    from mlmd.campaign.work import Outcome

    ending, end = Ending(task.stop_file), time.monotonic() + 4.0  # SECONDS
    while time.monotonic() < end:
        if ending.reason is not None:
            return [Outcome(case.name, STOPPED) for case in task.cases]
        time.sleep(0.1)
    return [Outcome(case.name, DONE) for case in task.cases]


def count(n_cases: int) -> None:
    """Have Slurm do a campaign, and count its jobs."""
    content = {"compositions": ["LiCl"], "calculators": "lj", "seeds": n_cases, "engine": MINUTE}
    with tempfile.TemporaryDirectory() as name, running_slurm():
        campaign = Campaign.from_dict(content, beside=Path(name))
        began = time.perf_counter()
        with mock.patch("mlmd.campaign.engine.work", wait):
            run_campaign(campaign)
        took_s = time.perf_counter() - began
        scripts = list(campaign.folder.glob("parsl/*/000/submit_scripts/*"))
        jobs = sum(path.suffix not in (".stdout", ".stderr") for path in scripts)
    needed = jobs_needed(campaign.engine, n_cases, SECONDS / 3600)
    print(
        f"{n_cases} runs of {SECONDS:g} s, a node with 2 workers, jobs of a minute: {jobs} jobs of "
        f"Slurm, {needed} by arithmetic, in {took_s:.0f} s"
    )


def main() -> None:
    """Compute for 25,000 runs, and count for a few."""
    settings = EngineSettings.of(DAY)
    for minutes in (10, 20):
        for nodes, workers in ((4, 4), (8, 4), (2, 64)):
            asked = dataclasses.replace(settings, nodes=nodes, workers_per_node=workers)
            needed = jobs_needed(asked, 25_000, minutes / 60)
            print(
                f"25,000 runs of {minutes} minutes, {nodes} nodes with {workers} workers, jobs of "
                f"a day: at most {needed}"
            )
    try:
        count(4 if "--smoke" in sys.argv else 60)
    except NoSlurmError as error:
        print(f"not counted with Slurm: {error}")


if __name__ == "__main__":
    main()
