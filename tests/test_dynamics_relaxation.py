"""Relaxation: gradients are those of the energy, and an interruption changes no bit."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.filters import FrechetCellFilter

from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.dynamics.log_strain import LogStrain
from mlmd.dynamics.relaxation import Relaxation


def rattled() -> Atoms:
    """32 atoms near a stretched crystal, about as stiff as copper."""
    atoms = bulk("Cu", cubic=True, a=4.0).repeat(2)
    atoms.rattle(0.2, seed=1)
    atoms.calc = LennardJones(sigma_A=2.4, epsilon_eV=0.4, cutoff_A=3.2)
    return atoms


def strained() -> LogStrain:
    """Variables at a finite strain that also turns the cell."""
    variables = LogStrain(rattled(), 7.0)
    strain = np.random.default_rng(0).normal(0, 0.05, (3, 3))
    variables.place(variables.undeformed_A, strain)
    return variables


def test_gradient_is_that_of_the_energy() -> None:
    variables = strained()
    x, gradient = variables.get_x(), variables.get_gradient()
    for i in (0, 40, *range(96, 105)):
        energies = []
        for step in (1e-5, -1e-5):
            moved = x.copy()
            moved[i] += step
            variables.set_x(moved)
            energies.append(variables.get_value())
        numerical = (energies[0] - energies[1]) / 2e-5
        assert gradient[i] == pytest.approx(numerical, abs=1e-5), i


def test_variables_are_those_of_ase() -> None:
    variables = strained()
    (moved,) = variables.iterimages()
    atoms = rattled()
    theirs = FrechetCellFilter(atoms, exp_cell_factor=7.0)
    atoms.set_cell(moved.cell)
    atoms.set_positions(moved.positions)
    assert variables.get_gradient() == pytest.approx(-theirs.get_forces().ravel(), abs=1e-10)


@pytest.mark.parametrize("max_stress_GPa", [None, 0.001])
def test_restored_goes_on_bit_for_bit(max_stress_GPa: float | None) -> None:
    whole = Relaxation(rattled(), 0.001, max_stress_GPa)
    whole.run(1000)
    first = Relaxation(rattled(), 0.001, max_stress_GPa)
    first.run(17)
    second = Relaxation(rattled(), 0.001, max_stress_GPa)
    second.restore(first.state())
    second.run(1000)
    assert whole.converged
    assert second.nsteps == whole.nsteps > 17
    assert second.atoms.positions.tobytes() == whole.atoms.positions.tobytes()
    assert second.atoms.cell.array.tobytes() == whole.atoms.cell.array.tobytes()


def test_minimum_of_a_crystal_is_the_crystal() -> None:
    """The rattled, stretched lattice ends at no force and no stress, at a lower energy."""
    relaxation = Relaxation(rattled(), 1e-4, 1e-3)
    before = relaxation.atoms.get_potential_energy()
    relaxation.run(2000)
    assert relaxation.converged
    perfect = Relaxation(bulk("Cu", cubic=True, a=4.0).repeat(2), 1e-4, 1e-3)
    perfect.atoms.calc = LennardJones(sigma_A=2.4, epsilon_eV=0.4, cutoff_A=3.2)
    perfect.run(2000)
    assert relaxation.atoms.get_potential_energy() < before
    assert relaxation.atoms.get_potential_energy() == pytest.approx(
        perfect.atoms.get_potential_energy(), abs=1e-4
    )
