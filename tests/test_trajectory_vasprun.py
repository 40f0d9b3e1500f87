"""VASP's vasprun.xml: energies, forces, stresses with their signs, times, and killed runs."""

import gzip
import logging
import warnings

import numpy as np
import pytest
from ase import units
from ase.data import atomic_masses, chemical_symbols
from ase.io import read
from vasp_files import MASSES, run, vasprun

from mlmd import Trajectory
from mlmd.errors import InputError

KBAR = 0.1 * units.GPa


@pytest.fixture
def made():
    return run(12)


def write(path, text):
    path.write_text(text)
    return path


def refused(path, match: str) -> str:
    with pytest.raises(InputError, match=match) as caught:
        Trajectory.read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("changing", [False, True])
def test_every_step_with_its_numbers(tmp_path, changing):
    made = run(12, changing=changing)
    back = Trajectory.read(write(tmp_path / "vasprun.xml", vasprun(made)))
    assert back.positions_A == pytest.approx(made.positions, abs=1e-12)
    assert back.cells_A() == pytest.approx(made.cells, abs=1e-12)
    assert back.cell_A.ndim == (3 if changing else 2)
    assert (back.forces_eV_A == made.forces).all()
    assert back.symbols == ("Li",) * 4 + ("Cl",) * 4
    assert back.masses_u == pytest.approx([MASSES[symbol] for symbol in back.symbols])
    # Extrapolated to zero smearing, of the last electronic step.
    assert back.energies_eV == pytest.approx(made.free_eV - made.entropy_eV, abs=1e-9)
    assert back.time_fs == pytest.approx(2.0 * np.arange(12))


def test_compression_is_positive_in_vasp_and_negative_here(tmp_path, made):
    made.stress_kB[:] = [[10.0, 6.0, 5.0], [6.0, 20.0, 4.0], [5.0, 4.0, 30.0]]
    back = Trajectory.read(write(tmp_path / "vasprun.xml", vasprun(made)))
    # xx yy zz yz xz xy; 10 kB = 1 GPa.
    expected = -units.GPa * np.array([1.0, 2.0, 3.0, 0.4, 0.5, 0.6])
    assert back.stresses_eV_A3 == pytest.approx(np.tile(expected, (12, 1)))


@pytest.mark.parametrize("settings", [{}, {"PSTRESS": "50.0"}])
def test_same_as_ase(tmp_path, made, settings):
    made.settings.update(settings)
    path = write(tmp_path / "vasprun.xml", vasprun(made))
    back = Trajectory.read(path)
    images = read(path, ":", format="vasp-xml")
    assert len(images) == len(back)
    for i, image in enumerate(images):
        # ASE takes the work off with an electronvolt of 1986.
        assert back.energies_eV[i] == pytest.approx(image.get_potential_energy(), abs=1e-5)
        assert back.stresses_eV_A3[i] == pytest.approx(image.get_stress(), abs=1e-12)
        assert back.forces_eV_A[i] == pytest.approx(image.get_forces(), abs=1e-12)
        assert back.cell_A == pytest.approx(image.cell.array)
    # The work against PSTRESS is no part of the potential energy.
    assert back.energies_eV == pytest.approx(made.free_eV - made.entropy_eV, abs=1e-6)


def test_same_as_pymatgen(tmp_path, made):
    from pymatgen.io.vasp import Vasprun

    path = write(tmp_path / "vasprun.xml", vasprun(made))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    back = Trajectory.read(path)
    assert len(theirs.ionic_steps) == len(back) == 12
    for i, step in enumerate(theirs.ionic_steps):
        assert back.forces_eV_A[i] == pytest.approx(np.array(step["forces"]))
        full = back.stresses_eV_A3[i][[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
        assert -full / KBAR == pytest.approx(np.array(step["stress"]))
        moved = back.positions_A[i] - step["structure"].cart_coords
        moved = moved @ np.linalg.inv(back.cell_A)
        assert moved == pytest.approx(np.rint(moved), abs=1e-9)
        last = step["electronic_steps"][-1]["e_0_energy"]
        assert back.energies_eV[i] == pytest.approx(last, abs=1e-9)
    assert np.diff(back.time_fs) == pytest.approx(theirs.parameters["POTIM"])


def test_times_where_the_run_is_no_dynamics_have_to_be_given(tmp_path, made):
    for settings in ({"IBRION": "2"}, {"ML_OUTBLOCK": "10"}):
        made.settings.clear()
        made.settings.update(settings)
        path = write(tmp_path / "vasprun.xml", vasprun(made))
        refused(path, "--frame-interval-fs")
        assert Trajectory.read(path, timestep_fs=3.0).time_fs == pytest.approx(3.0 * np.arange(12))


def test_another_time_than_the_file_says_is_refused(tmp_path, made):
    path = write(tmp_path / "vasprun.xml", vasprun(made))
    assert Trajectory.read(path, timestep_fs=2.0).time_fs[1] == 2.0
    with pytest.raises(InputError, match="say 4 and 2 fs between frames 0 and 1"):
        Trajectory.read(path, timestep_fs=4.0)


def test_a_restarted_run_of_two_files(tmp_path, made):
    files = [
        write(tmp_path / "vasprun.1.xml", vasprun(made.frames(slice(7)))),
        write(tmp_path / "vasprun.2.xml", vasprun(made.frames(slice(6, None)))),
    ]
    back = Trajectory.read(files)
    assert back.positions_A == pytest.approx(made.positions, abs=1e-12)
    assert back.time_fs == pytest.approx(2.0 * np.arange(12))
    assert back.energies_eV == pytest.approx(made.free_eV - made.entropy_eV, abs=1e-9)


def test_a_killed_run_gives_its_whole_steps(tmp_path, made, caplog):
    text = vasprun(made, end=False)
    path = tmp_path / "vasprun.xml"
    for cut in range(text.index("</calculation>") + 14, len(text), 397):
        write(path, text[:cut])
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            back = Trajectory.read(path)
        whole = text[:cut].count("</calculation>")
        assert len(back) == whole
        assert back.positions_A == pytest.approx(made.positions[:whole], abs=1e-12)
        assert ("left out" in caplog.text) == (text[:cut].count("<calculation>") > whole)
    write(path, text[: text.index("</calculation>")])
    refused(path, "no whole frame")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(text.encode())[:-2000])
    assert 0 < len(Trajectory.read(tmp_path / "cut.gz")) < 12


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("<c>Li</c>", "<c>Xx</c>", "'Xx'"),
        ("<c>   1</c></rc>", "<c>   x</c></rc>", "type of an atom"),
        ("</calculation>", "</calculations>", "mismatched tag"),
        ("<scstep>", "<scstep", "not well-formed"),
        ("<modeling>", "<!DOCTYPE x [<!ENTITY y 'z'>]><modeling>", "document type"),
        ('encoding="ISO-8859-1"', 'encoding="no-such"', "encoding"),
        ('"e_fr_energy">', '"e_fr_energy">x', "expected a number"),
    ],
)
def test_garbage_is_refused_with_its_line(tmp_path, made, old, new, match):
    text = vasprun(made).replace("PAW_PBE Li", "PAW_PBE")
    line = text[: text.index(old)].count("\n") + 1
    message = refused(write(tmp_path / "vasprun.xml", text.replace(old, new)), match)
    assert int(message.split("line ")[1].split(":")[0]) - line in range(20)


@pytest.mark.parametrize("table", ["basis", "positions", "forces", "stress"])
@pytest.mark.parametrize("change", ["word", "short row", "long row", "missing row", "more rows"])
def test_tables_that_are_none_are_refused(tmp_path, made, table, change):
    lines = vasprun(made).split("\n")
    third = [i for i, line in enumerate(lines) if "<calculation>" in line][2]
    at = next(i for i in range(third, len(lines)) if f'"{table}"' in lines[i]) + 2
    x, y, z = lines[at].split()[1:4]
    lines[at] = {
        "word": f"<v> {x} {y} x{z} </v>",
        "short row": f"<v> {x} {y} </v>",
        "long row": f"<v> {x} {y} {z} {z} </v>",
        "missing row": "",
        "more rows": lines[at] * 9,
    }[change]
    message = refused(write(tmp_path / "vasprun.xml", "\n".join(lines)), r"rows? of|one for each")
    assert int(message.split("line ")[1].split(":")[0]) - at in range(12)


def test_text_without_end_takes_no_memory(tmp_path):
    head = "<modeling><atominfo><atoms>"
    refused(write(tmp_path / "vasprun.xml", head + "9" * 100_000), "does not end")
    refused(write(tmp_path / "vasprun.xml", "<modeling>" + "<a>" * 100), "nested too deeply")
    refused(
        write(tmp_path / "vasprun.xml", "<modeling><a b='" + "x" * 40_000_000), "without an end"
    )


# What overflows its column, what is written wrong


@pytest.mark.parametrize("table", ["forces", "stress"])
@pytest.mark.parametrize(
    "row",
    [
        "   <v>  **************     -0.10000000      0.00000000 </v>",
        "   <v>  ****************************************** </v>",
        "   <v>             NaN             NaN             NaN </v>",
        "   <v>        Infinity     -0.10000000      0.00000000 </v>",
    ],
)
def test_an_overflowed_table_costs_that_table_and_not_the_file(tmp_path, made, table, row, caplog):
    lines = vasprun(made).split("\n")
    tables = [i for i, line in enumerate(lines) if f'varray name="{table}"' in line]
    lines[tables[3] + 2] = lines[tables[8] + 1] = row
    with caplog.at_level(logging.WARNING):
        back = Trajectory.read(write(tmp_path / "vasprun.xml", "\n".join(lines)))
    assert back.positions_A == pytest.approx(made.positions, abs=1e-12)
    assert back.energies_eV == pytest.approx(made.free_eV - made.entropy_eV)
    assert (back.forces_eV_A is None) == (table == "forces")
    assert (back.stresses_eV_A3 is None) == (table == "stress")
    assert [one.code for one in back.findings].count(f"{table}_left_out") == 1


@pytest.mark.parametrize("table", ["basis", "positions"])
def test_stars_in_a_structure_are_refused(tmp_path, made, table):
    lines = vasprun(made).split("\n")
    third = [i for i, line in enumerate(lines) if "<calculation>" in line][2]
    at = next(i for i in range(third, len(lines)) if f'"{table}"' in lines[i]) + 2
    lines[at] = "   <v>  **************     -0.10000000      0.00000000 </v>"
    refused(write(tmp_path / "vasprun.xml", "\n".join(lines)), "cell|positions")


def test_symbols_written_wrong_are_those_of_the_pseudopotential(tmp_path, made):
    text = vasprun(made.frames(slice(1)))
    for number in range(1, 104):
        symbol = chemical_symbols[number]
        # A letter is lost at either end: "r" of Zr, "X" of Xe, "C" of Ca.
        for wrong in {symbol[0], symbol[1:], f"{symbol[0]}?", ""} - {"D", "T"}:
            changed = text.replace("<c>Li</c>", f"<c>{wrong:2s}</c>")
            changed = changed.replace("PAW_PBE Li", f"PAW_PBE {symbol}_sv")
            changed = changed.replace("      7.01000000", f"{atomic_masses[number]:16.8f}")
            back = Trajectory.read(write(tmp_path / "vasprun.xml", changed))
            assert back.symbols == (symbol,) * 4 + ("Cl",) * 4
    unnamed = text.replace("<c>Li</c>", "<c>r </c>").replace("PAW_PBE Li", "PAW_PBE")
    refused(write(tmp_path / "vasprun.xml", unnamed), "'r' is none")


def test_isotopes_are_told_and_not_mixed(tmp_path, made):
    text = vasprun(made).replace("      7.01000000", "      6.01500000")
    back = Trajectory.read(write(tmp_path / "vasprun.xml", text))
    assert back.masses_u[:4] == pytest.approx(6.015)
    assert [one.code for one in back.findings].count("isotope") == 1
    text = vasprun(made)
    for symbol, mass in (("Li", "7.01000000"), ("Cl", "35.45300000")):
        text = text.replace(f"<c>{symbol}</c>", "<c>H </c>").replace(f"PBE {symbol}", "PBE H")
        text = text.replace(f"{mass:>16s}", f"{1.0 if symbol == 'Li' else 2.0:16.8f}")
    refused(write(tmp_path / "vasprun.xml", text), "isotopes")
