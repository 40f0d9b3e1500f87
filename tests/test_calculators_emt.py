"""EMT without a memory: the same positions give the same bits."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from mlmd import load_calculator


@pytest.fixture
def alloy():
    atoms = bulk("Cu", cubic=True) * 2
    atoms.symbols[::5] = "Ag"
    atoms.rattle(0.1, seed=4)
    atoms.calc = load_calculator("emt")
    return atoms


def test_energy_forces_and_stress_are_those_of_ase(alloy):
    peer = alloy.copy()
    peer.calc = EMT()
    assert alloy.get_potential_energy() == peer.get_potential_energy()
    assert (alloy.get_forces() == peer.get_forces()).all()
    assert (alloy.get_stress() == peer.get_stress()).all()


def test_forces_and_stress_are_derivatives(alloy):
    numerical = calculate_numerical_forces(alloy, eps=1e-4, iatoms=[0, 7])
    assert alloy.get_forces()[[0, 7]] == pytest.approx(numerical, abs=1e-6)
    assert alloy.get_stress() == pytest.approx(calculate_numerical_stress(alloy), abs=1e-7)


def wander_and_return(atoms):
    """Forces before and after the atoms have been elsewhere and come back from nearby."""
    start, first = atoms.get_positions(), atoms.get_forces()
    rng = np.random.default_rng(0)
    for size in (0.5, 0.02):
        atoms.positions[:] = start + rng.normal(0, size, start.shape)
        atoms.get_forces()
    atoms.positions[:] = start
    return first, atoms.get_forces()


def test_forces_do_not_depend_on_where_the_atoms_have_been(alloy):
    first, again = wander_and_return(alloy)
    assert (first == again).all()
    # ASE's own does not come back to the same bits: its neighbour list remembers.
    alloy.calc = EMT()
    first, again = wander_and_return(alloy)
    assert first == pytest.approx(again, abs=1e-12)
    assert not (first == again).all()
