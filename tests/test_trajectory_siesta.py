"""SIESTA's .ANI and .MD in the layout of its sources (pixmol.f, iomd.f, ioxv.F)."""

import bz2
import logging

import numpy as np
import pytest
from ase import units
from ase.data import atomic_numbers
from ase.io import read
from blocks import random_frames, read_blocks

from mlmd.errors import InputError
from mlmd.trajectory.siesta.trajectories import read_ani, read_md
from mlmd.trajectory.text.fortran_records import FortranRecords
from mlmd.trajectory.text.source import TextSource

SYMBOLS, POSITIONS, CELLS, VELOCITIES, _ = random_frames(33, 6)
NUMBERS = np.array([atomic_numbers[symbol] for symbol in SYMBOLS])
BOHR = units.Bohr
ENERGIES = -1234.5 - np.arange(6)


def write_ani(path, frames=POSITIONS, symbols=tuple(SYMBOLS)):
    text = ""
    for frame in frames:
        text += f"{len(symbols):5d}\n \n"
        for symbol, row in zip(symbols, frame, strict=True):
            text += f"{symbol:<2s}  " + "".join(f"{x:12.6f}" for x in row) + "\n"
    path.write_text(text)
    return path


def md_bytes(frames=range(6), cells=None, steps=None, order="<"):
    """As gfortran and ifort write: each record between its lengths in bytes."""

    def record(*parts):
        body = b"".join(parts)
        size = np.array(len(body), order + "i4").tobytes()
        return size + body + size

    text = b""
    for i, f in enumerate(frames):
        step = np.array(i + 1 if steps is None else steps[i], order + "i4")
        x = (POSITIONS[f] / BOHR).astype(order + "f8")
        v = (VELOCITIES[f] / BOHR).astype(order + "f8")
        text += record(step.tobytes(), x.tobytes(), v.tobytes())
        if cells is not None:
            # Fortran's cell(ix, iv): the components of a vector follow each other.
            cell = (cells[f] / BOHR).astype(order + "f8")
            text += record(cell.tobytes(), np.zeros((3, 3), order + "f8").tobytes())
    return text


def write_xv(path, cell=CELLS[0], numbers=NUMBERS):
    text = ""
    for row in cell / BOHR:
        text += "   " + "".join(f"{x:18.9f}" for x in row) + "   " + "0.0 " * 3 + "\n"
    text += f"{len(numbers):12d}\n"
    for number, row in zip(numbers, POSITIONS[-1] / BOHR, strict=True):
        text += f"{1:3d}{number:6d}" + "".join(f"{x:18.9f}" for x in row) + "  0.0 0.0 0.0\n"
    path.write_text(text)


def write_struct_out(path, cell=CELLS[0], numbers=NUMBERS):
    text = "".join("".join(f"{x:18.9f}" for x in row) + "\n" for row in cell)
    text += f"{len(numbers):12d}\n"
    for number, row in zip(numbers, POSITIONS[-1] @ np.linalg.inv(cell), strict=True):
        text += f"{1:3d}{number:6d}" + "".join(f"{x:18.9f}" for x in row) + "\n"
    path.write_text(text)


def write_mde(path, steps=range(1, 7), volumes=None):
    text = "# Step     T (K)     E_KS (eV)    E_tot (eV)   Vol (A^3)    P (kBar)\n"
    for i, step in enumerate(steps):
        volume = np.linalg.det(CELLS[0]) if volumes is None else volumes[i]
        energy = ENERGIES[i % 6]
        text += f"{step:6d} {300.0:9.2f} {energy:13.5f} {energy + 1:13.5f} "
        text += f"{volume:11.3f} {1.5:11.3f}\n"
    path.write_text(text)


FDF = """\
SystemLabel run   # a comment
md_type-of-run    Verlet
MD.LengthTimeStep 2.5 fs
WriteMDHistory T
"""


# .ANI


def test_ani_with_everything_beside_it(tmp_path):
    path = write_ani(tmp_path / "run.ANI")
    write_xv(tmp_path / "run.XV")
    write_mde(tmp_path / "run.MDE")
    (tmp_path / "run.fdf").write_text(FDF)
    block = read_blocks(read_ani, path)
    assert (block.numbers == NUMBERS).all()
    assert block.wrapped is False
    assert block.positions_A == pytest.approx(POSITIONS, abs=6e-7)
    assert block.cell_A == pytest.approx(CELLS[[0] * 6], abs=1e-8)
    assert (block.step == np.arange(1, 7)).all()
    assert block.time_fs == pytest.approx(2.5 * np.arange(1, 7))
    assert block.energies_eV == pytest.approx(ENERGIES)  # E_KS, without the ions' motion
    # ASE reads it as what it also is: XYZ.
    for f, image in enumerate(read(path, ":", format="xyz")):
        assert block.positions_A[f] == pytest.approx(image.positions)
        assert (block.numbers == image.numbers).all()


def test_ani_with_a_cell_alone_has_no_times(tmp_path):
    path = write_ani(tmp_path / "run.ANI")
    write_struct_out(tmp_path / "run.STRUCT_OUT")
    block = read_blocks(read_ani, path)
    assert block.cell_A == pytest.approx(CELLS[[0] * 6], abs=1e-8)
    assert block.time_fs is None
    assert block.step is None
    assert block.energies_eV is None
    compressed = tmp_path / "run.ANI.bz2"
    compressed.write_bytes(bz2.compress(path.read_bytes()))
    path.unlink()
    again = read_blocks(read_ani, compressed)
    assert (again.positions_A == block.positions_A).all()


FDF_CELLS = [
    (
        "LatticeConstant 2.0 Ang\n%block LatticeVectors\n1 0 0\n0.5 2 0\n0 0.25 3\n%endblock",
        [[2, 0, 0], [1, 4, 0], [0, 0.5, 6]],
    ),
    ("Lattice_Constant 10 Bohr", np.eye(3) * 5.291772),
    (
        "LatticeConstant 1.0 ang\n%block LatticeParameters\n4 5 6 90 90 60\n%endblock",
        [[4, 0, 0], [2.5, 5 * np.sqrt(0.75), 0], [0, 0, 6]],
    ),
]


@pytest.mark.parametrize(("text", "cell"), FDF_CELLS)
def test_ani_with_the_cell_of_the_input(tmp_path, text, cell):
    path = write_ani(tmp_path / "run.ANI")
    (tmp_path / "run.fdf").write_text(FDF + text + "\n")
    block = read_blocks(read_ani, path)
    assert block.cell_A == pytest.approx(np.array([cell] * 6), abs=1e-5)
    assert block.time_fs == pytest.approx(2.5 * np.arange(1, 7))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MD.TypeOfRun Nose\n", 1.0),  # SIESTA's default
        ("MD.TypeOfRun Nose\nMD.LengthTimeStep 0.002 ps\n", 2.0),
        ("MD.TypeOfRun Nose\n%include more.fdf\n", None),
        ("MD.TypeOfRun Nose\nMD.LengthTimeStep", None),
        ("MD.TypeOfRun CG\nMD.LengthTimeStep 2.5 fs\n", None),
        ("MD.LengthTimeStep 2.5 fs\n", None),  # and then it relaxes
        ("MD.TypeOfRun Verlet\nMD.LengthTimeStep 2.5 fortnights\n", None),
    ],
)
def test_time_step_of_the_input(tmp_path, text, expected):
    path = write_ani(tmp_path / "run.ANI")
    write_xv(tmp_path / "run.XV")
    (tmp_path / "run.fdf").write_text(text)
    times = read_blocks(read_ani, path).time_fs
    if expected is None:
        assert times is None
    else:
        assert np.diff(times) == pytest.approx(expected)


def test_energies_of_another_number_of_steps_are_not_taken(tmp_path, caplog):
    path = write_ani(tmp_path / "run.ANI")
    write_xv(tmp_path / "run.XV")
    write_mde(tmp_path / "run.MDE", range(1, 6))
    with caplog.at_level(logging.WARNING):
        block = read_blocks(read_ani, path)
    assert block.energies_eV is None
    assert block.step is None
    assert "another number of steps" in caplog.text


def test_ani_of_a_changing_cell_is_refused(tmp_path):
    path = write_ani(tmp_path / "run.ANI")
    write_xv(tmp_path / "run.XV")
    write_mde(tmp_path / "run.MDE", volumes=np.linalg.det(CELLS))
    with pytest.raises(InputError, match=r"LABEL\.MD"):
        read_blocks(read_ani, path)
    (tmp_path / "run.MDE").unlink()
    (tmp_path / "run.fdf").write_text("MD.TypeOfRun NoseParrinelloRahman\n")
    with pytest.raises(InputError, match=r"LABEL\.MD"):
        read_blocks(read_ani, path)
    (tmp_path / "run.fdf").unlink()
    write_mde(tmp_path / "run.MDE", volumes=[2 * np.linalg.det(CELLS[0])] * 6)
    with pytest.raises(InputError, match="of the same run"):
        read_blocks(read_ani, path)


# .MD


@pytest.mark.parametrize("order", ["<", ">"])
def test_md_of_a_constant_cell(tmp_path, order):
    path = tmp_path / "run.MD"
    path.write_bytes(md_bytes(order=order))
    write_xv(tmp_path / "run.XV")
    write_mde(tmp_path / "run.MDE")
    (tmp_path / "run.fdf").write_text(FDF)
    block = read_blocks(read_md, path)
    assert (block.numbers == NUMBERS).all()
    assert block.wrapped is False
    assert block.positions_A == pytest.approx(POSITIONS, abs=1e-12)
    assert block.velocities_A_fs == pytest.approx(VELOCITIES, abs=1e-14)
    assert block.cell_A == pytest.approx(CELLS[[0] * 6], abs=1e-8)
    assert (block.step == np.arange(1, 7)).all()
    assert block.time_fs == pytest.approx(2.5 * np.arange(1, 7))
    assert block.energies_eV == pytest.approx(ENERGIES)


@pytest.mark.parametrize("order", ["<", ">"])
def test_md_of_a_changing_cell(tmp_path, order):
    path = tmp_path / "run.MD"
    path.write_bytes(md_bytes(cells=CELLS, order=order))
    write_ani(tmp_path / "run.ANI")  # for the species
    block = read_blocks(read_md, path)
    assert (block.numbers == NUMBERS).all()
    assert block.cell_A == pytest.approx(CELLS, abs=1e-12)
    assert block.positions_A == pytest.approx(POSITIONS, abs=1e-12)
    assert block.time_fs is None


def test_a_continued_run_counts_anew_and_goes_on(tmp_path):
    path = tmp_path / "run.MD"
    path.write_bytes(md_bytes(steps=[1, 2, 3, 1, 2, 3]))
    write_xv(tmp_path / "run.XV")
    write_mde(tmp_path / "run.MDE", [1, 2, 3, 1, 2, 3])
    block = read_blocks(read_md, path)
    assert (block.step == [1, 2, 3, 1, 2, 3]).all()  # as it is in the file
    assert block.energies_eV == pytest.approx(ENERGIES)
    write_mde(tmp_path / "run.MDE", [1, 2, 3, 4, 5, 6])
    assert read_blocks(read_md, path).energies_eV is None


@pytest.mark.parametrize("cells", [None, CELLS], ids=["constant", "changing"])
def test_md_cut_anywhere_keeps_its_whole_frames(tmp_path, caplog, cells):
    path = tmp_path / "run.MD"
    whole = md_bytes(cells=cells)
    frame = len(whole) // 6
    write_xv(tmp_path / "run.XV")
    for n in range(2 * frame + 1, len(whole), 61):
        path.write_bytes(whole[:n])
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            block = read_blocks(read_md, path)
        assert len(block.cell_A) == n // frame
        assert block.positions_A == pytest.approx(POSITIONS[: n // frame])
        assert ("last frame is left out" in caplog.text) is (n % frame != 0)


@pytest.mark.parametrize("size", [2**31, 2**31 - 1, 2**32 - 1, 4 + 48 * 10**7, 7, 0])
def test_hostile_record_lengths(tmp_path, size):
    path = tmp_path / "run.MD"
    path.write_bytes(size.to_bytes(4, "little") + md_bytes()[4:])
    write_xv(tmp_path / "run.XV")
    with pytest.raises(InputError, match=r"run\.MD") as caught:
        read_blocks(read_md, path)
    assert "\n" not in str(caught.value)


def test_records_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "run.MD"
    write_xv(tmp_path / "run.XV")
    whole = md_bytes()
    frame = len(whole) // 6
    for at, message in ((frame, "a record of"), (2 * frame - 4, "does not end")):
        bad = bytearray(whole)
        bad[at] ^= 4
        path.write_bytes(bytes(bad))
        with pytest.raises(InputError, match=message) as caught:
            read_blocks(read_md, path)
        assert f"byte {frame}:" in str(caught.value)
    bad = bytearray(whole)
    bad[frame + 8 : frame + 16] = np.array(np.nan).tobytes()
    path.write_bytes(bytes(bad))
    with pytest.raises(InputError, match="finite"):
        read_blocks(read_md, path)
    path.write_bytes(md_bytes(range(3)) + md_bytes(range(3, 6), cells=CELLS))
    with pytest.raises(InputError, match="with and without a cell"):
        read_blocks(read_md, path)


def test_fortran_records_hold_no_more_than_one(tmp_path):
    """A long file of short records in small memory: the buffer stays small."""
    path = tmp_path / "many"
    body = b"x" * 1000
    size = (1000).to_bytes(4, "little")
    path.write_bytes((size + body + size) * 3000)
    with TextSource(path) as source:
        records = FortranRecords(source)
        n = 0
        while records.read() is not None:
            n += 1
            assert len(records._buffer) < 2**20
    assert n == 3000
    assert records.position == 3000 * 1008


# What is missing


def test_what_is_missing_is_named(tmp_path):
    ani, md = write_ani(tmp_path / "run.ANI"), tmp_path / "run.MD"
    md.write_bytes(md_bytes())
    with pytest.raises(InputError, match=r"without a cell.*\.XV"):
        read_blocks(read_ani, ani)
    with pytest.raises(InputError, match=r"without a cell.*\.XV"):
        read_blocks(read_md, md)
    ani.unlink()
    with pytest.raises(InputError, match=r"without species.*\.XV"):
        read_blocks(read_md, md)
    write_xv(tmp_path / "run.XV", numbers=[*NUMBERS[:7], 999])
    with pytest.raises(InputError, match=r"run\.XV, line .*atomic number"):
        read_blocks(read_md, md)


@pytest.mark.parametrize(
    ("line", "wrong", "message"),
    [
        (11, "many\n", "a number of atoms"),
        (11, "1000000000000\n", "in a file of this size"),
        (11, "  -8\n", "in a file of this size"),
        (12, "a comment\n", "an empty line"),
        (13, "Li  0.1 0.2\n", "4 columns"),
        (13, "Li  0.1 0.2 inf\n", "finite"),
    ],
)
def test_errors_of_ani_name_the_line(tmp_path, line, wrong, message):
    path = write_ani(tmp_path / "run.ANI")
    write_xv(tmp_path / "run.XV")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[: line - 1], wrong, *lines[line:]]))
    with pytest.raises(InputError, match=message) as caught:
        read_blocks(read_ani, path)
    assert f"line {line}:" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_last_frame_of_ani_cut_short(tmp_path, caplog):
    path = write_ani(tmp_path / "run.ANI")
    write_xv(tmp_path / "run.XV")
    whole = path.read_text()
    frame = len(whole) // 6
    for n in (5 * frame + 5, 5 * frame + 7, 5 * frame + 200, 6 * frame - 4):
        path.write_text(whole[:n])
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert len(read_blocks(read_ani, path).cell_A) == 5
        assert "last frame is left out" in caplog.text
