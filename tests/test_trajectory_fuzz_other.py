"""Broken files of SIESTA, CP2K, Quantum ESPRESSO and LAMMPS: one error of ours, soon, or frames."""

import gzip

import numpy as np
import pytest
import test_trajectory_as_written as written
import test_trajectory_cp2k as cp2k
import test_trajectory_elements as elements
import test_trajectory_espresso as espresso
import test_trajectory_lammps as lammps
import test_trajectory_siesta as siesta
from ase import units
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlmd.errors import InputError
from mlmd.trajectory.ase_formats import read_ase
from mlmd.trajectory.cp2k.run_files import read_input, read_log
from mlmd.trajectory.cp2k.xyz import read_cp2k_xyz
from mlmd.trajectory.espresso.output import read_espresso_output
from mlmd.trajectory.lammps.dump import read_lammps_dump
from mlmd.trajectory.siesta.trajectories import read_ani, read_md
from mlmd.trajectory.text.printed_times import PrintedTimes
from mlmd.trajectory.text.source import TextSource

SETTINGS = settings(
    max_examples=60,
    deadline=4000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FRAMES = "".join(
    lammps.dump(("x", "i"), velocities=lammps.VELOCITIES, before=["ITEM: UNITS", "real"])
)


def siesta_files(folder):
    siesta.write_ani(folder / "run.ANI")
    (folder / "run.MD").write_bytes(siesta.md_bytes(cells=siesta.CELLS))
    siesta.write_xv(folder / "run.XV")
    siesta.write_mde(folder / "run.MDE")
    (folder / "run.fdf").write_text(siesta.FDF + siesta.FDF_CELLS[0][0])


def cp2k_files(folder):
    for name, text in cp2k.REAL.items():
        (folder / name).write_text(text)
    (folder / "h2.inp").write_text(cp2k.input_text("ABC 4 5 6"))


def espresso_files(folder):
    (folder / "md.pwo").write_text("\n".join(espresso.fixed_cell() + espresso.restarted()))
    (folder / "vc.pwo").write_text("\n".join(espresso.variable_cell()))


def lammps_files(folder):
    (folder / "t.lammpstrj").write_text(FRAMES)
    (folder / "general.lammpstrj").write_text(lammps.dump(("xs",), "general"))


def types_files(folder):
    (folder / "types.lammpstrj").write_text(elements.types_only(FRAMES))
    (folder / "structure.data").write_text(elements.data_file(elements.MASSES, elements.GIVEN))


def project_files(folder):
    """A CP2K run whose cell is in files of other names."""
    (folder / "run-pos-1.xyz").write_text(cp2k.POSITIONS)
    (folder / "md.inp").write_text(written.with_project("A [bohr] 8 0 0\nB 0 5 0\nC 0 0 6"))
    cell_A = np.diag([8 * units.Bohr, 5.0, 6.0])
    (folder / "md.out").write_text(written.log(cell_A, "run"))


XYZ = """\
4
Lattice="5 0 0 0 6 0 0 0 7" Properties=species:S:1:pos:R:3:masses:R:1:forces:R:3 pbc="T T F" \
Step={} Time={} energy=-1.5 stress="1 0 0 0 2 0 0 0 3" virial=null
D 0.1 0.2 0.3 2.014 0.5 ****** nan
D1 1.1 1.2 1.3 2.014 0.5 0.5 0.5
Li 2.1 2.2 2.3 6.94 0.5 0.5 0.5
Li+ 3.1 3.2 3.3 6.94 0.5 0.5 0.5
"""
TYPES = "3\nAtoms. Timestep: {}\n1 0.1 0.2 0.3\n2 0.4 2.5 0.6\n1 0.7 0.8 3.9\n"


def xyz_files(folder):
    (folder / "run.extxyz").write_text("".join(XYZ.format(i, 0.5 * i) for i in range(4)))
    (folder / "types.xyz").write_text("".join(TYPES.format(10 * i) for i in range(4)))
    masses = {1: 6.94, 2: 15.999}
    (folder / "x.data").write_text(elements.data_file(masses, n_atoms=3, n_types=2))


# What is read, of which files, and which of them are broken.
CASES = [
    (read_lammps_dump, lammps_files, "t.lammpstrj", "t.lammpstrj"),
    (read_lammps_dump, lammps_files, "general.lammpstrj", "general.lammpstrj"),
    (read_espresso_output, espresso_files, "md.pwo", "md.pwo"),
    (read_espresso_output, espresso_files, "vc.pwo", "vc.pwo"),
    (read_ani, siesta_files, "run.ANI", "run.ANI"),
    (read_ani, siesta_files, "run.ANI", "run.XV"),
    (read_ani, siesta_files, "run.ANI", "run.MDE"),
    (read_ani, siesta_files, "run.ANI", "run.fdf"),
    (read_md, siesta_files, "run.MD", "run.MD"),
    (read_cp2k_xyz, cp2k_files, "h2-pos-1.xyz", "h2-pos-1.xyz"),
    (read_cp2k_xyz, cp2k_files, "h2-pos-1.xyz", "h2-frc-1.xyz"),
    (read_cp2k_xyz, cp2k_files, "h2-pos-1.xyz", "h2-1.cell"),
    (read_cp2k_xyz, cp2k_files, "h2-pos-1.xyz", "h2-1.ener"),
    (read_lammps_dump, types_files, "types.lammpstrj", "types.lammpstrj"),
    (read_lammps_dump, types_files, "types.lammpstrj", "structure.data"),
    (read_cp2k_xyz, project_files, "run-pos-1.xyz", "md.inp"),
    (read_cp2k_xyz, project_files, "run-pos-1.xyz", "md.out"),
    (read_ase, xyz_files, "run.extxyz", "run.extxyz"),
    (read_ase, xyz_files, "types.xyz", "types.xyz"),
    (read_ase, xyz_files, "types.xyz", "x.data"),
]
NAMES = [f"{read.__name__}-{broken}" for read, _, _, broken in CASES]


def frames_or_our_error(read, path) -> int:
    """Read to the end; whatever comes out is whole and finite, or an error in one line."""
    n, said = 0, ""
    try:
        with TextSource(path) as source:
            for block in read(source):
                n += len(block.cell_A)
                atoms = len(block.numbers)
                assert block.positions_A.shape == (len(block.cell_A), atoms, 3)
                assert block.cell_A.shape == (len(block.cell_A), 3, 3)
                assert np.isfinite(block.positions_A).all()
                assert ((block.numbers > 0) & (block.numbers < 119)).all()
                for known in (block.step, block.time_fs, block.energies_eV):
                    assert known is None or known.shape == (len(block.cell_A),)
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    return n


@pytest.mark.parametrize(("read", "write", "name", "broken"), CASES, ids=NAMES)
def test_the_files_themselves_are_good(tmp_path, read, write, name, broken):
    write(tmp_path)
    assert frames_or_our_error(read, tmp_path / name) >= 3


@pytest.mark.parametrize("separator", ["\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\xa0", "\u2003"])
@pytest.mark.parametrize(
    ("read", "write", "name", "broken"), [case for case in CASES if case[3] != "run.MD"]
)
def test_separators_that_are_space_to_some(tmp_path, read, write, name, broken, separator):
    """Regular expressions and split take them for space, int and float do not."""
    write(tmp_path)
    lines = (tmp_path / broken).read_text().splitlines(keepends=True)
    for i in range(min(len(lines), 12)):
        changed = [*lines[:i], separator + lines[i], *lines[i + 1 :]]
        (tmp_path / broken).write_text("".join(changed), encoding="utf-8")
        frames_or_our_error(read, tmp_path / name)


@pytest.mark.parametrize(("read", "write", "name", "broken"), CASES, ids=NAMES)
@settings(SETTINGS, max_examples=15)
@given(junk=st.binary(max_size=300), compressed=st.booleans())
def test_any_bytes(tmp_path_factory, read, write, name, broken, junk, compressed):
    folder = tmp_path_factory.mktemp("fuzz")
    write(folder)
    (folder / broken).write_bytes(gzip.compress(junk) if compressed else junk)
    frames_or_our_error(read, folder / name)


@given(st.text(max_size=300))
@settings(SETTINGS, max_examples=100)
def test_any_input_of_cp2k(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("fuzz") / "run.inp"
    path.write_text(cp2k.input_text(text), encoding="utf-8")
    for read in (read_input, read_log):
        cell = read(path).cell_A
        assert cell is None or np.isfinite(cell).all()


@given(
    timestep=st.floats(0.01, 10.0),
    digits=st.integers(1, 6),
    first=st.integers(0, 100000),
    every=st.integers(1, 50),
)
@settings(SETTINGS, max_examples=200)
def test_rounded_times_become_even(timestep, digits, first, every):
    """Never further than rounding from what is printed, and evenly spaced."""
    steps = first + every * np.arange(40)
    printed = np.round(steps * timestep, digits)
    half = 0.5 * 10.0**-digits
    times = PrintedTimes(half).times(steps, printed)
    assert np.abs(times - printed).max() <= 2.1 * half + 1e-9 * printed.max()
    interval = np.diff(times)
    assert np.ptp(interval) <= 1e-9 * max(times.max(), 1.0)
