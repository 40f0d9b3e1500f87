"""Edges, forces, energies and stresses: in a batch as alone, and as of other programs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import batches
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene
from ase.io import write
from ase.neighborlist import neighbor_list
from ase.stress import voigt_6_to_full_3x3_stress

pytest.importorskip("torch", reason="needs a model's extra")
pytest.importorskip("pymatgen", reason="needs the chgnet extra")

from mlmd import load_calculator
from mlmd.calculators import evaluate, evaluate_many
from mlmd.calculators.batched import BatchServer
from mlmd.calculators.models import edges as edges_module
from mlmd.calculators.models.edges import edges_of
from mlmd.calculators.weights import cache_folder
from mlmd.errors import CalculatorError, InputError
from mlmd.numerics.voigt import symmetric_voigt

pytestmark = pytest.mark.kernels


def awkward() -> dict[str, Atoms]:
    """Cells and places that searches for neighbours go wrong at."""
    rng = np.random.default_rng(11)
    flat = Atoms("Li2Cl", [[0, 0, 0], [4, 1, 0.5], [2, 4, 1]], cell=[9.0, 8.0, 2.2], pbc=True)
    needle = Atoms("Li2Cl", rng.uniform(0, 8, (3, 3)), cell=[9.0, 8.0, 0.3], pbc=True)
    sheared = batches.salt(4)
    sheared.cell[2] += 1.9 * sheared.cell[0]
    cube = Atoms("Li", cell=[3.0] * 3, pbc=True) * (2, 2, 2)
    edge = Atoms("Li4", [[0, 0, 0], [4, 2, 0], [2, 0, 4], [-1e-17, 2, 2]], cell=[4.0] * 3, pbc=True)
    sheet = graphene(a=2.46, vacuum=None)
    sheet.pbc = (True, True, False)
    rod = Atoms("LiCl", [[0, 0, 0], [0.2, -9.0, 1.5]], cell=[0, 0, 3.1], pbc=(False, False, True))
    outside = batches.salt(6)
    outside.pbc = (True, False, True)
    outside.positions[:, 1] -= 31.0
    outside.positions[0] += (50.0, 0.0, -70.0) @ outside.cell.array
    return {
        "cell lower than the cutoff": flat,
        "atom that sees itself forty times": needle,
        "sheared over": sheared,
        "rock salt with neighbours at the cutoff": bulk("LiCl", "rocksalt", a=6.0, cubic=True),
        "cube with neighbours at both cutoffs": cube,
        "atoms on the faces of the cell": edge,
        "sheet with two vectors": sheet,
        "rod with one vector": rod,
        "outside where it is not periodic": outside,
        "far away": Atoms("LiCl", [[4e4, 0, 0], [4e4 + 2, 1, 0]], cell=[5.0] * 3, pbc=True),
        "molecule far away": Atoms("LiCl", [[4e4, 0, 0], [4e4 + 2, 1, 0]]),
    }


STRUCTURES = {**batches.salts(), **batches.others(), **awkward()}


def as_set(first, second, vector) -> list[tuple[float, ...]]:
    rows = zip(first.tolist(), second.tolist(), np.round(vector, 6).tolist(), strict=True)
    # Adding zero makes -0.0 zero.
    return sorted((i, j, *(x + 0.0 for x in at)) for i, j, at in rows)


def by_ase(atoms: Atoms, cutoff_A: float) -> list[tuple[float, ...]]:
    """Edges from ASE's search, of wrapped atoms for the sake of its digits."""
    near = atoms.copy()
    if near.cell.rank < 3:
        near.set_cell(near.cell.complete())
    else:
        near.wrap(eps=0)
    # As here: an atom exactly at the cutoff, but for rounding, is judged by the rounding here.
    first, second, vector = neighbor_list("ijD", near, cutoff_A + 1e-6)
    inside = np.linalg.norm(vector, axis=1) < cutoff_A - 1e-9
    return as_set(first[inside], second[inside], -vector[inside])


@pytest.mark.parametrize("cutoff_A", [3.0, 6.0])
@pytest.mark.parametrize("name", STRUCTURES)
def test_edges_are_those_of_ases_search(name, cutoff_A):
    atoms = STRUCTURES[name]
    found = edges_of([atoms], cutoff_A, "cpu")
    length = found.distance_A.numpy()
    inside = length < cutoff_A - 1e-9
    vector = found.vector_A.numpy()
    assert np.allclose(np.linalg.norm(vector, axis=1), length, rtol=1e-14)
    got = as_set(found.first.numpy()[inside], found.second.numpy()[inside], vector[inside])
    assert got == by_ase(atoms, cutoff_A)


def bits(found) -> list[np.ndarray]:
    names = ("first", "second", "vector_A", "distance_A", "bond", "edge_of_bond", "structure")
    return [getattr(found, name).numpy() for name in names]


@pytest.mark.parametrize("pairs_at_once", [2**24, 2_000])
def test_all_distances_of_a_gpu_give_the_same_edges_to_the_last_bit(monkeypatch, pairs_at_once):
    """The way of a GPU, here on the CPU: the structures of a batch at once, or few at a time."""
    structures = list(STRUCTURES.values())
    for cutoff_A in (3.0, 6.0):
        searched = edges_of(structures, cutoff_A, "cpu")
        with monkeypatch.context() as patch:
            patch.setattr(edges_module, "_forms_all_distances", lambda _: True)
            patch.setattr(edges_module, "MOST_DENSE", 100)  # larger ones are searched there, too
            patch.setattr(edges_module, "PAIRS_AT_ONCE", pairs_at_once)
            formed = edges_of(structures, cutoff_A, "cpu")
        assert formed.n_edges == searched.n_edges
        for ours, theirs in zip(bits(formed), bits(searched), strict=True):
            assert np.array_equal(ours, theirs)


def test_edges_of_a_batch_are_those_of_each_and_in_order():
    names = [str(name) for name in np.random.default_rng(5).permutation(list(STRUCTURES))]
    structures = [STRUCTURES[name] for name in names]
    together = edges_of(structures, 6.0, "cpu")
    first, second = together.first.numpy(), together.second.numpy()
    # By first atom and then by second; the image is the rest of the order, which a copy repeats.
    assert (np.diff(first * len(together.structure) + second) >= 0).all()
    start_atom = start_edge = 0
    for atoms, n_edges in zip(structures, together.n_edges, strict=True):
        own = edges_of([atoms], 6.0, "cpu")
        of_it = slice(start_edge, start_edge + n_edges)
        assert n_edges == own.n_edges[0] == len(own.first)
        assert np.array_equal(first[of_it] - start_atom, own.first.numpy())
        assert np.array_equal(second[of_it] - start_atom, own.second.numpy())
        assert np.array_equal(together.vector_A.numpy()[of_it], own.vector_A.numpy())
        start_atom, start_edge = start_atom + len(atoms), start_edge + n_edges


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_bond_is_an_edge_and_its_reverse(name):
    found = edges_of([STRUCTURES[name]], 6.0, "cpu")
    first, second, vector, _, bond, edge_of_bond, _ = bits(found)
    assert np.array_equal(np.bincount(bond, minlength=0), np.full(len(first) // 2, 2))
    one, other = np.argsort(bond, kind="stable").reshape(-1, 2).T
    assert np.array_equal(one, edge_of_bond)
    assert np.array_equal(first[one], second[other])
    assert np.array_equal(second[one], first[other])
    assert np.array_equal(vector[one], -vector[other])


@pytest.mark.parametrize("name", [name for name, atoms in STRUCTURES.items() if len(atoms) < 30])
def test_angles_are_all_pairs_of_near_edges_of_an_atom(name):
    found = edges_of([STRUCTURES[name]], 6.0, "cpu")
    first, near = found.first.tolist(), (found.distance_A < 3.0).tolist()
    by_loops = [
        (one, other)
        for one in range(len(first))
        for other in range(len(first))
        if one != other and first[one] == first[other] and near[one] and near[other]
    ]
    assert list(zip(*(side.tolist() for side in found.angles(3.0)), strict=True)) == by_loops


def test_periodic_without_a_vector_is_refused():
    atoms = Atoms("LiCl", [[0, 0, 0], [2, 0, 0]], cell=[5, 5, 0], pbc=True)
    with pytest.raises(InputError, match=r"no vector; set atoms\.cell") as caught:
        edges_of([atoms], 6.0, "cpu")
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def chgnet():
    pytest.importorskip("chgnet", reason="needs the chgnet extra")
    return load_calculator("chgnet", device="cpu")


@pytest.fixture(scope="module")
def sevennet():
    pytest.importorskip("sevenn", reason="needs the sevennet extra")
    return load_calculator("sevennet", device="cpu")


def assert_close(apart: batches.Apart) -> None:
    """Within single precision, a hundredth of what a model is wrong by."""
    assert apart.largest_force_eV_A > 1.0
    assert apart.forces_eV_A < 2e-5
    assert apart.energy_eV_atom < 1e-6
    assert apart.stress_eV_A3 < 1e-6


# Of which models have something to say: forces on atoms on top of each other have no digits.
KNOWN = {name: a for name, a in STRUCTURES.items() if not name.startswith("atom that sees itself")}
SMALL = {name: atoms for name, atoms in KNOWN.items() if len(atoms) < 30}


def test_a_batch_of_chgnet_is_as_each_alone(chgnet):
    assert_close(batches.largest_differences(chgnet, SMALL, n_batches=3, seed=1))


def test_a_batch_of_sevennet_is_as_each_alone(sevennet):
    names = ("crystal", "molecule", "in a box", "one atom", "slab", "wire", "melt", "water")
    few = {name: SMALL[name] for name in names}
    assert_close(batches.largest_differences(sevennet, few, n_batches=2, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chgnet", "sevennet"])
def test_batches_of_1_to_200_atoms_are_as_each_alone(name, request):
    calculator = request.getfixturevalue(name)
    assert_close(batches.largest_differences(calculator, KNOWN, n_batches=6, seed=2))


def test_a_structure_of_no_atoms_is_refused(chgnet):
    with pytest.raises(InputError, match="no atoms"):
        chgnet.calculate_many([batches.salt(1), Atoms(), batches.salt(2)], ("energy",))


def test_atoms_on_top_of_each_other_are_nan_for_nobody_else(chgnet):
    broken = batches.salt(1)
    broken.positions[3] = broken.positions[5] + broken.cell[0]
    structures = [batches.salt(2), broken, batches.salt(3)]
    for atoms in structures:
        atoms.calc = chgnet
    found = evaluate_many(structures, batches.ALL)
    assert not np.isfinite(found[1].forces_eV_A).all()
    for place in (0, 2):
        own = evaluate(structures[place], batches.ALL)
        assert np.abs(found[place].forces_eV_A - own.forces_eV_A).max() < 2e-5
        assert found[place].energy_eV == pytest.approx(own.energy_eV, abs=1e-5)


@pytest.fixture(scope="module")
def packages_own():
    """CHGNet's own calculator, by model."""
    module = pytest.importorskip("chgnet.model", reason="needs the chgnet extra")

    def made(model="0.3.0", **options):
        network = module.CHGNet.load(model_name=model, use_device="cpu", verbose=False)
        return module.CHGNetCalculator(model=network, use_device="cpu", **options)

    return made


# Those it knows: fully periodic, not far away, which its single precision spoils.
FOR_THE_PACKAGE = {
    name: atoms
    for name, atoms in SMALL.items()
    if atoms.pbc.all() and np.abs(atoms.positions).max() < 100 and name != "one atom in a box"
}


@pytest.mark.parametrize("model", ["0.3.0", "0.2.0", "r2scan"])
def test_chgnet_is_as_the_package_has_it(packages_own, model):
    """Its search, its graphs, its two backward passes; 3e-4 eV/A are its single precision."""
    theirs, ours = packages_own(model), load_calculator("chgnet", model=model, device="cpu")
    chosen = FOR_THE_PACKAGE if model == "0.3.0" else dict(list(FOR_THE_PACKAGE.items())[:3])
    for name, atoms in chosen.items():
        copy = atoms.copy()
        copy.calc, atoms.calc = theirs, ours
        ours.reset()
        n_atoms = len(atoms)
        magmoms = ours.get_property("magmoms", atoms)
        assert magmoms == pytest.approx(copy.get_magnetic_moments(), abs=2e-5), name
        energy = atoms.get_potential_energy()
        assert energy / n_atoms == pytest.approx(copy.get_potential_energy() / n_atoms, abs=5e-6)
        forces = copy.get_forces()
        allowed = 3e-4 + 1e-5 * float(np.abs(forces).max())
        assert atoms.get_forces() == pytest.approx(forces, abs=allowed), name
        # The package divides by a volume that has a sign.
        sign = np.sign(np.linalg.det(atoms.cell.array))
        assert atoms.get_stress() == pytest.approx(sign * copy.get_stress(), abs=2e-5), name


def test_options_of_chgnet_do_what_they_do_in_the_package(packages_own):
    options = {"stress_weight": 0.01, "return_site_energies": True}
    theirs = packages_own(**options)
    ours = load_calculator("chgnet", device="cpu", **options)
    atoms, copy = batches.salt(1), batches.salt(1)
    atoms.calc, copy.calc = ours, theirs
    assert atoms.get_stress() == pytest.approx(copy.get_stress(), abs=2e-5)
    assert atoms.get_potential_energies() == pytest.approx(theirs.results["energies"], abs=2e-5)
    sites = atoms.get_potential_energies()
    assert sites.sum() == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    many = ours.calculate_many([batches.salt(3), batches.salt(1)], ("energy",))
    assert many[1]["energies"] == pytest.approx(sites, abs=2e-6)
    lone = Atoms("Li", cell=[20.0] * 3, pbc=True)
    strict = load_calculator("chgnet", device="cpu", on_isolated_atoms="error")
    with pytest.raises(CalculatorError, match=r"no neighbour within 6 A.*'warn' goes on"):
        strict.get_property("energy", lone)
    with pytest.raises(CalculatorError, match="no neighbour"):
        strict.calculate_many([batches.salt(1), lone], ("energy",))


def test_what_is_asked_does_not_change_a_bit_of_it(chgnet):
    atoms, other = batches.salt(1), batches.salt(2)
    for_forces = chgnet.calculate_many([other, atoms], ("forces",))[1]
    for_all = chgnet.calculate_many([other, atoms], ("stress", "magmoms", "energy"))[1]
    assert np.array_equal(for_forces["forces"], for_all["forces"])
    for_energy = chgnet.calculate_many([other, atoms], ("energy",))[1]
    assert set(for_energy) == {"energy", "free_energy", "num_edges"}
    assert for_energy["energy"] == for_forces["energy"] == for_all["energy"]
    alone = {}
    for asked in (("energy",), ("forces",), ("stress",), ("stress", "forces", "magmoms")):
        chgnet.reset()
        chgnet.calculate(atoms, asked, ["positions"])
        alone[asked] = dict(chgnet.results)
    assert len({found["energy"] for found in alone.values()}) == 1
    assert np.array_equal(alone["forces",]["forces"], alone["stress",]["forces"])


@pytest.mark.parametrize("name", ["unwrapped", "outside where it is not periodic", "slab"])
def test_an_image_of_an_atom_is_as_good(chgnet, name):
    """Moved by cell vectors, where it is periodic, each atom for itself."""
    atoms = STRUCTURES[name].copy()
    moved = atoms.copy()
    turns = np.random.default_rng(3).integers(-30, 30, (len(atoms), 3)) * atoms.pbc
    moved.positions += turns @ atoms.cell.array
    one, other = chgnet.calculate_many([atoms, moved], batches.ALL)
    assert np.abs(one["forces"]).max() > 0.1
    assert other["forces"] == pytest.approx(one["forces"], abs=2e-5)
    assert other["stress"] == pytest.approx(one["stress"], abs=1e-6)


@pytest.mark.parametrize("name", ["crystal", "left-handed", "slab", "cell lower than the cutoff"])
def test_forces_turn_with_the_structure_and_add_up_to_nothing(chgnet, name):
    atoms = STRUCTURES[name].copy()
    turn, _ = np.linalg.qr(np.random.default_rng(6).normal(size=(3, 3)))
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn)
    turned.positions = atoms.positions @ turn
    one, other = chgnet.calculate_many([atoms, turned], batches.ALL)
    assert np.abs(one["forces"].sum(axis=0)).max() < 1e-5 * len(atoms)
    assert np.abs(one["forces"]).max() > 0.1
    assert other["forces"] == pytest.approx(one["forces"] @ turn, abs=2e-5)
    matrix, turned_matrix = (
        voigt_6_to_full_3x3_stress(_voigt(found["stress"])) for found in (one, other)
    )
    assert turned_matrix == pytest.approx(turn.T @ matrix @ turn, abs=1e-6)


def _voigt(stress: np.ndarray) -> np.ndarray:
    return symmetric_voigt(stress) if stress.shape == (3, 3) else stress


@pytest.mark.parametrize("name", ["sevennet", "chgnet"])
def test_without_a_volume_there_is_no_stress(name, request):
    """Packages divide by one that they make up."""
    calculator = request.getfixturevalue(name)
    molecule = batches.salts()["molecule"]
    molecule.calc = calculator
    assert evaluate(molecule, batches.ALL).stress_eV_A3 is None
    for found in calculator.calculate_many([molecule, batches.salt(1)], batches.ALL)[:1]:
        assert "stress" not in found


def test_dispersion_is_in_a_batch_as_it_is_alone(chgnet):
    pytest.importorskip("dftd3", reason="needs the d3 extra")
    with_d3 = load_calculator("chgnet", device="cpu", d3="pbe")
    chosen = {name: SMALL[name] for name in ("crystal", "melt", "in a box", "molecule")}
    assert_close(batches.largest_differences(with_d3, chosen, n_batches=2, seed=3))
    of_model = batches.alone(chgnet, chosen)
    for name, found in batches.alone(with_d3, chosen).items():
        atoms = chosen[name]
        much = found.energy_eV - of_model[name].energy_eV
        assert much < -0.005, name
        server = BatchServer(with_d3)
        with server:
            atoms.calc = server.calculator()
            assert atoms.get_potential_energy() == pytest.approx(found.energy_eV, abs=1e-5)
            assert atoms.get_forces() == pytest.approx(found.forces_eV_A, abs=2e-5)


@pytest.mark.slow
def test_a_batch_of_m3gnet_is_as_each_alone(tmp_path):
    pytest.importorskip("matgl", reason="needs the m3gnet extra")
    import tiny_models

    folder = tiny_models.m3gnet(tmp_path / "tiny")
    calculator = load_calculator("m3gnet", model=str(folder), device="cpu")
    assert_close(batches.largest_differences(calculator, batches.salts(), seed=4))
    molecule = batches.salts()["molecule"]
    molecule.calc = calculator
    assert evaluate(molecule, batches.ALL).stress_eV_A3 is None
    slab = batches.slab()
    slab.calc = calculator
    with pytest.raises(InputError, match="periodic in all directions or in none"):
        evaluate_many([slab, slab.copy()][:1])


OF_MACE = """
import dataclasses, json, sys
import batches
from ase.calculators.fd import calculate_numerical_stress
from ase.io import read
from mlmd import load_calculator

how = {"model": sys.argv[1], "device": "cpu", "trust": True}
structures = {str(place): atoms for place, atoms in enumerate(read(sys.argv[2], ":"))}
apart = batches.largest_differences(load_calculator("mace", **how), structures, seed=5)
slab = batches.slab()
slab.calc = load_calculator("mace", dtype="float64", **how)
stresses = slab.get_stress(), calculate_numerical_stress(slab, eps=1e-4, force_consistent=False)
print(json.dumps([dataclasses.asdict(apart), *(one.tolist() for one in stresses)]))
"""


@pytest.mark.slow
def test_a_batch_of_mace_is_as_each_alone(tmp_path, repository):
    python = mace_python()
    import tiny_models

    model = tiny_models.mace(tmp_path / "tiny.model", python)
    salts = {**batches.salts(), "slab": batches.slab(), "wire": STRUCTURES["wire"]}
    write(tmp_path / "salts.traj", list(salts.values()))
    done = subprocess.run(
        [python, "-c", OF_MACE, str(model), str(tmp_path / "salts.traj")],
        env={
            **os.environ,
            "PYTHONPATH": f"{repository}{os.pathsep}{repository / 'tests'}",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    apart, stress, numerical = json.loads(done.stdout.splitlines()[-1])
    assert_close(batches.Apart(**apart))
    # Of a slab, by the volume of its own cell.
    assert np.abs(stress).max() > 0.01
    assert stress == pytest.approx(numerical, abs=1e-5)


def mace_python() -> str:
    """The interpreter of an environment with MACE."""
    given = os.environ.get("MLMD_TEST_MACE_PYTHON")
    found = Path(given) if given else cache_folder() / "environments/mace/bin/python"
    if not found.is_file():
        pytest.skip("needs an environment with MACE, named by MLMD_TEST_MACE_PYTHON")
    return str(found)
