"""The dynamics as an ASE MolecularDynamics, the centre of mass, and what is refused."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read
from ase.io.trajectory import Trajectory as AseTrajectory
from ase.md.logger import MDLogger
from ase.md.md import MolecularDynamics
from ase.md.verlet import VelocityVerlet
from systems import ConstantForce, argon

from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.dynamics.bussi import Bussi
from mlmd.dynamics.kinetics import draw_momenta
from mlmd.dynamics.nose_hoover import NoseHooverChain
from mlmd.errors import InputError, SimulationError

pytestmark = pytest.mark.kernels

TIMESTEP_FS = 4.0


def nose_hoover(atoms, **changes):
    return NoseHooverChain(atoms, **{"timestep_fs": TIMESTEP_FS, "temperature_K": 120.0, **changes})


def bussi(atoms, **changes):
    settings = {"timestep_fs": TIMESTEP_FS, "temperature_K": 120.0, **changes}
    return Bussi(atoms, rng=np.random.default_rng(2), **settings)


both = pytest.mark.parametrize("dynamics_of", [nose_hoover, bussi])


@both
def test_observers_are_called_as_in_any_ase_dynamics(dynamics_of):
    dynamics = dynamics_of(argon(3))
    assert isinstance(dynamics, MolecularDynamics)
    every, third, once, noted = [], [], [], []
    dynamics.attach(lambda: every.append(dynamics.nsteps))
    dynamics.attach(lambda: third.append(dynamics.nsteps), interval=3)
    dynamics.attach(lambda: once.append(dynamics.nsteps), interval=-4)
    dynamics.attach(noted.append, 5, "five")
    dynamics.run(6)
    dynamics.run(4)
    assert every == list(range(11))
    assert third == [0, 3, 6, 9]
    assert once == [4]
    assert noted == ["five"] * 3
    assert dynamics.nsteps == dynamics.get_number_of_steps() == 10
    assert dynamics.get_time() == pytest.approx(10 * TIMESTEP_FS * units.fs)


@both
def test_ase_trajectory_and_logger_see_the_step_they_are_called_at(dynamics_of, tmp_path):
    atoms = argon(3)
    dynamics = dynamics_of(atoms)
    seen = []
    with AseTrajectory(tmp_path / "md.traj", "w", atoms) as file:
        dynamics.attach(file, interval=5)
        dynamics.attach(MDLogger(dynamics, atoms, tmp_path / "md.log"), interval=5)
        dynamics.attach(lambda: seen.append((dynamics.potential_energy_eV, atoms.positions.copy())))
        dynamics.run(20)
    images = read(tmp_path / "md.traj", ":")
    assert len(images) == 5
    for image, (energy, positions) in zip(images, seen[::5], strict=True):
        assert (image.positions == positions).all()
        assert image.get_potential_energy() == energy
        fresh = image.copy()
        fresh.calc = atoms.calc
        assert image.get_forces() == pytest.approx(fresh.get_forces(), abs=1e-12)
        assert image.get_potential_energy() == pytest.approx(fresh.get_potential_energy())
    assert dynamics.todict()["type"] == "molecular-dynamics"
    assert dynamics.todict()["timestep"] == pytest.approx(TIMESTEP_FS * units.fs)
    assert dynamics.todict()["temperature_K"] == 120.0
    assert len((tmp_path / "md.log").read_text().splitlines()) == 6


@both
def test_momenta_on_the_atoms_are_those_of_the_dynamics(dynamics_of):
    atoms = argon(3)
    dynamics = dynamics_of(atoms)
    for _ in dynamics.irun(5):
        state = dynamics.state()
        assert (atoms.get_momenta() == state["momenta"]).all()
        assert (atoms.positions == state["positions"]).all()
        assert atoms.get_kinetic_energy() == pytest.approx(dynamics.kinetic_energy_eV)


def test_without_a_thermostat_it_is_velocity_verlet():
    ours, theirs = argon(3), argon(3)
    nose_hoover(ours, thermostat_time_fs=1e15).run(100)
    VelocityVerlet(theirs, TIMESTEP_FS * units.fs).run(100)
    # Equal but for rounding, which a hundred steps of a fluid have not yet made grow.
    assert np.abs(ours.positions - theirs.positions).max() < 1e-9


def test_a_step_can_be_taken_back():
    # Velocity Verlet and the symmetric splitting of the chain are reversible in time.
    atoms = argon(3)
    dynamics = nose_hoover(atoms, thermostat_time_fs=50.0)
    start = atoms.positions.copy()
    dynamics.run(50)
    there = dynamics.state()
    back = {**there, "momenta": -there["momenta"], "eta_momenta": -there["eta_momenta"]}
    dynamics.restore(back)
    dynamics.run(50)
    assert np.abs(there["positions"] - start).max() > 0.05
    assert np.abs(atoms.positions - start).max() < 1e-9


def centre_of_mass_speed(atoms) -> float:
    """In angstrom per ps."""
    return float(np.linalg.norm(atoms.get_momenta().sum(axis=0)) / atoms.get_masses().sum()) * (
        1000 * units.fs
    )


@both
def test_centre_of_mass_stays_at_rest_under_a_net_force(dynamics_of):
    class Leaning(LennardJones):
        """Forces with an error of 1 meV/A that is the same on every atom."""

        def calculate(self, atoms=None, *arguments):
            super().calculate(atoms, *arguments)
            self.results["forces"] = self.results["forces"] + np.array([0.001, 0.0, -0.001])

    atoms = argon(3)
    atoms.calc = Leaning(sigma_A=3.4, epsilon_eV=0.0104, cutoff_A=5.5)
    atoms.set_masses(np.where(np.arange(len(atoms)) % 2, 7.0, 120.0))
    start = atoms.get_center_of_mass()
    dynamics = dynamics_of(atoms)
    dynamics.run(1000)
    assert centre_of_mass_speed(atoms) < 1e-10
    assert np.abs(atoms.get_center_of_mass() - start).max() < 1e-9
    # ASE's own integrator lets it go: 4 ps at this force move it by an angstrom and more.
    other = argon(3)
    other.calc = atoms.calc
    start = other.get_center_of_mass()
    VelocityVerlet(other, TIMESTEP_FS * units.fs).run(1000)
    assert np.abs(other.get_center_of_mass() - start).max() > 1.0


@both
def test_momentum_given_at_the_start_is_taken_out(dynamics_of):
    atoms = argon(3)
    atoms.set_momenta(atoms.get_momenta() + 5.0)
    dynamics = dynamics_of(atoms)
    assert centre_of_mass_speed(atoms) < 1e-12
    assert dynamics.kinetic_temperature_K < 200


@both
def test_changes_on_the_atoms_between_runs_are_respected(dynamics_of):
    atoms = argon(3)
    dynamics = dynamics_of(atoms)
    dynamics.run(10)
    draw_momenta(atoms, 500.0, np.random.default_rng(0))
    hot = atoms.get_momenta()
    atoms.positions[0] += [0.02, 0.0, 0.0]
    atoms.set_cell(atoms.cell * 1.01, scale_atoms=True)
    expected = dynamics_of(atoms.copy())
    expected.atoms.calc = LennardJones(
        sigma_A=3.4, epsilon_eV=0.0104, cutoff_A=atoms.calc._cutoff_A
    )
    dynamics.run(0)
    assert dynamics.state()["momenta"] == pytest.approx(hot, abs=1e-12)
    assert (dynamics.state()["positions"] == atoms.positions).all()
    assert (dynamics.state()["forces"] == expected.state()["forces"]).all()
    assert dynamics.state()["potential_energy"] == expected.state()["potential_energy"]


@both
def test_an_observer_that_wraps_the_atoms_does_not_change_the_dynamics(dynamics_of):
    runs = []
    for wraps in (False, True):
        atoms = argon(3, temperature_K=900.0)
        dynamics = dynamics_of(atoms, temperature_K=900.0)
        if wraps:
            dynamics.attach(atoms.wrap, interval=10)
        dynamics.run(300)
        runs.append(dynamics.state()["positions"])
    assert (runs[1] < 0).any()  # atoms have left the cell
    assert (runs[0] == runs[1]).all()


class Watched(LennardJones):
    """Notes what it is told to have changed."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.told = []

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        self.told.append(sorted(system_changes))
        super().calculate(atoms, properties, system_changes)


@both
def test_each_step_computes_once_and_what_observers_ask_is_there_already(dynamics_of):
    atoms = argon(3)
    atoms.calc = Watched(cutoff_A=5.5)
    dynamics = dynamics_of(atoms)
    for ask in (atoms.get_potential_energy, atoms.get_forces, atoms.get_stress):
        dynamics.attach(ask)
    dynamics.run(10)
    assert len(atoms.calc.told) == 11
    assert "numbers" in atoms.calc.told[0]
    assert atoms.calc.told[1:] == [["positions"]] * 10


def test_two_dynamics_may_share_a_calculator_that_remembers():
    # ASE's EMT sets itself up anew only when told that the elements have changed.
    def metal(symbol):
        atoms = bulk(symbol, cubic=True) * 2
        draw_momenta(atoms, 500.0, np.random.default_rng(1))
        return atoms

    alone = []
    for symbol in ("Cu", "Au"):
        atoms = metal(symbol)
        atoms.calc = EMT()
        nose_hoover(atoms).run(6)
        alone.append(atoms.get_potential_energy())
    shared = EMT()
    dynamics = []
    for symbol in ("Cu", "Au"):
        atoms = metal(symbol)
        atoms.calc = shared
        dynamics.append(nose_hoover(atoms))
    for _ in range(3):
        for one in dynamics:
            one.run(2)
    together = [one.atoms.get_potential_energy() for one in dynamics]
    assert together == pytest.approx(alone, abs=1e-9)


def test_an_observer_may_use_the_calculator_or_change_the_cell():
    atoms = argon(3)
    atoms.calc = Watched(cutoff_A=5.0)
    dynamics = nose_hoover(atoms)
    other = argon(3, seed=4)
    other.calc = atoms.calc
    dynamics.attach(other.get_forces, interval=3)
    dynamics.attach(lambda: atoms.set_cell(1.001 * atoms.cell), interval=-4)
    dynamics.run(5)
    fresh = atoms.copy()
    fresh.calc = LennardJones(cutoff_A=5.0)
    assert dynamics.potential_energy_eV == fresh.get_potential_energy()
    after_the_cell = atoms.calc.told[-1]
    assert "cell" in after_the_cell


@pytest.mark.parametrize("chain_length", [1, 2, 5])
def test_any_length_of_the_chain_conserves_its_energy(chain_length):
    atoms = argon(3)
    dynamics = nose_hoover(atoms, thermostat_time_fs=100.0, chain_length=chain_length)
    conserved = []
    dynamics.attach(lambda: conserved.append(dynamics.conserved_energy_eV))
    dynamics.run(300)
    assert np.ptp(conserved) < 0.02 * units.kB * 120.0


@both
def test_heats_from_cold(dynamics_of):
    # Far from equilibrium both arrive, the stochastic one without overshooting.
    atoms = argon(3)
    draw_momenta(atoms, 10.0, np.random.default_rng(3))
    dynamics = dynamics_of(atoms, temperature_K=300.0, thermostat_time_fs=100.0)
    temperatures = []
    dynamics.attach(lambda: temperatures.append(dynamics.kinetic_temperature_K))
    dynamics.run(1500)
    spread = 300 * np.sqrt(2 / dynamics.degrees_of_freedom)
    assert abs(np.mean(temperatures[500:]) - 300) < 0.3 * spread
    if dynamics_of is bussi:
        assert max(temperatures) < 300 + 5 * spread


@both
def test_forces_that_are_not_finite_stop_the_run(dynamics_of):
    atoms = argon(3)

    class Breaking(ConstantForce):
        def calculate(self, atoms=None, *arguments):
            super().calculate(atoms, *arguments)
            if dynamics.nsteps >= 7:
                self.results["forces"][3, 1] = np.nan

    atoms.calc = Breaking()
    dynamics = dynamics_of(atoms)
    with pytest.raises(SimulationError, match="not finite at step 7") as caught:
        dynamics.run(20)
    assert "\n" not in str(caught.value)


@both
def test_single_atoms_are_refused(dynamics_of):
    lone = Atoms("Ar", cell=[10] * 3, pbc=True)
    lone.calc = ConstantForce()
    with pytest.raises(InputError, match="at least two atoms"):
        dynamics_of(lone)
