"""CP2K: settings and conversation by a stand-in, physics by the program itself."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from mlmd import CalculatorSpec, Production, Protocol
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.calculators.programs.cp2k.settings import Cp2kSettings, data_file
from mlmd.calculators.programs.cp2k.shell import abort_message
from mlmd.calculators.weights import sha256_of
from mlmd.errors import CalculatorError, InputError
from mlmd.protocol.settings import RunSettings

STAND_IN = Path(__file__).parent / "stand_ins" / "cp2k_shell_standin.py"


def salt(seed: int = 2) -> Atoms:
    """Eight rattled atoms of rock salt LiCl."""
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


def gone(pid: int) -> bool:
    """Tell whether a process and its group are gone."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    return False


# --- by the stand-in


def stand_in(folder: Path, *arguments: str, timeout_s: float | None = None, **options):
    command = shlex.join([sys.executable, str(STAND_IN), *arguments])
    spec = CalculatorSpec("cp2k", options={"command": command, **options}, timeout_s=timeout_s)
    return spec.load(folder)


def test_positions_cell_and_results_keep_order_units_and_sign(tmp_path: Path) -> None:
    """The stand-in computes from what it was told, CP2K's stress with CP2K's sign."""
    atoms = salt()
    atoms.calc = stand_in(tmp_path)
    for step in range(3):
        atoms.rattle(0.05, seed=step)
        atoms.set_cell(atoms.cell * [1.002, 1.0, 0.997], scale_atoms=True)
        reference = atoms.copy()
        reference.calc = LennardJones(cutoff_A=2.5)
        assert atoms.get_potential_energy() == pytest.approx(reference.get_potential_energy())
        assert atoms.get_forces() == pytest.approx(reference.get_forces(), abs=1e-10)
        assert atoms.get_stress() == pytest.approx(reference.get_stress(), abs=1e-10)
    assert len(list(tmp_path.glob("*.inp"))) == 1
    pid = atoms.calc.pid
    atoms.calc.close()
    assert gone(pid)


def test_an_abort_is_told_in_one_line_and_the_next_call_starts_again(tmp_path: Path) -> None:
    atoms = salt()
    atoms.calc = stand_in(tmp_path, "--at", "2", "--do", "die")
    atoms.get_forces()
    first = atoms.calc.pid
    atoms.rattle(0.01)
    with pytest.raises(CalculatorError, match="saying: The requested basis set was not") as caught:
        atoms.get_forces()
    assert "\n" not in str(caught.value)
    assert "F:1509" not in str(caught.value)
    assert atoms.calc.results == {}
    assert gone(first)
    assert np.isfinite(atoms.get_forces()).all()
    assert atoms.calc.pid != first
    atoms.calc.close()


BOX = r"""
 *******************************************************************************
 *   ___                                                                       *
 *  /   \                                                                      *
 * [ABORT]   The requested basis set <NO-BASIS> for element <Li> was not       *
 *  \___/                     found in the basis set files <                   *
 *    |                                                                        *
 *  O/|                        /usr/share/cp2k/BASIS_MOLOPT>                   *
 * /| |                                                                        *
 * / \                                          aobasis/basis_set_types.F:1509 *
 *******************************************************************************


 ===== Routine Calling Stack =====

            2 quickstep_create_force_env
"""


def test_the_whole_text_of_an_abort_is_read() -> None:
    """As CP2K 2023.1 prints it: longer ones begin beside the mark."""
    said = "The requested basis set <NO-BASIS> for element <Li> was not"
    short = BOX.replace(said, " " * len(said))
    rest = "found in the basis set files < /usr/share/cp2k/BASIS_MOLOPT>"
    assert abort_message(f"earlier\n{short}{BOX}") == f"{said} {rest}"
    assert abort_message(short) == rest
    assert abort_message(short.replace("/usr/share/cp2k/BASIS_MOLOPT>", "")) == (
        "found in the basis set files <"
    )
    assert abort_message("SCF run converged in 7 steps") is None


def test_a_program_that_hangs_is_killed(tmp_path: Path) -> None:
    atoms = salt()
    atoms.calc = stand_in(tmp_path, "--at", "2", "--do", "hang", timeout_s=6.0)
    atoms.get_forces()
    pid = atoms.calc.pid
    atoms.rattle(0.01)
    with pytest.raises(CalculatorError, match=r"more than 6 s and was killed; .*; raise timeout_s"):
        atoms.get_forces()
    assert gone(pid)


@pytest.mark.parametrize(
    ("do", "version"), [("unconverged", "2023.1"), ("abort-unconverged", "2024.3")]
)
def test_an_unconverged_step_is_refused_or_counted(tmp_path, do, version, caplog) -> None:
    """Old versions go on with a line in the output, new ones abort unless told otherwise."""
    atoms = salt()
    arguments = ("--at", "2", "--do", do, "--version", version)
    atoms.calc = stand_in(tmp_path / "stop", *arguments)
    atoms.get_forces()
    atoms.rattle(0.01)
    with pytest.raises(CalculatorError, match=r"did not converge.*raise max_scf_steps") as caught:
        atoms.get_forces()
    assert "\n" not in str(caught.value)
    assert atoms.calc.n_unconverged_scf == 0

    atoms.calc = stand_in(tmp_path / "continue", *arguments, scf_unconverged="continue")
    with caplog.at_level(logging.WARNING):
        for step in range(3):
            atoms.rattle(0.01, seed=step)
            assert np.isfinite(atoms.get_forces()).all()
    assert atoms.calc.n_unconverged_scf == 1
    assert len([r for r in caplog.records if "did not converge" in r.message]) == 1
    atoms.calc.close()


@pytest.mark.parametrize(
    ("do", "says"), [("garbage", "answered 'nonsense'"), ("silent", "does not say whether")]
)
def test_what_cannot_be_understood_is_an_error(tmp_path: Path, do: str, says: str) -> None:
    atoms = salt()
    atoms.calc = stand_in(tmp_path, "--at", "1", "--do", do)
    with pytest.raises(CalculatorError, match=says):
        atoms.get_forces()


def test_a_stress_of_zeros_is_none(tmp_path: Path) -> None:
    atoms = salt()
    atoms.calc = stand_in(tmp_path, "--at", "1", "--do", "zero-stress")
    atoms.get_forces()
    assert "stress" not in atoms.calc.results
    atoms.calc.close()


def test_a_jump_starts_anew_and_a_step_does_not(tmp_path: Path) -> None:
    """Extrapolation from another structure's wavefunctions would be a bad guess."""
    atoms = salt()
    atoms.calc = stand_in(tmp_path)
    atoms.get_forces()
    (path,) = tmp_path.glob("cp2k-*.inp")
    first = path.read_text()
    atoms.positions += 0.2
    atoms.get_forces()
    assert path.read_text() == first
    atoms.positions[0] += 1.2
    atoms.get_forces()
    second = path.read_text()
    assert second != first
    atoms.set_cell(atoms.cell * 1.02, scale_atoms=True)
    atoms.get_forces()
    assert path.read_text() != second
    atoms.calc.close()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ecut": 3}, "no option ecut; it has .*basis_set"),
        ({"cutoff_Ry": -1}, "cutoff_Ry is -1; expected a positive number in Ry"),
        ({"max_scf_steps": 2.5}, "max_scf_steps is 2.5; expected a whole number"),
        ({"xc": "SCAN"}, "no GTH potential for xc 'SCAN'"),
        ({"basis_set": {"Xy": "SZV"}}, "basis_set names 'Xy'"),
        ({"spin": 1}, "spin is 1; expected a mapping"),
        ({"scf_unconverged": "ignore"}, "expected stop or continue"),
        ({"command": "no-such-cp2k"}, "program is not found"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(tmp_path: Path, options, says) -> None:
    given = {"command": shlex.join([sys.executable, str(STAND_IN)]), **options}
    with pytest.raises(InputError, match=says) as caught:
        CalculatorSpec("cp2k", options=given).load(tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"inp": "&FORCE_EVAL\n&DFT\n&SCF\nEPS_SCF 1\n&END\n&END\n&END"}, "the option eps_scf"),
        ({"inp": "&FORCE_EVAL\n&DFT\n&END"}, "as many &END as sections"),
        ({"inp": "@INCLUDE other"}, "no line that begins with @"),
        ({"basis_set": {"Li": "SZV-GTH"}}, "no basis_set for Cl; .*those of Li only"),
    ],
)
def test_input_that_cannot_be_made_is_refused(tmp_path: Path, options, says) -> None:
    atoms = salt()
    atoms.calc = stand_in(tmp_path, **options)
    with pytest.raises(InputError, match=says):
        atoms.get_forces()


def test_own_input_and_spin_reach_the_program(tmp_path: Path) -> None:
    atoms = salt()
    inp = "&FORCE_EVAL\n&DFT\n&SCF\nADDED_MOS 8\n&SMEAR\nMETHOD FERMI_DIRAC\n&END\n&END\n&END\n&END"
    atoms.calc = stand_in(tmp_path, inp=inp, spin={"Cl": 1.0}, multiplicity=3, max_scf_steps=70)
    atoms.get_forces()
    (path,) = tmp_path.glob("cp2k-*.inp")
    lines = [line.strip() for line in path.read_text().splitlines()]
    for line in ("ADDED_MOS 8", "UKS TRUE", "MULTIPLICITY 3", "MAX_SCF 70"):
        assert lines.count(line) == 1
    assert lines.count("MAGNETIZATION 1.0") == 1
    assert lines.index("MAGNETIZATION 1.0") > lines.index("&KIND Cl") < lines.index("&KIND Li")
    assert "&OT" not in lines  # orbital transformation has no fractional occupations
    atoms.calc.close()


def test_other_data_files_are_another_physics(tmp_path: Path, monkeypatch) -> None:
    for name in ("BASIS_MOLOPT", "GTH_POTENTIALS"):
        (tmp_path / name).write_text(name)
    monkeypatch.setenv("CP2K_DATA_DIR", str(tmp_path))
    one = CalculatorSpec("cp2k").physics()
    assert one["model"]["data_files"]["BASIS_MOLOPT"] == sha256_of(tmp_path / "BASIS_MOLOPT")
    other = tmp_path / "other"
    shutil.copytree(tmp_path, other)
    assert CalculatorSpec("cp2k").physics() == one
    (other / "BASIS_MOLOPT").write_text("changed")
    monkeypatch.setenv("CP2K_DATA_DIR", str(other))
    assert CalculatorSpec("cp2k").physics() != one
    named = CalculatorSpec("cp2k", options={"basis_set_file": str(tmp_path / "BASIS_MOLOPT")})
    assert named.physics()["model"]["data_files"] == one["model"]["data_files"]


# As CP2K has them: names behind the element, numbers below.
POTENTIALS = """
# LDA
Li GTH-PADE-q3 GTH-LDA-q3 GTH-PADE GTH-LDA
    3
     0.40000000    4   -14.03486849     9.55347551    -1.76648757     0.08437047
    0
#
Li GTH-PBE-q3 GTH-PBE
    3
     0.40000000    4   -14.08115455     9.62621962    -1.78361605     0.08515207
    0
Cl GTH-PBE-q7 GTH-PBE
    2    5
     0.41000000    1    -6.39208181
    0
"""


@pytest.fixture
def potentials(tmp_path: Path, monkeypatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "GTH_POTENTIALS").write_text(POTENTIALS)
    (folder / "BASIS_MOLOPT").write_text("Li SZV-MOLOPT-SR-GTH\n 1\n 2 0 1\n")
    monkeypatch.setenv("CP2K_DATA_DIR", str(folder))
    return folder


KIND = "&FORCE_EVAL\n&SUBSYS\n&KIND Li\n{}\n&END\n&END\n&END"
FUNCTIONAL = "&FORCE_EVAL\n&DFT\n&XC\n&XC_FUNCTIONAL {}\n&END\n&END\n&END\n&END"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, None),
        ({"potential": {"Li": "GTH-PADE-q3", "Cl": "GTH-PBE"}}, "Li, GTH-PADE-Q3, .*LDA; the calc"),
        ({"potential": {"Li": "gth-lda", "Cl": "GTH-PBE"}}, "with LDA; the calculation is PBE"),
        ({"inp": KIND.format("POTENTIAL GTH-LDA-q3")}, "with LDA; the calculation is PBE"),
        ({"xc": "LDA", "potential": "GTH-PBE"}, "with PBE; the calculation is LDA"),
        ({"xc": "LDA", "potential": "GTH-PBE", "other_functional": "continue"}, None),
        ({"xc": "MGGA_X_SCAN MGGA_C_SCAN", "potential": "GTH-PBE"}, None),
        ({"inp": KIND.format("ELEMENT Na")}, "ELEMENT Na of KIND Li is not for you to set"),
        ({"inp": FUNCTIONAL.format("BLYP")}, "functional BLYP is not for you .* the option xc"),
        ({"inp": FUNCTIONAL.format("\n&PBE\nPARAMETRIZATION PBESOL\n&END")}, None),
    ],
)
def test_a_potential_of_another_functional_is_refused(tmp_path, potentials, options, says) -> None:
    atoms = salt()
    atoms.calc = stand_in(tmp_path / "cp2k", **options)
    if says is None:
        assert np.isfinite(atoms.get_forces()).all()
        atoms.calc.close()
        return
    with pytest.raises(InputError, match=says) as caught:
        atoms.get_forces()
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cp2k").glob("*.inp"))
    if "calculation" in says:  # before CP2K is started
        assert not (tmp_path / "cp2k" / "cp2k_shell.out").exists()


def test_identity_has_the_entries_of_the_elements(potentials: Path) -> None:
    spec = CalculatorSpec("cp2k", options={"basis_set": "SZV-MOLOPT-SR-GTH"})
    before, whole = spec.physics(["Li"]), spec.physics()
    assert set(before["model"]["data_files"]["Li"]) == {"BASIS_SET", "POTENTIAL"}
    file = potentials / "GTH_POTENTIALS"
    changed = [
        (POTENTIALS.replace("# LDA", "# Of another day"), True),
        (POTENTIALS.replace("-6.39208181", "-6.5"), True),  # chlorine's
        (POTENTIALS.replace("-14.03486849", "-14.1"), True),  # that of LDA
        (POTENTIALS.replace("-14.08115455", "-14.1"), False),
    ]
    for text, same in changed:
        file.write_text(text)
        assert (spec.physics(["Li"]) == before) == same
        assert spec.physics() != whole
    other = CalculatorSpec("cp2k", options={"basis_set": "SZV-MOLOPT-SR-GTH", "xc": "LDA"})
    found = other.physics(["Li"])["model"]["data_files"]["Li"]
    assert found["POTENTIAL"] != before["model"]["data_files"]["Li"]["POTENTIAL"]


def test_quality_sets_what_is_not_given() -> None:
    double = "DZVP-MOLOPT-SR-GTH"
    wanted = {
        "draft": ("SZV-MOLOPT-SR-GTH", 300.0, 40.0),
        "md": (double, 400.0, 50.0),
        "accurate": (double, 600.0, 60.0),
    }
    for quality, values in wanted.items():
        found = Cp2kSettings.of(CalculatorSpec("cp2k", options={"quality": quality}))
        assert (found.basis_set, found.cutoff_Ry, found.rel_cutoff_Ry) == values
    options = {"quality": "draft", "basis_set": double}
    found = Cp2kSettings.of(CalculatorSpec("cp2k", options=options))
    assert (found.basis_set, found.cutoff_Ry) == (double, 300.0)
    assert Cp2kSettings.of(CalculatorSpec("cp2k")).cutoff_Ry == 400.0


# --- by CP2K itself

real = [
    pytest.mark.slow,
    pytest.mark.dft,
    pytest.mark.skipif(
        shutil.which("cp2k_shell") is None or data_file("BASIS_MOLOPT") is None,
        reason="needs CP2K and its data files (Debian: cp2k, cp2k-data)",
    ),
]
# A minimal basis is quick; Li with its 1s electrons needs the cutoff.
SMALL = {"basis_set": "SZV-MOLOPT-SR-GTH", "cutoff_Ry": 300, "rel_cutoff_Ry": 40}


def cp2k(folder: Path, timeout_s: float | None = 600.0, **options):
    spec = CalculatorSpec("cp2k", options={**SMALL, **options}, timeout_s=timeout_s)
    return spec.load(folder)


@pytest.fixture(scope="module")
def calculator(tmp_path_factory):
    """CP2K, kept for several tests."""
    made = cp2k(tmp_path_factory.mktemp("cp2k"))
    yield made
    made.close()


class TestReal:
    pytestmark = real

    def test_forces_and_stress_are_derivatives_of_the_energy(self, calculator) -> None:
        atoms = salt()
        atoms.calc = calculator
        forces, stress = atoms.get_forces(), atoms.get_stress()
        step_A = 0.01
        for atom, axis in ((0, 2), (5, 2)):
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * step_A
                moved.calc = calculator
                energies.append(moved.get_potential_energy())
            numerical = -(energies[0] - energies[1]) / (2 * step_A)
            assert abs(numerical) > 0.3
            # What is left is the grid: 4e-4 eV/A at 300 Ry.
            assert forces[atom, axis] == pytest.approx(numerical, abs=3e-3)
        strain = 2e-3
        for voigt, (i, j) in {0: (0, 0), 3: (1, 2)}.items():
            energies = []
            for sign in (1, -1):
                tensor = np.eye(3)
                tensor[i, j] += sign * strain / (1 if i == j else 2)
                tensor[j, i] = tensor[i, j]
                strained = atoms.copy()
                strained.set_cell(atoms.cell.array @ tensor, scale_atoms=True)
                strained.calc = calculator
                energies.append(strained.get_potential_energy())
            numerical = (energies[0] - energies[1]) / (2 * strain * atoms.get_volume())
            assert abs(numerical) > 0.004
            assert stress[voigt] == pytest.approx(numerical, abs=1e-4)

    def test_stress_is_positive_under_tension(self, calculator) -> None:
        pressure = {}
        for name, a in {"tension": 6.2, "compression": 4.5}.items():
            atoms = bulk("LiCl", "rocksalt", a=a, cubic=True)
            atoms.calc = calculator
            pressure[name] = atoms.get_stress()[:3].mean()
        assert pressure["tension"] > 0.005 > -0.005 > pressure["compression"]

    def test_unconverged_is_refused_or_counted(self, tmp_path: Path, caplog) -> None:
        atoms = salt()
        atoms.calc = cp2k(tmp_path / "stop", max_scf_steps=2)
        with pytest.raises(CalculatorError, match=r"did not converge to 1e-06 in 2 steps"):
            atoms.get_forces()
        assert not list((tmp_path / "stop").glob("*.wfn"))
        atoms.calc = cp2k(tmp_path / "continue", max_scf_steps=2, scf_unconverged="continue")
        atoms.get_forces()
        assert atoms.calc.n_unconverged_scf == 1
        assert "did not converge" in caplog.text
        atoms.calc.close()

    def test_killed_it_is_an_error_and_the_next_call_works(self, tmp_path: Path) -> None:
        atoms = salt()
        atoms.calc = cp2k(tmp_path)
        energy, pid = atoms.get_potential_energy(), atoms.calc.pid
        os.kill(pid, signal.SIGKILL)
        atoms.positions[0, 0] += 1e-3
        with pytest.raises(CalculatorError, match="was killed by SIGKILL"):
            atoms.get_forces()
        atoms.positions[0, 0] -= 1e-3
        # From the wavefunctions in the file: the same energy, to the square of eps_scf.
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-7)
        assert gone(pid)
        # A wavefunction file that was being written when the machine went down.
        atoms.calc.close()
        (file,) = tmp_path.glob("*.wfn")
        file.write_bytes(file.read_bytes()[:1000])
        atoms.calc = cp2k(tmp_path)
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-7)
        atoms.calc.close()

    def test_hung_it_is_killed(self, tmp_path: Path) -> None:
        atoms = salt()
        atoms.calc = cp2k(tmp_path, timeout_s=300.0)
        atoms.get_forces()
        pid = atoms.calc.pid
        atoms.calc._running.program = replace(atoms.calc.program, timeout_s=2.0)
        os.kill(pid, signal.SIGSTOP)
        atoms.rattle(0.01)
        with pytest.raises(CalculatorError, match="more than 2 s and was killed"):
            atoms.get_forces()
        assert gone(pid)

    def test_a_killed_run_goes_on_to_where_an_uninterrupted_one_ends(self, tmp_path: Path) -> None:
        """To the SCF tolerance: forces within 1e-4 eV/A give positions within 1e-4 A in 8 steps."""
        code = (
            "import sys; sys.path.insert(0, sys.argv[2])\n"
            "from test_calculators_cp2k import run_md; run_md(sys.argv[1])"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "killed"), str(Path(__file__).parent)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        deadline = time.monotonic() + 600
        checkpoint = tmp_path / "killed" / "01-production" / "checkpoint.npz"
        while not (checkpoint.exists() and steps_done(checkpoint) >= 4):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.wait()
        assert steps_done(checkpoint) < 8
        resumed = run_md(tmp_path / "killed").trajectory("production")
        whole = run_md(tmp_path / "whole").trajectory("production")
        assert len(resumed) == len(whole) == 9
        moved = np.abs(whole.positions_A[-1] - whole.positions_A[0]).max()
        assert moved > 0.05
        assert np.abs(resumed.positions_A - whole.positions_A).max() < 1e-4
        assert resumed.energies_eV == pytest.approx(whole.energies_eV, abs=1e-4)


def run_md(folder):
    """Eight steps of ab initio dynamics, each of them recorded and checkpointed."""
    stage = Production(
        name="production",
        temperature_K=1000,
        duration_ps=0.016,
        timestep_fs=2.0,
        record_every_fs=2,
    )
    spec = CalculatorSpec("cp2k", options=SMALL)
    return Protocol(name="aimd", stages=(stage,)).run(
        salt(), spec, folder, seed=1, settings=RunSettings(checkpoint_every_s=0.001)
    )


def steps_done(checkpoint: Path) -> int:
    import json

    with np.load(checkpoint) as data:
        return int(json.loads(str(data["plain"]))["nsteps"])
