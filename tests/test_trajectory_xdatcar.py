"""VASP's XDATCAR: every layout, against other readers, cut short, damaged, and real ones."""

import bz2
import gzip
import itertools
import logging
import lzma
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import vasp_files
from ase.io import read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vasp_files import TRICLINIC, run, xdatcar

from mlmd import Trajectory
from mlmd.errors import InputError
from mlmd.trajectory.text.source import TextSource
from mlmd.trajectory.vasp.xdatcar import read_xdatcar

DATA = Path(__file__).parents[2] / "shared/data"
SODIUM = DATA / "liquid_na_aimd"
ARGYRODITE = DATA / "argyrodite_aimd"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def read_all(path, **settings) -> Trajectory:
    return Trajectory.read(path, timestep_fs=2.0, **settings)


def refused(path, match: str) -> str:
    with pytest.raises(InputError, match=match) as caught:
        read_all(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Layouts


@pytest.mark.parametrize("variable", [False, True], ids=["one header", "a header each"])
def test_frames_cells_atoms_and_times(tmp_path, variable):
    made = run(12, changing=variable)
    back = read_all(write(tmp_path / "XDATCAR", xdatcar(made, variable)))
    assert back.positions_A == pytest.approx(made.positions, abs=1e-12)
    assert np.abs(np.diff(made.wrapped, axis=0)).max() > 0.7
    assert back.cells_A() == pytest.approx(made.cells, abs=1e-12)
    assert back.cell_A.ndim == (3 if variable else 2)
    assert back.symbols == ("Li",) * 4 + ("Cl",) * 4
    assert back.time_fs == pytest.approx(2.0 * np.arange(12))


@pytest.mark.parametrize("variable", [False, True])
def test_same_as_ase_and_pymatgen(tmp_path, variable):
    from pymatgen.io.vasp import Xdatcar

    path = write(tmp_path / "XDATCAR", xdatcar(run(9, changing=variable), variable))
    ours = read_all(path)
    images = read(path, ":", format="vasp-xdatcar")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structures = Xdatcar(path).structures
    assert len(ours) == len(images) == len(structures) == 9
    for i, (image, structure) in enumerate(zip(images, structures, strict=True)):
        cell = ours.cells_A()[i]
        assert cell == pytest.approx(image.cell.array, abs=1e-12)
        assert cell == pytest.approx(structure.lattice.matrix, abs=1e-12)
        away = (ours.positions_A[i] - image.positions) @ np.linalg.inv(cell)
        assert away == pytest.approx(np.rint(away), abs=1e-9)
        assert image.positions == pytest.approx(structure.cart_coords, abs=1e-9)
        assert list(ours.symbols) == image.get_chemical_symbols()


@pytest.mark.parametrize(
    ("scale", "factors"),
    [
        ("2.5", (2.5, 2.5, 2.5)),
        ("-500.0", (np.cbrt(500.0 / np.linalg.det(TRICLINIC)),) * 3),
        ("1.1 0.9 1.3", (1.1, 0.9, 1.3)),
    ],
    ids=["factor", "volume", "three"],
)
def test_scaling_factors(tmp_path, scale, factors):
    made = run(3)
    back = read_all(write(tmp_path / "XDATCAR", xdatcar(made, scale=scale)))
    cell = TRICLINIC * np.array(factors)
    assert back.cell_A == pytest.approx(cell, abs=1e-12)
    assert back.positions_A == pytest.approx(
        (made.scaled - np.floor(made.scaled[0])) @ cell, abs=1e-9
    )


def test_header_of_vasp_4_names_its_species_in_the_comment(tmp_path):
    made = run(4)
    lines = xdatcar(made).split("\n")
    del lines[5]
    message = refused(write(tmp_path / "XDATCAR", "\n".join(lines)), "VASP 4")
    assert "line 6" in message
    lines[0] = "Li4 Cl4"
    back = read_all(write(tmp_path / "XDATCAR", "\n".join(lines)))
    assert back.symbols == ("Li",) * 4 + ("Cl",) * 4
    assert back.positions_A == pytest.approx(made.positions, abs=1e-12)


@pytest.mark.parametrize("separator", [" Konfig=      1", ""], ids=["Konfig", "empty line"])
def test_vasp_4_6_takes_the_cell_from_beside(tmp_path, separator):
    made = run(5)
    lines = ["    8    8    5", "  0.50E+02  0.70E-09  0.66E-09  0.76E-09  0.20E-14"]
    lines += ["   500.0", "  CAR ", " unknown system"]
    for frame in made.wrapped:
        lines += [separator, *vasp_files.vectors(frame, "{:12.8f}")]
    path = write(tmp_path / "XDATCAR", "\n".join(lines) + "\n")
    refused(path, "POSCAR")
    head = xdatcar(made.frames(slice(1))).split("\n")
    write(tmp_path / "POSCAR", "\n".join([*head[:7], "Direct", *head[8:]]))
    back = read_all(path)
    assert back.positions_A == pytest.approx(made.positions, abs=1e-12)
    assert back.symbols == ("Li",) * 4 + ("Cl",) * 4


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("configuration=     2", "configuration=******"),
        lambda text: text.replace("   Li", "Li_sv").replace("   Cl", " Cl/0a1b2c3d"),
        lambda text: text + "\n \n",
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("unknown system", ""),
    ],
    ids=["CRLF", "stars", "names of potentials", "empty lines", "no last end", "no comment"],
)
@pytest.mark.parametrize("variable", [False, True])
def test_habits_of_programs_and_editors(tmp_path, change, variable):
    made = run(6)
    path = tmp_path / "XDATCAR"
    path.write_bytes(change(xdatcar(made, variable)).encode())
    back = read_all(path)
    assert back.positions_A == pytest.approx(made.positions, abs=1e-12)
    assert back.symbols == ("Li",) * 4 + ("Cl",) * 4


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_compressed_files_are_told_by_their_content(tmp_path, suffix, compress, caplog):
    made = run(40)
    packed = compress(xdatcar(made).encode())
    for name in (f"XDATCAR{suffix}", "XDATCAR"):
        (tmp_path / name).write_bytes(packed)
        assert read_all(tmp_path / name).positions_A == pytest.approx(made.positions, abs=1e-12)
    assert not caplog.records
    # gzip's and xz's text can be read up to the cut; bzip2's block is lost as a whole.
    (tmp_path / "XDATCAR").write_bytes(packed[: len(packed) * 3 // 4])
    if suffix == ".bz2":
        refused(tmp_path / "XDATCAR", "end too early")
        return
    with caplog.at_level(logging.WARNING):
        part = read_all(tmp_path / "XDATCAR")
    assert 10 < len(part) < 40
    assert part.positions_A == pytest.approx(made.positions[: len(part)], abs=1e-12)
    assert "end too early" in caplog.text


def test_the_time_step_has_to_be_given(tmp_path):
    path = write(tmp_path / "XDATCAR", xdatcar(run(3)))
    with pytest.raises(InputError, match="--frame-interval-fs"):
        Trajectory.read(path)


def test_a_run_appended_to_the_file_goes_on(tmp_path):
    made = run(20)
    # VASP counts anew, and begins with the frame that the run before ended with.
    text = xdatcar(made.frames(slice(12))) + xdatcar(made.frames(slice(11, None)))
    back = read_all(write(tmp_path / "XDATCAR", text))
    assert back.positions_A == pytest.approx(made.positions, abs=1e-12)
    assert back.time_fs == pytest.approx(2.0 * np.arange(20))


# Cut short and damaged


@pytest.mark.parametrize("variable", [False, True])
def test_cut_anywhere_it_gives_the_whole_frames(tmp_path, variable, caplog):
    made = run(4)
    text = xdatcar(made, variable)
    path = tmp_path / "XDATCAR"
    head, per_frame = (0, 16) if variable else (7, 9)
    first_whole = text.index("unknown" if variable else "Direct", 250)
    for cut in range(first_whole, len(text), 7):
        write(path, text[:cut])
        caplog.clear()
        back = read_all(path)
        expected, beyond = divmod(text[:cut].count("\n") - head, per_frame)
        # The last number of a frame may be all there and its line not ended.
        assert len(back) - expected in ((0, 1) if beyond == per_frame - 1 else (0,))
        assert back.positions_A == pytest.approx(made.positions[: len(back)], abs=1e-12)
        if len(back) == expected and per_frame - 7 <= beyond:
            assert "left out" in caplog.text


@pytest.mark.parametrize(
    ("line", "text", "match"),
    [
        (2, "one", "line 2: 'one'; expected a scaling factor"),
        (2, "0.0", "positive"),
        (4, "1 2", "line 4: '1 2'; expected a cell vector"),
        (5, " 1.500000  6.500000 0.0", "without a volume"),
        (6, "Li Xx", "line 6.*'Xx'"),
        (7, "4 x", "line 7: '4 x'; expected how many"),
        (7, "4", "line 7: '4'; expected 2 numbers"),
        (7, "4 999999999999", "line 7: 1000000000003 atoms; expected 1 to"),
        (7, "0 0", "0 atoms"),
        (20, "  0.1  0.2", "line 20: '0.1  0.2'; expected 3 finite numbers"),
        (20, "  0.1  0.2  0.3  0.4", "line 20"),
        (20, "  0.1  nan  0.3", "line 20"),
        (20, "  0.1  0.2  0.3x", "line 20"),
        (20, "  0.1********  0.3", "line 20"),
        (20, "", "line 20: ''"),
        (17, "Directly", r"line 17 \('Directly'\)"),
    ],
)
def test_garbage_is_refused_with_its_line(tmp_path, line, text, match):
    lines = xdatcar(run(6)).split("\n")
    lines[line - 1] = text
    message = refused(write(tmp_path / "XDATCAR", "\n".join(lines)), match)
    assert str(tmp_path / "XDATCAR") in message


def test_two_numbers_in_a_line_and_four_in_the_next_are_refused(tmp_path):
    lines = xdatcar(run(6)).split("\n")
    lines[19] = "  0.1  0.2"
    lines[20] = "  0.1  0.2  0.3  0.4"
    refused(write(tmp_path / "XDATCAR", "\n".join(lines)), "line 20")


def test_what_holds_no_frame_is_refused(tmp_path):
    text = xdatcar(run(2))
    for cut in ("", text[:20], text[:200], "\n" * 30, "\0" * 5000, "x" * 3_000_000):
        refused(write(tmp_path / "XDATCAR", cut), "XDATCAR")


def test_other_atoms_in_the_middle_are_refused(tmp_path):
    text = xdatcar(run(3)) + xdatcar(run(3)).replace("Li   Cl", "Na   Cl")
    refused(write(tmp_path / "XDATCAR", text), "other atoms")


# As other tools write and join it


def lines_changed(text: str, change) -> str:
    """Apply a change to each line of positions."""
    rows = re.compile(r" +-?\d\.\d{8} +-?\d\.\d{8} +-?\d\.\d{8}")
    labels = itertools.cycle(["Li"] * 4 + ["Cl"] * 4)
    return "\n".join(
        change(line, next(labels)) if rows.fullmatch(line) else line for line in text.split("\n")
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda line, label: f"{line} {label}",
        lambda line, label: f"{line}   {label}1",
        lambda line, label: f"{line} {label}_sv",
        lambda line, _: f"{line}   T   T   F",
        lambda line, _: f"{line}   .TRUE. .FALSE. .TRUE.",
        lambda line, label: f"{line}  F  F  F  {label}",
        lambda line, label: f"{line} {label}" if label == "Li" else line,
    ],
    ids=["label", "number", "potential", "flags", "words", "flags and label", "some"],
)
@pytest.mark.parametrize("variable", [False, True])
def test_flags_and_labels_behind_positions(tmp_path, change, variable):
    made = run(6)
    text = lines_changed(xdatcar(made, variable), change)
    if "T   F" in text:
        text = text.replace("Direct", "Selective dynamics\nDirect")
    back = read_all(write(tmp_path / "XDATCAR", text))
    assert back.positions_A == pytest.approx(made.positions, abs=1e-12)
    assert back.symbols == ("Li",) * 4 + ("Cl",) * 4


def test_what_pymatgen_writes(tmp_path):
    from pymatgen.core import Lattice, Structure
    from pymatgen.core.trajectory import Trajectory as Theirs

    made = run(5)
    lattice = Lattice(TRICLINIC)
    structures = [Structure(lattice, ["Li"] * 4 + ["Cl"] * 4, frame) for frame in made.wrapped]
    Theirs.from_structures(structures).write_Xdatcar(str(tmp_path / "XDATCAR"))
    back = read_all(tmp_path / "XDATCAR")
    assert back.positions_A == pytest.approx(made.positions, abs=1e-5)


def test_labels_of_other_elements_than_the_header_says_are_refused(tmp_path):
    text = lines_changed(xdatcar(run(3)), lambda line, _: f"{line} Cl")
    message = refused(write(tmp_path / "XDATCAR", text), "'Cl'; expected the labels")
    assert "line 9" in message


@given(
    numbers=st.lists(
        st.tuples(*[st.floats(-1.0, 1.0).map(lambda x: round(x, 8))] * 3), min_size=8, max_size=8
    ),
    width=st.sampled_from([11, 12]),
)
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_sign_parts_numbers_that_touch(tmp_path, numbers, width):
    # With 11 columns a minus sign touches the number before it.
    made = run(3)
    made.scaled[1] = numbers
    body = "\n".join("".join(f"{x:{width}.8f}" for x in row) for row in made.scaled[1])
    lines = xdatcar(made).split("\n")
    lines[17:25] = body.split("\n")
    back = read_all(write(tmp_path / "XDATCAR", "\n".join(lines)), long_steps="warn")
    away = back.positions_A[1] @ np.linalg.inv(TRICLINIC) - made.scaled[1]
    assert away == pytest.approx(np.rint(away), abs=1e-9)


@pytest.mark.parametrize(
    "row",
    [
        "  0.12345678123.45678901 0.30000000",
        "  0.1-0.2",
        "  0.1-0.2-0.3-0.4",
        "  0.1 0.2 0.3 0.4",
        "  0.1 0.2 0.3 Li 0.4",
        "  0.1 0.2 ******** Li",
        "  0.1 0.2 nan Li",
        "  0.1 0.2 Li",
    ],
)
def test_digits_are_not_parted_at_a_guess(tmp_path, row):
    lines = xdatcar(run(6)).split("\n")
    lines[19] = row
    refused(write(tmp_path / "XDATCAR", "\n".join(lines)), "line 20.*expected 3 finite numbers")


@pytest.mark.parametrize("blank", ["\n", "\n\n\n", " \n", "\r\n"])
@pytest.mark.parametrize("comment", ["unknown system", "Li4Cl4", "", "Li Cl 1 2", "8"])
@pytest.mark.parametrize("variable", [False, True])
def test_empty_lines_between_files_that_were_joined(tmp_path, blank, comment, variable):
    made = run(9)
    texts = [
        xdatcar(made.frames(part), variable).replace("unknown system", comment)
        for part in (slice(4), slice(4, 5), slice(5, None))
    ]
    if comment == "8":
        # An empty line above a number alone would be the comment of a header.
        blank = ""
    back = read_all(write(tmp_path / "XDATCAR", blank.join(texts) + blank))
    assert back.positions_A == pytest.approx(made.positions, abs=1e-12)
    assert back.time_fs == pytest.approx(2.0 * np.arange(9))


@pytest.mark.parametrize("step", [1, 10, 50])
def test_numbers_of_configurations_are_steps(tmp_path, step):
    text = xdatcar(run(6))
    for i in range(6, 0, -1):
        text = text.replace(f"configuration={i:6d}", f"configuration={i * step:6d}")
    with TextSource(write(tmp_path / "XDATCAR", text)) as source:
        (block,) = read_xdatcar(source)
    assert block.step.tolist() == [i * step for i in range(1, 7)]
    assert block.time_fs is None


def test_deuterium_is_hydrogen_of_its_mass(tmp_path):
    text = xdatcar(run(3)).replace("   Li", "    D")
    back = read_all(write(tmp_path / "XDATCAR", text))
    assert back.symbols[:4] == ("H",) * 4
    assert back.masses_u[:4] == pytest.approx(2.014)
    assert back.masses_u[4:] == pytest.approx(35.45, abs=0.01)
    refused(write(tmp_path / "XDATCAR", text.replace("   Cl", "    H")), "isotopes")


# Real files


@pytest.mark.skipif(not SODIUM.is_dir(), reason="no liquid sodium AIMD in shared/data")
def test_liquid_sodium_as_ase_reads_it():
    path = SODIUM / "XDATCAR_Na_671.0.gz"
    ours = read_all(path)
    assert ours.positions_A.shape == (2000, 100, 3)
    assert ours.cell_A == pytest.approx(16.453212 * np.eye(3))
    assert set(ours.symbols) == {"Na"}
    for i in (0, 1, 999, 1999):
        image = read(path, i, format="vasp-xdatcar")
        away = (ours.positions_A[i] - image.positions) / 16.453212
        assert away == pytest.approx(np.rint(away), abs=1e-9)
    assert np.abs(np.diff(ours.positions_A, axis=0)).max() < 0.2
    # Published: 1.27193e-4 cm2/s, by blocks; here the plain slope of all origins, in A2/fs.
    lag = 500
    moved = ours.positions_A[lag:] - ours.positions_A[:-lag]
    assert (moved**2).sum(-1).mean() / (6 * lag * 2.0) * 0.1 == pytest.approx(1.27e-4, rel=0.35)


@pytest.mark.slow
@pytest.mark.skipif(not SODIUM.is_dir(), reason="no liquid sodium AIMD in shared/data")
def test_liquid_sodium_as_pymatgen_reads_it(tmp_path):
    from pymatgen.io.vasp import Xdatcar

    path = SODIUM / "XDATCAR_Na_856.0.gz"
    text = gzip.decompress(path.read_bytes()).split(b"\n")
    (tmp_path / "XDATCAR").write_bytes(b"\n".join(text[: 7 + 300 * 101]) + b"\n")
    structures = Xdatcar(tmp_path / "XDATCAR").structures
    ours = read_all(path, stop=300)
    theirs = np.array([structure.cart_coords for structure in structures])
    away = (ours.positions_A - theirs) / 16.453212
    assert away == pytest.approx(np.rint(away), abs=1e-9)


@pytest.mark.skipif(not ARGYRODITE.is_dir(), reason="no argyrodite AIMD in shared/data")
@pytest.mark.parametrize("disorder", ["0p", "50p"])
def test_runs_of_an_argyrodite_join_without_a_jump(disorder, caplog):
    files = sorted((ARGYRODITE / f"Li6PS5Cl_{disorder}").glob("XDATCAR_run*.gz"))
    joined = Trajectory.read(files, timestep_fs=100.0)
    # 5 or 6 runs of 70 ps together, 0.1 ps apart; each counts from 1, none repeats a frame.
    assert len(joined) == 700
    assert "repeat" not in caplog.text
    assert joined.uniform_interval_fs() == pytest.approx(100.0)
    assert joined.cell_A.shape == (3, 3)
    symbols = [("Li", 192), ("Cl", 32), ("S", 160), ("P", 32)]
    assert joined.symbols == tuple(s for symbol, n in symbols for s in [symbol] * n)
    steps = np.sqrt((np.diff(joined.positions_A, axis=0) ** 2).sum(-1).mean(-1))
    borders = np.cumsum([len(Trajectory.read(file, timestep_fs=100.0)) for file in files])[:-1] - 1
    assert len(borders) == len(files) - 1
    within = np.delete(steps, borders)
    # No border between two runs is a longer step than those within them.
    assert steps[borders].max() < within.max()
    assert steps[borders].min() > within.min() * 0.9


@pytest.mark.skipif(not ARGYRODITE.is_dir(), reason="no argyrodite AIMD in shared/data")
@pytest.mark.parametrize(("disorder", "D_cm2_s"), [("0p", 2.87e-6), ("50p", 1.107e-5)])
def test_diffusivity_of_the_joined_argyrodite(disorder, D_cm2_s):
    files = sorted((ARGYRODITE / f"Li6PS5Cl_{disorder}").glob("XDATCAR_run*.gz"))
    joined = Trajectory.read(files, timestep_fs=100.0)
    lithium = joined.indices("Li")
    framework = np.setdiff1d(np.arange(joined.n_atoms), lithium)
    positions = joined.positions_A[:, lithium] - joined.positions_A[:, framework].mean(
        axis=1, keepdims=True
    )
    lags = np.arange(100, 301, 10)
    msd = [((positions[lag:] - positions[:-lag]) ** 2).sum(-1).mean() for lag in lags]
    slope_A2_fs = np.polyfit(100.0 * lags, msd, 1)[0]
    assert slope_A2_fs / 6 * 0.1 == pytest.approx(D_cm2_s, rel=0.05)
