"""What AIMD of a liquid says, from any trajectory: D with its interval and gate, structure, motion.

Give your own file: ``python examples/analyze_trajectory.py XDATCAR --timestep-fs 2 --species Na``.
Without one, a short Lennard-Jones liquid is made first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mlmd import Protocol, Trajectory, diffusivity, pack, rdf
from mlmd.analysis.structure import first_shell
from mlmd.plot import plot_msd, plot_rdf

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("file", nargs="?", type=Path)
options.add_argument("--timestep-fs", type=float)
options.add_argument("--species", default="Na")
options.add_argument("--out", default="runs/analyze", type=Path)
options.add_argument("--smoke", action="store_true", help="a shorter liquid")
given = options.parse_args()

LIQUID = """
schema: 1
name: liquid
stages:
  - {name: melt, class: Equilibrate, temperature_K: 500, duration_ps: 2, timestep_fs: 4}
  - {name: production, class: Production, temperature_K: 500, duration_ps: %g, timestep_fs: 4}
"""


def trajectory() -> Trajectory:
    """Read the file that was given, or make a liquid of 64 atoms."""
    if given.file is not None:
        return Trajectory.read(given.file, given.timestep_fs)
    given.out.mkdir(parents=True, exist_ok=True)
    recipe = given.out / "liquid.yaml"
    recipe.write_text(LIQUID % (10 if given.smoke else 60))
    atoms = pack(given.species, 64, seed=1, volume_per_atom_A3=45)
    return Protocol.load(recipe).run(atoms, "lj", given.out / "run").trajectory("production")


motion = trajectory()
found = diffusivity(motion, given.species)
if found.D_cm2_s is None:
    print(f"not diffusive: {found.reason}; D below {found.D_upper_bound_cm2_s:.2e} cm2/s (95 %)")
else:
    low, high = found.D_interval68_cm2_s
    print(f"D = {found.D_cm2_s:.2e} [{low:.2e}, {high:.2e}] cm2/s; {found.reason}")
structure = rdf(motion.part(every=1 + len(motion) // 1000))
shell = first_shell(structure, given.species, given.species)
print(f"first peak at {shell.peak_A:.2f} A, {shell.coordination:.1f} neighbours")
given.out.mkdir(parents=True, exist_ok=True)
for name, axes in (
    ("msd", plot_msd({"liquid": found})),
    ("rdf", plot_rdf(structure)),
):
    file = given.out / f"{name}.png"
    axes.figure.savefig(file, dpi=150)
    print(f"plot: {file}")
