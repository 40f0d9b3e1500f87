"""The whole job in five lines: from a composition to a diffusivity with its error."""

from __future__ import annotations

import argparse

from mlmd import CalculatorSpec, Protocol, pack
from mlmd.analysis import measured_stages, summarize

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--out", default="runs/demo")
options.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
given = options.parse_args()

protocol, calculator = Protocol.load("quickstart"), CalculatorSpec("chgnet")
if given.smoke:
    protocol = protocol.with_settings({"Equilibrate.duration_ps": 0.1, "Production.duration_ps": 4})
    calculator = CalculatorSpec("lj", options={"cutoff_A": 4.7})

run = protocol.run(pack("LiCl", 32, volume_per_atom_A3=27), calculator, given.out)
found = summarize(measured_stages(run), species="Li")
for stage in found.stages.values():
    print(stage.temperature_K, stage.species["Li"].D_cm2_s, stage.species["Li"].D_interval68_cm2_s)
print(found.arrhenius["Li"].E_a_eV, found.arrhenius["Li"].E_a_stderr_eV)
