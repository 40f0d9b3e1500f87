"""The same short melt with five engines: one word changes.

CHGNet and SevenNet come with their weights. For M3GNet and MACE tiny models are trained on the
spot (they know nothing but rock salt of Lennard-Jones atoms; name your own in earnest), and MACE
runs in the environment that ``mlmd calculators install mace`` makes. CP2K is real density
functional theory.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from ase.build import bulk

from mlmd import CalculatorSpec, MlmdError, Protocol
from mlmd.calculators.weights import environment_python

sys.path.insert(0, str(Path(__file__).parent / "models"))
import tiny_models

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--out", default="runs/one-word", type=Path)
options.add_argument("--smoke", action="store_true", help="a few steps only")
given = options.parse_args()

n_steps = 5 if given.smoke else 100
melt = Protocol.from_dict(
    {
        "schema": 1,
        "name": "short-melt",
        "stages": [
            {
                "name": "melt",
                "class": "Equilibrate",
                "temperature_K": 1500,
                "duration_ps": 0.001 * n_steps,
                "timestep_fs": 1.0,
                "record_every_fs": 1.0,
            }
        ],
    }
)
salt = bulk("LiCl", "rocksalt", a=5.4, cubic=True)


def words() -> list[str]:
    """Return the word of each engine, with the tiny models where there are no others."""
    given.out.mkdir(parents=True, exist_ok=True)
    found = ["chgnet", "sevennet"]
    folder = given.out / "tiny-m3gnet"
    if not folder.exists():
        tiny_models.m3gnet(folder)
    found.append(f"m3gnet:{folder}")
    python = environment_python("mace")
    file = given.out / "tiny-mace.model"
    if python.is_file() and not file.exists():
        tiny_models.mace(file, str(python))
    return [*found, f"mace:{file}", "cp2k"]


for word in words():
    name = word.partition(":")[0]
    started = time.monotonic()
    try:
        # MACE saves whole models, which run code when they are loaded; this one was made here.
        spec = CalculatorSpec.parse(word, trust=name == "mace")
        run = melt.run(salt, spec, given.out / name, seed=1)
    except MlmdError as error:
        print(f"{name:<9} not run: {error}")
        if given.smoke and name != "cp2k":  # the tests' environment has all but a DFT program
            sys.exit(1)
        continue
    found = run.results["melt"]
    print(
        f"{name:<9} {found['duration_ps'] * 1000:.0f} fs at {found['temperature_K']:.0f} K, "
        f"pressure {found['pressure_GPa']:+.1f} GPa, "
        f"energy {found['potential_energy_eV'] / len(salt):.3f} eV/atom, "
        f"{(time.monotonic() - started) / n_steps:.2f} s per step with the start"
    )
