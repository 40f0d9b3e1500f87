"""One word changes the engine: the same solid run with two calculators, one after the other.

Also shown: a protocol written in Python, and a run that is lengthened afterwards.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ase.build import bulk

from mlmd import Equilibrate, Production, Protocol

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--out", default="runs/swap", type=Path)
options.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
given = options.parse_args()

duration_ps = 0.1 if given.smoke else 2.0
protocol = Protocol(
    name="hot-copper",
    stages=(
        Equilibrate(name="warm", temperature_K=600, duration_ps=duration_ps),
        Production(name="measure", temperature_K=600, duration_ps=duration_ps),
    ),
)
copper = bulk("Cu", cubic=True) * (2, 2, 2)

for name in ("emt",) if given.smoke else ("emt", "chgnet"):
    run = protocol.run(copper, name, given.out / name, seed=1)
    # The same frames and more of them: the run goes on from its last checkpoint.
    run = protocol.run(copper, name, given.out / name, seed=1, extend={"measure": 2 * duration_ps})
    found = run.results["measure"]
    print(
        f"{name}: {found['duration_ps']} ps at {found['temperature_K']:.0f} K, "
        f"pressure {found['pressure_GPa']:+.2f} GPa"
    )
