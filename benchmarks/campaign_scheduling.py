"""What a campaign costs besides its runs, with a task that only returns.

    python benchmarks/campaign_scheduling.py [--smoke]

Cases are planned, given to two processes of the local pool and collected; then their status is read
from the journals that workers would have written. Time per case, which has to stay flat, and the
memory of the client. Targets: 2 ms per case, 200 MB, the status of 10,000 cases in 2 s.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from mlmd.campaign import Campaign, LocalPool, run_campaign, state_of
from mlmd.campaign.journal import DONE, STARTED, Journal
from mlmd.campaign.work import Outcome, Task

SIZES = (100, 1000, 10_000, 100_000)


def only_return(task: Task) -> list[Outcome]:
    """Return at once."""
    return [Outcome(case.name, DONE) for case in task.cases]


def measure(n_cases: int) -> None:
    """Work through a campaign that does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        content = {
            "compositions": ["LiCl", "NaCl", "KCl", "LiBr", "NaBr"],
            "calculators": "lj",
            "seeds": n_cases // 5,
        }
        began = time.perf_counter()
        campaign = Campaign.from_dict(content, beside=Path(folder))
        planned_s = time.perf_counter() - began
        with mock.patch("mlmd.campaign.engine.work", only_return):
            pool = LocalPool(2)
            nothing = Task("", {}, {}, (), 1, None)
            for future in [pool.submit(only_return, nothing) for _ in range(2)]:
                future.result()  # the processes have started
            began = time.perf_counter()
            run_campaign(campaign, pool, in_flight=8)
            scheduled_s = time.perf_counter() - began
            pool.shutdown()
        journal = Journal(campaign.folder)
        for case in campaign.cases:
            journal.write(case.name, STARTED)
            journal.write(case.name, DONE)
        began = time.perf_counter()
        assert state_of(campaign).counts["done"] == n_cases
        status_s = time.perf_counter() - began
    memory_MB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{n_cases:>7} cases: planning {1e3 * planned_s / n_cases:.3f} ms, scheduling "
        f"{1e3 * scheduled_s / n_cases:.3f} ms per case; status {status_s:.2f} s; client "
        f"{memory_MB:.0f} MB"
    )


def main() -> None:
    """Measure all sizes."""
    for n_cases in SIZES[:1] if "--smoke" in sys.argv else SIZES:
        measure(n_cases)


if __name__ == "__main__":
    main()
