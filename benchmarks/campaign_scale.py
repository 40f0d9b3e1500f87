"""What a campaign's runs cost besides their forces: time, files, bytes; by number of cases.

    python benchmarks/campaign_scale.py [--cases 10000] [--workers 2] [--keep FOLDER]

Cases with a calculator that costs nothing. `short` is one stage; `long` has the stages of a melt
measured at five temperatures, a few steps each, cold: nothing holds these atoms apart. Per case,
for growing numbers of cases: wall time of a worker, inodes, bytes as the disk counts them, bytes of
the journals; unpacked and packed. What docs/scaling.md extrapolates from.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from mlmd.campaign import Campaign, LocalPool, run_campaign, state_of

HERE = Path(__file__).resolve().parent
PRODUCTION = "{name: production-TK, class: Production, temperature_K: T, duration_ps: 0.02}"
SETTLE = (
    "{name: equilibrate-TK, class: Equilibrate, temperature_K: T, duration_ps: 0.02, "
    "starts_from: melt}"
)
MELT = "{name: melt, class: Equilibrate, temperature_K: 2, duration_ps: 0.02}"


def at(stage: str, temperature_K: int) -> str:
    return stage.replace("TK", f"{temperature_K}K").replace(" T,", f" {temperature_K},")


STAGES = {
    "short": [at(PRODUCTION, 1)],
    "long": [MELT, *(at(one, T) for T in (1, 2, 3, 4, 5) for one in (SETTLE, PRODUCTION))],
}


class Free(Calculator):
    """No energy and no forces, at no cost."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {
            "energy": 0.0,
            "forces": np.zeros((len(atoms), 3)),
            "stress": np.zeros(6),
        }


def counted(folder: Path) -> tuple[int, int, int]:
    """Return inodes, bytes on the disk, and bytes of the journals."""
    inodes = size = journals = 0
    for place, folders, files in os.walk(folder):
        inodes += len(folders) + len(files)
        for name in files:
            one = os.stat(os.path.join(place, name))
            size += one.st_blocks * 512
            journals += one.st_size if name.endswith(".jsonl") and name != "log.jsonl" else 0
    return inodes, size, journals


def measure(folder: Path, kind: str, n_cases: int, workers: int, pack: bool) -> None:
    folder.mkdir(parents=True)
    stages = "\n".join(f"  - {stage}" for stage in STAGES[kind])
    (folder / "p.yaml").write_text(f"schema: 1\nname: {kind}\nstages:\n{stages}\n")
    content = {
        "compositions": ["LiCl", "NaCl", "KCl", "LiBr"],
        "n_atoms": 100,
        "protocol": "p.yaml",
        "calculators": "campaign_scale:Free",
        "seeds": n_cases // 4,
        "pack": pack,
    }
    campaign = Campaign.from_dict(content, beside=folder)
    began = time.monotonic()
    state = run_campaign(campaign, lambda: LocalPool(workers))
    took_s = time.monotonic() - began
    assert state.counts["done"] == len(campaign.cases), state
    inodes, size, journals = counted(campaign.folder)
    began = time.monotonic()
    state_of(campaign)
    status_s = time.monotonic() - began
    n = len(campaign.cases)
    print(
        f"{kind}{', packed' if pack else ''}, {n} cases: {1e3 * took_s * workers / n:.0f} ms of a "
        f"worker, {inodes / n:.1f} inodes, {size / n / 1e3:.1f} kB, {journals / n:.0f} B of "
        f"journals per case; status {status_s:.2f} s; client "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB",
        flush=True,
    )


def main() -> None:
    """Measure growing numbers of cases."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = f"{HERE}:{os.environ.get('PYTHONPATH', '')}"
    sys.path.insert(0, str(HERE))
    place = options.keep or Path(tempfile.mkdtemp())
    for kind, pack, numbers in (
        ("long", False, (40, 400)),
        ("long", True, (400,)),
        ("short", True, (1000,)),
        ("short", False, (100, 1000, 10_000)),
    ):
        for number in (n for n in numbers if n <= options.cases):
            folder = place / f"{kind}-{number}{'-packed' if pack else ''}"
            measure(folder, kind, number, options.workers, pack)
            if options.keep is None:
                shutil.rmtree(folder)


if __name__ == "__main__":
    main()
