"""Packed cells: what is in them, how dense, how far apart, and every failure."""

from __future__ import annotations

import itertools
import stat
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.data import covalent_radii
from ase.io import read, write

from mlmd.errors import InputError, PackingError
from mlmd.structure import Composition, check_structure, pack, spheres


def image_distances(atoms, reach=1):
    """Distances of all pairs over the images in (2 reach + 1)^3 cells, by plain arithmetic."""
    shifts = np.array(list(itertools.product(range(-reach, reach + 1), repeat=3)))
    vectors = (
        atoms.positions[None, :, None, :]
        + (shifts @ atoms.cell.array)[None, None, :, :]
        - atoms.positions[:, None, None, :]
    )
    distances = np.linalg.norm(vectors, axis=-1)
    same = np.arange(len(atoms))
    distances[same, same, len(shifts) // 2] = np.inf  # an atom and itself
    return distances


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("Li3PS4", "Li39P13S52"),
        ("Li0.5Si0.5", "Li50Si50"),
        ("(Li2S)0.75(P2S5)0.25", "Li39S52P13"),
    ],
)
def test_composition_in_whole_formula_units_in_its_own_order(text, symbols):
    atoms = pack(text, n_atoms=100)
    assert str(atoms.symbols) == symbols
    assert atoms.pbc.all()
    lengths_angles = atoms.cell.cellpar()
    assert lengths_angles[:3] == pytest.approx([lengths_angles[0]] * 3, rel=1e-14)
    assert lengths_angles[3:] == pytest.approx([90.0] * 3)
    assert ((atoms.positions >= 0) & (atoms.positions <= lengths_angles[0])).all()


@pytest.mark.parametrize(("text", "density"), [("Li3PS4", 1.88), ("LiCl", 1.46), ("SiO2", 2.2)])
def test_density_is_the_one_asked_for(text, density):
    atoms = pack(text, n_atoms=48, density_g_cm3=density)
    packed = atoms.get_masses().sum() / atoms.get_volume() / (units.mol * 1e-24)
    assert packed == pytest.approx(density, rel=1e-6)


def test_volume_per_atom_and_reference():
    assert pack("LiCl", 32, volume_per_atom_A3=24.3).get_volume() == pytest.approx(32 * 24.3)
    crystal = bulk("LiCl", "rocksalt", a=5.13)
    assert pack("LiCl", 32, reference=crystal).get_volume() == pytest.approx(16 * 5.13**3 / 4)


@pytest.mark.parametrize(
    ("text", "n_atoms", "volume", "tolerance"),
    [
        ("Li3PS4", 96, 20.0, 2.0),
        ("LiCl", 32, 8.0, 2.0),  # as dense as spheres on a simple cubic lattice
        ("SiO2", 12, 15.1, 2.0),  # 5.7 A wide: neighbours are images of each other
        ("LiCl", 4, 30.0, 2.0),
        ("LiCl", 64, 24.3, 2.5),
        ("LiCl", 64, 24.3, 1.2),
    ],
)
def test_no_pair_is_closer_than_the_tolerance_through_any_boundary(
    text, n_atoms, volume, tolerance
):
    for seed in range(3):
        atoms = pack(text, n_atoms, volume_per_atom_A3=volume, tolerance_A=tolerance, seed=seed)
        assert image_distances(atoms, reach=2 if n_atoms < 20 else 1).min() >= tolerance


def test_neighbours_meet_through_the_boundary_as_often_as_within():
    """The packing knows its images: it is dense across the faces and yet keeps its distance."""
    atoms = pack("LiCl", 64, volume_per_atom_A3=12.0)
    distances = image_distances(atoms)
    near = 2.6
    through = (distances.min(axis=2) < near) & (distances[:, :, 13] >= near)
    within = distances[:, :, 13] < near
    # A pair at distance r meets through a face with a probability of about 3 r / (2 L).
    expected = 1.5 * 2.3 / atoms.cell.lengths()[0]
    assert through.sum() / (through.sum() + within.sum()) == pytest.approx(expected, abs=0.12)
    assert distances.min() >= 2.0


def test_a_packing_that_ignores_the_boundary_is_caught(monkeypatch):
    original = spheres._input

    def walls_instead_of_images(kinds, edge_A, seed):
        lines = original(kinds, edge_A, seed).splitlines()
        box = f"  inside box 0. 0. 0. {edge_A} {edge_A} {edge_A}"
        lines = [line for line in lines if not line.startswith("pbc")]
        return "\n".join(f"{box}\n{x}" if x == "end structure" else x for x in lines) + "\n"

    monkeypatch.setattr(spheres, "_input", walls_instead_of_images)
    with pytest.raises(PackingError, match=r"PACKMOL left .* apart instead of at least 2\.0000 A"):
        pack("LiCl", 64, volume_per_atom_A3=12.0)


def test_large_atoms_keep_half_their_covalent_radii_so_that_the_check_passes():
    atoms = pack("CsCl", 60, volume_per_atom_A3=25.0)
    distances = image_distances(atoms).min(axis=2)
    radii = covalent_radii[atoms.numbers]
    assert (distances >= 0.5 * (radii[:, None] + radii)).all()
    caesium = atoms.symbols == "Cs"
    assert distances[np.ix_(caesium, caesium)].min() >= 2.44
    check_structure(atoms)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_structure():
    first, again, other = (pack("Li3PS4", 96, seed=s) for s in (7, 7, 8))
    assert first.positions.tobytes() == again.positions.tobytes()
    assert first.cell.array.tobytes() == again.cell.array.tobytes()
    # Not merely different: unrelated. Two random points in a periodic cube of edge 1 are 0.480
    # apart on average.
    edge = first.cell.lengths()[0]
    shift = first.positions - other.positions
    shift -= edge * np.round(shift / edge)
    assert np.linalg.norm(shift, axis=1).mean() / edge == pytest.approx(0.480, abs=0.08)


def test_seeds_of_any_size_are_told_apart():
    seeds = [0, 1, 2**28, 2**31, 2**32, 2**64 + 3, 2**127]
    packed = {pack("LiCl", 16, seed=s).positions.tobytes() for s in seeds}
    assert len(packed) == len(seeds)
    numpy_seed = pack("LiCl", 16, seed=np.int64(5))
    assert numpy_seed.positions.tobytes() == pack("LiCl", 16, seed=5).positions.tobytes()


def test_threads_do_not_disturb_each_other():
    alone = [pack("LiCl", 32, seed=s).positions for s in range(4)]
    together = {}

    def work(seed):
        together[seed] = pack("LiCl", 32, seed=seed).positions

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, positions in enumerate(alone):
        assert np.array_equal(together[seed], positions)


def test_how_it_was_made_survives_an_extxyz_file(tmp_path):
    atoms = pack("(Li2S)0.75(P2S5)0.25", 32, seed=3, density_g_cm3=1.88, tolerance_A=1.9)
    record = atoms.info["packing"]
    assert record["composition"] == "(Li2S)0.75(P2S5)0.25"
    assert record["n_atoms"] == 32
    assert record["seed"] == 3
    assert record["tolerance_A"] == 1.9
    assert record["volume_source"] == "density"
    assert record["volume_detail"] == "1.88 g/cm3"
    assert record["volume_per_atom_A3"] == pytest.approx(atoms.get_volume() / 32)
    assert record["packmol"].split(".")[0].isdigit()
    write(tmp_path / "packed.extxyz", atoms)
    assert read(tmp_path / "packed.extxyz").info["packing"] == record


def test_an_estimated_volume_is_recorded_as_one():
    record = pack("Li3PS4", 32).info["packing"]
    assert record["volume_source"] == "atomic radii"
    assert "17 %" in record["volume_detail"]
    assert record["volume_per_atom_A3"] == pytest.approx(20.0, rel=0.05)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    pack("LiCl", 16)
    with pytest.raises(PackingError):
        pack("LiCl", 12, volume_per_atom_A3=8.0, tolerance_A=2.2)
    assert list(work.iterdir()) == []
    assert list(temporary.iterdir()) == []


def test_a_packing_that_does_not_exist_fails_with_the_output_and_advice():
    with pytest.raises(PackingError) as error:
        pack("LiCl", 12, volume_per_atom_A3=8.0, tolerance_A=2.2)
    first, *tail = str(error.value).splitlines()
    assert first.startswith("PACKMOL found no packing (exit code 173) for 12 atoms in a cube of 4.")
    assert "lower the density" in first
    assert "smaller tolerance_A" in first
    assert any("ENDED WITHOUT PERFECT PACKING" in line for line in tail)
    assert len(tail) <= 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"composition": "Xx2O"}, "unknown element 'Xx'"),
        ({"composition": ""}, "composition is empty"),
        ({"n_atoms": 0}, "n_atoms is 0"),
        ({"seed": -1}, "seed is -1; expected a whole number of at least 0"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"seed": None}, "seed is None"),
        ({"tolerance_A": 0.0}, "tolerance_A is 0.0; expected a positive number in A"),
        ({"tolerance_A": float("nan")}, "tolerance_A is nan"),
        ({"tolerance_A": 4.0}, "volume .* close-packed spheres|near their own"),
        ({"density_g_cm3": 0}, "density_g_cm3 is 0"),
        ({"density_g_cm3": 9.0}, "less than the 5.657 of close-packed spheres"),
        ({"density_g_cm3": 2.0, "volume_per_atom_A3": 20.0}, "expected one source of the volume"),
        ({"composition": "Li0.333Si0.667"}, "has 1000 atoms, but about 100"),
        ({"composition": "LiCl", "n_atoms": 2}, "own periodic images; .* n_atoms of 4 or more"),
    ],
)
def test_bad_input_is_refused_in_one_line(arguments, message):
    if "tolerance_A" in arguments:
        arguments = {"volume_per_atom_A3": 20.0, **arguments}
    with pytest.raises(InputError, match=message) as error:
        pack(**{"composition": "Li3PS4", **arguments})
    assert "\n" not in str(error.value)


def test_the_number_of_atoms_advised_for_a_tiny_cell_works():
    with pytest.raises(InputError, match="n_atoms of 4 or more"):
        pack("LiCl", 2, volume_per_atom_A3=24.0)
    assert len(pack("LiCl", 4, volume_per_atom_A3=24.0)) == 4


def fake_packmol(path: Path, body: str) -> str:
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("print('Success!')", r"wrote no usable positions \(.*packed\.xyz"),
        ("open('packed.xyz', 'w').write('8\\n\\nLi 0 0 0\\n')", "expected 8 atoms .* found 1"),
        (
            "open('packed.xyz', 'w').write('8\\n\\n' + 4*'Li nan 0 0\\n' + 4*'Cl 1 1 1\\n')",
            "not finite",
        ),
        ("print('ENDED WITHOUT PERFECT PACKING')", r"found no packing \(exit code 0\)"),
        ("raise SystemExit(170)", r"found no packing \(exit code 170\)"),
        ("import os; os.kill(os.getpid(), 9)", r"found no packing \(exit code -9\)"),
        ("print('busy', flush=True); import time; time.sleep(60)", "took longer than 1 s"),
        (
            "open('packed.xyz', 'w').write('8\\n\\n' + 4*'Li 1 1 1\\n' + 4*'Cl 3 3 3\\n')",
            "PACKMOL left Li and Li 0.0000 A apart",
        ),
    ],
    ids=["no file", "short", "nan", "imperfect", "error", "killed", "slow", "overlapping"],
)
def test_every_way_in_which_packmol_can_fail_is_noticed(tmp_path, monkeypatch, body, message):
    monkeypatch.setattr(spheres, "_program", lambda: fake_packmol(tmp_path / "packmol", body))
    monkeypatch.setattr(spheres, "_SECONDS", 1.0)
    monkeypatch.setattr(spheres, "_SECONDS_PER_ATOM", 0.0)
    with pytest.raises(PackingError, match=message) as error:
        pack("LiCl", 8)
    assert ("busy" in str(error.value)) == ("busy" in body)  # what it had said is kept


def test_a_packmol_that_cannot_run_or_is_absent_is_named(tmp_path, monkeypatch):
    (tmp_path / "packmol").write_text("not executable")
    monkeypatch.setattr(spheres, "_program", lambda: str(tmp_path / "packmol"))
    with pytest.raises(PackingError, match="PACKMOL cannot be run"):
        pack("LiCl", 8)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "packmol.cli", None)
    with pytest.raises(PackingError, match="pip install packmol"):
        pack("LiCl", 8)


def test_a_parsed_composition_is_taken_as_it_is():
    composition = Composition.parse("LiCl")
    assert pack(composition, 16).positions.tobytes() == pack("LiCl", 16).positions.tobytes()


def test_importing_is_light():
    import subprocess

    code = (
        "import sys, mlmd.structure; heavy = {'torch', 'pymatgen', 'pandas', 'matplotlib', 'scipy'}"
        "; print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
