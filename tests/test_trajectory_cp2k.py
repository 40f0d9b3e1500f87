"""CP2K's trajectories: files of a real run, and their layout with everything known.

The real run (CP2K 2023.1, LDA, 100 Ry, so cruder than any use but consistent) is three steps of
0.4838 fs at constant energy of Li and three H in a triclinic cell.
"""

import logging
import shutil
import subprocess
from dataclasses import dataclass

import numpy as np
import pytest
from ase import units
from ase.data import atomic_masses, atomic_numbers
from ase.geometry import cellpar_to_cell
from blocks import random_frames, read_blocks

from mlmd.errors import InputError
from mlmd.trajectory.cp2k.xyz import read_cp2k_xyz

POSITIONS = """\
       4
 i =        0, time =        0.000, E =        -9.0508772431
  H         0.0000000000        0.0000000000        0.0000000000
 Li         2.1000000000        2.0000000000        1.8000000000
  H         0.7500000000        0.1000000000       -0.0500000000
  H         2.3000000000        0.6000000000        1.9000000000
       4
 i =        1, time =        0.484, E =        -9.0589096146
  H         0.0123358059       -0.0061521222       -0.0009248980
 Li         2.0969537082        2.0034075516        1.7998255384
  H         0.7321792919        0.0989255924       -0.0676173020
  H         2.3169399804        0.5990655530        1.9156500906
       4
 i =        2, time =        0.968, E =        -9.0687988186
  H         0.0303607403       -0.0198406369       -0.0029526758
 Li         2.0937037558        2.0077671006        1.7995180424
  H         0.7060554768        0.1014704010       -0.0928484427
  H         2.3236210900        0.6201950393        1.9298895457
"""
VELOCITIES = """\
       4
 i =        0, time =        0.000, E =        -9.0508772431
  H         0.0011732474       -0.0005529340       -0.0000746432
 Li        -0.0002786558        0.0002763059       -0.0000105690
  H        -0.0009153293       -0.0002539023       -0.0008442102
  H         0.0016609957       -0.0010958953        0.0009916351
       4
 i =        1, time =        0.484, E =        -9.0589096146
  H         0.0014342685       -0.0009372894       -0.0001394870
 Li        -0.0002974402        0.0003669248       -0.0000227681
  H        -0.0020759786        0.0000694631       -0.0020241987
  H         0.0011158814        0.0009540317        0.0014120089
       4
 i =        2, time =        0.968, E =        -9.0687988186
  H         0.0021705974       -0.0022794285       -0.0002943909
 Li        -0.0003174722        0.0004600409       -0.0000360889
  H        -0.0019966160        0.0002519772       -0.0019132224
  H         0.0000539012        0.0027347321        0.0008313923
"""
FORCES = """\
       4
 i =        0, time =        0.000, E =        -9.0508772431
  H        -0.0014217532       -0.0052049074       -0.0023412129
 Li        -0.0115934454        0.0577511914       -0.0074829540
  H        -0.1411767308        0.0279982802       -0.1507123437
  H        -0.0111111132        0.1851250690        0.0894777267
       4
 i =        1, time =        0.484, E =        -9.0589096146
  H         0.0493784974       -0.0654117293       -0.0095723884
 Li        -0.0121726859        0.0569003848       -0.0079514016
  H        -0.0720663883        0.0314127994       -0.0660839205
  H        -0.0890413401        0.1915027699       -0.0122435376
       4
 i =        2, time =        0.968, E =        -9.0687988186
  H         0.0859053204       -0.1811760407       -0.0188876915
 Li        -0.0131718654        0.0609107324       -0.0089021751
  H         0.0866474772        0.0021200522        0.0864733243
  H        -0.1060735682        0.1356607393       -0.0944316506
"""
ENER = """\
#  Step Nr.  Time[fs]  Kin.[a.u.]  Temp[K]  Pot.[a.u.]  Cons Qty[a.u.]  UsedTime[s]
  0  0.000000  0.008550401  600.000000000  -9.050877243  -9.042326842  0.000000000
  1  0.483800  0.015669083  1099.533140100  -9.058909615  -9.043240532  28.727423417
  2  0.967600  0.025757664  1807.470534526  -9.068798819  -9.043041154  8.212385773
"""
STRESS = """\
# Step Time [fs] xx [bar] xy [bar] xz [bar] yx [bar] yy [bar] yz [bar] zx [bar] zy [bar] zz \
[bar]
  0 0.000 5025.9874172655 -10971.4456493483 -7599.7695280481 -10971.4456493483 6794.7267427743 \
-7775.2418318737 -7599.7695280481 -7775.2418318737 42165.8240223919
  1 0.484 44643.3466866152 -7959.7434425104 -7464.6195739639 -7959.7434425104 2276.9631602839 \
-8960.9146934615 -7464.6195739639 -8960.9146934615 76746.1070931963
  2 0.968 98705.4042405604 -12145.4133785296 -15681.1389705971 -12145.4133785296 \
96454.6058857231 -9764.8933734562 -15681.1389705971 -9764.8933734562 54952.7416439186
"""
CELL = """\
# Step Time [fs] Ax [Angstrom] Ay [Angstrom] Az [Angstrom] Bx [Angstrom] By [Angstrom] Bz \
[Angstrom] Cx [Angstrom] Cy [Angstrom] Cz [Angstrom] Volume [Angstrom^3]
  0 0.000 4.0000000000 0.1000000000 0.0000000000 0.0000000000 4.2000000000 0.2000000000 \
0.3000000000 0.0000000000 4.1000000000 68.8860000000
  1 0.484 4.0000000000 0.1000000000 0.0000000000 0.0000000000 4.2000000000 0.2000000000 \
0.3000000000 0.0000000000 4.1000000000 68.8860000000
  2 0.968 4.0000000000 0.1000000000 0.0000000000 0.0000000000 4.2000000000 0.2000000000 \
0.3000000000 0.0000000000 4.1000000000 68.8860000000
"""

# What CP2K prints for the first frame of it without molecular dynamics, in GPa.
STATIC_STRESS_GPA = np.array(
    [
        [-1.37896052857e-01, -7.75405380498e-01, -1.03354255152e00],
        [-7.75405380498e-01, 4.35631143735e-01, -6.78539965427e-01],
        [-1.03354255152e00, -6.78539965427e-01, 4.01862157555e00],
    ]
)
KINETIC_HARTREE = [0.008550401, 0.015669083, 0.025757664]
VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])
REAL = {
    "h2-pos-1.xyz": POSITIONS,
    "h2-vel-1.xyz": VELOCITIES,
    "h2-frc-1.xyz": FORCES,
    "h2-1.ener": ENER,
    "h2-1.stress": STRESS,
    "h2-1.cell": CELL,
}


@pytest.fixture
def real(tmp_path):
    for name, text in REAL.items():
        (tmp_path / name).write_text(text)
    return tmp_path / "h2-pos-1.xyz"


# A real run


def test_a_real_run_obeys_newton(real):
    """Velocity Verlet from one frame to the next: all units at once."""
    block = read_blocks(read_cp2k_xyz, real)
    assert list(block.numbers) == [1, 3, 1, 1]
    assert block.wrapped is False
    assert block.time_fs == pytest.approx([0.0, 0.4838, 0.9676], abs=1e-12)
    assert (block.step == [0, 1, 2]).all()
    dt = 0.4838 * units.fs
    masses = atomic_masses[block.numbers][:, None]
    velocities = block.velocities_A_fs / units.fs
    acceleration = block.forces_eV_A / masses
    positions = block.positions_A
    moved = velocities[:-1] * dt + acceleration[:-1] * dt**2 / 2
    assert np.diff(positions, axis=0) == pytest.approx(moved, abs=2e-6)
    sped = (acceleration[:-1] + acceleration[1:]) * dt / 2
    assert np.diff(velocities, axis=0) == pytest.approx(sped, rel=2e-4, abs=5e-6)
    kinetic = (masses * velocities**2).sum(axis=(1, 2)) / 2
    assert kinetic / units.Hartree == pytest.approx(KINETIC_HARTREE, rel=1e-3)
    assert block.energies_eV / units.Hartree == pytest.approx(
        [-9.0508772431, -9.0589096146, -9.0687988186], rel=1e-12
    )


def test_stress_is_that_at_rest_and_positive_in_tension(real):
    block = read_blocks(read_cp2k_xyz, real)
    static = STATIC_STRESS_GPA[VOIGT] * units.GPa
    assert block.stresses_eV_A3[0] == pytest.approx(-static, abs=2e-3 * units.GPa)
    # The motion of atoms is a pressure: CP2K's tensor of the run is larger on its diagonal.
    with_motion = np.array([5025.99, 6794.73, 42165.82]) * units.bar
    assert (with_motion > static[:3]).all()
    (real.parent / "h2-vel-1.xyz").unlink()
    assert read_blocks(read_cp2k_xyz, real).stresses_eV_A3 is None


def test_times_from_three_digits(real):
    """Without .ener, 0.484 and 0.968 are all there is; they are at least evenly spaced."""
    (real.parent / "h2-1.ener").unlink()
    times = read_blocks(read_cp2k_xyz, real).time_fs
    assert times == pytest.approx([0.0, 0.484, 0.968], abs=5e-4)
    assert times[2] - times[1] == pytest.approx(times[1], abs=1e-12)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cp2k.psmp") is None, reason="cp2k.psmp is not installed")
def test_cp2k_itself(tmp_path):
    """A hydrogen molecule for three steps: Newton again, with this machine's version."""
    text = """\
&GLOBAL
  PROJECT h2
  RUN_TYPE MD
&END GLOBAL
&FORCE_EVAL
  &DFT
    BASIS_SET_FILE_NAME GTH_BASIS_SETS
    POTENTIAL_FILE_NAME GTH_POTENTIALS
    &MGRID
      CUTOFF 120
    &END MGRID
    &XC
      &XC_FUNCTIONAL PADE
      &END XC_FUNCTIONAL
    &END XC
  &END DFT
  &SUBSYS
    &CELL
      ABC 4.0 4.0 4.5
      ALPHA_BETA_GAMMA 90 85 95
    &END CELL
    &COORD
      H 3.9 0.0 0.0
      H 4.6 0.1 -0.05
    &END COORD
    &KIND H
      BASIS_SET DZVP-GTH
      POTENTIAL GTH-PADE-q1
    &END KIND
  &END SUBSYS
&END FORCE_EVAL
&MOTION
  &MD
    ENSEMBLE NVE
    STEPS 3
    TIMESTEP 0.4
    TEMPERATURE 300
  &END MD
  &PRINT
    &VELOCITIES ON
    &END VELOCITIES
    &FORCES ON
    &END FORCES
  &END PRINT
&END MOTION
"""
    (tmp_path / "h2.inp").write_text(text)
    subprocess.run(
        ["cp2k.psmp", "-i", "h2.inp", "-o", "h2.out"],
        cwd=tmp_path,
        check=True,
        timeout=300,
        capture_output=True,
    )
    block = read_blocks(read_cp2k_xyz, tmp_path / "h2-pos-1.xyz")
    assert len(block.cell_A) == 4
    assert block.cell_A[0] == pytest.approx(cellpar_to_cell([4, 4, 4.5, 90, 85, 95]), abs=1e-6)
    dt = 0.4 * units.fs
    moved = block.velocities_A_fs[:-1] * 0.4 + block.forces_eV_A[:-1] * dt**2 / 2 / atomic_masses[1]
    assert np.diff(block.positions_A, axis=0) == pytest.approx(moved, abs=2e-6)
    (tmp_path / "h2-1.restart").unlink()  # and then the input
    again = read_blocks(read_cp2k_xyz, tmp_path / "h2-pos-1.xyz")
    assert again.cell_A == pytest.approx(block.cell_A, abs=1e-6)


# Everything known


@dataclass
class Case:
    """Files of a run in the layout of CP2K, and what they are of."""

    path: object
    steps: np.ndarray

    SYMBOLS, POSITIONS, CELLS, VELOCITIES, FORCES = random_frames(9, 7)

    def rows(self, values):
        return values[[i % 7 for i in range(len(self.steps))]]


def write_xyz(path, steps, values, timestep_fs=0.5, labels=tuple(Case.SYMBOLS)):
    text = []
    for i, step in enumerate(steps):
        text += [f"{len(labels):8d}"]
        text += [f" i = {step:8d}, time = {step * timestep_fs:12.3f}, E = {-100.0 - step:20.10f}"]
        for label, row in zip(labels, values[i], strict=True):
            text += [f"{label:>3s}" + "".join(f"{x:20.10f}" for x in row)]
    path.write_text("\n".join(text) + "\n")


def write_cells(path, steps, cells, timestep_fs=0.5):
    text = ["#   Step   Time [fs]       Ax [Angstrom] ... Volume [Angstrom^3]"]
    for step, cell in zip(steps, cells, strict=True):
        numbers = "".join(f"{x:20.10f}" for x in [*cell.ravel(), np.linalg.det(cell)])
        text += [f"{step:8d}{step * timestep_fs:12.3f}{numbers}"]
    path.write_text("\n".join(text) + "\n")


def case(tmp_path, steps, **files) -> Case:
    """Positions of some steps, and other files of other steps."""
    made = Case(tmp_path / "run-pos-1.xyz", np.array(steps))
    write_xyz(made.path, steps, made.rows(Case.POSITIONS))
    for name, known in files.items():
        at = np.array(known)
        if name == "cell":
            write_cells(tmp_path / "run-1.cell", known, Case.CELLS[at % 7])
        else:
            values = Case.VELOCITIES if name == "vel" else Case.FORCES
            write_xyz(tmp_path / f"run-{name}-1.xyz", known, values[at % 7])
    return made


ATOMIC_TIME_FS = 0.02418884326


def test_files_written_at_other_intervals_are_matched_by_step(tmp_path):
    steps = [0, 2, 4, 6]
    made = Case(tmp_path / "run-pos-1.xyz", np.array(steps))
    write_xyz(made.path, steps, Case.POSITIONS[steps])
    write_cells(tmp_path / "run-1.cell", range(7), Case.CELLS)
    write_xyz(tmp_path / "run-vel-1.xyz", range(7), Case.VELOCITIES)
    write_xyz(tmp_path / "run-frc-1.xyz", [0, 4], Case.FORCES[[0, 4]])
    block = read_blocks(read_cp2k_xyz, made.path)
    assert block.numbers == pytest.approx([atomic_numbers[s] for s in Case.SYMBOLS])
    assert block.positions_A == pytest.approx(Case.POSITIONS[steps], abs=1e-9)
    assert block.cell_A == pytest.approx(Case.CELLS[steps], abs=1e-9)
    assert block.velocities_A_fs == pytest.approx(
        Case.VELOCITIES[steps] * units.Bohr / ATOMIC_TIME_FS, rel=1e-5, abs=1e-7
    )
    # Forces are not known for every frame: none are given rather than some made up.
    assert block.forces_eV_A is None
    assert (block.step == steps).all()
    assert block.time_fs == pytest.approx([0, 1, 2, 3])
    assert block.energies_eV == pytest.approx((-100.0 - np.array(steps)) * units.Hartree)


def test_mdanalysis_reads_the_same(tmp_path):
    from MDAnalysis.coordinates.XYZ import XYZReader

    made = case(tmp_path, range(7), cell=range(7))
    block = read_blocks(read_cp2k_xyz, made.path)
    with XYZReader(str(made.path)) as other:
        for f, frame in enumerate(other):
            assert block.positions_A[f] == pytest.approx(frame.positions, abs=1e-5)


def test_a_restarted_run_repeats_steps(tmp_path):
    steps = [0, 1, 2, 3, 2, 3, 4]
    made = case(tmp_path, steps, cell=[0, 1, 2, 3, 2, 3, 4], vel=steps, frc=steps)
    block = read_blocks(read_cp2k_xyz, made.path)
    assert (block.step == steps).all()
    assert block.time_fs == pytest.approx(np.array(steps) * 0.5)
    assert block.cell_A == pytest.approx(Case.CELLS[steps], abs=1e-9)
    assert block.velocities_A_fs is not None
    assert block.forces_eV_A is not None


def test_kinds_are_elements(tmp_path):
    labels = ["Li1", "P", "S_a", "li", "S2", "CL", "Li-x", "S"]
    write_cells(tmp_path / "run-1.cell", [0], Case.CELLS[:1])
    write_xyz(tmp_path / "run-pos-1.xyz", [0], Case.POSITIONS, labels=labels)
    block = read_blocks(read_cp2k_xyz, tmp_path / "run-pos-1.xyz")
    assert list(block.numbers) == [atomic_numbers[s] for s in Case.SYMBOLS]
    labels[2] = "Xyz"
    write_xyz(tmp_path / "run-pos-1.xyz", [0], Case.POSITIONS, labels=labels)
    with pytest.raises(InputError, match="Xyz"):
        read_blocks(read_cp2k_xyz, tmp_path / "run-pos-1.xyz")


# The cell

CELL_SECTIONS = [
    (
        "A 4.0 0.1 0.0\nB [bohr] 1 9 0\nC [nm] 0 0 0.5",
        [[4, 0.1, 0], [0.529177, 4.762595, 0], [0, 0, 5]],
    ),
    ("ABC 4 5 6", np.diag([4, 5, 6])),
    (
        "abc [angstrom] 4 5 6 ! comment\nALPHA_BETA_GAMMA 80 95 110",
        cellpar_to_cell([4, 5, 6, 80, 95, 110]),
    ),
]


def input_text(cell, ensemble="NVT", extra=""):
    return (
        f"&MOTION\n&MD\nENSEMBLE {ensemble}\n&END MD\n&END MOTION\n&FORCE_EVAL\n&PRINT\n"
        f"&STRESS_TENSOR\n&END\n&END PRINT\n&SUBSYS\n&CELL\n{cell}\n{extra}&END CELL\n"
        "&END SUBSYS\n&END FORCE_EVAL\n"
    )


@pytest.mark.parametrize("name", ["run-1.restart", "run.inp"])
@pytest.mark.parametrize(("text", "expected"), CELL_SECTIONS)
def test_a_constant_cell_from_the_input(tmp_path, name, text, expected):
    made = case(tmp_path, range(3))
    (tmp_path / name).write_text(input_text(text))
    block = read_blocks(read_cp2k_xyz, made.path)
    assert block.cell_A == pytest.approx(np.array([expected] * 3), abs=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        input_text("ABC 4 5 6", "NPT_F"),
        input_text("ABC 4 5 6", extra="MULTIPLE_UNIT_CELL 2 2 2\n"),
        input_text("ABC $L $L $L"),
        input_text("ABC 4 5"),
        "",
    ],
)
def test_a_cell_that_is_not_known_is_asked_for(tmp_path, text):
    made = case(tmp_path, range(3))
    (tmp_path / "run.inp").write_text(text)
    with pytest.raises(InputError, match=r"run-1\.cell beside them") as caught:
        read_blocks(read_cp2k_xyz, made.path)
    assert "\n" not in str(caught.value)


def test_cells_that_end_too_early(tmp_path, caplog):
    made = case(tmp_path, range(7), cell=range(5))
    with caplog.at_level(logging.WARNING):
        assert len(read_blocks(read_cp2k_xyz, made.path).cell_A) == 5
    assert "no cell is known after step 4" in caplog.text
    made = case(tmp_path, range(7), cell=[0, 1, 2, 4, 5, 6])
    with pytest.raises(InputError, match="step 3 without its cell"):
        read_blocks(read_cp2k_xyz, made.path)
    write_cells(tmp_path / "run-1.cell", range(7), Case.CELLS * (np.arange(7) > 0)[:, None, None])
    with pytest.raises(InputError, match="without a volume"):
        read_blocks(read_cp2k_xyz, made.path)
    # A cell that never changes needs no line for each step.
    write_cells(tmp_path / "run-1.cell", [0, 1], Case.CELLS[[0, 0]])
    assert len(read_blocks(read_cp2k_xyz, made.path).cell_A) == 7


# What is broken


@pytest.mark.parametrize("lines_left_out", [1, 5, 8, 9])
def test_a_last_frame_cut_short_is_left_out(tmp_path, caplog, lines_left_out):
    made = case(tmp_path, range(7), cell=range(7), vel=range(7))
    lines = made.path.read_text().splitlines(keepends=True)
    made.path.write_text("".join(lines[:-lines_left_out]))
    with caplog.at_level(logging.WARNING):
        block = read_blocks(read_cp2k_xyz, made.path)
    assert len(block.cell_A) == 6
    assert "last frame is left out" in caplog.text
    made.path.write_text("".join(lines)[:-7])
    assert len(read_blocks(read_cp2k_xyz, made.path).cell_A) == 6


def test_errors_name_file_and_line(tmp_path):
    made = case(tmp_path, range(7), cell=range(7), vel=range(7))
    text = made.path.read_text()
    lines = text.splitlines(keepends=True)
    for number, wrong, message in (
        (11, "10 atoms\n", "a number of atoms"),
        (12, " i = x\n", "time ="),
        (13, " Li 1.0 2.0\n", "4 columns"),
        (13, " Li 1.0 2.0 nan\n", "finite"),
        (13, "  S 1.0 2.0 3.0\n", "atoms unlike"),
        (11, "1000000000000\n", "in a file of this size"),
        (11, "-1\n", "in a file of this size"),
    ):
        made.path.write_text("".join([*lines[: number - 1], wrong, *lines[number:]]))
        with pytest.raises(InputError, match=message) as caught:
            read_blocks(read_cp2k_xyz, made.path)
        assert "\n" not in str(caught.value)
        at = 20 if message == "atoms unlike" else number
        assert f"{made.path}, line {at}:" in str(caught.value)
    made.path.write_text(text)
    velocities = tmp_path / "run-vel-1.xyz"
    velocities.write_text(velocities.read_text().replace(" Li ", " Na "))
    with pytest.raises(InputError, match=r"run-vel-1\.xyz.*other atoms"):
        read_blocks(read_cp2k_xyz, made.path)
