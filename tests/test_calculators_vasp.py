"""VASP through a stand-in that computes Lennard-Jones: order, units, faults, dialogue."""

import contextlib
import hashlib
import json
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet

from mlmd import CalculatorSpec, load_calculator
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.calculators.programs.process import Program
from mlmd.calculators.programs.vasp.reading import read_step
from mlmd.calculators.programs.vasp.settings import VaspSettings
from mlmd.dynamics.kinetics import draw_momenta
from mlmd.errors import CalculatorError, InputError

STAND_IN = Path(__file__).parent / "stand_ins" / "vasp"
COMMAND = f"{shlex.quote(sys.executable)} {shlex.quote(str(STAND_IN))}"
SETUPS = ("Li_sv", "Cl", "P")


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    """POTCARs that hold little more than their TITEL, and the stand-in as the command."""
    for name in SETUPS:
        write_potcar(tmp_path / "pp" / "potpaw_PBE", name)
    monkeypatch.setenv("VASP_PP_PATH", str(tmp_path / "pp"))
    monkeypatch.setenv("MLMD_VASP_COMMAND", COMMAND)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setattr("mlmd.calculators.programs.process.GRACE_S", 0.5)
    for name in ("VASP_PP_VERSION", "ASE_VASP_COMMAND", "VASP_COMMAND", "MLMD_STAND_IN"):
        monkeypatch.delenv(name, raising=False)


def write_potcar(family, name, date="10Sep2004", kind="PAW_PBE", lexch=None, vrhfin=None):
    folder = family / name
    folder.mkdir(parents=True, exist_ok=True)
    tag = "" if lexch is None else f"   LEXCH  = {lexch}\n"
    (folder / "POTCAR").write_text(
        f"  {kind} {name} {date}\n   4.0\n parameters from PSCTR are:\n"
        f"   VRHFIN ={vrhfin or name.split('_')[0]}: s1\n{tag}   TITEL  = {kind} {name} {date}\n"
        "   ENMAX  =  300.000; ENMIN  =  200.000 eV\n End of Dataset\n"
    )


@pytest.fixture
def melt():
    """27 atoms of three elements, one beside the other, in a triclinic cell."""
    grid = np.stack(np.meshgrid(*[np.arange(3) / 3] * 3), -1).reshape(-1, 3)
    atoms = Atoms(
        "LiClP" * 9,
        cell=[[10.2, 0, 0], [1.5, 10.0, 0], [-1.0, 0.8, 10.4]],
        scaled_positions=grid,
        pbc=True,
    )
    atoms.rattle(0.2, seed=4)
    return atoms


def vasp(directory, **options):
    return load_calculator("vasp", directory=directory, **options)


def read_incar(directory):
    lines = (directory / "INCAR").read_text().splitlines()
    return dict(line.split(" = ", 1) for line in lines)


def assert_is_lennard_jones(atoms):
    """Digits are those of OUTCAR: 1e-6 eV/A, 1e-8 eV, 1e-5 kB."""
    exact = atoms.copy()
    exact.calc = LennardJones()
    assert np.abs(exact.get_forces()).max() > 0.01
    assert atoms.get_forces() == pytest.approx(exact.get_forces(), abs=6e-7)
    assert atoms.get_potential_energy(force_consistent=True) == pytest.approx(
        exact.get_potential_energy(), abs=1e-8
    )
    assert atoms.get_stress() == pytest.approx(exact.get_stress(), abs=1e-8)
    assert len(set(np.round(exact.get_stress(), 6))) == 6  # a wrong order of them is seen


@pytest.mark.parametrize("mode", ["single", "interactive"])
def test_forces_energy_and_stress_come_back_in_the_order_of_the_atoms(melt, tmp_path, mode):
    melt.calc = vasp(tmp_path / "vasp", mode=mode)
    assert_is_lennard_jones(melt)
    melt.positions += np.random.default_rng(3).normal(0, 0.05, (27, 3))
    melt.positions[4] += melt.cell[0] - 2 * melt.cell[2]  # unwrapped, as dynamics has them
    assert_is_lennard_jones(melt)
    melt.set_cell(melt.cell.array * 1.01, scale_atoms=True)
    assert_is_lennard_jones(melt)
    melt.calc.close()


def test_a_left_handed_cell_is_the_same_structure(melt, tmp_path):
    melt.calc = LennardJones()
    forces, stress = melt.get_forces(), melt.get_stress()
    melt.set_cell(melt.cell.array[[1, 0, 2]])
    assert np.linalg.det(melt.cell.array) < 0
    melt.calc = vasp(tmp_path)
    assert melt.get_forces() == pytest.approx(forces, abs=6e-7)
    assert melt.get_stress() == pytest.approx(stress, abs=1e-8)


def test_energy_is_that_without_smearing_and_free_energy_is_what_forces_derive_from(melt, tmp_path):
    melt.calc = vasp(tmp_path)
    entropy_eV = 0.27 * (1 + 0.5 * np.cos(2 * np.pi * melt.get_scaled_positions(wrap=False)[0, 0]))
    free_eV = melt.get_potential_energy(force_consistent=True)
    assert melt.get_potential_energy() == pytest.approx(free_eV + entropy_eV / 2, abs=2e-8)


def test_the_files_are_vasps_own_for_the_readers_that_people_use(melt, tmp_path):
    melt.calc = vasp(tmp_path, kspacing_per_A=0.4)
    melt.get_forces()
    order = np.argsort([["Li", "Cl", "P"].index(s) for s in melt.symbols], kind="stable")
    for name, digits in (("vasprun.xml", 1e-8), ("OUTCAR", 6e-7)):
        read = ase.io.read(tmp_path / name)
        assert (read.numbers == melt.numbers[order]).all()
        assert read.get_forces() == pytest.approx(melt.get_forces()[order], abs=digits + 6e-7)
        assert read.get_stress() == pytest.approx(melt.get_stress(), abs=1e-8)
        assert read.get_potential_energy() == pytest.approx(melt.get_potential_energy(), abs=2e-8)
        assert read.calc.results["free_energy"] == pytest.approx(
            melt.calc.results["free_energy"], abs=2e-8
        )


@pytest.mark.filterwarnings("ignore")
def test_pymatgen_reads_the_files_and_judges_convergence_alike(melt, tmp_path, monkeypatch):
    outputs = pytest.importorskip("pymatgen.io.vasp.outputs", reason="needs pymatgen")
    monkeypatch.setenv("MLMD_STAND_IN", "converge_fail:2")
    melt.calc = vasp(tmp_path, scf_unconverged="continue", incar={"NELM": 30})
    for unconverged in (0, 1):
        melt.positions += 0.01
        melt.get_forces()
        read = outputs.Vasprun(
            tmp_path / "vasprun.xml", parse_dos=False, parse_eigen=False, parse_potcar_file=False
        )
        assert read.converged_electronic == (unconverged == 0)
        assert read.final_energy == pytest.approx(melt.get_potential_energy(), abs=1e-7)
        assert melt.calc.n_unconverged_scf == unconverged
    outcar = outputs.Outcar(tmp_path / "OUTCAR")
    assert outcar.final_fr_energy == pytest.approx(melt.calc.results["free_energy"], abs=1e-7)
    steps = outputs.Oszicar(tmp_path / "OSZICAR").electronic_steps
    assert [len(step) for step in steps] == [30]


def test_a_real_outcar_is_read_like_ase_reads_it():
    folder = Path(ase.io.__file__).parent.parent / "test" / "testdata" / "vasp"
    if not (folder / "OUTCAR_example_1").is_file():
        pytest.skip("this ASE has no test data")
    expected = ase.io.read(folder / "OUTCAR_example_1", format="vasp-out")
    step = read_step((folder / "OUTCAR_example_1").read_text(), 18, nelm=120)
    assert step.free_energy_eV == -68.22868532
    assert step.energy_eV == pytest.approx(expected.get_potential_energy())
    assert step.forces_eV_A == pytest.approx(expected.get_forces())
    assert step.stress_eV_A3 == pytest.approx(expected.get_stress())
    assert step.n_unconverged == 0


def test_convergence_is_judged_in_every_wording():
    folder = Path(ase.io.__file__).parent.parent / "test" / "testdata" / "vasp"
    if not (folder / "OUTCAR_example_1").is_file():
        pytest.skip("this ASE has no test data")
    text = (folder / "OUTCAR_example_1").read_text()
    silent = text.replace("aborting loop because EDIFF is reached", "")
    missed = text.replace("because EDIFF is reached", "EDIFF was not reached (unconverged)")
    assert read_step(silent, 18, nelm=64).n_unconverged == 0
    assert read_step(silent, 18, nelm=63).n_unconverged == 1  # VASP 5 at NELM
    assert read_step(missed, 18, nelm=120).n_unconverged == 1


def test_columns_that_touch_or_overflow():
    folder = Path(ase.io.__file__).parent.parent / "test" / "testdata" / "vasp"
    if not (folder / "OUTCAR_example_1").is_file():
        pytest.skip("this ASE has no test data")
    text = (folder / "OUTCAR_example_1").read_text()
    touching = text.replace("    -4.29429    -4.58894", "-12345.29429-12345.58894")
    stress = read_step(touching, 18, nelm=120).stress_eV_A3
    assert stress[:2] / units.GPa == pytest.approx([1234.529429, 1234.558894])
    stars = text.replace("-4.29429    -4.58894", "************    -4.58894")
    with pytest.raises(CalculatorError, match="not finite"):
        read_step(stars, 18, nelm=120)


def velocity_verlet(melt, calculator, n_steps):
    """Return positions at the end and the total energy at each step."""
    atoms = melt.copy()
    draw_momenta(atoms, 300.0, np.random.default_rng(2))
    atoms.calc = calculator
    energies = []
    dynamics = VelocityVerlet(atoms, timestep=2 * units.fs)
    for _ in dynamics.irun(n_steps):
        potential = atoms.get_potential_energy(force_consistent=True)
        energies.append(potential + atoms.get_kinetic_energy())
    return atoms.positions, np.array(energies)


def test_dynamics_conserves_energy_as_lennard_jones_does(melt, tmp_path):
    exact_positions, exact_energies = velocity_verlet(melt, LennardJones(), 40)
    calculator = vasp(tmp_path, mode="interactive")
    positions, energies = velocity_verlet(melt, calculator, 40)
    calculator.close()
    # Differences are the digits of OUTCAR (5e-7 eV/A), far below the integrator's own.
    assert np.ptp(exact_energies) < 2e-3
    assert energies == pytest.approx(exact_energies, abs=1e-6)
    assert positions == pytest.approx(exact_positions, abs=1e-6)


def test_both_modes_are_the_same_dynamics(melt, tmp_path):
    calculators = [vasp(tmp_path / mode, mode=mode) for mode in ("single", "interactive")]
    (single, single_eV), (inter, inter_eV) = [velocity_verlet(melt, c, 6) for c in calculators]
    calculators[1].close()
    assert single == pytest.approx(inter, abs=1e-6)
    assert single_eV == pytest.approx(inter_eV, abs=1e-6)


def test_incar_is_one_point_without_symmetry_and_wavefunctions_are_kept(melt, tmp_path):
    melt.calc = vasp(tmp_path, encut_eV=400, incar={"ncore": 4, "IVDW": 12, "LREAL": False})
    melt.get_forces()
    incar = read_incar(tmp_path)
    assert {k: incar[k] for k in ("NSW", "IBRION", "ISIF", "ISYM")} == {
        "NSW": "0",
        "IBRION": "-1",
        "ISIF": "2",
        "ISYM": "0",
    }
    assert (incar["ISTART"], incar["ICHARG"], incar["LWAVE"]) == ("0", "2", ".TRUE.")
    assert float(incar["EDIFF"]) == pytest.approx(2.7e-6)  # 27 atoms; 1e-5 from 100 atoms on
    assert (incar["GGA"], incar["ENCUT"], incar["ISPIN"]) == ("PE", "400.0", "1")
    assert (incar["NCORE"], incar["IVDW"], incar["LREAL"]) == ("4", "12", ".FALSE.")
    assert (tmp_path / "KPOINTS").read_text().split()[2:6] == ["Gamma", "1", "1", "1"]
    poscar = ase.io.read(tmp_path / "POSCAR")
    assert str(poscar.symbols) == "Li9Cl9P9"


def test_spin_moments_and_lists_by_element_follow_vasps_order(melt, tmp_path):
    melt.set_initial_magnetic_moments([0.5, 0, 2.0] * 9)
    tags = {"LDAU": True, "LDAUU": {"P": 3.0, "Li": 1.0, "Cl": 2.0}}
    melt.calc = vasp(tmp_path, spin=True, incar=tags, xc="r2SCAN", ediff_eV=1e-7)
    melt.get_forces()
    incar = read_incar(tmp_path)
    assert incar["MAGMOM"].split() == ["0.5"] * 9 + ["0.0"] * 9 + ["2.0"] * 9
    assert incar["LDAUU"] == "1.0 2.0 3.0"
    assert (incar["METAGGA"], incar["ALGO"], incar["LASPH"]) == ("R2SCAN", "All", ".TRUE.")
    assert float(incar["EDIFF"]) == 1e-7


def scf_steps(directory):
    return (directory / "OSZICAR").read_text().count("DAV:")


def test_wavefunctions_are_reused_by_a_new_calculator_and_old_results_are_not(melt, tmp_path):
    melt.calc = vasp(tmp_path)
    melt.get_forces()
    assert scf_steps(tmp_path) == 9
    melt.rattle(0.05, seed=1)
    melt.calc = vasp(tmp_path)  # as after a restart of the run
    assert_is_lennard_jones(melt)
    assert scf_steps(tmp_path) == 4
    incar = read_incar(tmp_path)
    assert (incar["ISTART"], incar["ICHARG"]) == ("1", "1")


def test_wavefunctions_of_other_atoms_or_half_written_ones_are_not_reused(melt, tmp_path):
    melt.calc = vasp(tmp_path)
    melt.get_forces()
    other = melt[[i for i in range(27) if melt[i].symbol != "P"]]
    other.calc = melt.calc
    assert_is_lennard_jones(other)
    assert scf_steps(tmp_path) == 9
    # Killed while VASP writes: the record of whole files is gone since the call began.
    (tmp_path / "wavefunctions.json").unlink()
    (tmp_path / "WAVECAR").write_text("Li Cl\n1")
    other.rattle(0.01, seed=1)
    assert_is_lennard_jones(other)
    assert scf_steps(tmp_path) == 9


def test_interactive_mode_is_one_process_and_leaves_its_wavefunctions(melt, tmp_path):
    melt.calc = vasp(tmp_path, mode="interactive")
    melt.get_forces()
    incar = read_incar(tmp_path)
    assert (incar["IBRION"], incar["ISIF"], incar["ISYM"]) == ("11", "2", "0")
    pid = vasp_pid(tmp_path)
    melt.rattle(0.01, seed=1)
    melt.get_forces()
    assert vasp_pid(tmp_path) == pid
    assert not (tmp_path / "WAVECAR").exists()
    melt.set_cell(melt.cell.array * 1.001, scale_atoms=True)
    assert_is_lennard_jones(melt)
    assert vasp_pid(tmp_path) != pid
    assert read_incar(tmp_path)["ISTART"] == "1"
    assert scf_steps(tmp_path) == 4
    last = vasp_pid(tmp_path)
    melt.calc = None  # nobody refers to the calculator: its process ends, with its WAVECAR
    assert not is_alive(last)
    assert (tmp_path / "OSZICAR").read_text().count(" F= ") == 1  # it made no step for nothing
    melt.calc = vasp(tmp_path)
    melt.get_forces()
    assert read_incar(tmp_path)["ISTART"] == "1"


def test_interactive_mode_starts_anew_before_vasp_has_made_all_its_steps(
    melt, tmp_path, monkeypatch
):
    monkeypatch.setattr("mlmd.calculators.programs.vasp.dialogue.INTERACTIVE_STEPS", 3)
    monkeypatch.setattr("mlmd.calculators.programs.vasp.settings.INTERACTIVE_STEPS", 3)
    melt.calc = vasp(tmp_path, mode="interactive")
    pids = []
    for seed in range(5):
        melt.rattle(0.01, seed=seed)
        assert_is_lennard_jones(melt)
        pids.append(vasp_pid(tmp_path))
    melt.calc.close()
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 1]


def vasp_pid(directory):
    return json.loads((directory / "vasp.pid").read_text())["pid"]


def is_alive(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@pytest.mark.parametrize("mode", ["single", "interactive"])
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("crash", "exit code 1.*ZHEGV"),
        ("truncate", "truncated|not complete"),
        ("few_atoms", "26 atoms; expected 27"),
        ("silent", "truncated OUTCAR|exit code 0"),
        ("converge_fail", r"did not converge in 12 steps \(NELM\).*raise NELM"),
    ],
)
def test_a_fault_is_one_line_and_the_next_call_works(
    melt, tmp_path, monkeypatch, mode, fault, says
):
    monkeypatch.setattr("mlmd.calculators.programs.vasp.dialogue.FLUSH_LIMIT_S", 0.2)
    monkeypatch.setenv("MLMD_STAND_IN", f"{fault}:2")
    melt.calc = vasp(tmp_path, mode=mode, incar={"NELM": 12}, timeout_s=60)
    melt.get_forces()
    melt.rattle(0.05, seed=1)
    with pytest.raises(CalculatorError, match=says) as caught:
        melt.get_forces()
    assert "\n" not in str(caught.value)
    assert not melt.calc.results
    assert not is_alive(vasp_pid(tmp_path))
    assert_is_lennard_jones(melt)
    assert scf_steps(tmp_path) == 9  # its wavefunctions may be damaged
    melt.calc.close()


@pytest.mark.parametrize("mode", ["single", "interactive"])
def test_a_program_that_hangs_is_killed_in_time(melt, tmp_path, monkeypatch, mode):
    monkeypatch.setenv("MLMD_STAND_IN", "hang")
    melt.calc = vasp(tmp_path, mode=mode, timeout_s=1.5)
    begun = time.monotonic()
    says = r"vasp.* (took more|gave no forces).* 1\.5 s.* killed"
    with pytest.raises(CalculatorError, match=says) as caught:
        melt.get_forces()
    assert time.monotonic() - begun < 60  # the stand-in would hang for an hour
    assert "\n" not in str(caught.value)
    assert not is_alive(vasp_pid(tmp_path))
    monkeypatch.delenv("MLMD_STAND_IN")
    melt.calc = vasp(tmp_path, mode=mode, timeout_s=60)
    assert_is_lennard_jones(melt)


def test_unconverged_steps_are_counted_and_said_once(melt, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLMD_STAND_IN_VASP5", "1")
    melt.calc = vasp(tmp_path, scf_unconverged="continue", incar={"NELM": 8}, mode="interactive")
    assert melt.calc.n_unconverged_scf == 0
    with caplog.at_level(logging.WARNING):
        for seed, fault in enumerate(["converge_fail:1", "", "converge_fail:3"]):
            melt.calc.close()  # so that the new environment is seen
            monkeypatch.setenv("MLMD_STAND_IN", fault)
            melt.rattle(0.01, seed=seed)
            assert_is_lennard_jones(melt)
    melt.calc.close()
    assert melt.calc.n_unconverged_scf == 2
    assert len([r for r in caplog.records if "did not converge" in r.message]) == 1


def test_output_of_the_call_before_is_not_read_again(melt, tmp_path):
    melt.calc = vasp(tmp_path)
    melt.get_forces()
    melt.calc = vasp(tmp_path, command="true")  # the same positions, and nothing is written
    with pytest.raises(CalculatorError, match="no OUTCAR"):
        melt.get_forces()


def test_output_of_another_structure_is_not_taken_for_a_result(melt, tmp_path, monkeypatch):
    melt.calc = vasp(tmp_path / "one")
    melt.get_forces()
    shutil.copy(tmp_path / "one" / "OUTCAR", tmp_path / "old")
    code = f"import shutil; shutil.copy({str(tmp_path / 'old')!r}, 'OUTCAR')"
    monkeypatch.setenv("MLMD_VASP_COMMAND", shlex.join([sys.executable, "-c", code]))
    melt.calc = vasp(tmp_path / "two")
    melt.get_forces()
    melt.positions[3, 1] += 0.1
    with pytest.raises(CalculatorError, match=r"one is 0\.1 A from where it was put"):
        melt.get_forces()


def test_a_program_left_by_a_killed_run_is_ended_before_the_next(melt, tmp_path):
    code = (
        "import sys, pathlib; from mlmd.calculators.programs.process import Program; "
        "Program('vasp', ('sleep', '600'), pathlib.Path(sys.argv[1])).start(); "
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    pid = vasp_pid(tmp_path)
    assert is_alive(pid)
    melt.calc = vasp(tmp_path)
    assert_is_lennard_jones(melt)
    for _ in range(100):  # its new parent reaps it
        if not is_alive(pid) or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.02)
    raise AssertionError("the old program is still there")


def test_a_program_of_a_living_process_is_left_alone(tmp_path):
    process = Program("vasp", ("sleep", "60"), tmp_path).start()
    code = (
        "import sys, pathlib; from mlmd.calculators.programs.process import Program; "
        "Program('vasp', ('true',), pathlib.Path(sys.argv[1])).run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert "is at work in" in done.stderr
    assert process.poll() is None
    process.kill()
    process.wait()


def test_a_timeout_ends_the_children_of_the_program_too(tmp_path):
    script = "trap '' TERM; sleep 600 & echo $! > child; wait"
    with pytest.raises(CalculatorError, match=r"took more than 0\.5 s and was killed"):
        Program("vasp", ("bash", "-c", script), tmp_path, timeout_s=0.5).run()
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        stat = Path(f"/proc/{child}/stat")
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            return
        time.sleep(0.02)
    raise AssertionError("a child of the program outlived it")


def test_an_interrupt_leaves_no_program_behind(melt, tmp_path, monkeypatch):
    monkeypatch.setenv("MLMD_STAND_IN", "hang")
    melt.write(tmp_path / "melt.traj")
    # A shell starts what runs in the background deaf to SIGINT, and children inherit that.
    code = (
        "import signal, sys, ase.io; from mlmd import load_calculator; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "atoms = ase.io.read(sys.argv[1] + '/melt.traj'); "
        "atoms.calc = load_calculator('vasp', directory=sys.argv[1]); atoms.get_forces()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE)
    until = time.monotonic() + 20
    while b"DAV" not in last_output(tmp_path) and time.monotonic() < until:
        time.sleep(0.05)
    pid = vasp_pid(tmp_path)
    assert is_alive(pid)
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=20)[1]
    assert not is_alive(pid)


def last_output(directory):
    with contextlib.suppress(FileNotFoundError):
        return (directory / "vasp.out").read_bytes()
    return b""


def test_potcars_are_on_record_and_may_not_change(melt, tmp_path):
    family = tmp_path / "pp" / "potpaw_PBE"
    melt.calc = vasp(tmp_path / "vasp")
    melt.get_forces()
    record = json.loads((tmp_path / "vasp" / "potcars.json").read_text())
    content = (family / "Li_sv" / "POTCAR").read_bytes()
    assert record["Li"] == {
        "name": "Li_sv",
        "titel": "PAW_PBE Li_sv 10Sep2004",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    shutil.rmtree(family / "Li_sv")
    write_potcar(family, "Li_sv", date="23Jan2001")
    melt.calc = vasp(tmp_path / "vasp")
    with pytest.raises(InputError, match=r"POTCAR of Li .*began with 'PAW_PBE Li_sv 10Sep2004'"):
        melt.get_forces()


def test_setups_and_version_choose_the_potcar(melt, tmp_path, monkeypatch):
    family = tmp_path / "pp" / "potpaw_PBE.54"
    for name in ("Li", "Cl_h", "P"):
        write_potcar(family, name)
    monkeypatch.setenv("VASP_PP_VERSION", "54")
    melt.calc = vasp(tmp_path, setups={"Li": "", "Cl": "Cl_h"})
    melt.get_forces()
    record = json.loads((tmp_path / "potcars.json").read_text())
    assert [record[s]["name"] for s in ("Li", "Cl", "P")] == ["Li", "Cl_h", "P"]
    identity = CalculatorSpec("vasp", options={"setups": {"Li": "Li"}}).physics()["model"]
    assert identity["pseudopotentials"] == "potpaw_PBE.54"
    assert (identity["setups"]["Li"], identity["setups"]["Ti"]) == ("Li", "Ti_sv")


@pytest.mark.parametrize(
    ("potcar", "options", "says"),
    [
        ({"lexch": "CA"}, {}, "Cl, .*/Cl/POTCAR, was made with LDA; the calculation is PBE: give"),
        ({"kind": "PAW"}, {}, "made with LDA; the calculation is PBE"),
        ({"kind": "PAW_GGA", "lexch": "91"}, {}, "made with PW91; the calculation is PBE"),
        ({"lexch": "PE"}, {"incar": {"gga": "CA"}}, "Li, .* made with PBE; the calculation is LDA"),
        ({"vrhfin": "Br"}, {}, "Cl/POTCAR is of Br; expected one of Cl"),
        ({"lexch": "CA"}, {"other_functional": "continue"}, None),
        ({"lexch": "PE"}, {"xc": "PBEsol"}, None),
    ],
)
def test_a_potcar_of_another_functional_or_element_is_refused(
    melt, tmp_path, potcar, options, says
):
    write_potcar(tmp_path / "pp" / "potpaw_PBE", "Cl", **potcar)
    melt.calc = vasp(tmp_path / "vasp", **options)
    if says is None:
        assert_is_lennard_jones(melt)
        return
    with pytest.raises(InputError, match=says) as caught:
        melt.get_forces()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "vasp" / "OUTCAR").exists()


def test_a_file_of_two_pseudopotentials_is_refused(melt, tmp_path):
    folder = tmp_path / "pp" / "potpaw_PBE"
    both = (folder / "Cl" / "POTCAR").read_text() + (folder / "P" / "POTCAR").read_text()
    (folder / "Cl" / "POTCAR").write_text(both)
    melt.calc = vasp(tmp_path / "vasp")
    with pytest.raises(InputError, match="holds 2 pseudopotentials; expected one, of Cl"):
        melt.get_forces()


def test_identity_has_the_potcars_of_the_elements_and_the_settings(tmp_path):
    family = tmp_path / "pp" / "potpaw_PBE"
    spec = CalculatorSpec("vasp", options={"encut_eV": 350})
    before = spec.physics(["Cl", "Li", "Cl"])
    content = {
        "Cl": (family / "Cl/POTCAR").read_bytes(),
        "Li": (family / "Li_sv/POTCAR").read_bytes(),
    }
    found = before["model"]["pseudopotentials"]
    assert found == {symbol: hashlib.sha256(b).hexdigest() for symbol, b in content.items()}
    assert before["model"]["settings"]["encut_eV"] == 350
    write_potcar(family, "P", date="23Jan2001")
    assert spec.physics(["Cl", "Li"]) == before
    write_potcar(family, "Cl", date="23Jan2001")
    assert spec.physics(["Cl", "Li"]) != before


def test_quality_sets_what_is_not_given():
    wanted = {
        "draft": ("Low", None, None),
        "md": ("Normal", None, 0.7),
        "accurate": ("Accurate", 520.0, 0.35),
    }
    for quality, (prec, encut_eV, spacing) in wanted.items():
        options = {"quality": quality, "incar": {"nelm": 70}}
        settings = VaspSettings.of(CalculatorSpec("vasp", options=options))
        tags = settings.tags(["Li"], 27, [])
        assert (tags["PREC"], tags.get("ENCUT"), tags["NELM"]) == (prec, encut_eV, 70)
        assert settings.kspacing_per_A == spacing
    options |= {"incar": {"prec": "Single"}, "encut_eV": 400.0, "kpoints": [1, 1, 1]}
    settings = VaspSettings.of(CalculatorSpec("vasp", options=options))
    tags = settings.tags(["Li"], 27, [])
    assert (tags["PREC"], tags["ENCUT"], settings.kspacing_per_A) == ("Single", 400.0, None)
    plain = VaspSettings.of(CalculatorSpec("vasp")).tags(["Li"], 27, [])
    assert (plain["PREC"], "ENCUT" in plain) == ("Normal", False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"encut": 400}, "no option encut; it has command, ediff_eV, encut_eV"),
        ({"incar": {"NSW": 5}}, "NSW is not for you to set: mlmd moves the atoms"),
        ({"incar": {"isym": 2}}, "ISYM is not for you to set: .*no symmetry"),
        ({"incar": {"EDIFF": 1e-3}}, "EDIFF .* option ediff_eV"),
        ({"incar": {"ALGO": "Fast\nNSW = 3"}}, "one tag and its plain value"),
        ({"incar": {"LDAUU": {"Fe": 3}}}, "LDAUU by element has no value for Li, Cl, P"),
        ({"incar": "NSW = 3"}, "mapping from tag to value"),
        ({"xc": "PBEE"}, "expected one of .*pbe, "),
        ({"xc": "optB88-vdW"}, "expected one of"),
        ({"mode": "md"}, "mode is 'md'; expected single or interactive"),
        ({"scf_unconverged": "ignore"}, "expected stop or continue"),
        ({"kpoints": [2, 2, 2], "kspacing_per_A": 0.3}, "give one of them"),
        ({"kpoints": [2, 2]}, "three whole numbers"),
        ({"ediff_eV": 0}, "ediff_eV is 0; expected a positive number in eV"),
        ({"spin": 2}, "spin is 2; expected true or false"),
        ({"setups": {"Xq": "_sv"}}, "setups has .*Xq"),
        ({"setups": "best"}, "setups has 'best' as base"),
        ({"model": "0.3"}, "no models"),
    ],
)
def test_wrong_options_are_refused_in_one_line_before_anything_runs(melt, tmp_path, options, says):
    def forces():
        melt.calc = vasp(tmp_path / "vasp", **options)
        return melt.get_forces()

    with pytest.raises(InputError, match=says) as caught:
        forces()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "vasp" / "OUTCAR").exists()


def test_missing_potcars_are_refused_by_folder_and_element(melt, tmp_path, monkeypatch):
    shutil.rmtree(tmp_path / "pp" / "potpaw_PBE" / "Cl")
    melt.calc = vasp(tmp_path)
    with pytest.raises(InputError, match=r"no POTCAR for Cl: .*pp/potpaw_PBE/Cl/POTCAR"):
        melt.get_forces()
    write_potcar(tmp_path / "pp" / "potpaw_PBE" / "wrong", "Br")
    shutil.move(tmp_path / "pp/potpaw_PBE/wrong/Br", tmp_path / "pp/potpaw_PBE/Cl")
    with pytest.raises(InputError, match=r"'PAW_PBE Br 10Sep2004'; expected a POTCAR of Cl"):
        melt.get_forces()
    monkeypatch.setenv("VASP_PP_VERSION", "64")
    with pytest.raises(InputError, match=r"no folder .*potpaw_PBE\.64"):
        vasp(tmp_path)
    monkeypatch.delenv("VASP_PP_PATH")
    with pytest.raises(InputError, match="set VASP_PP_PATH"):
        vasp(tmp_path)


def test_a_missing_command_is_refused_with_all_ways_to_give_it(tmp_path, monkeypatch):
    monkeypatch.delenv("MLMD_VASP_COMMAND")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"option command .*MLMD_VASP_COMMAND.*vasp_std on PATH"):
        vasp(tmp_path)
    monkeypatch.setenv("ASE_VASP_COMMAND", "nowhere/vasp_std")
    with pytest.raises(InputError, match=r"ASE_VASP_COMMAND .* not found"):
        vasp(tmp_path)
    monkeypatch.setenv("ASE_VASP_COMMAND", "vasp_std > log")
    with pytest.raises(InputError, match="leave out redirections"):
        vasp(tmp_path)
    (tmp_path / "vasp_std").write_text("#!/bin/sh\n")
    (tmp_path / "vasp_std").chmod(0o755)
    monkeypatch.delenv("ASE_VASP_COMMAND")
    vasp(tmp_path)
    vasp(tmp_path, command=COMMAND)


def test_atoms_that_are_not_periodic_are_refused(melt, tmp_path):
    melt.pbc = [True, True, False]
    melt.calc = vasp(tmp_path)
    with pytest.raises(InputError, match="periodic in three directions"):
        melt.get_forces()
