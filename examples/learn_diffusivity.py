"""From finished runs to a model that predicts diffusivity in a structure that was never run.

Lennard-Jones salts stand in for materials: small, quick, and with no physics of their own, but the
path is the one that thousands of runs of a campaign take.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

from mlmd import CalculatorSpec, Equilibrate, Production, Protocol, fit_predictor, pack
from mlmd.model import cross_validate, table_from_runs

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--out", default="runs/learn", type=Path)
options.add_argument("--model", default="ridge")
options.add_argument("--smoke", action="store_true", help="fewer salts, shorter runs")
given = options.parse_args()

salts = ["LiF", "Li2O", "LiCl", "Li2S", "LiBr", "Li3N", "LiI"][: 5 if given.smoke else 7]
volumes_A3 = [14.0, 20.0] if given.smoke else [13.0, 15.0, 17.0, 19.0, 21.0]
duration_ps = 1.5 if given.smoke else 8.0
calculator = CalculatorSpec("lj", options={"sigma_A": 2.4, "cutoff_A": 4.3})

for salt, volume_A3 in product(salts, volumes_A3):
    protocol = Protocol(
        name="fluid",
        stages=(
            Equilibrate(name="melt", temperature_K=2000, duration_ps=0.3, timestep_fs=2),
            Production(name="hot", temperature_K=2000, duration_ps=duration_ps, timestep_fs=2),
        ),
    )
    atoms = pack(salt, n_atoms=48, volume_per_atom_A3=volume_A3, tolerance_A=1.8)
    protocol.run(atoms, calculator, given.out / f"{salt}-{volume_A3:g}")

made = table_from_runs([given.out])
for one in made.skipped:
    print("left out:", one)
table = made.table
print(f"{len(table)} productions, D by {table.D_from}")

for folds in ("random", "formula"):
    report = cross_validate(table.problem("ln_D"), given.model, folds, n_repeats=3)
    print(f"folds {folds}: RMSE of ln D {report.rmse:.2f} +- {report.rmse_std:.2f} over the folds")

predictor = fit_predictor(table, given.model, n_bootstrap=20)
new = pack("LiCl", n_atoms=48, volume_per_atom_A3=18.0, tolerance_A=1.8, seed=1)
found = predictor.predict_structure(new, 2000.0)
low, high = found.interval_95
print(f"new LiCl at 18 A3/atom: D {found.D_cm2_s:.2e} cm2/s, 95 %: {low:.1e} to {high:.1e}")
if found.outside:
    print("outside of what was learnt:", ", ".join(found.outside))
if not low < found.D_cm2_s < high:
    raise SystemExit("the prediction lies outside of its own interval")
