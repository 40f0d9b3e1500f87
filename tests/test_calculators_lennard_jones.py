"""Our Lennard-Jones: derivatives, limits with known answers, no memory."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.calculators.lj import LennardJones as AseLennardJones
from ase.data import covalent_radii

from mlmd.calculators.models import lennard_jones
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.errors import InputError

SIGMA_A, EPSILON_EV, CUTOFF_A = 3.4, 0.0104, 5.0
MIXED = {
    "sigma_A": {"Ar": 3.4, "Kr": 3.8},
    "epsilon_eV": {"Ar": 0.0104, "Kr": 0.0144},
    "cutoff_A": CUTOFF_A,
}
SKEW = np.array([[11.0, 0.0, 0.0], [3.0, 10.8, 0.0], [-2.0, 4.0, 10.6]])


def mixture(cell) -> Atoms:
    """Twenty rattled atoms of argon and krypton, some of them outside the cell."""
    rng = np.random.default_rng(8)
    grid = np.stack(np.meshgrid(*[np.arange(3) / 3] * 3, indexing="ij"), -1).reshape(-1, 3)[:20]
    atoms = Atoms("Ar10Kr10", scaled_positions=grid, cell=cell, pbc=True)
    atoms.positions += rng.normal(0, 0.15, atoms.positions.shape)
    atoms.positions[4] += 2 * atoms.cell.array[1] - atoms.cell.array[0]
    atoms.calc = LennardJones(**MIXED)
    return atoms


@pytest.mark.parametrize("cell", [np.diag([10.5, 11.0, 12.0]), SKEW], ids=["orthogonal", "skewed"])
def test_forces_and_stress_are_derivatives_of_the_energy(cell):
    atoms = mixture(cell)
    numerical = calculate_numerical_forces(atoms, eps=1e-4)
    assert np.abs(numerical).max() > 0.05
    assert atoms.get_forces() == pytest.approx(numerical, abs=1e-7)
    numerical = calculate_numerical_stress(atoms, eps=1e-5)
    assert np.abs(numerical).max() > 1e-4
    assert atoms.get_stress() == pytest.approx(numerical, abs=1e-9)


def pair_energy(r, sigma=SIGMA_A, epsilon=EPSILON_EV, cutoff=CUTOFF_A) -> float:
    """u(r) written out, with the slope at the cutoff by hand."""

    def v(x):
        return 4 * epsilon * ((sigma / x) ** 12 - (sigma / x) ** 6)

    slope = 4 * epsilon * (-12 * sigma**12 / cutoff**13 + 6 * sigma**6 / cutoff**7)
    return v(r) - v(cutoff) - (r - cutoff) * slope if r < cutoff else 0.0


def dimer(symbols: str, distance_A: float, **changes) -> Atoms:
    atoms = Atoms(symbols, positions=[[1, 2, 3], [1, 2, 3 + distance_A]], cell=[12] * 3, pbc=True)
    atoms.calc = LennardJones(**{**MIXED, **changes})
    return atoms


@pytest.mark.parametrize(
    ("symbols", "sigma", "epsilon"),
    [
        ("Ar2", 3.4, 0.0104),
        ("Kr2", 3.8, 0.0144),
        ("ArKr", 3.6, np.sqrt(0.0104 * 0.0144)),
        ("KrAr", 3.6, np.sqrt(0.0104 * 0.0144)),
    ],
)
@pytest.mark.parametrize("distance_A", [3.2, 3.9, 4.9])
def test_two_atoms_have_the_mixed_pair_energy(symbols, sigma, epsilon, distance_A):
    atoms = dimer(symbols, distance_A)
    expected = pair_energy(distance_A, sigma, epsilon)
    assert atoms.get_potential_energy() == pytest.approx(expected, rel=1e-12)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    step = 1e-5
    slope = pair_energy(distance_A + step, sigma, epsilon)
    slope = (slope - pair_energy(distance_A - step, sigma, epsilon)) / (2 * step)
    assert atoms.get_forces()[1] == pytest.approx([0, 0, -slope], abs=1e-9)
    assert atoms.get_forces().sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-15)


def test_energy_and_force_vanish_continuously_at_the_cutoff():
    inside, outside = dimer("Ar2", CUTOFF_A - 1e-6), dimer("Ar2", CUTOFF_A + 1e-6)
    assert abs(inside.get_potential_energy()) < 1e-12
    assert np.abs(inside.get_forces()).max() < 1e-7
    assert outside.get_potential_energy() == 0.0
    assert (outside.get_forces() == 0).all()
    # Without the shift the force would jump there by 30000 times that.
    unshifted = pair_energy(CUTOFF_A - 0.01, cutoff=100.0) - pair_energy(CUTOFF_A, cutoff=100.0)
    assert abs(unshifted / 0.01) > 3e-3


def test_long_cutoff_gives_the_known_energy_of_the_crystal():
    # fcc lattice sums A12 = 12.13188, A6 = 14.45392 (Kittel): E/N = 2 eps (A12 s^12 - A6 s^6).
    atoms = bulk("Ar", "fcc", a=2 ** (1 / 6) * SIGMA_A * 2**0.5, cubic=True)
    atoms = atoms * 5
    atoms.calc = LennardJones(sigma_A=SIGMA_A, epsilon_eV=EPSILON_EV, cutoff_A=13.4)
    ours = atoms.get_potential_energy() / len(atoms)
    scaled = (SIGMA_A / (2 ** (1 / 6) * SIGMA_A)) ** 6
    exact = 2 * EPSILON_EV * (12.13188 * scaled**2 - 14.45392 * scaled)
    # What is cut off and shifted away at 3.9 sigma is a few per cent.
    assert ours == pytest.approx(exact, rel=0.06)
    assert ours > exact


def test_equals_ase_but_for_the_truncation():
    # ASE's is unshifted but for a constant: add our linear term of each pair by hand.
    atoms = mixture(np.diag([10.5, 11.0, 12.0]))
    atoms.symbols[:] = "Ar"
    atoms.calc = LennardJones(sigma_A=SIGMA_A, epsilon_eV=EPSILON_EV, cutoff_A=CUTOFF_A)
    peer = atoms.copy()
    peer.calc = AseLennardJones(sigma=SIGMA_A, epsilon=EPSILON_EV, rc=CUTOFF_A)
    distances = atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)]
    within = distances[distances < CUTOFF_A]
    slope = (
        pair_energy(CUTOFF_A + 1e-5, cutoff=99) - pair_energy(CUTOFF_A - 1e-5, cutoff=99)
    ) / 2e-5
    shifted = peer.get_potential_energy() - slope * (within - CUTOFF_A).sum()
    assert atoms.get_potential_energy() == pytest.approx(shifted, rel=1e-8)


def test_same_positions_after_others_give_the_same_bits():
    atoms = mixture(SKEW)
    first = {name: np.copy(atoms.calc.get_property(name, atoms)) for name in ("energy", "forces")}
    start = atoms.get_positions()
    rng = np.random.default_rng(0)
    for _ in range(3):
        atoms.positions += rng.normal(0, 0.3, start.shape)
        atoms.get_forces()
    other = Atoms("Xe3", positions=[[0, 0, 0], [4, 0, 0], [0, 4, 0]], cell=[13] * 3, pbc=True)
    atoms.calc.get_property("energy", other)
    atoms.positions[:] = start
    for name, value in first.items():
        assert np.array_equal(atoms.calc.get_property(name, atoms), value)
    fresh = mixture(SKEW)
    assert np.array_equal(fresh.get_forces(), first["forces"])


@pytest.mark.parametrize("cell", [np.diag([10.5, 11.0, 12.0]), SKEW], ids=["orthogonal", "skewed"])
def test_wrapping_and_shifting_change_nothing(cell):
    atoms = mixture(cell)
    before = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    for change in (atoms.wrap, lambda: atoms.translate([7.7, -31.0, 0.4]), atoms.wrap):
        change()
        assert atoms.get_potential_energy() == pytest.approx(before[0], rel=1e-12)
        assert atoms.get_forces() == pytest.approx(before[1], abs=1e-12)
        assert atoms.get_stress() == pytest.approx(before[2], abs=1e-14)


def test_two_choices_of_the_same_lattice_agree():
    # The same crystal as a cube and as a larger, skewed supercell of it.
    cube = bulk("Ar", "fcc", a=5.4, cubic=True) * 2
    skewed = make_supercell(bulk("Ar", "fcc", a=5.4), [[4, 0, 0], [1, 4, 0], [0, -1, 4]])
    energies = []
    for atoms in (cube, skewed):
        atoms.calc = LennardJones(sigma_A=SIGMA_A, epsilon_eV=EPSILON_EV, cutoff_A=CUTOFF_A)
        energies.append(atoms.get_potential_energy() / len(atoms))
    assert energies[0] == pytest.approx(energies[1], rel=1e-12)


def test_defaults_make_a_liquid_of_the_right_size():
    # Two atoms of one element rest at the sum of their covalent radii, 0.02 eV deep.
    distance = 2 * covalent_radii[3]
    far, near = (
        dimer("Li2", distance * factor, sigma_A=None, epsilon_eV=None, cutoff_A=5.9)
        for factor in (1.01, 0.99)
    )
    assert near.get_forces()[1, 2] > 0 > far.get_forces()[1, 2]
    # The truncation at 2.6 sigma takes a little of the depth.
    assert near.get_potential_energy() == pytest.approx(-0.02, rel=0.1)


def test_cutoff_beyond_half_the_smallest_height_is_refused():
    # The skewed cell's vectors are long enough, its heights are not.
    cell = np.array([[11.0, 0, 0], [8.0, 9.0, 0], [0, 0, 11.0]])
    assert np.linalg.norm(cell, axis=1).min() > 2 * CUTOFF_A
    atoms = Atoms("Ar2", scaled_positions=[[0, 0, 0], [0.3, 0.3, 0.3]], cell=cell, pbc=True)
    atoms.calc = LennardJones(**MIXED)
    with pytest.raises(InputError, match="half the smallest cell height") as caught:
        atoms.get_forces()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pbc", [False, (True, True, False)])
def test_atoms_that_are_not_periodic_are_refused(pbc):
    atoms = dimer("Ar2", 4.0)
    atoms.pbc = pbc
    with pytest.raises(InputError, match="periodic"):
        atoms.get_potential_energy()
    atoms.set_cell(None)
    atoms.pbc = True
    with pytest.raises(InputError, match=r"atoms\.cell"):
        atoms.get_potential_energy()


@pytest.mark.parametrize(
    "bad",
    [
        {"sigma_A": 0.0},
        {"sigma_A": -3.4},
        {"sigma_A": float("nan")},
        {"sigma_A": "3.4"},
        {"sigma_A": {"Ar": 0}},
        {"sigma_A": {"Q": 3.4}},
        {"epsilon_eV": float("inf")},
        {"epsilon_eV": True},
        {"cutoff_A": 0},
    ],
)
def test_bad_parameters_are_refused(bad):
    with pytest.raises(InputError, match=next(iter(bad))) as caught:
        LennardJones(**bad)
    assert "\n" not in str(caught.value)


def test_atoms_on_top_of_each_other_give_forces_that_are_not_finite():
    atoms = dimer("Ar2", 0.0)
    assert not np.isfinite(atoms.get_forces()).all()


@pytest.fixture
def searched(monkeypatch):
    """Every cell is large: pairs are searched for."""
    monkeypatch.setattr(lennard_jones, "MOST_DENSE", 0)


@pytest.mark.parametrize("cell", [np.diag([10.5, 11.0, 12.0]), SKEW], ids=["orthogonal", "skewed"])
def test_pairs_that_are_searched_for_give_what_all_pairs_give(cell, monkeypatch):
    atoms = mixture(cell)
    dense = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    monkeypatch.setattr(lennard_jones, "MOST_DENSE", 0)
    atoms = mixture(cell)
    assert atoms.get_potential_energy() == pytest.approx(dense[0], rel=1e-12)
    assert atoms.get_forces() == pytest.approx(dense[1], abs=1e-12)
    assert atoms.get_stress() == pytest.approx(dense[2], abs=1e-14)


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize("n", [2, 5])
def test_a_search_does_not_remember_the_one_before(n):
    """The same bits after other positions, in a fresh calculator, and of few or many atoms."""
    rng = np.random.default_rng(n)
    atoms = bulk("Ar", "fcc", a=7.5, cubic=True) * n
    atoms.positions += rng.normal(0, 0.2, (len(atoms), 3))
    atoms.calc = LennardJones(sigma_A=SIGMA_A, epsilon_eV=EPSILON_EV, cutoff_A=CUTOFF_A)
    first, start = atoms.get_forces().copy(), atoms.get_positions()
    for _ in range(3):
        atoms.positions += rng.normal(0, 0.3, start.shape)
        atoms.get_forces()
    atoms.positions[:] = start
    assert np.array_equal(atoms.get_forces(), first)
    atoms.calc = LennardJones(sigma_A=SIGMA_A, epsilon_eV=EPSILON_EV, cutoff_A=CUTOFF_A)
    assert np.array_equal(atoms.get_forces(), first)


@pytest.mark.usefixtures("searched")
def test_atoms_on_top_of_each_other_are_found_by_the_search():
    atoms = dimer("Ar2", 0.0)
    assert not np.isfinite(atoms.get_forces()).all()
