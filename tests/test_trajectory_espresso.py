"""Output of pw.x: layout of Quantum ESPRESSO's sources, ASE's reader, and pw.x itself."""

import logging
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.data import atomic_numbers
from ase.io import read
from blocks import random_frames, read_blocks

from mlmd.errors import InputError
from mlmd.trajectory.espresso.output import read_espresso_output
from mlmd.trajectory.text.source import TextSource

SYMBOLS, POSITIONS, CELLS, _, FORCES = random_frames(21, 6)
NUMBERS = np.array([atomic_numbers[symbol] for symbol in SYMBOLS])
FORCES = FORCES * 10
ALAT_BOHR = 13.271804
BOHR = units.Bohr
RYDBERG_TIME_FS = 0.04837768653
MASSES = {"Li": 7.016, "P": 30.974, "S": 32.06, "Cl": 35.45}
STRESS = np.random.default_rng(2).normal(0, 1e-3, (6, 3, 3))
STRESS = np.round(STRESS + STRESS.swapaxes(1, 2), 8)


def header(cell, positions, symbols=tuple(SYMBOLS), discarded=False):
    """What pw.x prints first (PW/src/summary.f90)."""
    alat = ALAT_BOHR * BOHR
    text = [
        "     Program PWSCF v.7.2 starts on  1Jan2026 at  0: 0: 0 ",
        "     lattice parameter (alat)  =      13.2718  a.u.",
        f"     number of atoms/cell      = {len(symbols):12d}",
        "     number of atomic types    =            4",
        f"     celldm(1)= {ALAT_BOHR:10.6f}  celldm(2)=   0.000000  celldm(3)=   0.000000",
        "     celldm(4)=   0.000000  celldm(5)=   0.000000  celldm(6)=   0.000000",
        "",
        "     crystal axes: (cart. coord. in units of alat)",
    ]
    for i, row in enumerate(cell / alat, 1):
        text += [f"               a({i}) = (" + "".join(f"{x:11.6f}" for x in row) + " )  "]
    text += ["", "     atomic species   valence    mass     pseudopotential"]
    for label in dict.fromkeys(symbols):
        mass = MASSES[label.rstrip("0123456789")]
        text += [f"        {label:<6s}         1.00   {mass:9.5f}     {label:2s}( 1.00)"]
    text += ["", "   Cartesian axes", ""]
    text += ["     site n.     atom                  positions (alat units)"]
    for i, (label, row) in enumerate(zip(symbols, positions / alat, strict=True), 1):
        numbers = "".join(f"{x:12.7f}" for x in row)
        text += [f"      {i:4d}        {label:>6s}  tau({i:4d}) = ({numbers}  )"]
    text += ["", "   Crystallographic axes", ""]
    text += ["     site n.     atom                  positions (cryst. coord.)"]
    for i, (label, row) in enumerate(zip(symbols, positions @ np.linalg.inv(cell), strict=True), 1):
        numbers = "".join(f"{x:11.7f}" for x in row)
        text += [f"      {i:4d}        {label:>6s}  tau({i:4d}) = ({numbers}  )"]
    if discarded:
        text += ["     Atomic positions from file used, from input discarded"]
    return [*text, "", "     Self-consistent Calculation", ""]


def results(energy_Ry, forces, stress=None):
    """What pw.x prints of a geometry: forces in Ry/bohr, stress in Ry/bohr^3."""
    text = [
        "     total energy              =     -99.00000000 Ry",
        "     estimated scf accuracy    <       0.25171583 Ry",
        f"!    total energy              = {energy_Ry:17.8f} Ry",
        "     estimated scf accuracy    <       0.00000001 Ry",
        "",
        "     Forces acting on atoms (cartesian axes, Ry/au):",
        "",
    ]
    for i, row in enumerate(forces, 1):
        numbers = "".join(f"{x:14.8f}" for x in row)
        text += [f"     atom {i:4d} type  1   force = {numbers}"]
    text += ["     The non-local contrib.  to forces"]
    for i, _ in enumerate(forces, 1):
        text += [f"     atom {i:4d} type  1   force =     9.00000000    9.00000000    9.00000000"]
    text += ["", "     Total force =     0.766535     Total SCF correction =     0.000032", ""]
    if stress is not None:
        text += ["     Computing stress (Cartesian axis) and pressure", ""]
        text += [
            "          total   stress  (Ry/bohr**3)                   (kbar)     P=       94.57"
        ]
        for row in stress:
            numbers = "".join(f"{x:13.8f}" for x in row)
            text += [numbers + "".join(f"{x * 147105.0:12.2f}" for x in row)]
    return [*text, ""]


def card(kind, cell, positions, symbols=tuple(SYMBOLS)):
    alat = ALAT_BOHR * BOHR
    scale = {"angstrom": 1.0, "bohr": BOHR, "alat": alat}
    values = positions @ np.linalg.inv(cell) if kind == "crystal" else positions / scale[kind]
    text = ["", f"ATOMIC_POSITIONS ({kind})"]
    for label, row in zip(symbols, values, strict=True):
        text += [f"{label:<6s}" + "".join(f"{x:20.10f}" for x in row)]
    return [*text, ""]


def cell_card(kind, cell):
    alat = ALAT_BOHR * BOHR
    name = {"angstrom": "(angstrom)", "bohr": "(bohr)", "alat": f"(alat={ALAT_BOHR:12.8f})"}[kind]
    values = cell / {"angstrom": 1.0, "bohr": BOHR, "alat": alat}[kind]
    rows = ["".join(f"{x:14.9f}" for x in row) for row in values]
    return [f"     new unit-cell volume = {1.0:12.5f} a.u.^3", "", f"CELL_PARAMETERS {name}", *rows]


def fixed_cell(kind="angstrom", dt=20.0, symbols=tuple(SYMBOLS), start=None):
    """An md run of six geometries, the last without results, as it ends (dynamics_module.f90)."""
    cell = CELLS[0]
    first = POSITIONS[0] if start is None else start
    text = header(cell, first, symbols)
    for n in range(5):
        text += results(-50.0 - n, FORCES[n], STRESS[n])
        if n == 0:
            fs = dt * RYDBERG_TIME_FS
            text += ["     Molecular Dynamics Calculation", ""]
            text += [f"     Time step             = {dt:8.2f} a.u.,{fs:8.4f} femto-seconds", ""]
        text += [f"     Entering Dynamics:    iteration = {n + 1:5d}"]
        ps = (n + 1) * dt * RYDBERG_TIME_FS / 1000
        text += [f"                           time      = {ps:8.4f} pico-seconds", ""]
        text += card(kind, cell, POSITIONS[n + 1], symbols)
        text += ["     kinetic energy (Ekin) =           0.01710078 Ry", ""]
    return [*text, "   JOB DONE.", ""]


def variable_cell(kind="crystal", cell_kind="alat", dt=20.0):
    """A vc-md run (vcsmd.f90): its times are of the geometry that is left."""
    text = header(CELLS[0], POSITIONS[0])
    for n in range(5):
        text += results(-50.0 - n, FORCES[n], STRESS[n])
        ps = n * dt * 2 * 0.0000242
        text += [f"     Entering Dynamics;  it = {n + 1:5d}   time = {ps:8.5f} pico-seconds", ""]
        text += ["  new lattice vectors (alat unit) :", "   1.0 2.0 3.0"]
        text += cell_card(cell_kind, CELLS[n + 1])
        text += card(kind, CELLS[n + 1], POSITIONS[n + 1])
    return [*text, "   JOB DONE.", ""]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "md.pwo"


def check_results(block, tolerance=1e-7):
    assert (block.numbers == NUMBERS).all()
    assert block.wrapped is False
    assert (block.step == np.arange(5)).all()
    assert block.energies_eV == pytest.approx((-50.0 - np.arange(5)) * units.Ry)
    assert block.forces_eV_A == pytest.approx(FORCES[:5] * units.Ry / BOHR, abs=tolerance * 10)
    voigt = STRESS[:5, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    assert block.stresses_eV_A3 == pytest.approx(-voigt * units.Ry / BOHR**3, abs=tolerance)
    assert block.masses_u == pytest.approx([MASSES[symbol] for symbol in SYMBOLS])
    assert block.velocities_A_fs is None


@pytest.mark.parametrize("kind", ["angstrom", "bohr", "alat", "crystal"])
def test_md_in_every_unit(path, kind):
    path.write_text("\n".join(fixed_cell(kind)))
    block = read_blocks(read_espresso_output, path)
    check_results(block)
    # What pw.x prints first has seven digits of alat, and the cell has six.
    assert block.positions_A == pytest.approx(POSITIONS[:5], abs=2e-5)
    assert block.cell_A == pytest.approx(CELLS[[0] * 5], abs=1e-5)
    assert block.time_fs == pytest.approx(20.0 * RYDBERG_TIME_FS * np.arange(5), rel=1e-9)


@pytest.mark.parametrize("kind", ["angstrom", "bohr", "alat", "crystal"])
@pytest.mark.parametrize("cell_kind", ["angstrom", "bohr", "alat"])
def test_vc_md_in_every_unit(path, kind, cell_kind):
    path.write_text("\n".join(variable_cell(kind, cell_kind)))
    block = read_blocks(read_espresso_output, path)
    check_results(block)
    assert block.positions_A == pytest.approx(POSITIONS[:5], abs=2e-5)
    assert block.cell_A == pytest.approx(CELLS[:5], abs=1e-5)
    # The true time step of 20 a.u., not the rounded times nor vcsmd.f90's rounded constant.
    assert block.time_fs == pytest.approx(20.0 * RYDBERG_TIME_FS * np.arange(5), rel=1e-9)


@pytest.mark.parametrize("lines", [fixed_cell("alat"), variable_cell("bohr")], ids=["md", "vc-md"])
def test_ase_reads_the_same(path, lines):
    path.write_text("\n".join(lines))
    block = read_blocks(read_espresso_output, path)
    images = read(path, ":", format="espresso-out")
    assert len(images) == 5
    for f, image in enumerate(images):
        # ASE's bohr is of another year.
        assert block.positions_A[f] == pytest.approx(image.positions, rel=1e-6, abs=1e-6)
        assert block.cell_A[f] == pytest.approx(image.cell.array, rel=1e-6, abs=1e-6)
        assert block.energies_eV[f] == pytest.approx(image.get_potential_energy(), rel=1e-7)
        assert block.forces_eV_A[f] == pytest.approx(image.get_forces(), rel=1e-6, abs=1e-7)
        assert block.stresses_eV_A3[f] == pytest.approx(image.get_stress(), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("dt", [20.0, 41.34, 12.34, 8.5, 100.0])
def test_time_steps_are_what_was_typed(path, dt):
    for lines in (fixed_cell(dt=dt), variable_cell(dt=dt)):
        path.write_text("\n".join(lines))
        times = read_blocks(read_espresso_output, path).time_fs
        # Five steps printed to a hundredth of a femtosecond say no more where dt is not round.
        assert times == pytest.approx(dt * RYDBERG_TIME_FS * np.arange(5), rel=4e-3)
        assert np.diff(times) == pytest.approx(times[1], rel=1e-9)


def test_labels_are_elements(path):
    labels = ("Li1", "P", "S2", "Li", "S", "Cl", "Li1", "S")
    path.write_text("\n".join(fixed_cell(symbols=labels)))
    assert (read_blocks(read_espresso_output, path).numbers == NUMBERS).all()


def test_positions_that_were_refolded_at_the_start(path):
    """refold_pos moves the atoms after pw.x has printed where they start."""
    moved = POSITIONS[0] + np.array([[1, 0, -2]] * 4 + [[0, -1, 0]] * 4) @ CELLS[0]
    path.write_text("\n".join(fixed_cell(start=moved)))
    block = read_blocks(read_espresso_output, path)
    assert block.positions_A == pytest.approx(POSITIONS[:5], abs=2e-5)


def restarted():
    """A run that goes on from step 5: pw.x prints the positions of its input once more."""
    cell = CELLS[0]
    text = header(cell, POSITIONS[0], discarded=True)
    for n, energy in ((6, -77.0), (7, -78.0)):
        ps = n * 20 * RYDBERG_TIME_FS / 1000
        text += results(energy, FORCES[5], STRESS[5])
        text += [f"     Entering Dynamics:    iteration = {n:5d}"]
        text += [f"                           time      = {ps:8.4f} pico-seconds"]
        text += card("angstrom", cell, POSITIONS[5] + 0.01 * (n - 5))
    return [*text, "   JOB DONE.", ""]


def test_a_continued_run_alone_does_not_show_its_first_positions(path):
    path.write_text("\n".join(restarted()))
    block = read_blocks(read_espresso_output, path)
    assert (block.step == [6]).all()
    assert block.positions_A[0] == pytest.approx(POSITIONS[5] + 0.01, abs=1e-8)
    assert block.energies_eV == pytest.approx([-78.0 * units.Ry])
    assert block.time_fs == pytest.approx([6 * 20 * RYDBERG_TIME_FS], abs=0.06)


def test_a_continued_run_in_the_same_file(path):
    path.write_text("\n".join(fixed_cell() + restarted()))
    block = read_blocks(read_espresso_output, path)
    assert (block.step == np.arange(7)).all()
    expected = [*POSITIONS, POSITIONS[5] + 0.01]
    assert block.positions_A == pytest.approx(np.array(expected), abs=2e-5)
    assert block.energies_eV[5:] == pytest.approx([-77.0 * units.Ry, -78.0 * units.Ry])
    assert block.time_fs == pytest.approx(20.0 * RYDBERG_TIME_FS * np.arange(7), rel=1e-9)


def test_an_output_cut_anywhere_keeps_its_whole_frames(path, caplog):
    lines = [line + "\n" for line in variable_cell()]
    ends = [i for i, line in enumerate(lines) if "Entering Dynamics" in line]
    for n in range(ends[2] + 2, len(lines) - 2, 7):
        path.write_text("".join(lines[:n]))
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            block = read_blocks(read_espresso_output, path)
        assert len(block.cell_A) == sum(end < n - 1 for end in ends)
        assert block.positions_A == pytest.approx(POSITIONS[: len(block.cell_A)], abs=2e-5)


def refusal(path, lines) -> str:
    path.write_text("\n".join(lines))
    with pytest.raises(InputError) as caught:
        read_blocks(read_espresso_output, path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_what_is_no_dynamics_is_refused(path):
    relaxation = [line for line in fixed_cell() if "Entering" not in line]
    assert "calculation = 'md'" in refusal(path, relaxation)
    name = "     Molecular Dynamics Calculation"
    damped = [line.replace(name, "     Damped Dynamics Calculation") for line in fixed_cell()]
    assert "Damped" in refusal(path, damped)


def test_errors_name_the_line(path):
    good = fixed_cell()
    for old, new, message in (
        (" force = ", " force = 1.0 ", "forces"),
        ("tau(   2) = (", "tau(   2) = ( 1.0 ", "a position"),
        (
            "number of atoms/cell      =            8",
            "number of atoms/cell = 1000000000000",
            "file",
        ),
        ("number of atoms/cell      =            8", "number of atoms/cell = -5", "atoms"),
        ("!    total energy              =", "!    total energy  = none", "energies"),
        ("iteration =     3", "iteration =   ***", "a step and its time"),
    ):
        at = next(i for i, line in enumerate(good) if old in line)
        bad = [*good]
        bad[at] = good[at].replace(old, new)
        if "none" in new:
            bad[at] = new
        text = refusal(path, bad)
        assert message in text
        assert f"line {at + 1}:" in text or f"line {at + 2}:" in text
    at = next(i for i, line in enumerate(good) if line.startswith("ATOMIC_POSITIONS"))
    assert "other atoms" in refusal(path, [*good[: at + 1], good[at + 2], *good[at + 2 :]])


def test_blocks_are_small(path):
    many = fixed_cell()
    path.write_text("\n".join(many * 200))
    with TextSource(path) as source:
        lengths = [len(block.cell_A) for block in read_espresso_output(source)]
    assert sum(lengths) == 1000
    assert max(lengths) <= 256


PSEUDOPOTENTIALS = Path(os.environ.get("ESPRESSO_PSEUDO", "/usr/share/espresso/pseudo"))


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("pw.x") is None or not (PSEUDOPOTENTIALS / "H.pz-vbc.UPF").is_file(),
    reason="pw.x with its example pseudopotentials is not installed",
)
@pytest.mark.parametrize("calculation", ["md", "vc-md"])
def test_pw_itself(tmp_path, calculation):
    """Deuterium and silicon for a few steps: Newton's equations between our numbers."""
    variable = calculation == "vc-md"
    heavy = "H" if variable else "D"  # ASE's reader does not know deuterium
    (tmp_path / "run.in").write_text(
        f"""&control
 calculation='{calculation}', prefix='run', outdir='./tmp', pseudo_dir='{PSEUDOPOTENTIALS}'
 dt=15.5, nstep=5, tprnfor=.true., tstress=.true.
/
&system
 ibrav=0, nat=3, ntyp=2, ecutwfc=12, nosym=.true.
/
&electrons
 conv_thr=1d-9
/
&ions
 {"ion_dynamics='beeman'" if variable else ""}
/
&cell
 {"cell_dynamics='pr'" if variable else ""}
/
ATOMIC_SPECIES
{heavy} 2.014 H.pz-vbc.UPF
Si 28.086 Si.pz-vbc.UPF
K_POINTS gamma
CELL_PARAMETERS angstrom
4.1 0.1 0.0
0.0 4.2 0.2
0.3 0.0 4.0
ATOMIC_POSITIONS {"crystal" if variable else "angstrom"}
{heavy} 0.0 0.1 -0.05
Si 0.5 0.05 0.05
{heavy} 0.9 0.7 1.02
"""
    )
    with (tmp_path / "run.out").open("w") as output:
        subprocess.run(
            ["pw.x", "-in", "run.in"],
            cwd=tmp_path,
            stdout=output,
            stderr=subprocess.DEVNULL,
            timeout=120,
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
    block = read_blocks(read_espresso_output, tmp_path / "run.out")
    assert list(block.numbers) == [1, 14, 1]
    assert block.masses_u == pytest.approx([2.014, 28.086, 2.014])
    assert block.time_fs == pytest.approx(15.5 * RYDBERG_TIME_FS * np.arange(5), rel=1e-6)
    if variable:
        images = read(tmp_path / "run.out", ":", format="espresso-out")
        for f, image in enumerate(images):
            assert block.cell_A[f] == pytest.approx(image.cell.array, rel=1e-6)
            assert block.stresses_eV_A3[f] == pytest.approx(image.get_stress(), rel=1e-5)
        assert np.ptp(np.linalg.det(block.cell_A)) > 1e-3
        return
    masses = block.masses_u[:, None]
    dt = 15.5 * RYDBERG_TIME_FS * units.fs
    positions = block.positions_A
    second = positions[2:] - 2 * positions[1:-1] + positions[:-2]
    forces = block.forces_eV_A[1:-1]
    # pw.x holds the centre of mass.
    pull = forces / masses - forces.sum(axis=1, keepdims=True) / masses.sum()
    assert second[1:] == pytest.approx((pull * dt**2)[1:], abs=3e-7, rel=1e-3)
