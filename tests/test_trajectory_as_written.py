"""Files as tools write them: stress as matrices, times by any name, cells elsewhere, overflow."""

import logging

import numpy as np
import pytest
import test_trajectory_cp2k as cp2k
import test_trajectory_espresso as espresso
import test_trajectory_lammps as lammps
import test_trajectory_siesta as siesta
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.io.trajectory import Trajectory as AseTrajectory

from mlmd import Trajectory
from mlmd.errors import InputError, TimeUnknownError

CELL = [8.0, 9.0, 10.0]


def read(path, timestep_fs=2.0):
    return Trajectory.read(path, timestep_fs, long_steps="warn")


def codes(trajectory):
    """Return what was found, but that atoms of files made up here move as no heat moves them."""
    return [one.code for one in trajectory.findings if one.code != "faster_than_thermal"]


def refusal(path, timestep_fs=2.0):
    with pytest.raises(InputError) as caught:
        read(path, timestep_fs)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


# Stress


def with_stresses(path, stresses):
    with AseTrajectory(path, "w") as file:
        for stress in stresses:
            atoms = Atoms("LiO", [[0, 0, 0], [2, 0, 0]], cell=CELL, pbc=True)
            atoms.calc = SinglePointCalculator(atoms, energy=-1.0)
            atoms.calc.results["stress"] = stress  # as calculators do; ASE's own would refuse it
            file.write(atoms)


@pytest.mark.parametrize("shape", [(6,), (3, 3), (9,)])
def test_stress_in_every_shape(tmp_path, shape):
    rng = np.random.default_rng(2)
    six = rng.normal(0, 0.02, (4, 6))
    xx, yy, zz, yz, xz, xy = six.T
    matrices = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]).transpose(2, 0, 1)
    with_stresses(tmp_path / "md.traj", six if shape == (6,) else matrices.reshape(4, *shape))
    back = read(tmp_path / "md.traj")
    assert back.stresses_eV_A3 == pytest.approx(six, abs=1e-12)
    assert codes(back) == ([] if shape == (6,) else ["stress_assumed"])


def test_stress_in_another_unit_is_left_out(tmp_path):
    """In GPa, as matgl's calculator gives it: 160 times what would be read."""
    with_stresses(tmp_path / "md.traj", np.array([np.diag([3.0, 2.5, 1.0])] * 3))
    back = read(tmp_path / "md.traj")
    assert back.stresses_eV_A3 is None
    assert codes(back) == ["stress_left_out"]
    with_stresses(tmp_path / "md.traj", np.zeros((3, 2, 2)))
    assert "six numbers" in refusal(tmp_path / "md.traj")


# Times, steps and boundaries in the comment of extended XYZ


def commented(path, comments):
    rows = "Li 0.1 0.2 0.3\nO 4.1 4.2 4.3\n"
    cell = 'Lattice="8 0 0 0 9 0 0 0 10"'
    path.write_text("".join(f"2\n{cell} {comment}\n{rows}" for comment in comments))
    return path


@pytest.mark.parametrize(
    ("comment", "unit_fs"),
    [
        ("Step={step} Time={time:.3f} Energy=-100.0", 1.0),  # CP2K
        ("time_fs={time}", 1.0),
        ("time_ps={time}", 1e3),
        ("Time[ps]={time}", 1e3),
        ("t_fs={time}", 1.0),
        ("time_ns={time}", 1e6),
    ],
)
def test_times_whose_unit_is_said_are_read(tmp_path, comment, unit_fs):
    comments = [comment.format(step=10 * i, time=0.5 + 2.5 * i) for i in range(5)]
    back = read(commented(tmp_path / "t.extxyz", comments), timestep_fs=None)
    assert back.time_fs == pytest.approx((0.5 + 2.5 * np.arange(5)) * unit_fs)


@pytest.mark.parametrize("comment", ["time={}", "Time={}", "t={}", "Timestep=5 Time={}", "x={}"])
def test_times_without_a_unit_are_not_guessed(tmp_path, caplog, comment):
    path = commented(tmp_path / "t.extxyz", [comment.format(2.5 * i) for i in range(5)])
    with pytest.raises(TimeUnknownError), caplog.at_level(logging.WARNING):
        read(path, timestep_fs=None)
    assert ("says no unit" in caplog.text) == ("x=" not in comment)
    back = read(path)
    assert back.time_fs == pytest.approx(2.0 * np.arange(5))
    assert codes(back) == (["time_without_unit"] if "x=" not in comment else [])


@pytest.mark.parametrize(
    "comment", ["Step={}", "step={}", "Timestep={}", "md_step={}", "Atoms. Timestep: {}"]
)
def test_steps_are_handed_on(tmp_path, comment):
    from mlmd.trajectory.ase_formats import read_ase
    from mlmd.trajectory.text.source import TextSource

    steps = [0, 10, 20, 30]
    lines = [comment.format(step) for step in steps]
    path = tmp_path / "t.xyz"
    path.write_text("".join(f"1\n{line}\nLi 0 0 0\n" for line in lines))
    with TextSource(path) as source:
        (block,) = read_ase(source)
    assert list(block.step) == steps
    path.write_text("".join("1\nstep=7\nLi 0 0 0\n" for _ in steps))  # counts nothing
    with TextSource(path) as source:
        (block,) = read_ase(source)
    assert block.step is None


@pytest.mark.parametrize(
    ("text", "pbc"),
    [
        ('pbc="T T F"', (True, True, False)),
        ("pbc=TTF", (True, True, False)),
        ('pbc="1 1 0"', (True, True, False)),
        ('pbc="True true False"', (True, True, False)),
        ("pbc=[T,T,F]", (True, True, False)),
        ("pbc='F F F'", (False, False, False)),
        ("pbc=T", (True, True, True)),
        ("pbc=true", (True, True, True)),
        ("", (True, True, True)),
    ],
)
def test_boundaries_in_every_spelling(tmp_path, text, pbc):
    assert read(commented(tmp_path / "t.extxyz", [text] * 3)).pbc == pbc


@pytest.mark.parametrize("with_cell", [(0,), (1, 2), range(64), range(64, 70)])
def test_a_cell_in_some_frames_only_is_refused(tmp_path, with_cell):
    path = tmp_path / "t.extxyz"
    lattice = ['Lattice="8 0 0 0 8 0 0 0 8" ' if i in with_cell else "" for i in range(70)]
    path.write_text(
        "".join(f"1\n{one}Properties=species:S:1:pos:R:3\nLi 1 1 1\n" for one in lattice)
    )
    assert "expected a cell in every frame" in refusal(path)


def test_boundaries_that_nobody_understands_are_refused(tmp_path):
    for text in ("pbc=xyz", 'pbc="T T"', 'pbc="2 1 1"', "pbc=None"):
        assert "pbc" in refusal(commented(tmp_path / "t.extxyz", [text] * 3))


# What overflowed


@pytest.mark.parametrize("word", ["null", "None", "nan", "NaN", "********", '"* * * * * * * * *"'])
@pytest.mark.parametrize("key", ["energy", "free_energy", "stress", "virial"])
def test_results_that_are_no_numbers_cost_no_frame(tmp_path, key, word):
    comments = ["energy=-1.5"] * 2 + [f"energy=-1.5 {key}={word}"] * 2
    if key == "energy":
        comments = ["energy=-1.5"] * 2 + [f"energy={word}"] * 2
    back = read(commented(tmp_path / "t.extxyz", comments))
    assert len(back) == 4
    assert (back.energies_eV is None) == (key == "energy")
    assert back.stresses_eV_A3 is None
    if word not in ("null", "None"):
        assert codes(back) == [f"{key}_left_out"]


@pytest.mark.parametrize("word", ["********", "nan", "inf", "null", "1.0*****"])
def test_forces_that_overflowed_cost_the_forces_alone(tmp_path, word):
    images = []
    for i in range(5):
        atoms = Atoms("LiO", [[0, 0, 0.1 * i], [2, 0, 0]], cell=CELL, pbc=True)
        atoms.calc = SinglePointCalculator(atoms, energy=-i, forces=np.full((2, 3), 0.25))
        images.append(atoms)
    path = tmp_path / "t.extxyz"
    write(path, images)
    whole = read(path)
    assert whole.forces_eV_A == pytest.approx(0.25)
    text = path.read_text()
    at = text.rindex("0.25000000")
    path.write_text(text[:at] + word + text[at + 10 :])
    back = read(path)
    assert np.array_equal(back.positions_A, whole.positions_A)
    assert back.energies_eV == pytest.approx(whole.energies_eV)
    assert back.forces_eV_A is None
    assert codes(back) == ["forces_left_out"]
    # A position is another matter.
    at = text.rindex("0.40000000")
    path.write_text(text[:at] + word + text[at + 10 :])
    refusal(path)


@pytest.mark.parametrize("word", ["*******", "nan", "-inf"])
def test_forces_of_a_dump_that_overflowed(tmp_path, word):
    path = tmp_path / "t.lammpstrj"
    before = ["ITEM: UNITS", "metal"]
    text = lammps.dump(("xu",), velocities=lammps.VELOCITIES, forces=lammps.FORCES, before=before)
    lines = text.splitlines()
    path.write_text(text)
    whole = read(path, 100.0)
    last = lines[-1].split()
    path.write_text("\n".join([*lines[:-1], " ".join([*last[:-1], word])]) + "\n")
    back = read(path, 100.0)
    assert np.array_equal(back.positions_A, whole.positions_A)
    assert np.array_equal(back.velocities_A_fs, whole.velocities_A_fs)
    assert back.forces_eV_A is None
    assert codes(back) == ["forces_left_out", "md_step_implied"]
    path.write_text("\n".join([*lines[:-1], " ".join([*last[:4], word, *last[5:]])]) + "\n")
    refusal(path, 100.0)


@pytest.mark.parametrize("word", ["****************", "NaN"])
def test_forces_of_cp2k_that_overflowed(tmp_path, word):
    for name, text in cp2k.REAL.items():
        (tmp_path / name).write_text(text)
    path = tmp_path / "h2-pos-1.xyz"
    whole = read(path, None)
    assert whole.forces_eV_A is not None
    forces = cp2k.FORCES.replace("0.1915027699", word)
    (tmp_path / "h2-frc-1.xyz").write_text(forces)
    back = read(path, None)
    assert np.array_equal(back.positions_A, whole.positions_A)
    assert np.array_equal(back.velocities_A_fs, whole.velocities_A_fs)
    assert back.forces_eV_A is None
    assert codes(back) == ["forces_left_out"]
    path.write_text(cp2k.POSITIONS.replace("1.7998255384", word))
    refusal(path, None)


@pytest.mark.parametrize("word", ["**********", "NaN"])
@pytest.mark.parametrize(
    ("mark", "lost"), [("force =", "forces_eV_A"), ("!    total energy", "energies_eV")]
)
def test_what_pw_x_could_not_print(tmp_path, mark, lost, word):
    lines, path = espresso.fixed_cell(), tmp_path / "md.pwo"
    path.write_text("\n".join(lines) + "\n")
    whole = read(path, None)
    at = next(i for i, line in enumerate(lines) if mark in line and i > 100)
    head, _, numbers = lines[at].rpartition("=")
    words = numbers.split()
    numbers = " ".join([word, *words[1:]] if mark == "force =" else [word, "Ry"])
    path.write_text("\n".join([*lines[:at], f"{head}= {numbers}", *lines[at + 1 :]]) + "\n")
    back = read(path, None)
    assert np.array_equal(back.positions_A, whole.positions_A)
    assert getattr(whole, lost) is not None
    assert getattr(back, lost) is None
    assert len(codes(back)) == 1


def test_what_siesta_could_not_print(tmp_path):
    siesta.write_ani(tmp_path / "run.ANI")
    siesta.write_xv(tmp_path / "run.XV")
    siesta.write_mde(tmp_path / "run.MDE")
    whole = read(tmp_path / "run.ANI")
    assert whole.energies_eV is not None
    lines = (tmp_path / "run.MDE").read_text().splitlines()
    words = lines[-2].split()
    lines[-2] = "  ".join([words[0], words[1], "*" * 12, *words[3:]])
    (tmp_path / "run.MDE").write_text("\n".join(lines) + "\n")
    back = read(tmp_path / "run.ANI")
    assert np.array_equal(back.positions_A, whole.positions_A)
    assert back.energies_eV is None


# The cell of CP2K elsewhere


def log(cell, project=None, ensemble="NVT", unit="angstrom"):
    text = " DBCSR| Multiplication driver                                   BLAS\n"
    if project:
        text += f" GLOBAL| Project name                                    {project}\n"
    for name, row in zip("abc", np.asarray(cell, float), strict=True):
        numbers = "".join(f"{x:10.3f}" for x in row)
        text += f" CELL| Vector {name} [{unit}]:{numbers}    |{name}| = {max(row):12.6f}\n"
    text += " CELL_REF| Vector a [angstrom]:     1.000     0.000     0.000    |a| =  1.0\n"
    return text + f" MD| Ensemble Type                                        {ensemble}\n"


def with_project(cell, project="run", ensemble="NVT"):
    return f"&GLOBAL\n  PROJECT {project}\n&END GLOBAL\n" + cp2k.input_text(cell, ensemble)


DIAGONAL = np.diag([4.0, 5.0, 6.0])
ABC = "ABC 4 5 6"


@pytest.mark.parametrize(
    "files",
    [
        {"md.inp": with_project(ABC)},
        {"md.inp": with_project("A [bohr] 7.558904535 0 0\nB 0 5 0\nC [nm] 0 0 0.6")},
        {"md.inp": with_project("ABC [angstrom] 4 5 6\nALPHA_BETA_GAMMA [deg] 90 90 90")},
        {"md.inp": with_project(ABC).replace("PROJECT", "PROJECT_NAME")},
        {"md.inp": with_project(ABC, "out/run")},
        {"run-1_500.restart": with_project(ABC)},
        {"run-1.restart": with_project(ABC, "run")},
        {"slurm-1.out": log(DIAGONAL, "run")},
        {"cp2k.log": log(DIAGONAL / units.Bohr, "run", unit="bohr")},
        {"md.out": log(DIAGONAL)},
        {"run.out": log(DIAGONAL)},
        {"md.inp": with_project("ABC $L $L $L"), "md.out": log(DIAGONAL)},
        {"md.inp": with_project(ABC), "md.out": log(DIAGONAL)},
        {"md.inp": with_project(ABC), "other.inp": with_project("ABC 9 9 9", "other")},
        {"md.inp": with_project(ABC), "other.out": log(DIAGONAL * 2, "other")},
        {
            "md.inp": with_project(ABC),
            "other.inp": with_project("ABC 9 9 9", "other"),
            "other.out": log(DIAGONAL * 2),
        },
    ],
)
def test_the_cell_is_that_of_the_files_of_the_same_project(tmp_path, files):
    made = cp2k.case(tmp_path, range(3))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    back = read(made.path, None)
    assert back.cell_A == pytest.approx(DIAGONAL, abs=2e-3)
    named = "run-1.restart" in files
    assert codes(back) == ([] if named else ["cell_assumed"])
    # The cell that was recorded counts.
    cp2k.write_cells(tmp_path / "run-1.cell", range(3), cp2k.Case.CELLS[:3])
    assert read(made.path, None).cell_A == pytest.approx(cp2k.Case.CELLS[:3], abs=1e-9)


@pytest.mark.parametrize(
    "files",
    [
        {"md.inp": with_project(ABC, "other")},
        {"md.inp": cp2k.input_text(ABC)},
        {"run.inp": with_project(ABC, "other")},
        {"md.inp": with_project(ABC, ensemble="NPT_F")},
        {"md.inp": with_project("ABC 4 5 $x"), "md.out": log(DIAGONAL, "run", "NPT_I")},
        {"md.inp": with_project(ABC, ensemble="NPT_I"), "run.out": log(DIAGONAL)},
        {"md.out": log(DIAGONAL, "other")},
        {"md.out": log(DIAGONAL), "other-pos-1.xyz": ""},
        {"md.inp": with_project(ABC, "other"), "md.out": log(DIAGONAL)},
        {"md.out": log(DIAGONAL, "run") + log(DIAGONAL * 1.1, "run")},
        {"md.out": "CELL| Vector a [angstrom]: 1 2 3\n"},
    ],
)
def test_a_cell_of_another_run_or_moment_is_not_taken(tmp_path, files):
    made = cp2k.case(tmp_path, range(3))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    said = refusal(made.path, None)
    assert "run-1.cell beside them" in said
    assert "line 0" not in said


@pytest.mark.parametrize(
    "files",
    [
        {"a.inp": with_project(ABC), "b.inp": with_project("ABC 4 5 6.01")},
        {"run.inp": cp2k.input_text(ABC), "run-1.restart": cp2k.input_text("ABC 4 5.5 6")},
        {"md.inp": with_project(ABC), "md.out": log(DIAGONAL * 1.01)},
    ],
)
def test_two_cells_of_one_run_are_refused(tmp_path, files):
    made = cp2k.case(tmp_path, range(3))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    said = refusal(made.path, None)
    assert all(name in said for name in files)
