"""Files of every format that are cut anywhere: whole frames as they were, or one refusal."""

import bz2
import gzip
import logging
import lzma

import numpy as np
import pytest
import test_trajectory_cp2k as cp2k
import test_trajectory_espresso as espresso
import test_trajectory_lammps as lammps
import test_trajectory_siesta as siesta
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from mlmd import Trajectory
from mlmd.errors import InputError

COMPRESSIONS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
ARRAYS = ("positions_A", "forces_eV_A", "velocities_A_fs", "energies_eV")


def images(n_frames=6, n_atoms=2):
    rng = np.random.default_rng(3)
    made = []
    for i in range(n_frames):
        atoms = Atoms(["Li", "O"] * (n_atoms // 2), rng.uniform(0, 5, (n_atoms, 3)), cell=[5, 6, 7])
        atoms.pbc = True
        atoms.info["time_fs"] = 2.0 * i
        atoms.calc = SinglePointCalculator(atoms, energy=-1.25 * i, forces=atoms.positions * 0.01)
        made.append(atoms)
    return made


def extxyz(folder):
    write(folder / "t.extxyz", images())


def bare_xyz(folder):
    """Numbers of any length, so that a shorter one looks as good."""
    text = ""
    for atoms in images():
        rows = zip(atoms.symbols, atoms.positions.tolist(), strict=True)
        text += f"{len(atoms)}\nfrom somewhere\n"
        text += "".join(f"{symbol} {x:g} {y:g} {z:g}\n" for symbol, (x, y, z) in rows)
    (folder / "t.xyz").write_text(text)


def traj(folder):
    write(folder / "t.traj", images(5))


def long_traj(folder):
    """One whose table of frames was moved to behind the 42nd."""
    write(folder / "t.traj", images(46))


def dump(folder):
    (folder / "t.lammpstrj").write_text(lammps.dump(("xu",)))


def cp2k_run(folder):
    for name, text in cp2k.REAL.items():
        (folder / name).write_text(text)


def espresso_md(folder):
    (folder / "md.pwo").write_text("\n".join(espresso.fixed_cell()) + "\n")


def espresso_vc(folder):
    (folder / "md.pwo").write_text("\n".join(espresso.variable_cell()) + "\n")


def ani(folder):
    siesta.write_ani(folder / "run.ANI")
    siesta.write_xv(folder / "run.XV")


def md(folder):
    siesta.write_xv(folder / "run.XV")
    (folder / "run.MD").write_bytes(siesta.md_bytes())


def md_cells(folder):
    siesta.write_xv(folder / "run.XV")
    (folder / "run.fdf").write_text(siesta.FDF + "MD.VariableCell true\n")
    (folder / "run.MD").write_bytes(siesta.md_bytes(cells=siesta.CELLS))


MAKERS = {
    extxyz: "t.extxyz",
    bare_xyz: "t.xyz",
    traj: "t.traj",
    dump: "t.lammpstrj",
    cp2k_run: "h2-pos-1.xyz",
    espresso_md: "md.pwo",
    espresso_vc: "md.pwo",
    ani: "run.ANI",
    md: "run.MD",
    md_cells: "run.MD",
}


def read(path):
    return Trajectory.read(path, long_steps="accept")  # times are another matter


def frames_left(path, whole, content, caplog) -> int:
    """Return how many frames such a file has; they are those of the whole file."""
    caplog.clear()
    path.write_bytes(content)
    try:
        back = read(path)
    except InputError as error:
        return 0 * len(str(error).splitlines())
    n = len(back)
    cut = [one for one in back.findings if one.code == "cut_short"]
    assert len(cut) <= 1
    assert len([one for one in caplog.messages if one in {f.message for f in cut}]) == len(cut)
    assert np.array_equal(back.numbers, whole.numbers)
    assert np.array_equal(back.cells_A(), whole.cells_A()[:n])
    for name in ARRAYS:
        one, other = getattr(back, name), getattr(whole, name)
        assert one is None or np.array_equal(one, other[:n]), name
    return n


def cut_everywhere(tmp_path, caplog, make, n_cuts, suffix="") -> dict[int, int]:
    """Return how many frames are left of a file cut at many places, also in its last rows."""
    make(tmp_path)
    path = tmp_path / MAKERS.get(make, "t.traj")
    whole = read(path)
    content = COMPRESSIONS[suffix](path.read_bytes())
    if suffix:
        path.unlink()
        path = path.with_name(path.name + suffix)
    last = range(len(content) - 60, len(content))  # numbers of the last rows are cut in the middle
    cuts = {*np.linspace(0, len(content) - 1, n_cuts, dtype=int).tolist(), *last[::-5]}
    with caplog.at_level(logging.WARNING):
        return {cut: frames_left(path, whole, content[:cut], caplog) for cut in sorted(cuts)} | {
            len(content): frames_left(path, whole, content, caplog)
        }


def assert_growing(left: dict[int, int], n_frames: int) -> None:
    """The longer what is left, the more frames; no byte less than one of them is one of them."""
    numbers = [left[cut] for cut in sorted(left)]
    assert numbers == sorted(numbers)
    assert numbers[0] == 0
    assert numbers[-1] == n_frames


@pytest.mark.parametrize("make", [*MAKERS, long_traj], ids=lambda make: make.__name__)
def test_a_file_cut_anywhere_gives_its_whole_frames(tmp_path, caplog, make):
    left = cut_everywhere(tmp_path, caplog, make, 20)
    n = max(left.values())
    assert_growing(left, n)
    assert len(set(left.values()) - {0, n}) >= 2
    # Without its last byte a text has lost a digit, for all that is known.
    text = MAKERS.get(make, "").endswith(("xyz", "lammpstrj", "ANI"))
    assert not text or left[max(left) - 1] == n - 1


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_file_cut_at_a_thousand_places_gives_its_whole_frames(tmp_path, caplog, make):
    left = cut_everywhere(tmp_path, caplog, make, 1000)
    assert_growing(left, max(left.values()))


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("make", [extxyz, long_traj, dump, md], ids=lambda make: make.__name__)
def test_a_compressed_file_cut_anywhere_gives_its_whole_frames(tmp_path, caplog, make, suffix):
    left = cut_everywhere(tmp_path, caplog, make, 12, suffix)
    n = left[max(left)]
    assert_growing(left, n)
    assert len(set(left.values()) - {0, n}) >= 3


def test_a_line_without_its_end_is_told_apart_from_a_frame(tmp_path):
    frame, path = "2\n\nLi 0 0 0\nO 1 1 1.25", tmp_path / "t.xyz"
    path.write_text(frame)
    with pytest.raises(InputError, match="its last line has no end: end it if it is whole"):
        read(path)
    path.write_text(f"{frame}\n")
    assert read(path).positions_A[0, 1, 2] == 1.25


def test_a_cell_in_lines_behind_the_atoms_is_a_part_of_the_frame(tmp_path):
    """As ADF writes it; a frame that lost a vector is periodic along two."""
    frame = "1\nfrom ADF\nLi {}.0 0 0\nVEC1 5.25 0 0\nVEC2 0 6.5 0\nVEC3 0 0 7.75\n"
    content, path = frame.format(1) + frame.format(2), tmp_path / "t.xyz"
    for cut in range(len(frame.format(1)), len(content) + 1):
        path.write_text(content[:cut])
        back = read(path)
        assert len(back) == (2 if cut == len(content) else 1)
        assert np.array_equal(back.cell_A, np.diag([5.25, 6.5, 7.75]))


@pytest.mark.parametrize("make", [extxyz, dump, cp2k_run, ani], ids=lambda make: make.__name__)
@pytest.mark.parametrize("n_zeros", [1, 5000, 2**21])
def test_bytes_of_zero_end_a_text(tmp_path, make, n_zeros):
    """What a file system leaves of blocks that were not written when the machine went down."""
    make(tmp_path)
    path = tmp_path / MAKERS[make]
    whole, content = read(path), path.read_bytes()
    path.write_bytes(content + bytes(n_zeros))
    back = read(path)
    assert np.array_equal(back.positions_A, whole.positions_A)
    assert [one.code for one in back.findings] == ["cut_short"] * (n_zeros > 1)
    path.write_bytes(content[:-10] + bytes(n_zeros))
    assert len(read(path)) == len(whole) - 1


def test_a_frame_of_a_traj_that_is_damaged_ends_it(tmp_path):
    traj(tmp_path)
    path = tmp_path / "t.traj"
    whole, content = read(path), path.read_bytes()
    at = [i for i in range(len(content)) if content[i : i + 12] == b'"positions."'][3]
    path.write_bytes(content[:at] + b"\xff" * 12 + content[at + 12 :])
    back = read(path)
    assert np.array_equal(back.positions_A, whole.positions_A[:3])
    assert [one.code for one in back.findings] == ["cut_short"]


def test_a_checksum_that_is_wrong_is_believed(tmp_path):
    """Some number is not what was written, and nobody knows which."""
    path = tmp_path / "t.lammpstrj.gz"
    content = bytearray(gzip.compress(lammps.dump(("xu",)).encode() * 40))
    path.write_bytes(content)
    assert len(read(path)) == 5  # the others repeat these
    content[-7] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="checksum"):
        read(path)


def test_a_row_of_other_width_without_its_end_is_cut(tmp_path):
    """All rows of one width, as Fortran writes them, show that nothing of the last is missing."""
    path = tmp_path / "XDATCAR"
    head = "LiO\n1.0\n5 0 0\n0 5 0\n0 0 5\nLi O\n1 1\n"
    frame = "Direct configuration= {}\n 0.10000000 0.20000000 0.30000000\n {}"
    good = head + frame.format(1, "0.40000000 0.50000000 0.60000000\n")
    for last, n in (
        ("0.40000000 0.50000000 0.61000000", 2),
        ("0.40000000 0.50000000 0.6100000", 1),
        ("0.40000000 0.50000000 -0.6100000000", 1),
    ):
        path.write_text(good + frame.format(2, last))
        assert len(read(path)) == n


def test_the_last_row_of_a_dump_is_cut_without_its_end(tmp_path):
    """Here it is as wide as the row before, and its last number has lost two digits."""
    head = "ITEM: TIMESTEP\n{}\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n"
    head += "0 9\n0 9\n0 9\nITEM: ATOMS id element xu yu zu\n1 Li 0.5 0.5 0.5\n"
    path = tmp_path / "t.lammpstrj"
    path.write_text(f"{head.format(0)}2 O 1.25 1.25 1.25\n{head.format(1)}2 O 1.25 1.25 1.")
    back = read(path)
    assert back.positions_A[:, 1, 2] == pytest.approx([1.25])
