"""Stopping a run from inside a script, and going on with the same call.

What comes out equals, bit for bit, what an uninterrupted run gives.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mlmd import CalculatorSpec, Production, Protocol, Relax, pack
from mlmd.errors import StoppedError
from mlmd.run.stopping import StopToken
from mlmd.stages.context import Progress

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--out", default="runs/stop", type=Path)
options.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
given = options.parse_args()

protocol = Protocol(
    name="stop-and-go-on",
    stages=(
        Relax(name="relax"),
        Production(name="measure", temperature_K=1500, duration_ps=2 if given.smoke else 20),
    ),
)
atoms = pack("LiCl", n_atoms=32, volume_per_atom_A3=27)
calculator = CalculatorSpec("lj", options={"cutoff_A": 4.7})

stop = StopToken()


def watch(progress: Progress) -> None:
    """Ask for a stop after a while, as a time limit of a cluster would."""
    if progress.stage == "measure" and progress.step >= 200:
        stop.stop("time limit")


try:
    protocol.run(atoms, calculator, given.out / "stopped", progress=watch, stop=stop)
except StoppedError as stopped:
    print(stopped)
else:
    raise SystemExit("the run was over before it was stopped: nothing is shown by that")
resumed = protocol.run(atoms, calculator, given.out / "stopped")
whole = protocol.run(atoms, calculator, given.out / "whole")
same = np.array_equal(
    resumed.trajectory("measure").positions_A, whole.trajectory("measure").positions_A
)
print(f"the same bits: {same}")
if not same:
    raise SystemExit("the resumed run differs")
