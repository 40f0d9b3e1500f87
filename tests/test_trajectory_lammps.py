"""LAMMPS dumps: boxes, columns, order and units, against ASE's and MDAnalysis's readers."""

import gzip
import logging

import numpy as np
import pytest
from ase import units
from ase.data import atomic_numbers
from ase.io import read
from blocks import random_frames, read_blocks

from mlmd.errors import InputError
from mlmd.trajectory.lammps.dump import read_lammps_dump
from mlmd.trajectory.text.source import TextSource
from mlmd.trajectory.trajectory import Trajectory

SYMBOLS, POSITIONS, CELLS, VELOCITIES, FORCES = random_frames(4)
NUMBERS = np.array([atomic_numbers[symbol] for symbol in SYMBOLS])
TYPES = {"Li": 3, "P": 1, "S": 2, "Cl": 4}
ORIGIN = np.array([-1.5, 0.25, 3.0])


def box_lines(cell, kind, origin=ORIGIN):
    """The header of a box, by the formulas of LAMMPS's manual (Howto triclinic)."""
    if kind == "general":
        rows = [f"{a} {b} {c} {o}" for (a, b, c), o in zip(cell, origin, strict=True)]
        return ["ITEM: BOX BOUNDS abc origin pp pp pp", *rows]
    low, high = origin, origin + np.diag(cell)
    if kind == "orthogonal":
        rows = [f"{a} {b}" for a, b in zip(low, high, strict=True)]
        return ["ITEM: BOX BOUNDS pp pp pp", *rows]
    xy, xz, yz = cell[1, 0], cell[2, 0], cell[2, 1]
    x = low[0] + min(0, xy, xz, xy + xz), high[0] + max(0, xy, xz, xy + xz)
    y = low[1] + min(0, yz), high[1] + max(0, yz)
    return [
        "ITEM: BOX BOUNDS xy xz yz pp pp pp",
        f"{x[0]} {x[1]} {xy}",
        f"{y[0]} {y[1]} {xz}",
        f"{low[2]} {high[2]} {yz}",
    ]


def column_values(kind, frame, cell):
    """Columns of positions as LAMMPS writes them, of unwrapped positions in the cell's frame."""
    scaled = (POSITIONS[frame] - ORIGIN) @ np.linalg.inv(cell)
    images = np.floor(scaled)
    folded = (scaled - images) @ cell + ORIGIN
    return {
        "x": (["x", "y", "z"], folded),
        "xs": (["xs", "ys", "zs"], scaled - images),
        "xu": (["xu", "yu", "zu"], POSITIONS[frame]),
        "xsu": (["xsu", "ysu", "zsu"], scaled),
        "i": (["ix", "iy", "iz"], images.astype(int)),
    }[kind]


def dump(kinds=("x",), box="tilted", cells=CELLS, before=(), velocities=None, forces=None):
    """Text of a dump, atoms in another random order in every frame."""
    rng = np.random.default_rng(0)
    text = list(before)
    for f, cell in enumerate(cells):
        names, columns = ["id", "type", "element"], []
        for kind in kinds:
            more, values = column_values(kind, f, cell)
            names += more
            columns += [[repr(v) for v in column] for column in values.T.tolist()]
        for more, values in ((["vx", "vy", "vz"], velocities), (["fx", "fy", "fz"], forces)):
            if values is not None:
                names += more
                columns += [[repr(v) for v in column] for column in values[f].T.tolist()]
        text += ["ITEM: TIMESTEP", str(100 * f), "ITEM: NUMBER OF ATOMS", str(len(SYMBOLS))]
        text += [*box_lines(cell, box), "ITEM: ATOMS " + " ".join(names)]
        for i in rng.permutation(len(SYMBOLS)):
            row = [str(10 * i + 7), str(TYPES[SYMBOLS[i]]), SYMBOLS[i], *(c[i] for c in columns)]
            text.append(" ".join(row) + " ")
    return "\n".join(text) + "\n"


def folded(positions, cells, origin=ORIGIN):
    scaled = (positions - origin) @ np.linalg.inv(cells)
    return (scaled - np.floor(scaled)) @ cells + origin


@pytest.fixture
def path(tmp_path):
    return tmp_path / "dump.lammpstrj"


@pytest.mark.parametrize("box", ["tilted", "general"])
@pytest.mark.parametrize(
    ("kinds", "wrapped"),
    [
        (("x",), True),
        (("xs",), True),
        (("x", "i"), False),
        (("xs", "i"), False),
        (("xu",), False),
        (("xsu",), False),
        (("x", "xu"), False),
        (("xs", "x", "i"), False),
    ],
)
def test_every_kind_of_positions_in_every_box(path, box, kinds, wrapped):
    path.write_text(dump(kinds, box))
    block = read_blocks(read_lammps_dump, path)
    assert (block.numbers == NUMBERS).all()  # sorted by id
    assert block.wrapped is wrapped
    assert block.cell_A == pytest.approx(CELLS, abs=1e-12)
    expected = folded(POSITIONS, CELLS) if wrapped else POSITIONS
    assert block.positions_A == pytest.approx(expected, abs=1e-10)
    assert (block.step == 100 * np.arange(5)).all()
    assert block.time_fs is None


@pytest.mark.parametrize("seed", range(8))
def test_tilted_bounds_of_any_sign(path, seed):
    """The eight signs of xy, xz, yz; ASE as the other opinion."""
    signs = np.array([seed & 1, seed & 2, seed & 4], bool) * 2.0 - 1.0
    cells = CELLS.copy()
    cells[:, [1, 2, 2], [0, 0, 1]] = np.abs(CELLS[:, [1, 2, 2], [0, 0, 1]]) * signs
    path.write_text(dump(("x",), cells=cells))
    block = read_blocks(read_lammps_dump, path)
    assert block.cell_A == pytest.approx(cells, abs=1e-12)
    images = read(path, ":", format="lammps-dump-text")
    assert block.cell_A == pytest.approx(np.array([i.cell.array for i in images]), abs=1e-12)
    assert block.positions_A == pytest.approx(np.array([i.positions for i in images]))
    assert [list(i.numbers) for i in images] == [list(block.numbers)] * 5


def test_an_orthogonal_box_and_mdanalysis(path):
    from MDAnalysis.coordinates.LAMMPS import DumpReader

    cells = np.array([np.diag(np.diag(cell)) for cell in CELLS])
    path.write_text(dump(("x",), "orthogonal", cells))
    block = read_blocks(read_lammps_dump, path)
    assert block.cell_A == pytest.approx(cells, abs=1e-12)
    with DumpReader(str(path)) as other:
        for f, frame in enumerate(other):
            # It counts from the corner of the box, in single precision.
            assert block.positions_A[f] - ORIGIN == pytest.approx(frame.positions, abs=1e-5)
            assert np.diag(block.cell_A[f]) == pytest.approx(frame.dimensions[:3], rel=1e-6)


@pytest.mark.parametrize(
    ("style", "length", "velocity", "force", "time"),
    [
        ("metal", 1.0, 1e-3, 1.0, 1e3),
        ("real", 1.0, 1.0, 0.0433641, 1.0),
        ("electron", 0.529177, 0.529177, 51.42207, 1.0),
    ],
)
def test_units(path, style, length, velocity, force, time):
    path.write_text(
        dump(("xu",), velocities=VELOCITIES, forces=FORCES, before=["ITEM: UNITS", style])
    )
    text = path.read_text()
    for f in range(5):
        text = text.replace(
            f"ITEM: TIMESTEP\n{100 * f}\n", f"ITEM: TIME\n{0.25 * f}\nITEM: TIMESTEP\n{100 * f}\n"
        )
    path.write_text(text)
    block = read_blocks(read_lammps_dump, path)
    assert block.positions_A == pytest.approx(POSITIONS * length, rel=1e-6)
    assert block.cell_A == pytest.approx(CELLS * length, rel=1e-6)
    assert block.velocities_A_fs == pytest.approx(VELOCITIES * velocity, rel=1e-6)
    assert block.forces_eV_A == pytest.approx(FORCES * force, rel=1e-5)
    assert block.time_fs == pytest.approx(0.25 * np.arange(5) * time)


@pytest.mark.parametrize("style", ["metal", "real"])
def test_units_are_those_of_ase(path, style):
    path.write_text(
        dump(("xu",), velocities=VELOCITIES, forces=FORCES, before=["ITEM: UNITS", style])
    )
    block = read_blocks(read_lammps_dump, path)
    for f, image in enumerate(read(path, ":", format="lammps-dump-text", units=style)):
        assert block.velocities_A_fs[f] / units.fs * units.fs**2 == pytest.approx(
            image.get_velocities() * units.fs**2, rel=1e-5
        )
        assert block.forces_eV_A[f] == pytest.approx(image.get_forces(), rel=1e-5)


def test_without_units_what_differs_between_them_is_left_out(path, caplog):
    path.write_text(dump(("xu",), velocities=VELOCITIES, forces=FORCES))
    with caplog.at_level(logging.WARNING):
        block = read_blocks(read_lammps_dump, path)
    assert block.velocities_A_fs is None
    assert block.forces_eV_A is None
    assert block.positions_A == pytest.approx(POSITIONS)
    assert "velocities, forces are left out" in caplog.text
    assert "dump_modify ID units yes" in caplog.text


def test_an_open_box_wraps_nothing(path):
    path.write_text(dump(("x",)).replace("pp pp pp", "ff ss mm"))
    assert read_blocks(read_lammps_dump, path).wrapped is False
    path.write_text(dump(("x",)).replace("pp pp pp", "pp pp ff"))
    block = read_blocks(read_lammps_dump, path)
    assert block.wrapped is True
    assert block.pbc == (True, True, False)
    # Along what is open nothing is unwrapped: fractions there are those of the file.
    found = Trajectory.read(path, timestep_fs=10.0, long_steps="warn")
    assert found.pbc == (True, True, False)
    read = found.positions_A @ np.linalg.inv(found.cells_A())
    in_file = block.positions_A @ np.linalg.inv(block.cell_A)
    assert read[..., 2] == pytest.approx(in_file[..., 2], abs=1e-9)


def test_masses(path):
    text = dump(("xu",)).replace("id type element", "id mass element")
    for type_, mass in ((3, 6.015), (1, 30.974), (2, 32.06), (4, 34.969)):
        for symbol, number in TYPES.items():
            if number == type_:
                text = text.replace(f" {type_} {symbol} ", f" {mass} {symbol} ")
    path.write_text(text)
    expected = {"Li": 6.015, "P": 30.974, "S": 32.06, "Cl": 34.969}
    assert read_blocks(read_lammps_dump, path).masses_u == pytest.approx(
        [expected[symbol] for symbol in SYMBOLS]
    )


def test_compressed_and_long_files(tmp_path):
    text = dump(("x",)) * 300
    path = tmp_path / "dump.lammpstrj.gz"
    path.write_bytes(gzip.compress(text.encode()))
    with TextSource(path) as source:
        lengths = [len(block.cell_A) for block in read_lammps_dump(source)]
    assert sum(lengths) == 1500
    assert max(lengths) <= 256


@pytest.mark.parametrize("lines_left_out", [1, 4, 8, 9, 13, 16])
def test_a_last_frame_cut_short_is_left_out(path, caplog, lines_left_out):
    lines = dump(("x",)).splitlines(keepends=True)
    path.write_text("".join(lines[:-lines_left_out]))
    with caplog.at_level(logging.WARNING):
        block = read_blocks(read_lammps_dump, path)
    assert len(block.cell_A) == 4
    assert "last frame is left out" in caplog.text


def test_a_last_number_cut_short_is_noticed(path):
    path.write_text(dump(("x",))[:-6])
    assert len(read_blocks(read_lammps_dump, path).cell_A) == 4


def refusal(path, text) -> str:
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_blocks(read_lammps_dump, path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_known_is_not_guessed(path):
    good = dump(("x",))
    assert "dump_modify ID element" in refusal(path, good.replace(" element ", " color "))
    assert "column 'id'" in refusal(path, good.replace("ATOMS id ", "ATOMS mol "))
    assert "positions" in refusal(path, good.replace(" x y z", " a b c"))
    carbon = good
    for symbol in ("Li", "P", "S", "Cl"):
        carbon = carbon.replace(f" {symbol} ", " C ")
    assert "nor is 'C' for all" in refusal(path, carbon)
    assert "units of atoms" in refusal(path, "ITEM: UNITS\nlj\n" + good)
    assert "'Xq'" in refusal(path, good.replace(" Li ", " Xq "))


def test_errors_name_the_line(path):
    lines = dump(("x",)).splitlines(keepends=True)
    frame = len(lines) // 5
    broken = [*lines]
    broken[2 * frame + 12] = "17 3 Li 1.0 oops 2.0 \n"
    assert f"line {2 * frame + 13}:" in refusal(path, "".join(broken))
    broken = [*lines]
    del broken[frame + 10]
    assert "ITEM:" in refusal(path, "".join(broken))
    broken = [*lines]
    broken[frame + 10] = broken[frame + 11]
    assert "differ from those of the first frame" in refusal(path, "".join(broken))


@pytest.mark.parametrize("count", ["1000000000000", "-3", "0", "9" * 500, "many", "8.5"])
def test_hostile_counts_of_atoms(path, count):
    refusal(path, dump(("x",)).replace("ATOMS\n8\n", f"ATOMS\n{count}\n"))
