"""SIESTA by a stand-in: units, signs, order, both versions and ways to talk, faults, refusals."""

import gc
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

import numpy as np
import pytest
from ase import Atoms, units
from ase.io.siesta import read_fdf
from ase.io.siesta_output import OutputReader
from ase.md.verlet import VelocityVerlet

from mlmd import CalculatorSpec, Production, Protocol
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.calculators.programs.process import Program
from mlmd.calculators.programs.siesta import model_identity
from mlmd.calculators.programs.siesta.output import GrowingOutput, read_files
from mlmd.calculators.programs.siesta.settings import SiestaSettings
from mlmd.calculators.programs.siesta.version import ask
from mlmd.calculators.registry import device_and_dtype
from mlmd.dynamics.kinetics import draw_momenta
from mlmd.errors import CalculatorError, InputError

STAND_IN = Path(__file__).parent / "stand_ins" / "siesta"
COMMAND = shlex.join([sys.executable, str(STAND_IN)])
# Rounding of FORCE_STRESS: 1e-9 Ry/bohr and Ry/bohr^3.
FORCE_EV_A, STRESS_EV_A3 = 3e-8, 1e-7


def lennard_jones():
    """What the stand-in computes."""
    return LennardJones(
        sigma_A={"Li": 2.0, "Cl": 2.5}, epsilon_eV={"Li": 0.03, "Cl": 0.08}, cutoff_A=3.9
    )


@pytest.fixture
def salt():
    """27 atoms in a triclinic cell, elements interleaved at random."""
    cell = np.array([[8.2, 0.0, 0.0], [1.1, 8.6, 0.0], [-0.7, 1.3, 8.9]])
    grid = np.stack(np.meshgrid(*[np.arange(3) / 3] * 3), -1).reshape(-1, 3)
    symbols = np.random.default_rng(4).permutation(["Li"] * 13 + ["Cl"] * 14)
    atoms = Atoms(symbols, positions=grid @ cell, cell=cell, pbc=True)
    atoms.rattle(0.1, seed=3)
    return atoms


@pytest.fixture(scope="module")
def pseudopotentials(tmp_path_factory):
    """Files by name and kind: nothing reads what is in them here."""
    folder = tmp_path_factory.mktemp("pseudopotentials")
    for symbol in ("Li", "Cl", "Na"):
        (folder / f"{symbol}.psml").write_text(f"<psml> of {symbol}\n")
        (folder / f"{symbol}.psf").write_text(f"psf of {symbol}\n")
    return folder


@pytest.fixture
def spec(pseudopotentials, monkeypatch):
    """Make the spec of a stand-in of a version."""

    def make(timeout_s=30.0, runs=5, **options):
        monkeypatch.setenv("MLMD_STAND_IN_VERSION", str(options.get("version", runs)))
        options = {"command": COMMAND, "pseudopotentials": str(pseudopotentials), **options}
        return CalculatorSpec("siesta", timeout_s=timeout_s, options=options)

    return make


def runs(pid):
    """Tell whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def processes(folder):
    return [int(pid) for pid in (folder / "processes").read_text().split()]


def assert_all_ended(folder, within_s=3.0):
    end = time.monotonic() + within_s
    while any(map(runs, processes(folder))) and time.monotonic() < end:
        time.sleep(0.02)
    assert not [pid for pid in processes(folder) if runs(pid)]


def assert_lennard_jones(atoms):
    reference = atoms.copy()
    reference.calc = lennard_jones()
    assert np.abs(reference.get_forces()).max() > 0.1
    assert np.abs(reference.get_stress()).min() > 1e-5
    energy = reference.get_potential_energy()
    # Positions are written to 1e-12 bohr; FORCE_STRESS has its energy to 1e-10 Ry, the rest
    # of the energy is what the output says to 1e-6 eV.
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=3e-6)
    assert atoms.get_forces() == pytest.approx(reference.get_forces(), abs=FORCE_EV_A)
    assert atoms.get_stress() == pytest.approx(reference.get_stress(), abs=STRESS_EV_A3)


@pytest.mark.parametrize(
    "way",
    [
        {"mode": "files", "version": 4},
        {"mode": "files", "version": 5},
        {"mode": "socket", "version": 4},
        {"mode": "socket", "version": 5},
        {"mode": "socket", "version": 5, "socket": "inet"},
    ],
)
def test_forces_stress_and_energy_are_those_of_the_program(spec, salt, tmp_path, way):
    salt.calc = spec(**way).load(tmp_path)
    assert_lennard_jones(salt)
    shear = np.array([[1.02, 0.03, 0.0], [0.0, 1.0, 0.01], [0.0, 0.0, 0.98]])
    salt.set_cell(salt.cell.array @ shear, scale_atoms=True)
    assert_lennard_jones(salt)
    salt.calc.close()
    # Over the socket a change of the cell starts no other process.
    assert len(processes(tmp_path)) == (2 if way["mode"] == "files" else 1)
    suffix = ".psf" if way["version"] == 4 else ".psml"
    kinds = {file.suffix for file in tmp_path.glob("Li.*")} & {".psf", ".psml"}
    assert kinds == {suffix}


def test_stress_is_positive_under_tension(spec, salt, tmp_path):
    salt.calc = spec().load(tmp_path)
    pressure = {}
    for name, scale in {"squeezed": 0.97, "pulled": 1.05}.items():
        strained = salt.copy()
        strained.set_cell(salt.cell * scale, scale_atoms=True)
        strained.calc = salt.calc
        pressure[name] = strained.get_stress()[:3].mean()
    salt.calc.close()
    assert pressure["pulled"] > 3e-4 > -3e-4 > pressure["squeezed"]


def test_energy_is_kohn_sham_and_free_energy_that_of_the_forces(spec, salt, tmp_path):
    salt.calc = spec(mode="files").load(tmp_path)
    reference = salt.copy()
    reference.calc = lennard_jones()
    total = reference.get_potential_energy()
    entropy_eV = salt.get_potential_energy() - salt.get_potential_energy(force_consistent=True)
    assert salt.get_potential_energy() == pytest.approx(total, abs=3e-6)
    assert entropy_eV == pytest.approx(0.001, abs=2e-6)
    # The files are what ASE takes for SIESTA's.
    reader = OutputReader("siesta", tmp_path)
    assert reader.read_forces_stress()["forces"] == pytest.approx(salt.get_forces())
    assert reader.read_forces_stress()["stress"] == pytest.approx(salt.get_stress())
    assert reader.read_energy()["energy"] == pytest.approx(total, rel=1e-4)


def test_input_is_what_was_asked_for_and_given_keys_win(spec, salt, tmp_path):
    fdf = {"mesh_cutoff": "150 Ry", "DM.MixingWeight": 0.05, "PAO.Basis": ["Li 1", "n=2 0 1"]}
    options = {"energy_shift_meV": 50, "spin": "polarized", "kspacing_per_A": 0.5, "fdf": fdf}
    salt.calc = spec(mode="files", xc="LMKLL", **options).load(tmp_path)
    salt.set_initial_magnetic_moments([1.5] + [0] * 26)
    salt.get_forces()
    written = read_fdf(tmp_path / "siesta.fdf")
    assert written["meshcutoff"] == ["150", "Ry"]
    assert (tmp_path / "siesta.fdf").read_text().lower().count("cutoff") == 1
    assert written["dmmixingweight"] == ["0.05"]
    assert written["paobasis"] == [["Li", "1"], ["n=2", "0", "1"]]
    assert written["xcfunctional"] + written["xcauthors"] == ["VDW", "LMKLL"]
    assert written["paoenergyshift"] == ["50.0", "meV"]
    assert written["paobasissize"] == ["DZP"]
    assert written["dminitspin"] == [["1", "1.5"]]
    # |b| of the cell is 0.79, 0.74 and 0.71 per angstrom.
    assert [row[i] for i, row in enumerate(written["kgridmonkhorstpack"])] == ["2", "2", "2"]
    positions = np.array(written["atomiccoordinatesandatomicspecies"], float)
    assert positions[:, :3] * units.Bohr == pytest.approx(salt.positions, abs=1e-11)
    rows = {row[0]: row[1:] for row in written["chemicalspecieslabel"]}
    assert sorted(rows.values()) == [["17", "Cl", "Cl.psml"], ["3", "Li", "Li.psml"]]
    assert [int(rows[str(int(index))][0]) for index in positions[:, 3]] == salt.numbers.tolist()


def test_energy_is_conserved_in_motion(spec, salt, tmp_path):
    salt.calc = spec().load(tmp_path)
    salt.rattle(0.1, seed=5)
    draw_momenta(salt, 300, np.random.default_rng(1))
    motion = VelocityVerlet(salt, timestep=1.0 * units.fs)
    total, kinetic = [], []
    for _ in range(50):
        motion.run(1)
        total.append(salt.get_total_energy())
        kinetic.append(salt.get_kinetic_energy())
    salt.calc.close()
    assert np.ptp(kinetic) > 0.05
    assert np.ptp(total) < 0.02 * np.ptp(kinetic)
    assert len(processes(tmp_path)) == 1


def test_other_elements_start_another_process(spec, salt, tmp_path):
    salt.calc = spec().load(tmp_path)
    assert_lennard_jones(salt)
    salt.symbols[:] = salt.symbols[::-1]
    assert_lennard_jones(salt)
    salt = salt[:-1]
    salt.calc = spec().load(tmp_path)
    assert_lennard_jones(salt)
    assert len(processes(tmp_path)) == 3
    del salt
    gc.collect()
    assert_all_ended(tmp_path)


FAULTS = [
    ("socket", "scf_fail", r"did not converge in 200 steps; raise max_scf_steps"),
    ("socket", "crash", "SIGSEGV.*something went wrong"),
    ("socket", "truncate", "closed the connection"),
    ("socket", "fewer", "of 26 atoms; expected 27"),
    ("socket", "nan", "not finite"),
    ("socket", "hang", r"within 2 s"),
    ("files", "scf_fail", r"did not converge in 200 steps; raise max_scf_steps"),
    ("files", "crash", "SIGSEGV.*something went wrong"),
    ("files", "truncate", "ends before the final energy"),
    ("files", "missing", "wrote no FORCE_STRESS"),
    ("files", "hang", r"more than 2 s"),
]


@pytest.mark.parametrize(("mode", "fault", "message"), FAULTS)
def test_fault_is_one_line_and_the_next_call_works(
    spec, salt, tmp_path, monkeypatch, mode, fault, message
):
    monkeypatch.setenv("MLMD_STAND_IN", f"{fault}:2")
    salt.calc = spec(mode=mode, timeout_s=2 if fault == "hang" else 30.0).load(tmp_path)
    salt.get_forces()
    salt.rattle(0.05, seed=1)
    with pytest.raises(CalculatorError, match=message) as caught:
        salt.get_forces()
    assert "\n" not in str(caught.value)
    assert salt.calc.results == {}
    assert_all_ended(tmp_path)
    # What may be damaged is not begun with.
    assert not (tmp_path / "siesta.DM").exists()
    assert_lennard_jones(salt)
    salt.calc.close()
    assert_all_ended(tmp_path)


def test_cell_that_siesta_takes_transposed_is_noticed(spec, salt, tmp_path, monkeypatch):
    monkeypatch.setenv("MLMD_STAND_IN", "transposed")
    salt.calc = spec().load(tmp_path)
    with pytest.raises(CalculatorError, match=r"transposed.*; use mode 'files'"):
        salt.get_forces()
    assert_all_ended(tmp_path)


def test_damaged_files_are_noticed(spec, salt, tmp_path):
    salt.calc = spec(mode="files").load(tmp_path)
    salt.get_forces()
    path = tmp_path / "FORCE_STRESS"
    whole = path.read_text()
    assert read_files(tmp_path, salt.numbers).forces_eV_A == pytest.approx(salt.get_forces())
    lines = whole.splitlines(keepends=True)
    third = lines[7].split()[2]
    for text, message in {
        "".join(lines[:-1]): "forces of 26 atoms, not those of the 27",
        whole.replace("   27\n", "   26\n"): "forces of 26 atoms",
        whole.replace("    17   ", "     3   ", 1): "forces of 27 atoms, not those",
        "".join(lines[:6]): "forces of 1 atoms",
        whole[: whole.rindex(".") - 30]: "cannot be read",
        whole.replace(third, "*" * 18): "cannot be read",
        whole.replace(third, "NaN"): "not finite",
        "": "cannot be read",
    }.items():
        assert text != whole
        path.write_text(text)
        with pytest.raises(CalculatorError, match=message):
            read_files(tmp_path, salt.numbers)


def test_published_settings_count_what_is_not_converged(spec, salt, tmp_path, caplog):
    # The stand-in takes 12 steps from atoms and 4 from a density matrix; ten are allowed.
    salt.calc = spec(preset="maevskiy2025").load(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert_lennard_jones(salt)
        assert salt.calc.n_unconverged_scf == 1
        salt.rattle(0.01, seed=1)
        salt.get_forces()
        assert salt.calc.n_unconverged_scf == 1
    assert [record.message.startswith("SIESTA's SCF") for record in caplog.records] == [True]
    salt.calc.close()
    written = read_fdf(tmp_path / "siesta.fdf")
    assert written["maxscfiterations"] == ["10"]
    assert written["scfmustconverge"] == [".false."]
    assert written["xcauthors"] + written["paobasissize"] == ["PBE", "DZP"]
    assert "kgridmonkhorstpack" not in written

    for mode in ("socket", "files"):
        # Again in the same folder: the density matrix of these atoms is there.
        salt.calc = spec(preset="maevskiy2025", mode=mode).load(tmp_path)
        salt.rattle(0.01, seed=2)
        assert_lennard_jones(salt)
        assert salt.calc.n_unconverged_scf == 0
        salt.calc.close()
    # That of other atoms is of no use.
    salt.symbols[:] = salt.symbols[::-1]
    salt.calc = spec(preset="maevskiy2025", mode="files").load(tmp_path)
    salt.get_forces()
    salt.rattle(0.01, seed=3)
    salt.get_forces()
    assert salt.calc.n_unconverged_scf == 1


def siesta_settings(**options):
    return SiestaSettings.of(CalculatorSpec("siesta", options=options))


def test_published_settings_are_those_of_the_paper():
    paper = Path(__file__).parents[2] / "shared/papers/maevskiy2025_pes_descriptors.txt"
    if not paper.is_file():
        pytest.skip("the paper's text is not here")
    text = " ".join(paper.read_text(errors="replace").split())
    for said in (
        "maximum number of ten self-consistent iterations per time step",
        "generalized gradient approximation (GGA)",
        "polarized double-zeta type",
        r"using the $\Gamma$ -point for Brillouin zone sampling",
    ):
        assert said in text
    found = siesta_settings(preset="maevskiy2025")
    assert (found.max_scf_steps, found.xc, found.basis) == (10, "PBE", "DZP")
    assert found.kpoints == (1, 1, 1)
    # What is given besides wins.
    other = siesta_settings(preset="maevskiy2025", kspacing_per_A=0.4)
    assert (other.max_scf_steps, other.kpoints, other.kspacing_per_A) == (10, None, 0.4)


def test_process_ends_with_its_calculator(spec, salt, tmp_path):
    for name, forget in {"close": False, "collected": True}.items():
        folder = tmp_path / name
        calculator = spec().load(folder)
        atoms = salt.copy()
        atoms.calc = calculator
        atoms.get_forces()
        assert [runs(pid) for pid in processes(folder)] == [True]
        if forget:
            del calculator, atoms
            gc.collect()
        else:
            calculator.close()
        assert_all_ended(folder, within_s=0.5)


@pytest.mark.parametrize("killed", [True, False])
def test_process_ends_with_its_script(spec, salt, tmp_path, killed):
    code = f"""
import os, signal
from ase.io import read
from mlmd.calculators.spec import CalculatorSpec
atoms = read({str(tmp_path / "salt.extxyz")!r})
atoms.calc = CalculatorSpec("siesta", options={dict(spec().options)!r}).load({str(tmp_path)!r})
atoms.get_forces()
if {killed}:
    os.kill(os.getpid(), signal.SIGKILL)
"""
    salt.write(tmp_path / "salt.extxyz")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == (-signal.SIGKILL if killed else 0)
    assert_all_ended(tmp_path)
    address = Path("/tmp/ipi_" + read_fdf(tmp_path / "siesta.fdf")["masteraddress"][0])
    assert address.exists() == killed
    shutil.rmtree(address.parent, ignore_errors=True)


def test_pseudopotentials_of_the_elements_are_part_of_the_identity(spec, tmp_path, monkeypatch):
    """Without elements all of the folder are, as in runs of before."""
    for name in ("Li.psml", "Li.psf", "Cl.psf", "Na.psml"):
        (tmp_path / name).write_text(name)
    of = {name: hashlib.sha256(name.encode()).hexdigest() for name in sorted(os.listdir(tmp_path))}
    given = CalculatorSpec("siesta", options={"pseudopotentials": str(tmp_path)})
    assert model_identity(given) == {"pseudopotentials": of}
    monkeypatch.setenv("SIESTA_PP_PATH", str(tmp_path))
    old = CalculatorSpec("siesta", options={"version": 4})
    psf = {name: of[name] for name in ("Cl.psf", "Li.psf")}
    assert model_identity(old) == {"pseudopotentials": psf}
    (tmp_path / "Na.psml").write_text("another, of no element here")
    for version, li in {4: "Li.psf", 5: "Li.psml"}.items():
        found = spec(runs=version, pseudopotentials=str(tmp_path)).physics(["Li", "Cl", "Li"])
        assert found["model"]["pseudopotentials"] == {"Cl": of["Cl.psf"], "Li": of[li]}
        assert found["model"]["settings"]["mesh_cutoff_Ry"] == 300.0
    monkeypatch.delenv("SIESTA_PP_PATH")
    assert model_identity(old) == {"pseudopotentials": None}


@pytest.mark.parametrize(
    ("says", "runs", "version"),
    [
        ("Siesta Version  : master-post-4.1-268", 4, "master-post-4.1-268"),
        ("Siesta Version:              siesta-4.1--736", 4, "siesta-4.1--736"),
        ("Version         : 5.4.0", 5, "5.4.0"),
        ("Siesta Version: 5.0.0-alpha-4-g1b2", 5, "5.0.0-alpha-4-g1b2"),
    ],
)
def test_the_version_is_what_the_program_says(
    spec, salt, tmp_path, monkeypatch, says, runs, version
):
    """4.1 is run by standard input and .psf: the stand-in stops where it is not."""
    monkeypatch.setenv("MLMD_STAND_IN_SAYS", says)
    salt.calc = spec(runs=runs).load(tmp_path)
    assert device_and_dtype(salt.calc)["version"] == version
    assert_lennard_jones(salt)
    salt.calc.close()
    assert ((tmp_path / "Li.psf").exists(), (tmp_path / "Li.psml").exists()) == (
        runs == 4,
        runs == 5,
    )
    # A version that is given may agree, in any of its spellings, or is contradicted.
    same, other = ((4.1, "4.1.5"), 5) if runs == 4 else ((5.0, "5.2.1"), 4.1)
    for given in same:
        with_version = {"command": COMMAND, "pseudopotentials": str(tmp_path), "version": given}
        assert SiestaSettings.of(CalculatorSpec("siesta", options=with_version)).version == runs
    monkeypatch.setenv("MLMD_STAND_IN_VERSION", str(runs))
    options = {**spec(runs=runs).options, "version": other}
    with pytest.raises(InputError, match=f"version is {int(other)} but SIESTA .* says that it is"):
        CalculatorSpec("siesta", options=options).load(tmp_path / "other")


def test_a_version_that_is_not_said_has_to_be_given(spec, salt, tmp_path, monkeypatch):
    for says, message in {
        "hello": "does not say its version; give the option version",
        "Siesta Version  : MaX-3.0.1": r"says that it is 'MaX-3\.0\.1'; give the option version",
    }.items():
        monkeypatch.setenv("MLMD_STAND_IN_SAYS", says)
        with pytest.raises(InputError, match=message):
            spec().load(tmp_path)
        salt.calc = spec(version=5).load(tmp_path)
        assert_lennard_jones(salt)
        salt.calc.close()


def test_a_program_that_waits_after_its_version_is_ended(tmp_path):
    code = "import sys, time; print('Siesta Version: 4.1.5'); sys.stdout.flush(); time.sleep(600)"
    began = time.monotonic()
    assert ask(Program("siesta", (sys.executable, "-c", code), tmp_path)) == "4.1.5"
    assert time.monotonic() - began < 30
    silent = Program("siesta", (sys.executable, "-c", "print('no more')"), tmp_path)
    assert ask(silent) is None


PSF = " {} {} rel pcec\n ATM3       3-MAY-04 Troullier-Martins\n 2s 1.00r r= 2.25/\n"
PSML = """<?xml version="1.0" encoding="UTF-8" ?>
<psml version="1.1" energy_unit="hartree" length_unit="bohr" xmlns="http://esl.cecam.org/PSML/ns/1.1">
<provenance creator="ONCVPSP-3.3.0" date="2017-06-26"><annotation action="semilocal"/></provenance>
<pseudo-atom-spec atomic-label="{}" atomic-number="{}" z-pseudo="3.0" flavor="Hamann">
<exchange-correlation><annotation oncvpsp-xc-code="4"/>
<libxc-info number-of-functionals="2">
<functional id="{}" name="exchange" type="exchange"/>
<functional id="{}" name="correlation" type="correlation"/>
</libxc-info></exchange-correlation></pseudo-atom-spec>
</psml>
"""
NUMBERS = {"Li": 3, "Cl": 17, "Na": 11}
ICORR = {"PBE": "pb", "LDA": "ca", "PBESOL": "ps", "BLYP": "bl"}
LIBXC = {"PBE": (101, 130), "LDA": (1, 9), "PBESOL": (116, 133), "BLYP": (106, 131)}


def write_pseudopotential(path, symbol, functional):
    if path.suffix == ".psf":
        path.write_text(PSF.format(symbol.ljust(2), ICORR[functional]))
    else:
        path.write_text(PSML.format(symbol, NUMBERS[symbol], *LIBXC[functional]))


@pytest.mark.parametrize("kind", [".psf", ".psml"])
@pytest.mark.parametrize(
    ("cl", "options", "message"),
    [
        (("Cl", "PBE"), {}, None),
        (("Na", "PBE"), {}, "is of Na; expected one of Cl"),
        (("Cl", "LDA"), {}, "Cl, .*, was made with LDA; the calculation is PBE: give one"),
        (("Cl", "PBESOL"), {}, "made with PBESOL; the calculation is PBE"),
        (("Cl", "PBE"), {"xc": "CA"}, "made with PBE; the calculation is LDA"),
        (("Cl", "LDA"), {"xc": "PW92", "other_functional": "continue"}, None),
        (("Cl", "LDA"), {"fdf": {"XC.authors": "CA", "xc_functional": "LDA"}}, "Li, .* with PBE"),
        (("Cl", "LDA"), {"other_functional": "continue"}, None),
        (("Na", "LDA"), {"other_functional": "continue"}, "is of Na; expected one of Cl"),
        (("Cl", "BLYP"), {"xc": "DRSLL"}, None),
        (("Cl", "LDA"), {"xc": "DRSLL"}, "made with LDA; the calculation is VDW"),
    ],
)
def test_a_pseudopotential_of_another_element_or_functional_is_refused(
    spec, salt, tmp_path, kind, cl, options, message
):
    """Before SIESTA runs, which goes on without a word."""
    folder = tmp_path / "library"
    folder.mkdir()
    write_pseudopotential(folder / f"Li.pbe{kind}", "Li", "PBE")
    write_pseudopotential(folder / f"Cl{kind}", *cl)
    salt.calc = spec(pseudopotentials=str(folder), mode="files", **options).load(tmp_path / "run")
    if message is None:
        assert_lennard_jones(salt)
    else:
        with pytest.raises(InputError, match=message) as caught:
            salt.get_forces()
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run" / "processes").exists()


def test_a_psml_that_is_cut_short_is_refused(spec, salt, tmp_path):
    folder = tmp_path / "library"
    folder.mkdir()
    for symbol in ("Li", "Cl"):
        write_pseudopotential(folder / f"{symbol}.psml", symbol, "PBE")
    whole = (folder / "Cl.psml").read_text()
    (folder / "Cl.psml").write_text(whole.replace("</psml>", ""))
    salt.calc = spec(pseudopotentials=str(folder), mode="files").load(tmp_path / "run")
    with pytest.raises(InputError, match=r"Cl\.psml' is cut short: it has no </psml>"):
        salt.get_forces()


@pytest.mark.parametrize("mode", ["socket", "files"])
def test_siestas_own_warning_of_another_functional_is_heeded(
    spec, salt, tmp_path, monkeypatch, mode
):
    """Where the file's first line says nothing that is understood here."""
    monkeypatch.setenv("MLMD_STAND_IN", "warns")
    salt.calc = spec(mode=mode).load(tmp_path)
    with pytest.raises(
        InputError, match=r"warns .*generated with LDA CA functional', and the calc"
    ):
        salt.get_forces()
    assert_all_ended(tmp_path)
    salt.calc = spec(mode=mode, other_functional="continue").load(tmp_path)
    assert_lennard_jones(salt)
    salt.calc.close()


def test_what_waits_in_a_buffer_is_counted_from_the_file_of_messages(tmp_path):
    """SIESTA closes MESSAGES after each; its output comes in blocks, late."""
    out, messages = tmp_path / "siesta.out", tmp_path / "MESSAGES"
    line = "SCF_NOT_CONV: SCF did not converge  in maximum number of steps.\n"
    growing = GrowingOutput(out)
    assert growing.unconverged() == 0
    messages.write_text(f"WARNING: {line}")
    assert growing.unconverged() == 1
    out.write_text(line)
    assert growing.unconverged() == 0
    out.write_text(line * 3)
    assert growing.unconverged() == 2


def test_the_first_scf_that_does_not_converge_is_counted(spec, salt, tmp_path, monkeypatch):
    """It is made before the stage begins, which takes its forces."""
    monkeypatch.setenv("MLMD_STAND_IN", "scf_fail:1")
    stages = [
        Production(name=name, temperature_K=300, duration_ps=0.004, record_every_fs=2)
        for name in ("first", "second")
    ]
    run = Protocol("short", tuple(stages)).run(
        salt, spec(scf_unconverged="continue"), tmp_path / "run", seed=1
    )
    counted = [run.results[stage.name]["n_unconverged_scf"] for stage in stages]
    assert counted == [1, 0]
    assert run.results["first"]["n_frames"] == 3
    session = json.loads((run.path / "run.json").read_text())["sessions"][-1]
    assert session["computed_on"]["default"]["version"] == "5.4.0"


QUALITIES = {
    "draft": ("SZ", 60.0, None),
    "md": ("DZP", 150.0, 0.7),
    "accurate": ("DZP", 300.0, 0.35),
}


@pytest.mark.parametrize("quality", QUALITIES)
def test_quality_sets_what_is_not_given(quality):
    found = siesta_settings(quality=quality)
    assert (found.basis, found.mesh_cutoff_Ry, found.kspacing_per_A) == QUALITIES[quality]
    given = siesta_settings(quality=quality, mesh_cutoff_Ry=200, kpoints=[2, 1, 1])
    assert (given.basis, given.mesh_cutoff_Ry) == (QUALITIES[quality][0], 200)
    assert (given.kpoints, given.kspacing_per_A) == ((2, 1, 1), None)
    plain = siesta_settings()
    assert (plain.basis, plain.mesh_cutoff_Ry, plain.kspacing_per_A) == ("DZP", 300.0, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mesh_cutoff_eV": 100}, "no option mesh_cutoff_eV"),
        ({"mesh_cutoff_Ry": -1}, "mesh_cutoff_Ry is -1; expected a positive number in Ry"),
        ({"energy_shift_meV": "small"}, "energy_shift_meV is 'small'"),
        ({"xc": "pbe"}, "xc is 'pbe'; expected .*PBE"),
        ({"basis": 3}, "basis is 3"),
        ({"basis": ["DZP"]}, "basis is"),
        ({"spin": True}, "spin is True"),
        ({"mode": "pipe"}, "expected socket or files"),
        ({"version": 3}, "version of SIESTA is 3; expected 4 or 5"),
        ({"version": "5"}, "version of SIESTA is '5'"),
        ({"version": 4.0}, r"version of SIESTA is 4\.0; expected 4 or 5"),
        ({"version": True}, "version of SIESTA is True"),
        ({"quality": "good"}, "quality is 'good'; expected draft or md or accurate"),
        ({"quality": "md", "preset": "maevskiy2025"}, "give one of them"),
        ({"other_functional": True}, "other_functional is True; expected stop or continue"),
        ({"max_scf_steps": 0}, "max_scf_steps is 0"),
        ({"max_scf_steps": True}, "max_scf_steps is True"),
        ({"dm_tolerance": 0}, "dm_tolerance is 0"),
        ({"kpoints": [2, 2]}, "kpoints is"),
        ({"kpoints": [1, 1, 1], "kspacing_per_A": 0.3}, "both given"),
        ({"preset": "nobody2000"}, "preset is 'nobody2000'; expected maevskiy2025"),
        ({"preset": ["maevskiy2025"]}, "preset is"),
        ({"fdf": "MeshCutoff 100 Ry"}, "expected a mapping"),
        ({"fdf": {"MD.TypeOfRun": "Nose"}}, "mlmd moves the atoms"),
        ({"fdf": {"md_steps": 3}}, "mlmd moves the atoms"),
        ({"fdf": {"Master.port": 3}}, "options mode and socket"),
        ({"fdf": {"SCF.MustConverge": False}}, "option scf_unconverged"),
        ({"fdf": {"Spin_Polarized": True}}, "option spin"),
        ({"fdf": {"SystemLabel": "x"}}, "SystemLabel is not for you to set"),
        ({"fdf": {"NumberOfAtoms": 3}}, "structure comes from the run"),
        ({"fdf": {"Mesh.Cutoff": "1 Ry", "MeshCutoff": "2 Ry"}}, "the same to SIESTA"),
        ({"fdf": {"%include x": "y"}}, "fdf has the key '%include x'"),
        ({"fdf": {"Spin": "polarized\nMD.Steps 3"}}, "line break"),
        ({"fdf": {"PAO.Basis": [["a", {"b": 1}]]}}, "expected text, a number"),
        ({"command": "no-such-siesta"}, "its program is not found"),
        (
            {"pseudopotentials": "/no/such/folder"},
            "no folder of pseudopotentials '/no",
        ),
        ({"pseudopotentials": 3}, "expected the path of a folder"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(spec, tmp_path, options, message):
    folder = tmp_path / "run"
    with pytest.raises(InputError, match=message) as caught:
        spec(**options).load(folder)
    assert "\n" not in str(caught.value)
    assert not folder.exists()


def test_bad_models_folders_and_atoms_are_refused(spec, salt, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="has no models; given 'PBE'"):
        CalculatorSpec("siesta", model="PBE").load(tmp_path)
    with pytest.raises(InputError, match="set SIESTA_PP_PATH"):
        CalculatorSpec("siesta", options={"command": COMMAND}).load(tmp_path)
    with pytest.raises(InputError, match=r"expected files like Li\.psml"):
        spec(pseudopotentials=str(tmp_path)).load(tmp_path / "run")
    (tmp_path / "Li.pbe.psml").write_text("")
    with pytest.raises(InputError, match="the one that SIESTA runs in"):
        spec(pseudopotentials=str(tmp_path)).load(tmp_path)

    salt.calc = spec(pseudopotentials=str(tmp_path)).load(tmp_path / "run")
    with pytest.raises(InputError, match=r"one pseudopotential of Cl \(.psml or .psf\).*none"):
        salt.get_forces()
    (tmp_path / "Cl-a.psml").write_text("")
    (tmp_path / "Cl_b.psml").write_text("")
    with pytest.raises(InputError, match=r"one .* of Cl .*found Cl-a.psml, Cl_b.psml; name the"):
        salt.get_forces()
    for changes in ({"pbc": [True, True, False]}, {"cell": [8, 8, 0]}):
        flat = salt.copy()
        flat.pbc = changes.get("pbc", True)
        flat.set_cell(changes.get("cell", salt.cell))
        flat.calc = salt.calc
        with pytest.raises(InputError, match="periodic in three directions"):
            flat.get_forces()
