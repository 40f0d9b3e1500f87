"""VASP's OUTCAR: energies, forces, stresses with their signs, species, times, killed runs."""

import logging
import re
import warnings

import numpy as np
import pytest
from ase import units
from ase.io import read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vasp_files import MASSES, outcar, run, xdatcar

from mlmd import Trajectory
from mlmd.errors import InputError


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


@pytest.mark.parametrize("changing", [False, True], ids=["ISIF 2", "ISIF 3"])
def test_every_step_with_its_numbers(tmp_path, changing):
    made = run(12, changing=changing)
    back = Trajectory.read(write(tmp_path / "OUTCAR", outcar(made)))
    # Positions have five decimals here.
    assert back.positions_A == pytest.approx(made.positions, abs=6e-6)
    assert back.cells_A() == pytest.approx(made.cells, abs=1e-9)
    assert back.cell_A.ndim == (3 if changing else 2)
    assert (back.forces_eV_A == made.forces).all()
    assert back.energies_eV == pytest.approx(made.free_eV - made.entropy_eV, abs=1e-9)
    assert back.symbols == ("Li",) * 4 + ("Cl",) * 4
    assert back.masses_u == pytest.approx([MASSES[symbol] for symbol in back.symbols])
    assert back.time_fs == pytest.approx(2.0 * np.arange(12))


def test_compression_is_positive_in_vasp_and_negative_here(tmp_path, made):
    made.stress_kB[:] = [[10.0, 6.0, 5.0], [6.0, 20.0, 4.0], [5.0, 4.0, 30.0]]
    back = Trajectory.read(write(tmp_path / "OUTCAR", outcar(made)))
    # xx yy zz yz xz xy; 10 kB = 1 GPa.
    expected = -units.GPa * np.array([1.0, 2.0, 3.0, 0.4, 0.5, 0.6])
    assert back.stresses_eV_A3 == pytest.approx(np.tile(expected, (12, 1)))


def test_same_as_ase(tmp_path, made):
    path = write(tmp_path / "OUTCAR", outcar(made))
    back = Trajectory.read(path)
    images = read(path, ":", format="vasp-out")
    assert len(images) == len(back) == 12
    for i, image in enumerate(images):
        assert back.energies_eV[i] == pytest.approx(image.get_potential_energy(), abs=1e-9)
        assert back.stresses_eV_A3[i] == pytest.approx(image.get_stress(), abs=1e-12)
        assert back.forces_eV_A[i] == pytest.approx(image.get_forces(), abs=1e-12)
        assert list(back.symbols) == image.get_chemical_symbols()
        moved = (back.positions_A[i] - image.positions) @ np.linalg.inv(image.cell.array)
        assert moved == pytest.approx(np.rint(moved), abs=1e-9)


def test_same_as_pymatgen(tmp_path, made):
    from pymatgen.io.vasp import Outcar

    path = write(tmp_path / "OUTCAR", outcar(made))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = Outcar(path)
    theirs.read_pattern({"sigma0": r"energy  without.*sigma->0\)\s*=\s+([-\d\.]+)"})
    assert Trajectory.read(path).energies_eV == pytest.approx(
        [float(found[0]) for found in theirs.data["sigma0"]]
    )


def test_steps_that_were_not_written_leave_gaps_in_time(tmp_path, made):
    # With NWRITE = 0 VASP writes the tables of the first and last step only, say.
    lines = outcar(made).split("\n")
    tables = [i for i, line in enumerate(lines) if "TOTAL-FORCE" in line]
    for at in reversed(tables[1:-1]):
        del lines[at : at + 11]
    back = Trajectory.read(write(tmp_path / "OUTCAR", "\n".join(lines)), long_steps="warn")
    assert back.time_fs == pytest.approx([0.0, 22.0])
    assert back.energies_eV == pytest.approx((made.free_eV - made.entropy_eV)[[0, -1]])
    assert back.stresses_eV_A3[1, 0] == pytest.approx(-0.1 * units.GPa * made.stress_kB[-1, 0, 0])


def test_columns_that_run_together(tmp_path, made):
    made.cells[:] = np.diag([70.0, 65.0, 75.0])
    made.cells[:, 1, 0] = made.cells[:, 2, 1] = -12.25
    text = outcar(made)
    assert "0.000000000-12.250000000" in text
    back = Trajectory.read(write(tmp_path / "OUTCAR", text))
    assert back.cell_A == pytest.approx(made.cells[0])


def test_stars_and_missing_stress_are_no_numbers(tmp_path, made):
    text = outcar(made)
    lines = [
        "  in kB  ************" + line[21:] if line.startswith("  in kB") else line
        for line in text.split("\n")
    ]
    back = Trajectory.read(write(tmp_path / "OUTCAR", "\n".join(lines)))
    assert back.stresses_eV_A3 is None
    assert len(back) == 12
    without = "\n".join(line for line in text.split("\n") if not line.startswith("  in kB"))
    assert Trajectory.read(write(tmp_path / "OUTCAR", without)).stresses_eV_A3 is None


def test_species_come_from_the_title_where_vrhfin_fails_and_masses_from_the_run(tmp_path, made):
    text = outcar(made).replace("VRHFIN =Li", "VRHFIN =??").replace("PBE Li ", "PBE Li_sv ")
    text = text.replace("   POMASS =   7.01", "   POMASS =   6.02")
    back = Trajectory.read(write(tmp_path / "OUTCAR", text))
    assert back.symbols[:4] == ("Li",) * 4
    # 6Li, by the INCAR; two decimals differ from the POTCAR's by more than rounding.
    assert back.masses_u[:4] == pytest.approx(6.02)
    assert back.masses_u[4:] == pytest.approx(MASSES["Cl"])


def test_times_where_the_run_is_no_dynamics_have_to_be_given(tmp_path, made):
    made.settings["IBRION"] = "2"
    path = write(tmp_path / "OUTCAR", outcar(made))
    refused(path, "--frame-interval-fs")
    assert Trajectory.read(path, timestep_fs=3.0).time_fs == pytest.approx(3.0 * np.arange(12))


@pytest.mark.parametrize("in_one_file", [False, True])
@pytest.mark.parametrize("overlap", [0, 1])
def test_a_restarted_run(tmp_path, made, in_one_file, overlap):
    texts = [outcar(made.frames(slice(7))), outcar(made.frames(slice(7 - overlap, None)))]
    if in_one_file:
        texts = ["".join(texts)]
    files = [write(tmp_path / f"OUTCAR.{i}", text) for i, text in enumerate(texts)]
    back = Trajectory.read(files)
    assert back.positions_A == pytest.approx(made.positions, abs=6e-6)
    assert back.time_fs == pytest.approx(2.0 * np.arange(12))
    assert back.energies_eV == pytest.approx(made.free_eV - made.entropy_eV, abs=1e-9)


def test_a_killed_run_gives_its_whole_steps(tmp_path, made, caplog):
    text = outcar(made, end=False)
    path = tmp_path / "OUTCAR"
    end = "energy  without"
    for cut in range(text.index(end) + 90, len(text), 211):
        write(path, text[:cut])
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            back = Trajectory.read(path)
        whole = text[:cut].count(end)
        assert len(back) in (whole, whole - 1)
        assert back.positions_A == pytest.approx(made.positions[: len(back)], abs=6e-6)
        assert back.energies_eV == pytest.approx(
            (made.free_eV - made.entropy_eV)[: len(back)], abs=1e-9
        )
        if text[:cut].count("TOTAL-FORCE (eV/Angst)\n") > len(back):
            assert "left out" in caplog.text
    refused(write(path, text[: text.index(end)]), "no whole frame")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("ions per type =               4   4", "ions per type =               4   x", "each type"),
        ("ions per type =               4   4", "ions per type =    4 999999999999", "atoms"),
        ("ions per type =               4   4", "ions per type =               4", "as many"),
        ("direct lattice vectors", "no vectors", "lattice vectors"),
        ("  7.000000000", "  7.00x000000", "lattice vector"),
        ("energy(sigma->0) =     -", "energy(sigma->0) =    x-", "sigma"),
    ],
)
def test_garbage_is_refused_with_its_line(tmp_path, made, old, new, match):
    text = outcar(made)
    assert old in text
    refused(write(tmp_path / "OUTCAR", text.replace(old, new)), rf"line \d+: .*{match}")


@pytest.mark.parametrize("row", ["", "  1.0 2.0 3.0", "  a b c d e f", "  1. 2. ****** 4. 5. 6."])
def test_tables_that_are_none_are_refused(tmp_path, made, row):
    lines = outcar(made).split("\n")
    at = [i for i, line in enumerate(lines) if "TOTAL-FORCE" in line][4] + 5
    lines[at] = row
    refused(write(tmp_path / "OUTCAR", "\n".join(lines)), f"line {at + 1}: .*6 finite numbers")


# As versions and tools write it


def energies_moved(made, above: set[int]) -> str:
    """Return an OUTCAR in which some steps have their energy above the table, as up to VASP 5.2."""
    pieces = re.split(r"(?=^-+ Iteration +\d+\( +1\))", outcar(made), flags=re.M)
    for i in above:
        begin = pieces[i + 1].index("  FREE ENERGIE OF THE ION-ELECTRON")
        end = pieces[i + 1].index("  ENERGY OF THE ELECTRON-ION-THERMOSTAT")
        energy = pieces[i + 1][begin:end]
        rest = pieces[i + 1][:begin] + pieces[i + 1][end:]
        at = rest.index("  FORCE on cell")
        pieces[i + 1] = rest[:at] + energy + rest[at:]
    return "".join(pieces)


@given(st.one_of(st.just(set(range(6))), st.sets(st.integers(0, 5))))
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_energies_above_or_below_their_tables(tmp_path, above):
    made = run(6)
    back = Trajectory.read(write(tmp_path / "OUTCAR", energies_moved(made, above)))
    assert back.positions_A == pytest.approx(made.positions, abs=6e-6)
    assert back.energies_eV == pytest.approx(made.free_eV - made.entropy_eV, abs=1e-9)
    assert back.stresses_eV_A3[:, 0] == pytest.approx(-0.1 * units.GPa * made.stress_kB[:, 0, 0])
    assert back.time_fs == pytest.approx(2.0 * np.arange(6))


def test_a_single_step_with_its_energy_above(tmp_path):
    made = run(1)
    text = energies_moved(made, {0}).replace("IBRION =      0", "IBRION =      2")
    back = Trajectory.read(write(tmp_path / "OUTCAR", text), 1.0)
    assert len(back) == 1
    assert back.energies_eV == pytest.approx(made.free_eV - made.entropy_eV)


@pytest.mark.parametrize("above", [False, True])
def test_energies_without_anything_that_parts_the_steps(tmp_path, made, above):
    text = energies_moved(made, set(range(12)) if above else set())
    text = re.sub(r"^-+ Iteration.*\n|.*-THERMOSTAT SYSTEM.*\n", "", text, flags=re.M)
    back = Trajectory.read(write(tmp_path / "OUTCAR", text))
    assert back.energies_eV == pytest.approx(made.free_eV - made.entropy_eV)
    assert back.time_fs == pytest.approx(2.0 * np.arange(12))


def without_potcars(text: str, *words: str) -> str:
    return "\n".join(line for line in text.split("\n") if not any(word in line for word in words))


def test_species_without_the_blocks_of_the_potcar(tmp_path, made):
    text = without_potcars(outcar(made), "VRHFIN", "TITEL", "LEXCH", "; ZVAL")
    back = Trajectory.read(write(tmp_path / "OUTCAR", text))
    assert back.symbols == ("Li",) * 4 + ("Cl",) * 4
    assert back.masses_u[:4] == pytest.approx(7.01)
    once = re.sub(r" POTCAR:.*\n", "", text, count=2)
    assert Trajectory.read(write(tmp_path / "OUTCAR", once)).symbols == back.symbols
    # Two of one element are two pseudopotentials, too.
    text = without_potcars(text, "POMASS").replace("PBE Cl", "PBE Li_sv")
    assert Trajectory.read(write(tmp_path / "OUTCAR", text)).symbols == ("Li",) * 8


def test_species_from_a_poscar_beside_or_from_the_user(tmp_path, made):
    words = "VRHFIN", "TITEL", "POTCAR:", "LEXCH", "POMASS"
    text = without_potcars(outcar(made), *words)
    path = write(tmp_path / "OUTCAR", text)
    refused(path, "--elements")
    back = Trajectory.read(path, elements=["Na", "Br"])
    assert back.symbols == ("Na",) * 4 + ("Br",) * 4
    head = xdatcar(made.frames(slice(1))).split("\n")
    write(tmp_path / "CONTCAR", "\n".join([*head[:7], "Direct", *head[8:]]))
    assert Trajectory.read(path).symbols == ("Li",) * 4 + ("Cl",) * 4
    head[6] = "    5    3"
    write(tmp_path / "CONTCAR", "\n".join([*head[:7], "Direct", *head[8:]]))
    refused(path, "POSCAR")


def test_isotopes_are_told_and_not_mixed(tmp_path, made):
    # Lithium of one isotope; then hydrogen and deuterium, by two pseudopotentials of hydrogen.
    text = outcar(made).replace("   POMASS =   7.01", "   POMASS =   6.02")
    back = Trajectory.read(write(tmp_path / "OUTCAR", text))
    assert back.masses_u[:4] == pytest.approx(6.02)
    assert [one.code for one in back.findings].count("isotope") == 1
    text = outcar(made).replace("=Li:", "=H:").replace("=Cl:", "=H:")
    text = text.replace("PBE Li", "PBE H").replace("PBE Cl", "PBE H")
    text = text.replace("   POMASS =   7.01 35.45", "   POMASS =   1.00  2.00")
    refused(write(tmp_path / "OUTCAR", text), "isotopes")


# What overflows its column


@pytest.mark.parametrize(
    "force",
    [
        "    ************     -0.100000      0.000000",
        "    ******************************  0.000000",
        "    *****************************************",
        "      0.100000-*************      0.000000",
        "           NaN           NaN           NaN",
    ],
)
def test_an_overflowed_force_costs_the_forces_and_not_the_file(tmp_path, made, force, caplog):
    lines = outcar(made).split("\n")
    tables = [i for i, line in enumerate(lines) if "TOTAL-FORCE" in line]
    for n in (4, 7):
        at = tables[n] + 5
        lines[at] = lines[at][:39] + force
    with caplog.at_level(logging.WARNING):
        back = Trajectory.read(write(tmp_path / "OUTCAR", "\n".join(lines)))
    assert back.positions_A == pytest.approx(made.positions, abs=6e-6)
    assert back.forces_eV_A is None
    assert back.energies_eV == pytest.approx(made.free_eV - made.entropy_eV, abs=1e-9)
    assert [one.code for one in back.findings].count("forces_left_out") == 1


def test_columns_of_a_table_that_touch(tmp_path, made):
    made.forces[3, 2] = [-1234567.5, -2345678.25, 12.0]
    lines = outcar(made).split("\n")
    at = [i for i, line in enumerate(lines) if "TOTAL-FORCE" in line][3] + 4
    assert "-1234567.500000-2345678.250000" in lines[at]
    lines[at] = re.sub(r"(\d) +(-\d)", r"\1\2", lines[at])
    back = Trajectory.read(write(tmp_path / "OUTCAR", "\n".join(lines)))
    assert (back.forces_eV_A == made.forces).all()
    assert back.positions_A == pytest.approx(made.positions, abs=6e-6)
