"""Contacts by a tree are those of all pairs, in memory that grows with the number of atoms."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from ase import Atoms
from ase.data import covalent_radii

from mlmd.dynamics import contact_watch
from mlmd.dynamics.contact_watch import ContactWatch


def lattice(n_side: int, seed: int = 0, rattle_A: float = 0.3) -> Atoms:
    """Li, Cl and Cs on a rattled, sheared lattice, wrapped nowhere."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(n_side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    cell = 3.4 * n_side * np.array([[1, 0, 0], [0.3, 1, 0], [-0.2, 0.4, 1]])
    atoms = Atoms(
        rng.choice(["Li", "Cl", "Cs"], n_side**3), scaled_positions=grid / n_side, cell=cell, pbc=1
    )
    atoms.positions += rng.normal(0, rattle_A, (len(atoms), 3))
    atoms.positions += rng.integers(-2, 3, (len(atoms), 3)) @ cell
    return atoms


def watch(
    monkeypatch: pytest.MonkeyPatch, atoms: Atoms, *, tree: bool, fraction: float = 0.4
) -> ContactWatch:
    monkeypatch.setattr(contact_watch, "MOST_DENSE", 0 if tree else 10**6)
    return ContactWatch(atoms, fraction)


def test_the_tree_gives_the_verdict_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    touching = 0
    for seed in range(16):
        atoms = lattice(6, seed, rattle_A=0.25 + 0.04 * seed)
        dense = watch(monkeypatch, atoms, tree=False).touching()
        tree = watch(monkeypatch, atoms, tree=True).touching()
        assert (dense is None) == (tree is None), seed
        if dense is not None and tree is not None:
            touching += 1
            assert (tree.first, tree.second) == (dense.first, dense.second)
            assert tree.distance_A == pytest.approx(dense.distance_A, abs=1e-4)
            assert tree.limit_A == pytest.approx(dense.limit_A, abs=1e-5)
    assert 3 <= touching <= 13  # both verdicts are among them


@pytest.mark.parametrize("tree", [False, True])
def test_an_open_direction_has_no_images(monkeypatch: pytest.MonkeyPatch, tree: bool) -> None:
    """Atoms of a slab at both faces of an open cell, or outside, touch as they are."""
    atoms = lattice(4, rattle_A=0.0)
    atoms.wrap()
    atoms.positions[0] -= 0.05 * atoms.cell[2]
    atoms.positions[3] = atoms.positions[0] + 0.98 * atoms.cell[2]
    assert watch(monkeypatch, atoms, tree=tree).touching() is not None
    atoms.pbc = [True, True, False]
    assert watch(monkeypatch, atoms, tree=tree).touching() is None
    atoms.positions[3] = atoms.positions[0] - 0.02 * atoms.cell[2] + atoms.cell[0]
    found = watch(monkeypatch, atoms, tree=tree).touching()
    assert found is not None
    assert {found.first, found.second} == {0, 3}


@pytest.mark.parametrize("tree", [False, True])
def test_no_contact_is_missed_while_nothing_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, tree: bool
) -> None:
    """Two atoms come together across a face, 0.01 A each time, while all others stay."""
    atoms = lattice(6, rattle_A=0.0)
    first, second = 0, 5 * 36  # neighbours across a face
    looked_at = watch(monkeypatch, atoms, tree=tree)
    limit_A = 0.4 * covalent_radii[atoms.numbers[[first, second]]].sum()
    vector = atoms.get_distance(second, first, mic=True, vector=True)
    towards = vector / np.linalg.norm(vector)
    for _ in range(400):
        found = looked_at.touching()
        distance_A = atoms.get_distance(first, second, mic=True)
        if found is not None:
            break
        assert distance_A > limit_A
        atoms.positions[second] += 0.005 * towards
        atoms.positions[first] -= 0.005 * towards
    assert found is not None
    assert {found.first, found.second} == {first, second}
    assert distance_A == pytest.approx(limit_A, abs=0.011)


def test_memory_grows_with_the_number_of_atoms() -> None:
    """All pairs of 8000 atoms would take 1.8 GB."""
    peak_MB = {}
    for n_side in (10, 20):
        atoms = lattice(n_side)
        tracemalloc.start()
        ContactWatch(atoms, 0.4).touching()
        peak_MB[n_side] = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
    assert peak_MB[20] < 20
    assert peak_MB[20] < 12 * peak_MB[10]  # eight times the atoms
