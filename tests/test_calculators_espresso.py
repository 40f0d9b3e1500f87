"""Quantum ESPRESSO: settings and files by a stand-in, physics by pw.x itself."""

from __future__ import annotations

import gzip
import logging
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from mlmd import CalculatorSpec, Production, Protocol
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.calculators.programs.espresso.input import read_header
from mlmd.calculators.programs.espresso.settings import EspressoSettings
from mlmd.calculators.programs.functionals import Pseudopotential
from mlmd.calculators.weights import sha256_of
from mlmd.errors import CalculatorError, InputError
from mlmd.protocol.settings import RunSettings

STAND_IN = Path(__file__).parent / "stand_ins" / "pw_standin.py"
SILICON = Path("/usr/share/doc/quantum-espresso/examples/EPW/sic/pp/Si.pz-vbc.UPF.gz")
HEADER = '<UPF version="2.0.1"><PP_HEADER is_ultrasoft="F" is_paw="{}" z_valence=" 3.00"/></UPF>'


# --- by the stand-in


@pytest.fixture
def pseudo(tmp_path: Path) -> Path:
    """A folder with headers of pseudopotentials of Li and Cl."""
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "Li.pbe-s-v1.UPF").write_text(HEADER.format("F"))
    (folder / "cl_pbe_v1.4.uspp.upf").write_text(HEADER.format("T"))
    return folder


def salt() -> Atoms:
    """Eight rattled atoms of rock salt LiCl."""
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True)
    atoms.rattle(0.1, seed=2)
    return atoms


def stand_in(folder: Path, pseudo: Path, *arguments: str, timeout_s=None, **options):
    command = shlex.join([sys.executable, str(STAND_IN), *arguments])
    given = {"command": command, "pseudopotentials": str(pseudo), "ecutwfc_Ry": 30, **options}
    return CalculatorSpec("espresso", options=given, timeout_s=timeout_s).load(folder)


def test_positions_cell_and_results_keep_order_units_and_sign(tmp_path: Path, pseudo: Path) -> None:
    atoms = salt()
    atoms.calc = stand_in(tmp_path, pseudo)
    for step in range(3):
        atoms.rattle(0.05, seed=step)
        atoms.set_cell(atoms.cell * [1.002, 1.0, 0.997], scale_atoms=True)
        reference = atoms.copy()
        reference.calc = LennardJones(cutoff_A=2.5)
        assert atoms.get_potential_energy() == pytest.approx(reference.get_potential_energy())
        assert atoms.get_forces() == pytest.approx(reference.get_forces(), abs=1e-10)
        assert atoms.get_stress() == pytest.approx(reference.get_stress(), abs=1e-10)
        # From the second run on, from the density of the one before.
        assert ("startingpot = 'file'" in (tmp_path / "pw.in").read_text()) == (step > 0)
    atoms.positions[0] += 1.2
    atoms.get_forces()
    assert "startingpot" not in (tmp_path / "pw.in").read_text()


@pytest.mark.parametrize(
    ("do", "says"),
    [
        ("die", r"pw.x stopped: Error in routine readpp \(1\): file not found"),
        ("cut", "output of pw.x is cut short"),
        ("cut-xml", "result of pw.x is cut short"),
        ("stale", "left no result"),
        ("other", "for other atoms"),
        ("unconverged", "did not converge in 100 steps.*raise max_scf_steps"),
        ("claims", "did not converge in 100 steps"),
    ],
)
def test_a_run_without_a_result_is_an_error_and_never_an_old_one(tmp_path, pseudo, do, says):
    atoms = salt()
    atoms.calc = stand_in(tmp_path / "first", pseudo, "--at", "1", "--do", do)
    with pytest.raises(CalculatorError, match=says) as caught:
        atoms.get_forces()
    assert "\n" not in str(caught.value)
    assert atoms.calc.results == {}
    reference = atoms.copy()
    reference.calc = LennardJones(cutoff_A=2.5)
    assert atoms.get_forces() == pytest.approx(reference.get_forces(), abs=1e-10)


def test_what_fails_from_an_old_density_is_tried_from_none(tmp_path, pseudo, caplog) -> None:
    atoms = salt()
    atoms.calc = stand_in(tmp_path, pseudo, "--at", "2", "--do", "die")
    atoms.get_forces()
    atoms.rattle(0.02)
    reference = atoms.copy()
    reference.calc = LennardJones(cutoff_A=2.5)
    with caplog.at_level(logging.WARNING):
        assert atoms.get_forces() == pytest.approx(reference.get_forces(), abs=1e-10)
    assert "starting without the density" in caplog.text


def test_a_run_that_hangs_is_killed(tmp_path: Path, pseudo: Path) -> None:
    atoms = salt()
    atoms.calc = stand_in(tmp_path, pseudo, "--at", "1", "--do", "hang", timeout_s=1.0)
    with pytest.raises(CalculatorError, match="more than 1 s and was killed"):
        atoms.get_forces()


def test_unconverged_steps_are_counted_where_allowed(tmp_path: Path, pseudo: Path, caplog) -> None:
    atoms = salt()
    arguments = ("--at", "2", "--do", "claims")
    atoms.calc = stand_in(tmp_path, pseudo, *arguments, scf_unconverged="continue")
    for step in range(3):
        atoms.rattle(0.01, seed=step)
        atoms.get_forces()
    assert atoms.calc.n_unconverged_scf == 1
    assert "scf_must_converge = .false." in (tmp_path / "pw.in").read_text()
    assert len([r for r in caplog.records if "did not converge" in r.message]) == 1


def test_a_missing_stress_is_none(tmp_path: Path, pseudo: Path) -> None:
    atoms = salt()
    atoms.calc = stand_in(tmp_path, pseudo, "--at", "1", "--do", "no-stress")
    atoms.get_forces()
    assert "stress" not in atoms.calc.results


def test_options_reach_the_input(tmp_path: Path, pseudo: Path) -> None:
    atoms = salt()
    atoms.calc = stand_in(
        tmp_path,
        pseudo,
        kspacing_per_A=0.7,
        xc="PBE",
        spin={"Cl": 0.6},
        input={"system": {"occupations": "smearing", "degauss": 0.01}},
    )
    atoms.get_forces()
    lines = [line.strip() for line in (tmp_path / "pw.in").read_text().splitlines()]
    # 2 pi / 5.13 = 1.225 per angstrom.
    assert lines[lines.index("K_POINTS automatic") + 1] == "2 2 2 0 0 0"
    for line in (
        "ecutrho = 240.0",  # chlorine's is PAW: 8 times 30 Ry
        "input_dft = 'PBE'",
        "nspin = 2",
        "starting_magnetization(1) = 0.19999999999999998",  # 0.6 of 3 valence electrons
        "starting_magnetization(2) = 0.0",
        "occupations = 'smearing'",
        "degauss = 0.01",
        "nosym = .true.",
        "nbnd = 16",  # 24 electrons
    ):
        assert lines.count(line) == 1, line


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ecutwfc_Ry": None}, "needs the option ecutwfc_Ry"),
        ({"ecut": 3}, "no option ecut; it has .*ecutwfc_Ry"),
        ({"kpoints": [2, 2, 2], "kspacing_per_A": 0.2}, "give one of them"),
        ({"pseudopotentials": "/nowhere"}, "no folder of pseudopotentials '/nowhere'"),
        ({"pseudopotentials": {"Li": "no.upf"}}, "'no.upf', is not a file here"),
        (
            {"input": {"system": {"ecutwfc": 3}}},
            "ecutwfc is not for you to set: it is the option",
        ),
        ({"input": {"ions": {}}}, "one of control, system, electrons"),
        ({"spin": 2}, "spin is 2; expected a mapping"),
        ({"scf_unconverged": "ignore"}, "expected stop or continue"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(tmp_path, pseudo, options, says) -> None:
    with pytest.raises(InputError, match=says) as caught:
        stand_in(tmp_path / "files", pseudo, **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "files").exists()


UPF_2 = (
    '<UPF version="2.0.1"><PP_HEADER element="{}" is_ultrasoft="F" is_paw="F" '
    'functional="{}" z_valence=" 3.00"/></UPF>'
)
UPF_1 = """<PP_HEADER>
   0                   Version Number
  {}                   Element
   NC                  Norm - Conserving pseudopotential
    F                  Nonlinear Core Correction
 {}   Exchange-Correlation functional
    3.00000000000      Z valence
</PP_HEADER>
"""
PBE, PBESOL, PZ = " SLA  PW   PBX  PBC", " SLA  PW   PSX  PSC", " SLA  PZ   NOGX NOGC"


@pytest.mark.parametrize("form", [UPF_1, UPF_2], ids=["UPF 1", "UPF 2"])
@pytest.mark.parametrize(
    ("li", "cl", "options", "says"),
    [
        (("Li", PBE), ("Cl", "PBE"), {}, None),
        (("Li", " SLA PW PBE PBE PBE"), ("Cl", "SLA-PW"), {"xc": "pbe"}, None),
        (("Li", PBE), ("I", PBE), {}, r"cl_pbe.*upf is of I; expected one of Cl"),
        (("Li", PBE), ("Cl", PZ), {}, "made with PBE; the calculation is LDA"),
        (("Li", PBE), ("Cl", PBE), {"xc": "PBEsol"}, "with PBE; the calculation is PBESOL: give"),
        (("Li", PZ), ("Cl", PZ), {"xc": "sla+pw+pbx+pbc"}, "LDA; the calculation is PBE"),
        (("Li", PBESOL), ("Cl", PBESOL), {"xc": "PBE", "other_functional": "continue"}, None),
        (("Li", PBE), ("Cl", PBE), {"xc": "vdw-df2"}, None),
    ],
)
def test_a_pseudopotential_of_another_element_or_functional_is_refused(
    tmp_path, pseudo, form, li, cl, options, says
):
    """Before pw.x runs; where xc is not given all have to be made with one functional."""
    (pseudo / "Li.pbe-s-v1.UPF").write_text(form.format(*li))
    (pseudo / "cl_pbe_v1.4.uspp.upf").write_text(form.format(*cl))
    atoms = salt()
    atoms.calc = stand_in(tmp_path / "pw", pseudo, **options)
    if says is None:
        assert np.isfinite(atoms.get_forces()).all()
        return
    with pytest.raises(InputError, match=says) as caught:
        atoms.get_forces()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pw" / "runs").exists()


def test_a_pseudopotential_that_is_cut_short_is_refused(tmp_path: Path, pseudo: Path) -> None:
    """pw.x says no more than where in its own source the file ended."""
    path = pseudo / "Li.pbe-s-v1.UPF"
    path.write_text(path.read_text().replace("</UPF>", ""))
    atoms = salt()
    atoms.calc = stand_in(tmp_path / "pw", pseudo)
    with pytest.raises(InputError, match=r"Li\.pbe-s-v1\.UPF' is cut short"):
        atoms.get_forces()


def test_identity_has_the_pseudopotentials_of_the_elements(pseudo: Path) -> None:
    options = {"ecutwfc_Ry": 30, "pseudopotentials": str(pseudo)}
    spec = CalculatorSpec("espresso", options=options)
    before = spec.physics(["Li"])
    assert before["model"]["pseudopotentials"] == {"Li": sha256_of(pseudo / "Li.pbe-s-v1.UPF")}
    (pseudo / "Na.upf").write_text(HEADER.format("F"))
    assert spec.physics(["Li"]) == before
    # Runs of before have all that are in the folder, by file name.
    names = sorted(path.name for path in pseudo.iterdir())
    assert list(spec.physics()["model"]["pseudopotentials"]) == names
    assert spec.physics()["model"]["settings"] == before["model"]["settings"]


def test_quality_sets_what_is_not_given() -> None:
    wanted = {"draft": (30.0, None), "md": (50.0, 0.7), "accurate": (80.0, 0.35)}
    for quality, (ecutwfc_Ry, spacing) in wanted.items():
        found = EspressoSettings.of(CalculatorSpec("espresso", options={"quality": quality}))
        assert (found.ecutwfc_Ry, found.ecutrho_Ry, found.kspacing_per_A) == (
            ecutwfc_Ry,
            None,
            spacing,
        )
    options = {"quality": "accurate", "ecutwfc_Ry": 45, "ecutrho_Ry": 300, "kspacing_per_A": 0.5}
    found = EspressoSettings.of(CalculatorSpec("espresso", options=options))
    assert (found.ecutwfc_Ry, found.ecutrho_Ry, found.kspacing_per_A) == (45, 300, 0.5)


def test_an_element_has_to_have_one_pseudopotential(tmp_path: Path, pseudo: Path) -> None:
    atoms = salt()
    shutil.copy(pseudo / "Li.pbe-s-v1.UPF", pseudo / "Li_other.upf")
    atoms.calc = stand_in(tmp_path / "two", pseudo)
    with pytest.raises(
        InputError, match=r"one pseudopotential of Li .*Li\.pbe-s-v1\.UPF, Li_other"
    ):
        atoms.get_forces()
    atoms.calc = stand_in(tmp_path / "none", pseudo, pseudopotentials={})
    with pytest.raises(InputError, match=r"one pseudopotential of Cl .*found none"):
        atoms.get_forces()


def test_other_pseudopotentials_are_another_physics(pseudo: Path, monkeypatch) -> None:
    monkeypatch.setenv("ESPRESSO_PSEUDO", str(pseudo))
    spec = CalculatorSpec(
        "espresso", options={"ecutwfc_Ry": 30, "pseudopotentials": {"Li": "Li.pbe-s-v1.UPF"}}
    )
    one = spec.physics()
    assert one["model"]["pseudopotentials"] == {"Li": sha256_of(pseudo / "Li.pbe-s-v1.UPF")}
    other = pseudo / "other"
    other.mkdir()
    (other / "Li.pbe-s-v1.UPF").write_text(HEADER.format("T"))
    monkeypatch.setenv("ESPRESSO_PSEUDO", str(other))
    assert spec.physics() != one


# --- by pw.x itself

real = [
    pytest.mark.slow,
    pytest.mark.dft,
    pytest.mark.skipif(
        shutil.which("pw.x") is None or not SILICON.exists(),
        reason="needs pw.x and a pseudopotential (Debian: quantum-espresso, quantum-espresso-data)",
    ),
]


def unpacked(folder: Path) -> Path:
    """Unpack the pseudopotential of Si (LDA) that comes with Debian's examples."""
    folder.mkdir(exist_ok=True)
    path = folder / "Si.pz-vbc.UPF"
    path.write_bytes(gzip.decompress(SILICON.read_bytes()))
    return path


def silicon(a: float = 5.43, rattle_A: float = 0.1) -> Atoms:
    """Eight rattled atoms of silicon."""
    atoms = bulk("Si", "diamond", a=a, cubic=True)
    atoms.rattle(rattle_A, seed=3)
    return atoms


def small_spec(upf: Path, timeout_s: float | None = 600.0, **options) -> CalculatorSpec:
    """With so few k-points silicon has no gap: its energy is the free energy of a smearing."""
    smearing = {"occupations": "smearing", "smearing": "fd", "degauss": 0.02}
    given = {
        "ecutwfc_Ry": 10,
        "pseudopotentials": {"Si": str(upf)},
        "input": {"system": smearing},
        **options,
    }
    return CalculatorSpec("espresso", options=given, timeout_s=timeout_s)


class TestReal:
    pytestmark = real

    def test_header(self, tmp_path: Path) -> None:
        header = read_header(unpacked(tmp_path / "upf"))
        assert (header.valence, header.augmented) == (4.0, False)
        assert header.made_for == Pseudopotential("Si", "LDA")

    @pytest.mark.parametrize("grid", [[1, 1, 1], [2, 1, 1]], ids=["gamma", "grid"])
    def test_forces_and_stress_are_derivatives_of_the_energy(self, tmp_path, grid) -> None:
        atoms = silicon()
        spec = small_spec(unpacked(tmp_path / "upf"), kpoints=grid)
        atoms.calc = spec.load(tmp_path / "pw")
        forces, stress = atoms.get_forces(), atoms.get_stress()
        step_A = 0.01
        for largest in np.argsort(-np.abs(forces), axis=None)[:2]:
            atom, axis = divmod(int(largest), 3)
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * step_A
                moved.calc = atoms.calc
                energies.append(moved.get_potential_energy())
            numerical = -(energies[0] - energies[1]) / (2 * step_A)
            assert abs(numerical) > 0.1
            assert forces[atom, axis] == pytest.approx(numerical, abs=1e-3)
        # At a fixed set of plane waves, which a strain this small leaves as it is, almost.
        strain = 1e-3
        for voigt, (i, j) in {1: (1, 1), 5: (0, 1)}.items():
            energies = []
            for sign in (1, -1):
                tensor = np.eye(3)
                tensor[i, j] += sign * strain / (1 if i == j else 2)
                tensor[j, i] = tensor[i, j]
                strained = atoms.copy()
                strained.set_cell(atoms.cell.array @ tensor, scale_atoms=True)
                strained.calc = atoms.calc
                energies.append(strained.get_potential_energy())
            numerical = (energies[0] - energies[1]) / (2 * strain * atoms.get_volume())
            assert stress[voigt] == pytest.approx(numerical, abs=5e-4)

    def test_stress_is_positive_under_tension(self, tmp_path: Path) -> None:
        stress = {}
        calculator = small_spec(unpacked(tmp_path / "upf")).load(tmp_path / "pw")
        for name, a in {"tension": 5.8, "compression": 5.1}.items():
            atoms = silicon(a, 0.05)
            atoms.calc = calculator
            stress[name] = atoms.get_stress()[:3].mean()
        assert stress["tension"] > 0.01 > -0.01 > stress["compression"]

    def test_forces_do_not_depend_on_the_step_before(self, tmp_path: Path) -> None:
        """To the tolerance that conv_thr_Ry_per_atom promises."""
        atoms = silicon()
        upf = unpacked(tmp_path / "upf")
        atoms.calc = small_spec(upf).load(tmp_path / "one")
        other = silicon(rattle_A=0.12)
        other.calc = atoms.calc
        other.get_forces()
        after = atoms.get_forces()
        atoms.calc = small_spec(upf).load(tmp_path / "two")
        assert atoms.get_forces() == pytest.approx(after, abs=2e-4)

    def test_unconverged_is_refused_or_counted(self, tmp_path: Path, caplog) -> None:
        atoms = silicon()
        upf = unpacked(tmp_path / "upf")
        atoms.calc = small_spec(upf, max_scf_steps=2).load(tmp_path / "stop")
        with pytest.raises(CalculatorError, match="did not converge in 2 steps"):
            atoms.get_forces()
        spec = small_spec(upf, max_scf_steps=2, scf_unconverged="continue")
        atoms.calc = spec.load(tmp_path / "continue")
        assert np.isfinite(atoms.get_forces()).all()
        assert atoms.calc.n_unconverged_scf == 1
        assert "did not converge" in caplog.text

    def test_an_error_of_the_program_is_told_in_its_words(self, tmp_path: Path) -> None:
        atoms = silicon()
        spec = small_spec(unpacked(tmp_path / "upf"), input={"system": {"no_such": 1}})
        atoms.calc = spec.load(tmp_path / "pw")
        with pytest.raises(CalculatorError, match=r"pw.x stopped: Error in routine") as caught:
            atoms.get_forces()
        assert "\n" not in str(caught.value)

    def test_a_damaged_wavefunction_file_is_left_behind(self, tmp_path: Path) -> None:
        atoms = silicon()
        atoms.calc = small_spec(unpacked(tmp_path / "upf")).load(tmp_path / "pw")
        energy = atoms.get_potential_energy()
        (file,) = (tmp_path / "pw" / "out").glob("*.save/wfc1.dat")
        file.write_bytes(file.read_bytes()[:300])
        atoms.positions += 0.01  # the same atoms elsewhere
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=5e-3)

    def test_a_killed_run_goes_on_to_where_an_uninterrupted_one_ends(self, tmp_path: Path) -> None:
        """To the SCF tolerance: positions within 1e-4 A after 6 steps."""
        upf = unpacked(tmp_path / "upf")
        code = (
            "import sys; sys.path.insert(0, sys.argv[3])\n"
            "from test_calculators_espresso import run_md; run_md(sys.argv[1], sys.argv[2])"
        )
        arguments = [str(tmp_path / "killed"), str(upf), str(Path(__file__).parent)]
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        deadline = time.monotonic() + 600
        checkpoint = tmp_path / "killed" / "01-production" / "checkpoint.npz"
        while not (checkpoint.exists() and steps_done(checkpoint) >= 3):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.wait()
        assert steps_done(checkpoint) < 6
        resumed = run_md(tmp_path / "killed", upf).trajectory("production")
        whole = run_md(tmp_path / "whole", upf).trajectory("production")
        assert len(resumed) == len(whole) == 7
        assert np.abs(whole.positions_A[-1] - whole.positions_A[0]).max() > 0.03
        assert np.abs(resumed.positions_A - whole.positions_A).max() < 1e-4
        assert resumed.energies_eV == pytest.approx(whole.energies_eV, abs=1e-4)


def run_md(folder, upf):
    """Six steps of ab initio dynamics, each of them recorded and checkpointed."""
    stage = Production(
        name="production",
        temperature_K=1000,
        duration_ps=0.012,
        timestep_fs=2.0,
        record_every_fs=2,
    )
    return Protocol(name="aimd", stages=(stage,)).run(
        silicon(),
        small_spec(Path(upf)),
        folder,
        seed=1,
        settings=RunSettings(checkpoint_every_s=0.001),
    )


def steps_done(checkpoint: Path) -> int:
    import json

    with np.load(checkpoint) as data:
        return int(json.loads(str(data["plain"]))["nsteps"])
