"""What all programs share, seen by a fifth that is a line of Python: options, faults, counting."""

import logging
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from ase import Atoms

from mlmd import CalculatorSpec
from mlmd.calculators.known import KNOWN, Entry
from mlmd.calculators.programs.base import ProgramCalculator, Step
from mlmd.calculators.programs.last_words import last_words
from mlmd.calculators.programs.options import GridSettings, by_symbol, one_of, option, positive
from mlmd.calculators.programs.pseudopotentials import PseudoLibrary
from mlmd.checks import finite_number
from mlmd.errors import CalculatorError, InputError

# Springs to the origin: writes energy, the end of its SCF, and forces.
SPRINGS = """
import sys, numpy
k, words = float(sys.argv[1]), open("positions").read().split()
r = numpy.array(words, dtype=float)
numpy.savetxt("answer", [0.5 * k * (r @ r), float(k > 5.0), *(-k * r)], fmt="%.17g")
"""


@dataclass(frozen=True, kw_only=True)
class SpringSettings(GridSettings):
    stiffness_eV_A2: float = option(1.0, positive("eV/A^2"))
    kind: str = option("soft", one_of("soft", "hard"))
    spin: Mapping | None = option(None, by_symbol(finite_number))


class Springs(ProgramCalculator):
    title, file_name, settings_type = "Springs", "springs", SpringSettings

    def _compute(self, atoms):
        folder = self.program.folder
        self._electrons = folder / "answer"
        np.savetxt(folder / "positions", atoms.positions, fmt="%.17g")
        self.program.run([str(self.settings.stiffness_eV_A2)])
        energy, unconverged, *forces = np.loadtxt(folder / "answer")
        forces = np.reshape(forces, (-1, 3))
        return Step(energy, energy, forces, None, int(unconverged), atoms.positions)

    def _missed(self):
        return "in 1 step; be softer"


@pytest.fixture
def springs(tmp_path, monkeypatch):
    """Make the fifth program."""
    entry = Entry(__name__, "ase", (), None, "", False, "no-springs", ("MLMD_SPRINGS_COMMAND",))
    monkeypatch.setitem(KNOWN, "springs", entry)
    command = shlex.join([sys.executable, "-c", SPRINGS])

    def make(**options):
        spec = CalculatorSpec("springs", options={"command": command, **options})
        return Springs(spec, tmp_path / "run")

    return make


@pytest.fixture
def pair():
    return Atoms("LiCl", [[0.1, 0.0, 0.2], [2.0, 1.0, -0.5]], cell=[6, 7, 8], pbc=True)


def test_energy_and_forces_are_those_of_the_program(springs, pair):
    pair.calc = springs(stiffness_eV_A2=2.0, spin=None)
    assert pair.get_forces() == pytest.approx(-2.0 * pair.positions)
    assert pair.get_potential_energy() == pytest.approx((pair.positions**2).sum())
    assert pair.calc.parameters["stiffness_eV_A2"] == 2.0
    assert "stress" not in pair.calc.results


def test_unconverged_steps_are_refused_and_what_they_left_removed_or_counted(springs, pair, caplog):
    pair.calc = springs(stiffness_eV_A2=6.0)
    with pytest.raises(CalculatorError, match=r"Springs's SCF did not converge in 1 step; be"):
        pair.get_forces()
    assert pair.calc.results == {}
    assert not (pair.calc.program.folder / "answer").exists()
    pair.calc = springs(stiffness_eV_A2=6.0, scf_unconverged="continue")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            pair.positions += 0.01
            pair.get_forces()
    assert pair.calc.n_unconverged_scf == 3
    assert len(caplog.records) == 1


def test_what_is_not_finite_is_no_result(springs, pair):
    pair.positions[0, 0] = 1e200
    pair.calc = springs()
    with pytest.raises(CalculatorError, match="are not finite"):
        pair.get_forces()


def test_a_program_that_fails_is_told_with_its_last_words(springs, pair):
    pair.calc = springs(command=shlex.join([sys.executable, "-c", "raise SystemExit('no more')"]))
    with pytest.raises(CalculatorError, match=r"springs ended with exit code 1; .*no more"):
        pair.get_forces()
    pair.pbc = [True, True, False]
    with pytest.raises(InputError, match="Springs is run periodic in three directions"):
        pair.get_forces()


BACKTRACE = """
Error termination. Backtrace:
#0  0x7f0c8d823960 in ???
#1  0x7f0c8d8244d9 in main
\tat /build/src/main.f90:12
"""
CHATTER = """Gamma-point calculation with interaction between periodic images
Some features might not work optimally:
e.g. DM initialization from atomic data
"""
MPI = """--------------------------------------------------------------------------
MPI_ABORT was invoked on rank 0 in communicator MPI_COMM_WORLD
with errorcode 1.

NOTE: invoking MPI_ABORT causes Open MPI to kill all MPI processes.
You may or may not see output from other processes, depending on
exactly when Open MPI kills them.
--------------------------------------------------------------------------
"""
BOX = """ ---------------------------------------------------------------------
|     EEEEEEE  RRRRRR   RRRRRR   OOOOOOO  RRRRRR      ###     ###     |
|     E        R     R  R     R  O     O  R     R     ###     ###     |
|     Error reading item 'ENCUT' from file INCAR.                     |
|                                                                     |
 ---------------------------------------------------------------------
"""
STEPS = "".join(f"   scf: {n}  -843.75\n" for n in range(1, 9))


@pytest.mark.parametrize(
    ("out", "err", "ended", "says"),
    [
        (
            STEPS,
            f"At line 253 of file ps.f (unit = 10, file = 'Si.psf')\nFortran runtime error: End of "
            f"file\n{BACKTRACE}",
            True,
            "At line 253 of file ps.f (unit = 10, file = 'Si.psf') | Fortran runtime error: End of "
            "file",
        ),
        (
            f"{STEPS}No orbitals for Si\nStopping Program from Node:    0\n",
            CHATTER + BACKTRACE,
            True,
            "No orbitals for Si",
        ),
        (BOX, MPI, True, "Error reading item 'ENCUT' from file INCAR."),
        (
            "%%%%%%%%\n     Error in routine readpp (1):\n     no file\n%%%%%%%%\n",
            "",
            True,
            "Error in routine readpp (1): | no file",
        ),
        (
            STEPS,
            "forrtl: severe (174): SIGSEGV, segmentation fault occurred\n"
            "vasp_std   0000000001AF2CF4  Unknown               Unknown  Unknown\n",
            True,
            "forrtl: severe (174): SIGSEGV, segmentation fault occurred",
        ),
        (
            STEPS,
            "slurmstepd: error: Detected 1 oom_kill event\nsrun: error: n1: task 0: Exited with "
            "exit code 137\n",
            True,
            "slurmstepd: error: Detected 1 oom_kill event",
        ),
        # Nothing says why: what it did last.
        (STEPS, CHATTER + BACKTRACE, True, "scf: 6 -843.75 | scf: 7 -843.75 | scf: 8 -843.75"),
        # One that was at work did not end: a word of its settings is no reason.
        (
            f"abort if it fails: no\n{STEPS}",
            CHATTER,
            False,
            "scf: 6 -843.75 | scf: 7 -843.75 | scf: 8 -843.75",
        ),
    ],
)
def test_the_lines_that_say_why_are_told(tmp_path, out, err, ended, says):
    paths = (tmp_path / "a.out", tmp_path / "a.err")
    for path, text in zip(paths, (out, err), strict=True):
        path.write_text(text)
    named = " and ".join(str(path) for path in paths if path.stat().st_size)
    assert last_words(paths, ended=ended) == f"its last lines: {says} (in {named})"


def test_only_files_that_are_there_are_pointed_to(tmp_path):
    assert last_words((tmp_path / "a.out", tmp_path / "a.err"), ended=True) == "it printed nothing"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"stiffness": 1}, "no option stiffness; it has command, kind, kpoints"),
        ({"stiffness_eV_A2": 0}, "stiffness_eV_A2 is 0; expected a positive number in eV/A"),
        ({"kind": "wet"}, "kind is 'wet'; expected soft or hard"),
        ({"spin": {"Li": "up"}}, "spin of Li is 'up'; expected a number"),
        ({"spin": {"Xy": 1}}, "spin names 'Xy'; expected a chemical symbol"),
        ({"kpoints": [1, 1, 1], "kspacing_per_A": 0.2}, "give one of them"),
        ({"command": None}, "give the option command .*set MLMD_SPRINGS_COMMAND"),
    ],
)
def test_options_are_held_against_their_rules(springs, options, says):
    with pytest.raises(InputError, match=says):
        springs(**options)


def test_a_pseudopotential_is_the_only_one_of_its_element_or_the_plain_one(tmp_path):
    for name in ("Li.pbe.psf", "Li_other.psf", "Cl-a.psml", "Cl.psf", "C.psml", "Cu.txt"):
        (tmp_path / name).write_text(name)
    library = PseudoLibrary.of(str(tmp_path), (".psml", ".psf"), ())
    assert library.file("Cl").name == "Cl-a.psml"  # of the first kind
    assert library.file("C").name == "C.psml"
    with pytest.raises(InputError, match=r"of Li .* found Li.pbe.psf, Li_other.psf"):
        library.file("Li")
    (tmp_path / "Li.psf").write_text("plain")
    assert library.file("Li").name == "Li.psf"
    with pytest.raises(InputError, match=r"of Cu \(.psml or .psf\) .*found none"):
        library.file("Cu")
    given = PseudoLibrary.of({"Li": str(tmp_path / "Li_other.psf")}, (".psf",), ())
    assert given.file("Li").name == "Li_other.psf"
    assert list(given.checksums()) == ["Li"]
    assert PseudoLibrary.of(None, (".psf",), ("MLMD_NO_SUCH_VARIABLE",)) is None
