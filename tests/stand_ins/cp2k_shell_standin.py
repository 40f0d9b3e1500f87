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

import numpy as np
from ase import Atoms

from mlmd.calculators.lennard_jones import LennardJones

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


def load(path):
    text = open(path).read()
    cell = [re.search(rf"^\s*{a} (.*)$", text, re.M)[1].split() for a in "ABC"]
    rows = re.search(r"&COORD\n(.*?)&END", text, re.S)[1].strip().splitlines()
    symbols = [row.split()[0] for row in rows]
    positions = [[float(x) for x in row.split()[1:]] for row in rows]
    return Atoms(symbols, positions, cell=np.array(cell, dtype=float), pbc=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--at", type=int, default=0)
    parser.add_argument("--do", default="")
    parser.add_argument("--version", default="2023.1")
    given = parser.parse_args()
    count, out, atoms = 0, None, None
    read = lambda: sys.stdin.readline().strip()  # noqa: E731

    def say(*lines):
        print(*lines, "* READY", sep="\n", flush=True)

    say("noise of a start")
    while True:
        line = sys.stdin.readline()
        word = line.split()
        if not word or word[0] == "EXIT":
            return 0
        if word[0] == "INFO":
            say(f" CP2K| version string:            CP2K version {given.version}")
        elif word[0] == "LOAD":
            atoms = load(word[1])
            atoms.calc = LennardJones(cutoff_A=2.5)
            unknown = given.version < "2024" and "IGNORE_CONV" in open(word[1]).read()
            assert not unknown, "an unknown keyword"
            go_on = "IGNORE_CONV" in open(word[1]).read()
            out = open(word[2], "a")
            say("1")
        elif word[0] == "SET_CELL":
            cell = [read().split() for _ in range(3)]
            atoms.set_cell(np.array(cell, dtype=float))
            say()
        elif word[0] == "SET_POS":
            new = np.array([read().split() for _ in range(int(read()) // 3)], dtype=float)
            assert read() == "*END"
            moved = np.abs(new - atoms.positions).max()
            atoms.positions[:] = new
            say(f"{moved:.6f}")
        elif word[0] == "EVAL_EF":
            count += 1
            do = given.do if count == given.at else ""
            if do == "hang":
                time.sleep(1000)
            verdict = "  *** SCF run converged in     7 steps ***"
            if do in ("unconverged", "abort-unconverged"):
                verdict = "  Leaving inner SCF loop after reaching     2 steps."
                if do == "unconverged" or go_on:
                    verdict += "\n *** WARNING in qs_scf.F:598 :: SCF run NOT converged ***"
                else:
                    verdict += "\n" + ABORT.format(
                        first="SCF run NOT converged. To continue the calculation",
                        second="regardless, please set the keyword IGNORE_CONVERGENCE_FAILURE.",
                    )
            if do != "silent":
                print(verdict, file=out, flush=True)
            if do == "die":
                text = ABORT.format(first="The requested basis set was", second="not found")
                print(text, file=out, flush=True)
            if do == "die" or (do == "abort-unconverged" and not go_on):
                return 1
            say()
        elif word[0] == "GET_E":
            say("nonsense" if do == "garbage" else f"{atoms.get_potential_energy():.12f}")
        elif word[0] == "GET_F":
            rows = [" ".join(f"{x:.12f}" for x in row) for row in atoms.get_forces()]
            say(str(3 * len(atoms)), *rows, "* END")
        elif word[0] == "GET_STRESS":
            stress = -atoms.get_stress(voigt=False).ravel() * (do != "zero-stress")
            say(" ".join(f"{x:.12f}" for x in stress))
        elif word[0] == "UNITS_EV_A" or word[0] == "DESTROY":
            say()
        else:
            say(f"* ERROR unknown command: {word[0]}, type HELP for help")


sys.exit(main())
