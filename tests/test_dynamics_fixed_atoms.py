"""Atoms that are held in place: degrees of freedom by the temperature they give, and what moves."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixBondLength, FixCom, FixedPlane, Hookean
from systems import ConstantForce, argon

from mlmd.dynamics.bussi import Bussi
from mlmd.dynamics.kinetics import (
    degrees_of_freedom,
    draw_momenta,
    kinetic_temperature_K,
    pressure_GPa,
)
from mlmd.dynamics.langevin import Langevin
from mlmd.dynamics.nose_hoover import NoseHooverChain
from mlmd.dynamics.npt import IsotropicNPT
from mlmd.dynamics.nve import VelocityVerlet
from mlmd.dynamics.relaxation import Relaxation
from mlmd.errors import InputError
from mlmd.structure.checks import check_structure
from mlmd.structure.constraints import held_atoms

pytestmark = pytest.mark.kernels

TEMPERATURE_K = 300.0
KINDS = ("nose_hoover", "bussi", "langevin", "nve")
STIFFNESS_EV_A2 = 2.0


class Springs(Calculator):
    """Every atom on a spring of its own: harmonic oscillators that know nothing of each other."""

    implemented_properties = ("energy", "forces")

    def __init__(self, sites_A, stiffness_eV_A2=STIFFNESS_EV_A2):
        super().__init__()
        self._sites, self._k = np.array(sites_A), stiffness_eV_A2

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        away = self.atoms.positions - self._sites
        self.results = {"energy": 0.5 * self._k * float((away**2).sum()), "forces": -self._k * away}


def dynamics_of(kind: str, atoms: Atoms, seed: int = 0, timestep_fs: float = 2.0, **settings):
    settings = {"timestep_fs": timestep_fs, "temperature_K": TEMPERATURE_K, **settings}
    rng = np.random.default_rng(seed)
    if kind == "langevin":
        return Langevin(atoms, rng=rng, **{"friction_per_ps": 20.0, **settings})
    if kind == "bussi":
        return Bussi(atoms, rng=rng, thermostat_time_fs=40.0, **settings)
    if kind == "nose_hoover":
        return NoseHooverChain(atoms, thermostat_time_fs=40.0, **settings)
    return VelocityVerlet(atoms, **settings)


def oscillators(held=(0, 3)) -> Atoms:
    """Four atoms of two elements, two of them held: 6 degrees of freedom; 3 would be 3M - 3."""
    positions = 4.0 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    atoms = Atoms("LiNaNaLi", positions=positions, cell=[12.0] * 3, pbc=True)
    atoms.calc = Springs(positions)
    atoms.set_constraint(FixAtoms(list(held)))
    return atoms


def fluid(n_held: int = 5, seed: int = 0) -> Atoms:
    atoms = argon(3, temperature_K=TEMPERATURE_K, seed=seed)
    atoms.set_constraint(FixAtoms(range(n_held)))
    draw_momenta(atoms, TEMPERATURE_K, np.random.default_rng(seed))
    return atoms


def test_degrees_of_freedom() -> None:
    assert degrees_of_freedom(argon(3)) == 3 * 27 - 3
    assert degrees_of_freedom(fluid(5)) == 3 * 22
    atoms = argon(3)
    atoms.set_constraint([FixAtoms([1]), FixAtoms([1, -1])])
    assert degrees_of_freedom(atoms) == 3 * 25
    for nothing in (FixCom(), FixAtoms([]), [FixCom(), FixAtoms([])], FixedPlane([], (0, 0, 1))):
        atoms.set_constraint(nothing)
        assert degrees_of_freedom(atoms) == 3 * 27 - 3


def test_drawn_momenta_have_their_temperature_over_3m() -> None:
    """6 degrees of freedom: 2K / kT is chi squared with 6, so its mean is 6 and its variance 12."""
    atoms, rng = oscillators(), np.random.default_rng(5)
    kT, temperatures = units.kB * TEMPERATURE_K, []
    for _ in range(4000):
        draw_momenta(atoms, TEMPERATURE_K, rng)
        assert (atoms.get_momenta()[[0, 3]] == 0).all()
        temperatures.append(kinetic_temperature_K(atoms))
    error = TEMPERATURE_K * sqrt(2 / 6) / sqrt(4000)
    assert abs(np.mean(temperatures) - TEMPERATURE_K) < 3 * error
    twice_kinetic_kT = 6 * np.array(temperatures) / TEMPERATURE_K
    assert np.var(twice_kinetic_kT) == pytest.approx(12, rel=0.15)
    # The centre of mass of what moves is not held: its own kinetic energy is 3/2 kT.
    assert np.linalg.norm(atoms.get_momenta().sum(axis=0)) ** 2 > 0.01 * kT


@pytest.mark.parametrize(
    "kind", [pytest.param("nose_hoover", marks=pytest.mark.slow), "bussi", "langevin"]
)
def test_thermostats_give_every_momentum_its_half_kT(kind: str) -> None:
    """<2K> = 6 kT for two atoms that move; a count of 3M - 3 would give 3 kT.

    Oscillators, but for Nose and Hoover's chain, which is not ergodic there: argon.
    """
    kT = units.kB * TEMPERATURE_K
    twice_kinetic, runs = [], 10
    for seed in range(runs):
        atoms = oscillators() if kind != "nose_hoover" else fluid(25, seed)
        draw_momenta(atoms, TEMPERATURE_K, np.random.default_rng(100 + seed))
        dynamics = dynamics_of(kind, atoms, seed)
        dynamics.run(200)
        found: list[float] = []
        dynamics.attach(lambda d=dynamics, f=found: f.append(2 * d.kinetic_energy_eV))
        dynamics.run(2500)
        twice_kinetic.append(np.mean(found) / kT)
    assert dynamics.degrees_of_freedom == 6
    error = np.std(twice_kinetic, ddof=1) / sqrt(runs)
    assert error < 0.3
    assert abs(np.mean(twice_kinetic) - 6) < 4 * error + 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_held_atoms_stay_to_the_last_bit_and_others_move(kind: str) -> None:
    atoms = fluid()
    start = atoms.get_positions()
    dynamics = dynamics_of(kind, atoms)
    dynamics.run(200)
    held = held_atoms(atoms)
    assert (atoms.positions[held] == start[held]).all()
    assert (atoms.get_momenta()[held] == 0).all()
    assert (dynamics.forces_eV_A[held] == 0).all()
    moved = np.linalg.norm(atoms.positions - start, axis=1)
    assert moved[~held].min() > 0.05
    # What pushes against held atoms does not keep its momentum.
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() > 0.1


def test_forces_are_not_shifted_where_atoms_are_held() -> None:
    """A net force accelerates what moves, by F/m exactly; without held atoms it is taken out."""
    force = np.array([0.01, 0.0, -0.02])
    atoms = Atoms("Ar4", positions=4.0 * np.eye(4, 3), cell=[20.0] * 3, pbc=True)
    atoms.calc = ConstantForce(force)
    atoms.set_constraint(FixAtoms([2]))
    VelocityVerlet(atoms, timestep_fs=2.0, temperature_K=1.0).run(50)
    expected = force * 100 * units.fs
    for atom in (0, 1, 3):
        assert atoms.get_momenta()[atom] == pytest.approx(expected, rel=1e-12)
    assert (atoms.get_momenta()[2] == 0).all()


@pytest.mark.parametrize("kind", ["nve", "nose_hoover", "bussi", "langevin"])
def test_conserved_energy_is_conserved_with_held_atoms(kind: str) -> None:
    spread = {}
    for timestep_fs in (8.0, 4.0):
        atoms = fluid(seed=3)
        dynamics = dynamics_of(kind, atoms, 1, timestep_fs)
        found: list[float] = []
        dynamics.attach(lambda d=dynamics, f=found: f.append(d.conserved_energy_eV))
        dynamics.run(round(2000 / timestep_fs))
        spread[timestep_fs] = float(np.std(found))
    assert spread[4.0] < 0.02 * units.kB * TEMPERATURE_K * 22
    assert spread[8.0] / spread[4.0] > 2.0


@pytest.mark.parametrize("kind", KINDS)
def test_continuation_is_bitwise_with_held_atoms(kind: str) -> None:
    whole = dynamics_of(kind, fluid())
    whole.run(60)
    first = dynamics_of(kind, fluid())
    first.run(30)
    second = dynamics_of(kind, fluid(seed=9), seed=77)
    second.restore(first.state())
    second.run(30)
    for name, value in whole.state().items():
        assert np.array_equal(value, second.state()[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_constraints_that_change_nothing_change_no_bit(kind: str) -> None:
    ends = []
    for constraint in (None, FixCom(), FixAtoms([])):
        atoms = argon(3)
        atoms.set_constraint(constraint)
        dynamics = dynamics_of(kind, atoms)
        dynamics.run(30)
        ends.append(dynamics.state()["positions"])
    assert (ends[0] == ends[1]).all()
    assert (ends[0] == ends[2]).all()


def test_kinetic_pressure_is_that_of_what_moves() -> None:
    """Free atoms between held ones: P V = M kB T."""
    atoms = Atoms("Ar16", positions=np.random.default_rng(0).uniform(0, 9, (16, 3)), cell=[9] * 3)
    atoms.calc, atoms.pbc = ConstantForce(), True
    atoms.set_constraint(FixAtoms([0, 1, 2, 3]))
    rng, found = np.random.default_rng(1), []
    for _ in range(2000):
        draw_momenta(atoms, TEMPERATURE_K, rng)
        momenta, masses = atoms.get_momenta(), atoms.get_masses()[:, None]
        exact = (momenta**2 / masses).sum() / 3 / atoms.get_volume() / units.GPa
        volume = atoms.get_volume() / 12
        found.append(pressure_GPa(np.zeros(6), kinetic_temperature_K(atoms), volume))
        assert found[-1] == pytest.approx(exact, rel=1e-12)
    ideal = 12 * units.kB * TEMPERATURE_K / 729 / units.GPa
    assert np.mean(found) == pytest.approx(ideal, rel=0.02)


def test_a_relaxation_keeps_held_atoms_and_relaxes_the_others() -> None:
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.rattle(0.2, seed=1)
    atoms.calc = EMT()
    atoms.set_constraint(FixAtoms([0, 5]))
    start = atoms.get_positions()
    relaxation = Relaxation(atoms, 0.01)
    relaxation.run(500)
    assert relaxation.converged
    assert (atoms.positions[[0, 5]] == start[[0, 5]]).all()
    forces = np.linalg.norm(atoms.get_forces(apply_constraint=False), axis=1)
    assert forces[[0, 5]].min() > 0.05
    assert np.delete(forces, [0, 5]).max() <= 0.01


CONSTRAINTS = {
    "FixBondLengths": FixBondLength(0, 1),
    "Hookean": Hookean(0, 1, k=5.0, rt=3.0),
    "FixedPlane": FixedPlane([2], (0, 0, 1)),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_other_constraints_are_refused_by_name(name: str) -> None:
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.calc = EMT()
    atoms.set_constraint([FixAtoms([5]), CONSTRAINTS[name]])
    for refuses in (
        check_structure,
        lambda a: dynamics_of("nve", a),
        lambda a: IsotropicNPT(a, timestep_fs=1.0, temperature_K=100.0),
        lambda a: Relaxation(a, 0.1),
    ):
        with pytest.raises(InputError, match=rf"constraints \({name}\); expected FixAtoms or none"):
            refuses(atoms)


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        (FixAtoms(range(32)), "FixAtoms holds all 32 atoms; expected at least one that moves"),
        (FixAtoms([40]), "FixAtoms holds atom 40 of 32; expected indices from 0 to 31"),
        ([FixAtoms([0]), FixCom()], "has FixCom beside FixAtoms; expected one of them"),
    ],
)
def test_what_cannot_be_held_is_refused_in_one_line(constraint, message: str) -> None:
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.set_constraint(constraint)
    with pytest.raises(InputError, match=message) as caught:
        check_structure(atoms)
    assert "\n" not in str(caught.value)


def test_a_changing_cell_does_not_move_held_atoms() -> None:
    atoms = fluid()
    with pytest.raises(InputError, match="NPT changes the cell and moves them: take ensemble nvt"):
        IsotropicNPT(atoms, timestep_fs=1.0, temperature_K=100.0)
    with pytest.raises(InputError, match="a cell that relaxes would move; keep the cell"):
        Relaxation(atoms, 0.1, 0.1)


def test_langevin_lets_the_centre_of_mass_go_where_atoms_are_held() -> None:
    """One atom on a spring beside a held one: <v^2> = 3 kT / m, nothing of it taken out."""
    atoms = oscillators(held=(0, 2, 3))
    kT, squares = units.kB * TEMPERATURE_K, []
    dynamics = dynamics_of("langevin", atoms, seed=8, friction_per_ps=100.0)
    dynamics.run(100)
    dynamics.attach(lambda: squares.append(2 * dynamics.kinetic_energy_eV / kT))
    dynamics.run(8000)
    # Correlated over some 1/gamma = 5 steps: worth 800 samples or more of variance 6.
    assert np.mean(squares) == pytest.approx(3.0, abs=4 * sqrt(6 / 800))
