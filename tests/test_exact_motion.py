"""The motion that other tests judge: exact, and that of a liquid."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from ase import Atoms, units
from exact_motion import EPSILON_EV, EVERY, SIGMA_A, TIMESTEP_FS, argon_motion

from mlmd import diffusivity
from mlmd.calculators import evaluate
from mlmd.calculators.models.lennard_jones import LennardJones

DIGEST = "e7175668e9516852fa8e604543966976"


@pytest.mark.kernels
def test_the_bits_are_the_same_on_every_processor():
    motion = argon_motion(0)
    assert hashlib.sha256(motion.positions_A.tobytes()).hexdigest()[:32] == DIGEST


@pytest.mark.kernels
def test_it_is_newtons_motion_of_a_liquid():
    """Accelerations are those of the potential; momentum and energy stay; it is 110 K warm."""
    motion = argon_motion(0)
    atoms = Atoms(motion.symbols, motion.positions_A[0], cell=motion.cell_A, pbc=True)
    atoms.calc = LennardJones(
        sigma_A=SIGMA_A, epsilon_eV=EPSILON_EV, cutoff_A=0.4999 * motion.cell_A[0, 0]
    )
    h = EVERY * TIMESTEP_FS * units.fs
    kinetic, potential = [], []
    for i in range(1, len(motion) - 1, 20):
        velocity = (motion.positions_A[i + 1] - motion.positions_A[i - 1]) / (2 * h)
        atoms.positions[:] = motion.positions_A[i]
        found = evaluate(atoms)
        second = motion.positions_A[i + 1] - 2 * motion.positions_A[i] + motion.positions_A[i - 1]
        force = motion.masses_u[:, None] * second / h**2
        # To the order of h^2 and of the step of the forces at the cutoff.
        assert np.corrcoef(force.ravel(), found.forces_eV_A.ravel())[0, 1] > 0.99
        kinetic.append(0.5 * float((motion.masses_u[:, None] * velocity**2).sum()))
        potential.append(found.energy_eV)
    kinetic, potential = np.array(kinetic), np.array(potential)
    assert 2 * kinetic.mean() / (3 * 64 - 3) / units.kB == pytest.approx(110.0, rel=0.05)
    assert np.std(kinetic + potential) < 0.2 * np.std(kinetic)
    drift = motion.positions_A[-1].mean(axis=0) - motion.positions_A[0].mean(axis=0)
    assert np.abs(drift).max() < 1e-6
    assert diffusivity(motion, "Ar").verdict == "diffusive"
