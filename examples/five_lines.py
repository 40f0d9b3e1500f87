"""The whole job in five lines: from a composition to a diffusivity with its error."""

from __future__ import annotations

import argparse

from mlmd import CalculatorSpec, Protocol, arrhenius, diffusivity, pack

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--out", default="runs/five-lines")
options.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
given = options.parse_args()

protocol, calculator = Protocol.load("quickstart"), CalculatorSpec("chgnet")
if given.smoke:
    protocol = protocol.with_settings({"Equilibrate.duration_ps": 0.1, "Production.duration_ps": 4})
    calculator = CalculatorSpec("lj", options={"cutoff_A": 4.7})

atoms = pack("LiCl", n_atoms=32, volume_per_atom_A3=27)
run = protocol.run(atoms, calculator, given.out)
trajectories = {T: run.trajectory(f"production-{T}K") for T in (1000, 1400, 1800)}
D = {T: diffusivity(t, "Li", window_ps=2, fit_ps=(0.5, 2)) for T, t in trajectories.items()}
errors = [d.D_half_width68_cm2_s for d in D.values()]
law = arrhenius(list(D), [d.D_cm2_s for d in D.values()], errors)

for T, d in D.items():
    print(f"{T} K: D_Li = {d.D_cm2_s:.2e} cm2/s, 68 % interval {d.D_interval68_cm2_s}")
print(f"E_a = {law.E_a_eV:.3f} +- {law.E_a_stderr_eV:.3f} eV")
