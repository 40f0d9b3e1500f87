"""Many melts on one model: in a plain ASE script, and as runs that survive anything.

Eight chlorides, bromides and fluorides of 16 to 32 atoms share one CHGNet. On a GPU their forces
come in batches, which is where this pays; on a CPU it merely works. In either part one of them
is killed in the middle, which is nothing to the others.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from ase import units
from ase.md.bussi import Bussi
from ase.md.velocitydistribution import thermalize_momenta

from mlmd import Case, Equilibrate, Protocol, Relax, Run, pack, run_many
from mlmd.calculators import BatchServer

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--out", default="runs/batched", type=Path)
options.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
options.add_argument("--only", type=int, help="run this case alone: what the example kills")
given = options.parse_args()

COMPOSITIONS = {"LiCl": 16, "NaCl": 20, "KCl": 24, "LiBr": 28, "NaBr": 32, "LiF": 16, "NaF": 24}
COMPOSITIONS["Li3InCl6"] = 30
DURATION_PS = 0.02 if given.smoke else 1.0
TEMPERATURE_K = 1200.0
melts = [
    pack(composition, n_atoms, seed=seed)
    for seed, (composition, n_atoms) in enumerate(COMPOSITIONS.items())
]
protocol = Protocol(
    name="melt",
    stages=(
        Relax(name="relax", max_force_eV_A=2.0, max_steps=5 if given.smoke else 100),
        Equilibrate(name="melt", temperature_K=TEMPERATURE_K, duration_ps=DURATION_PS),
    ),
)
cases = [
    Case(protocol, atoms, given.out / name, seed=seed)
    for seed, (name, atoms) in enumerate(zip(COMPOSITIONS, melts, strict=True))
]


def plain_script() -> None:
    """Any ASE code, a thread for each melt; the first one dies half-way."""
    n_steps = round(DURATION_PS * 1000)
    steps = dict.fromkeys(COMPOSITIONS, 0)

    def walk(name: str, atoms, server: BatchServer) -> None:
        atoms.calc = server.calculator()
        thermalize_momenta(atoms, 300, rng=np.random.default_rng(0))
        dynamics = Bussi(atoms, units.fs, temperature_K=TEMPERATURE_K, taut=50 * units.fs)
        for _ in dynamics.irun(n_steps):
            steps[name] = dynamics.nsteps
            if name == "LiCl" and 2 * dynamics.nsteps > n_steps:
                return  # dead

    with BatchServer("chgnet") as server:
        threads = [
            threading.Thread(target=walk, args=(name, atoms.copy(), server))
            for name, atoms in zip(COMPOSITIONS, melts, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"{server.n_computed} force calls in {server.n_batches} batches; steps: {steps}")
    if any(taken != n_steps for name, taken in steps.items() if name != "LiCl"):
        raise SystemExit("a melt was not run to its end")


def kill_one() -> None:
    """Start the last case by itself, and kill it while it runs."""
    command = [sys.executable, *sys.argv, "--only", str(len(cases) - 1)]
    process = subprocess.Popen(command)
    while process.poll() is None and not (cases[-1].directory / "01-relax").exists():
        time.sleep(0.05)
    process.kill()
    process.wait()


if given.only is not None:
    run_many([cases[given.only]], "chgnet")
else:
    plain_script()
    kill_one()
    for case, run in zip(cases, run_many(cases, "chgnet"), strict=True):
        if not isinstance(run, Run):
            raise SystemExit(f"{case.directory} failed: {run.message}")
        sessions = len(run.manifest.sessions)
        print(f"{case.directory.name}: {run.status} in {sessions} session(s)")
