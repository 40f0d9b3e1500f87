"""Supercells against brute force over repeats; vacancies by seed."""

from __future__ import annotations

import io
import itertools
import logging

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixCom
from ase.io import read, write

from mlmd.errors import InputError
from mlmd.structure.supercell import supercell
from mlmd.structure.vacancies import with_vacancies

SKEWED = Atoms(
    "LiCl",
    scaled_positions=[[0, 0, 0], [0.4, 0.5, 0.6]],
    cell=[[4.0, 0.0, 0.0], [7.5, 4.5, 0.0], [-5.0, 9.0, 6.0]],
    pbc=True,
)
CRYSTALS = {
    "cubic": bulk("NaCl", "rocksalt", a=5.64, cubic=True),
    "primitive": bulk("Cu"),
    "hexagonal": bulk("Zn"),
    "tetragonal": Atoms("Li3", cell=[3.0, 3.0, 20.0], pbc=True, positions=np.eye(3)),
    "triclinic": Atoms("Si", cell=[[4, 0, 0], [1.2, 5, 0], [0.7, 1.9, 6]], pbc=True),
    "skewed": SKEWED,
}


def heights(cell: np.ndarray) -> np.ndarray:
    """Distances between opposite faces, by cross products."""
    volume = abs(np.linalg.det(cell))
    return np.array([volume / np.linalg.norm(np.cross(cell[i - 2], cell[i - 1])) for i in range(3)])


def all_repeats(atoms: Atoms, most: int) -> list[tuple[int, float]]:
    """Atoms and smallest height of every supercell up to `most` repeats a side."""
    single = heights(atoms.cell.array)
    return [
        (len(atoms) * int(np.prod(repeats)), float((np.array(repeats) * single).min()))
        for repeats in itertools.product(range(1, most + 1), repeat=3)
    ]


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("diameter", [2.0, 6.5, 11.28, 14.0])
def test_sphere_fits_with_the_fewest_atoms(name, diameter):
    atoms = CRYSTALS[name]
    made = supercell(atoms, min_diameter_A=diameter)
    fewest = min(n for n, sphere in all_repeats(atoms, 20) if sphere >= diameter - 1e-9)
    assert heights(made.cell.array).min() >= diameter - 1e-9
    assert made.info["supercell"]["diameter_A"] == pytest.approx(heights(made.cell.array).min())
    if name == "skewed":
        assert len(made) < fewest  # by shorter lattice vectors
    else:
        assert len(made) == fewest


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("n_atoms", [1, 7, 30, 100, 250])
def test_about_n_atoms_hold_the_largest_sphere(name, n_atoms):
    atoms = CRYSTALS[name]
    made = supercell(atoms, n_atoms=n_atoms)
    fewest = int(np.ceil(n_atoms / len(atoms))) * len(atoms)
    most = max(fewest, 1.5 * n_atoms)
    allowed = [(s, -n) for n, s in all_repeats(atoms, 16) if fewest <= n <= most]
    sphere, n = max((round(s, 6), n) for s, n in allowed)
    assert fewest <= len(made) <= most
    found = heights(made.cell.array).min()
    if name == "skewed":
        assert found >= sphere - 1e-6
    else:
        assert (found, -len(made)) == (pytest.approx(sphere, abs=1e-5), n)


def test_no_needles():
    lengths = heights(supercell(Atoms("Po", cell=[3.0] * 3, pbc=True), n_atoms=4).cell.array)
    assert sorted(lengths) == pytest.approx([3, 6, 6])  # and not 3, 3, 12


@pytest.mark.parametrize("name", CRYSTALS)
def test_matrix_is_the_record_and_the_crystal_is_the_same(name):
    atoms = CRYSTALS[name]
    made = supercell(atoms, n_atoms=40)
    matrix = np.array(made.info["supercell"]["matrix"])
    assert made.cell.array == pytest.approx(matrix @ atoms.cell.array)
    assert len(made) == round(np.linalg.det(matrix)) * len(atoms)
    # Every atom sits on a site of its own of the crystal.
    for atom in made:
        shifts = (atom.position - atoms.positions) @ np.linalg.inv(atoms.cell.array)
        same = np.abs(shifts - np.rint(shifts)).max(axis=1) < 1e-8
        assert atoms.symbols[np.flatnonzero(same)[0]] == atom.symbol
    inside = made.get_scaled_positions(wrap=True)
    apart = inside[:, None] - inside
    closest = np.abs(apart - np.rint(apart)).max(axis=2) + np.eye(len(made))
    assert closest.min() > 1e-4


def test_energy_per_atom_does_not_change():
    cell = np.array([[1, 0, 0], [3, 1, 0], [-2, 4, 1]]) @ bulk("Cu").cell.array
    copper = Atoms("Cu", cell=cell, pbc=True)  # the same crystal, awkwardly described
    made = supercell(copper, min_diameter_A=7.0)
    energies = []
    for atoms in (bulk("Cu", cubic=True), made):
        atoms.calc = EMT()
        energies.append(atoms.get_potential_energy() / len(atoms))
    assert energies[1] == pytest.approx(energies[0], abs=1e-9)
    assert len(made) == len(supercell(bulk("Cu"), min_diameter_A=7.0))


def test_masses_and_charges_stay_and_momenta_go():
    atoms = CRYSTALS["cubic"].copy()
    is_sodium = atoms.numbers == 11
    atoms.set_masses(np.where(is_sodium, 7.0, 35.0))
    atoms.set_initial_charges(np.where(is_sodium, 1.0, -1.0))
    atoms.set_momenta(np.ones((8, 3)))
    atoms.calc = EMT()
    made = supercell(atoms, n_atoms=64)
    assert len(made) == 64
    assert not made.has("momenta")
    assert made.calc is None
    assert made.get_masses() == pytest.approx(np.where(made.numbers == 11, 7.0, 35.0))
    assert made.get_initial_charges() == pytest.approx(np.where(made.numbers == 11, 1.0, -1.0))
    assert atoms.has("momenta")  # the input is left alone
    assert "supercell" not in atoms.info
    assert len(atoms) == 8


@pytest.mark.parametrize(
    ("atoms", "arguments", "message"),
    [
        (bulk("Cu"), {}, "expected one of them"),
        (bulk("Cu"), {"min_diameter_A": 5.0, "n_atoms": 5}, "expected one of them"),
        (bulk("Cu"), {"min_diameter_A": 0.0}, "positive number in A"),
        (bulk("Cu"), {"min_diameter_A": float("nan")}, "positive number in A"),
        (bulk("Cu"), {"min_diameter_A": 650.0}, "check the unit"),
        (bulk("Cu"), {"n_atoms": 0}, "at least 1"),
        (bulk("Cu"), {"n_atoms": 2.5}, "whole number"),
        (bulk("Cu"), {"n_atoms": 10**8}, "100000"),
        (Atoms("Cu", cell=[3, 3, 3]), {"n_atoms": 8}, "periodic in three directions"),
        (Atoms(cell=[3, 3, 3], pbc=True), {"n_atoms": 8}, "0 atoms"),
        (Atoms("Cu", cell=[3, 3, 0], pbc=True), {"n_atoms": 8}, "has no volume"),
        (Atoms("Cu", cell=[[3, 0, 0], [3, 0, 0], [0, 0, 3]], pbc=True), {"n_atoms": 8}, "volume"),
        (
            Atoms("Cu2", np.eye(2, 3), cell=[3, 3, 3], pbc=True, constraint=FixAtoms([0])),
            {"n_atoms": 8},
            "set_constraint",
        ),
    ],
)
def test_what_gives_no_supercell_is_refused(atoms, arguments, message):
    with pytest.raises(InputError, match=message) as error:
        supercell(atoms, **arguments)
    assert "\n" not in str(error.value)


ROCKSALT = supercell(CRYSTALS["cubic"], n_atoms=216)


def test_vacancies_are_those_of_the_seed():
    first, again, other = (with_vacancies(ROCKSALT, "Na", n=5, seed=s) for s in (3, 3, 4))
    assert first.positions.tobytes() == again.positions.tobytes()
    assert first.info == again.info
    assert first.info["vacancies"][0]["sites"] != other.info["vacancies"][0]["sites"]
    assert first.symbols.formula.count() == {"Na": 103, "Cl": 108}
    kept = np.delete(np.arange(216), first.info["vacancies"][0]["sites"])
    assert first.positions == pytest.approx(ROCKSALT.positions[kept])
    assert set(ROCKSALT.symbols[first.info["vacancies"][0]["sites"]]) == {"Na"}
    assert len(ROCKSALT) == 216
    assert "vacancies" not in ROCKSALT.info


def test_every_site_is_as_likely():
    small = supercell(CRYSTALS["cubic"], n_atoms=8)
    sites = [
        site
        for seed in range(800)
        for site in with_vacancies(small, "Cl", n=2, seed=seed).info["vacancies"][0]["sites"]
    ]
    counts = np.bincount(sites, minlength=8)[np.asarray(small.symbols) == "Cl"]
    assert counts.sum() == 1600
    assert (np.abs(counts - 400) < 5 * np.sqrt(800 * 0.25)).all()


@pytest.mark.parametrize(("fraction", "n"), [(0.02, 2), (0.014, 2), (0.013, 1), (0.5, 54)])
def test_nearest_number_of_a_fraction(fraction, n):
    made = with_vacancies(ROCKSALT, "Na", fraction=fraction, seed=0)
    assert len(made) == 216 - n
    assert made.info["vacancies"][0]["fraction"] == pytest.approx(n / 108)


def test_at_least_one_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        made = with_vacancies(ROCKSALT, "Na", fraction=0.002, seed=0)
    assert len(made) == 215
    assert "one vacancy in 108 sites is 0.93 %, not 0.2 %" in caplog.text


def test_two_calls_keep_two_records_also_in_a_file():
    made = with_vacancies(with_vacancies(ROCKSALT, "Na", n=2, seed=1), "Cl", n=2, seed=1)
    assert [record["symbol"] for record in made.info["vacancies"]] == ["Na", "Cl"]
    buffer = io.StringIO()
    write(buffer, made, format="extxyz")
    buffer.seek(0)
    back = read(buffer, format="extxyz")
    assert back.info["vacancies"] == made.info["vacancies"]
    assert back.info["supercell"] == ROCKSALT.info["supercell"]


def test_vacancies_leave_no_momenta():
    moving = ROCKSALT.copy()
    moving.set_momenta(np.ones((216, 3)))
    assert not with_vacancies(moving, "Na", n=1, seed=0).has("momenta")


@pytest.mark.parametrize(
    ("symbol", "arguments", "message"),
    [
        ("Li", {"n": 1, "seed": 0}, "has no 'Li'; expected one of Cl, Na"),
        ("Na", {"seed": 0}, "expected one of them"),
        ("Na", {"n": 1, "fraction": 0.1, "seed": 0}, "expected one of them"),
        ("Na", {"fraction": 0.0, "seed": 0}, "between 0 and 1"),
        ("Na", {"fraction": 1.0, "seed": 0}, "between 0 and 1"),
        ("Na", {"fraction": 2.0, "seed": 0}, "0.02 for 2 %"),
        ("Na", {"fraction": float("nan"), "seed": 0}, "between 0 and 1"),
        ("Na", {"fraction": 0.999, "seed": 0}, "at least one remains"),
        ("Na", {"n": 108, "seed": 0}, "at least one remains"),
        ("Na", {"n": 0, "seed": 0}, "at least 1"),
        ("Na", {"n": 1, "seed": -1}, "seed is -1"),
    ],
)
def test_what_gives_no_vacancies_is_refused(symbol, arguments, message):
    with pytest.raises(InputError, match=message) as error:
        with_vacancies(ROCKSALT, symbol, **arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("constraint", [FixCom(), FixAtoms([])])
def test_constraints_that_change_nothing_are_left_behind(constraint):
    copper = bulk("Cu", cubic=True)
    copper.set_constraint(constraint)
    larger = supercell(copper, n_atoms=32)
    assert len(larger) == 32
    assert larger.constraints == []
