"""Speaks the language of cp2k_shell (version 2023.1) over Lennard-Jones, and fails when told to.

Arguments: ``--at N`` the evaluation at which ``--do`` happens: ``die`` (an abort as CP2K writes
it), ``hang``, ``unconverged`` (as up to 2023.1: a line in the output), ``abort-unconverged`` (as
from 2024.1), ``garbage``, ``silent`` (no word about the SCF), ``zero-stress``. ``--version`` is
what it says it is.
"""

import argparse
import re
import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms

from mlmd.calculators.models.lennard_jones import LennardJones

ABORT = """\
 *******************************************************************************
 *   ___                                                                       *
 *  /   \\                                                                      *
 * [ABORT]                                                                     *
 *  \\___/   {first:<66} *
 *    |     {second:<66} *
 *  O/|                                                                        *
 * /| |                                                                        *
 * / \\                                          aobasis/basis_set_types.F:1509 *
 *******************************************************************************
"""


class Shell:
    """One method for each command; each returns the lines of its answer."""

    def __init__(self, given):
        self.given, self.count, self.do = given, 0, ""

    def info(self):
        return [f" CP2K| version string:            CP2K version {self.given.version}"]

    def units_ev_a(self):
        return []

    def destroy(self, number):
        return []

    def load(self, path, output):
        text = Path(path).read_text()
        cell = [re.search(rf"^\s*{a} (.*)$", text, re.M)[1].split() for a in "ABC"]
        rows = re.search(r"&COORD\n(.*?)&END", text, re.S)[1].strip().splitlines()
        positions = [[float(x) for x in row.split()[1:]] for row in rows]
        symbols = [row.split()[0] for row in rows]
        self.atoms = Atoms(symbols, positions, cell=np.array(cell, dtype=float), pbc=True)
        self.atoms.calc = LennardJones(cutoff_A=2.5)
        self.goes_on = "IGNORE_CONVERGENCE_FAILURE TRUE" in text
        assert not (self.goes_on and self.given.version < "2024"), "an unknown keyword"
        self.output = Path(output)
        return ["1"]

    def set_cell(self, number):
        cell = [sys.stdin.readline().split() for _ in range(3)]
        self.atoms.set_cell(np.array(cell, dtype=float))
        return []

    def set_pos(self, number):
        count = int(sys.stdin.readline()) // 3
        new = np.array([sys.stdin.readline().split() for _ in range(count)], dtype=float)
        assert sys.stdin.readline().strip() == "*END"
        moved = np.abs(new - self.atoms.positions).max()
        self.atoms.positions[:] = new
        return [f"{moved:.6f}"]

    def eval_ef(self, number):
        self.count += 1
        self.do = do = self.given.do if self.count == self.given.at else ""
        if do == "hang":
            time.sleep(1000)
        said = "  *** SCF run converged in     7 steps ***\n"
        if do in ("unconverged", "abort-unconverged"):
            said = "  Leaving inner SCF loop after reaching     2 steps.\n"
            if do == "unconverged" or self.goes_on:
                said += " *** WARNING in qs_scf.F:598 :: SCF run NOT converged ***\n"
            else:
                said += ABORT.format(
                    first="SCF run NOT converged. To continue the calculation",
                    second="regardless, please set the keyword IGNORE_CONVERGENCE_FAILURE.",
                )
        if do == "die":
            said += ABORT.format(first="The requested basis set was", second="not found")
        with self.output.open("a") as file:
            file.write("" if do == "silent" else said)
        if "[ABORT]" in said:
            sys.exit(1)
        return []

    def get_e(self, number):
        energy = self.atoms.get_potential_energy()
        return ["nonsense" if self.do == "garbage" else f"{energy:.12f}"]

    def get_f(self, number):
        rows = [" ".join(f"{x:.12f}" for x in row) for row in self.atoms.get_forces()]
        return [str(3 * len(rows)), *rows, "* END"]

    def get_stress(self, number):
        # CP2K counts compression as positive.
        stress = -self.atoms.get_stress(voigt=False).ravel() * (self.do != "zero-stress")
        return [" ".join(f"{x:.12f}" for x in stress)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--at", type=int, default=0)
    parser.add_argument("--do", default="")
    parser.add_argument("--version", default="2023.1")
    shell = Shell(parser.parse_args())
    answer = ["noise of a start"]
    while True:
        sys.stdout.write("\n".join([*answer, "* READY", ""]))
        sys.stdout.flush()
        words = sys.stdin.readline().split()
        if not words:
            return
        answer = getattr(shell, words[0].lower())(*words[1:])


main()
