"""Can two universal potentials be trusted with liquid sodium? A study against real AIMD.

The reference is VASP dynamics of 100 atoms of liquid Na, 4 ps at 671 and at 856 K, from the test
files of mpmorph (github.com/materialsproject/mpmorph, ``liquid_Na/Na_df_856.0/run0/XDATCAR.gz``
and its neighbours). In smoke mode a Lennard-Jones liquid stands for it, with its own potential
and one whose atoms are 5 % too large: the second has to be found out.

The same from the command line: ``mlmd compare --reference XDATCAR_Na_671.0.gz --temperature-K 671
--reference XDATCAR_Na_856.0.gz --temperature-K 856 --timestep-fs 2 --calculator sevennet
--calculator chgnet --out runs/sodium``
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mlmd import CalculatorSpec, Equilibrate, Production, Protocol, Relax, pack
from mlmd.report import write_study_report
from mlmd.stages.context import Progress
from mlmd.studies import Reference, StudySettings, validate
from mlmd.trajectory.export import export_trajectory

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--out", default="runs/sodium", type=Path)
options.add_argument("--smoke", action="store_true", help="seconds instead of an hour")
options.add_argument("--data", default=".", type=Path, help="folder of XDATCAR_Na_856.0.gz, ...")
given = options.parse_args()


def sodium() -> list[Reference]:
    """Read the dynamics that VASP has done, one frame every 2 fs."""
    return [
        Reference.read(given.data / f"XDATCAR_Na_{T:.1f}.gz", T, timestep_fs=2.0)
        for T in (671.0, 856.0)
    ]


def stand_in(calculator: CalculatorSpec) -> list[Reference]:
    """Make dynamics of argon and write them to a file, as another program would have."""
    file = given.out / "reference.extxyz"
    stage = {"temperature_K": 140.0, "timestep_fs": 4.0, "record_every_fs": 20.0}
    protocol = Protocol(
        name="stand-in",
        stages=(
            Relax(name="relax", max_force_eV_A=0.1, max_steps=200),
            Equilibrate(name="melt", duration_ps=2.0, **stage),
            Production(name="measure", duration_ps=4.0, **stage),
        ),
    )
    atoms = pack("Ar", 64, volume_per_atom_A3=55)
    run = protocol.run(atoms, calculator, given.out / "reference", seed=1)
    if not file.exists():
        export_trajectory(run.trajectory("measure"), file)
    return [Reference.read(file, 140.0)]


shown: set[str] = set()


def say(progress: Progress) -> None:
    """Name every stage once; a bar would do as well."""
    if progress.stage not in shown:
        shown.add(progress.stage)
        print(progress.stage)


if given.smoke:
    argon = {"epsilon_eV": 0.0104, "cutoff_A": 7.5}
    right = CalculatorSpec("lj", options={**argon, "sigma_A": 3.4})
    wrong = CalculatorSpec("lj", options={**argon, "sigma_A": 3.57})
    references, calculators = stand_in(right), {"right": right, "wrong": wrong}
    settings = StudySettings(timestep_fs=4.0)
else:
    names = ("sevennet", "chgnet")
    references, calculators = sodium(), {name: CalculatorSpec(name) for name in names}
    settings = StudySettings()

study = validate(references, calculators, given.out / "study", settings=settings, progress=say)
for outcome in study.outcomes:
    print(outcome.label, outcome.error or "")
    for name, verdict in outcome.comparison.verdict.items() if outcome.comparison else ():
        print(f"  {name:<17} {verdict.answer:<12} {verdict.reason}")
print(f"report: {write_study_report(study)}")
