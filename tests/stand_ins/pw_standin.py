"""Reads an input of pw.x and leaves its files, over Lennard-Jones; fails when told to.

``--do`` at run ``--at`` of this folder: ``die`` (an error box and code 1), ``hang``, ``cut`` (the
output ends early, code 0), ``cut-xml``, ``stale`` (no new result), ``other`` (a result for other
atoms), ``no-stress``, ``unconverged`` (code 2, no forces), ``claims`` (as pw.x 6.7 with
scf_must_converge false: says converged, with an estimate that is not).
"""

import argparse
import re
import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from mlmd.calculators.models.lennard_jones import LennardJones

BOX = " " + 78 * "%"


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def rows(values):
    return "\n".join(" ".join(f"{x:.15e}" for x in row) for row in values)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--at", type=int, default=0)
    parser.add_argument("--do", default="")
    parser.add_argument("-in", dest="input")
    given = parser.parse_args()
    counter = Path("runs")
    run = len(counter.read_text()) + 1 if counter.exists() else 1
    counter.write_text("x" * run)
    do = given.do if run == given.at else ""
    text = Path(given.input).read_text()
    word = {k: v for k, v in re.findall(r"^\s*(\w+) = '?([^'\n]*)'?$", text, re.M)}
    nat = int(word["nat"])
    cell = np.array(re.search(r"ETERS angstrom\n(.*\n.*\n.*)\n", text)[1].split(), dtype=float)
    lines = text.partition("ATOMIC_POSITIONS angstrom\n")[2].splitlines()[:nat]
    symbols = [line.split()[0] for line in lines]
    positions = np.array([line.split()[1:] for line in lines], dtype=float)
    for species in re.findall(r"^\w+ [\d.]+ (\S+)$", text, re.M):
        assert (Path(word["pseudo_dir"]) / species).is_file()
    atoms = Atoms(symbols, positions, cell=cell.reshape(3, 3), pbc=True)
    atoms.calc = LennardJones(cutoff_A=2.5)
    say("     Program PWSCF starts")
    if do == "hang":
        time.sleep(1000)
    if do == "die":
        say(f"\n{BOX}\n     Error in routine readpp (1):\n     file not found\n{BOX}\n")
        return 1
    if do == "unconverged":
        say("     convergence NOT achieved after 100 iterations: stopping")
        return 2
    threshold = float(word["conv_thr"].replace("d", "e")) / 2
    stress = -atoms.get_stress(voigt=False) * Bohr**3 / Hartree
    shown = "" if do == "no-stress" else f"<stress>\n{rows(stress)}\n</stress>"
    where = positions + (0.01 if do == "other" else 0.0)
    named = "".join(
        f'<atom name="{s}" index="{i}">{rows([p / Bohr])}</atom>'
        for i, (s, p) in enumerate(zip(symbols, where, strict=True), start=1)
    )
    xml = f"""<?xml version="1.0" encoding="UTF-8"?>
<qes:espresso xmlns:qes="http://www.quantum-espresso.org/ns/qes/qes-1.0">
<input><electron_control><conv_thr>{threshold:.9e}</conv_thr></electron_control></input>
<output><convergence_info><scf_conv><convergence_achieved>true</convergence_achieved>
<scf_error>{threshold * (50 if do == "claims" else 0.5):.9e}</scf_error></scf_conv>
</convergence_info>
<atomic_structure><atomic_positions>{named}</atomic_positions></atomic_structure>
<total_energy><etot>{atoms.get_potential_energy() / Hartree:.15e}</etot></total_energy>
<forces>
{rows(atoms.get_forces() * Bohr / Hartree)}
</forces>
{shown}
</output></qes:espresso>
"""
    folder = Path(word["outdir"]) / f"{word['prefix']}.save"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "charge-density.dat").write_text("density")
    if do != "stale":
        cut = len(xml) // 2 if do == "cut-xml" else None
        (folder / "data-file-schema.xml").write_text(xml[:cut])
    if do != "cut":
        say("=---=\n   JOB DONE.\n=---=")
    return 0


sys.exit(main())
