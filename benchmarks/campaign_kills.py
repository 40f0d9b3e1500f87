"""A hundred kills of client and workers over one campaign of fifty cases.

    python benchmarks/campaign_kills.py [--seed 0] [--kills 100]

Counted at the end: every case done once, every file what was written, and every frame that of an
undisturbed run (`walkers: 1`). About ten minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from campaigns import (
    assert_every_case_once,
    content_of,
    kill_again_and_again,
    starts_and_ends,
    write_campaign,
)


def main() -> None:
    """Kill, then compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, began = Path(name), time.monotonic()
        campaign = write_campaign(folder, content_of(folder), seeds=25, duration_ps=4.0)
        clients = kill_again_and_again(folder, campaign, options.kills, options.seed)
        assert_every_case_once(campaign, folder / "alone")
        told = [event for events in starts_and_ends(campaign).values() for event in events]
    print(
        f"{options.kills} kills, {clients} of them of clients: {len(campaign.cases)} cases done "
        f"once each after {told.count('started')} starts, frames equal; "
        f"{time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
