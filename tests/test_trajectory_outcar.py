"""VASP's OUTCAR: energies, forces, stresses with their signs, species, times, killed runs."""

import logging
import warnings

import numpy as np
import pytest
from ase import units
from ase.io import read
from vasp_files import MASSES, outcar, run

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
    refused(path, "--timestep-fs")
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
