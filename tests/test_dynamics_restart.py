"""state() and restore(): a run that goes on is the run that never stopped, bit for bit."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from systems import argon

import mlmd
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.dynamics.bussi import Bussi
from mlmd.dynamics.langevin import Langevin
from mlmd.dynamics.nose_hoover import NoseHooverChain
from mlmd.run.checkpoint import CheckpointStore

THERMOSTATS = ("nose_hoover", "bussi", "langevin")


def dynamics_of(thermostat: str, atoms, seed: int = 3):
    """The dynamics under test; the seed of a restored one must not matter."""
    settings = {"timestep_fs": 5.0, "temperature_K": 120.0}
    if thermostat == "langevin":
        return Langevin(atoms, rng=np.random.default_rng(seed), friction_per_ps=5.0, **settings)
    settings["thermostat_time_fs"] = 60.0
    if thermostat == "bussi":
        return Bussi(atoms, rng=np.random.default_rng(seed), **settings)
    return NoseHooverChain(atoms, **settings)


def assert_same_bits(one, other) -> None:
    """Every array and number of two states is the same."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, np.ndarray):
            assert value.dtype == other[name].dtype, name
            assert value.tobytes() == other[name].tobytes(), name
        else:
            assert value == other[name], name


@pytest.fixture(params=THERMOSTATS)
def halfway(request):
    """The state after 100 steps and after 200 of the same uninterrupted run."""
    dynamics = dynamics_of(request.param, argon(3))
    dynamics.run(100)
    middle = dynamics.state()
    energy = dynamics.conserved_energy_eV
    dynamics.run(100)
    return request.param, middle, energy, dynamics.state()


def test_new_objects_go_on_bit_for_bit(halfway):
    thermostat, middle, _, end = halfway
    # Another structure of the same atoms, another generator, another calculator.
    dynamics = dynamics_of(thermostat, argon(3, seed=99), seed=77)
    dynamics.restore(middle)
    dynamics.run(100)
    assert dynamics.nsteps == 200
    assert_same_bits(dynamics.state(), end)
    assert (dynamics.atoms.positions == end["positions"]).all()
    assert (dynamics.atoms.get_momenta() == end["momenta"]).all()


def test_the_same_object_goes_back(halfway):
    thermostat, middle, _, end = halfway
    dynamics = dynamics_of(thermostat, argon(3))
    dynamics.run(250)
    dynamics.restore(middle)
    dynamics.run(100)
    assert_same_bits(dynamics.state(), end)


NEW_PROCESS = """
import sys
from pathlib import Path
from test_dynamics_restart import dynamics_of
from mlmd.run.checkpoint import CheckpointStore
from systems import argon

store = CheckpointStore(Path(sys.argv[1]))
dynamics = dynamics_of(sys.argv[2], argon(3, seed=99), seed=77)
dynamics.restore(store.load())
dynamics.run(100)
store.save(dynamics.state())
"""


def test_a_new_process_goes_on_from_the_file_bit_for_bit(halfway, tmp_path):
    thermostat, middle, _, end = halfway
    store = CheckpointStore(tmp_path)
    store.save(middle)
    folders = (Path(mlmd.__file__).parents[1], Path(__file__).parent)
    subprocess.run(
        [sys.executable, "-c", NEW_PROCESS, str(tmp_path), thermostat],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(folder) for folder in folders)},
        check=True,
    )
    continued = store.load()
    assert continued is not None
    assert_same_bits(continued, end)


def test_a_state_is_a_copy(halfway):
    thermostat, middle, _, _ = halfway
    before = {name: np.copy(v) for name, v in middle.items() if isinstance(v, np.ndarray)}
    dynamics = dynamics_of(thermostat, argon(3))
    dynamics.restore(middle)
    dynamics.run(5)
    for name, value in before.items():
        assert (middle[name] == value).all(), name


def test_energies_after_a_restore_belong_to_the_restored_positions(halfway):
    thermostat, middle, energy, _ = halfway
    atoms = argon(3, seed=99)
    atoms.get_potential_energy()  # what the calculator remembers is of other positions
    dynamics = dynamics_of(thermostat, atoms)
    dynamics.restore(middle)
    assert dynamics.conserved_energy_eV == energy


def test_a_restored_run_does_not_ask_for_the_forces_again(halfway):
    thermostat, middle, _, _ = halfway
    asked = []

    class Counting(LennardJones):
        def calculate(self, atoms=None, *arguments):
            asked.append(atoms.positions.copy())
            super().calculate(atoms, *arguments)

    atoms = argon(3)
    atoms.calc = Counting(cutoff_A=5.0)
    dynamics = dynamics_of(thermostat, atoms)
    dynamics.restore(middle)
    dynamics.run(1)
    assert len(asked) == 1
    assert not np.array_equal(asked[0], middle["positions"])


@pytest.mark.parametrize("thermostat", ["bussi", "langevin"])
def test_the_noise_is_that_of_the_saved_generator(thermostat):
    # Without the generator's state the same restart is another trajectory.
    dynamics = dynamics_of(thermostat, argon(3))
    dynamics.run(20)
    state = dynamics.state()
    dynamics.run(20)
    other = dynamics_of(thermostat, argon(3), seed=77)
    other.restore({**state, "rng": np.random.default_rng(5).bit_generator.state})
    other.run(20)
    assert not np.array_equal(other.state()["positions"], dynamics.state()["positions"])


@pytest.mark.parametrize("thermostat", THERMOSTATS)
def test_a_changed_temperature_is_part_of_the_state(thermostat):
    runs = []
    for interrupted in (False, True):
        dynamics = dynamics_of(thermostat, argon(3))
        dynamics.run(30)
        dynamics.set_temperature(300.0)
        if interrupted:
            state = dynamics.state()
            dynamics = dynamics_of(thermostat, argon(3), seed=77)
            dynamics.restore(state)
        dynamics.run(30)
        runs.append(dynamics.state())
    assert_same_bits(*runs)
    assert runs[1]["temperature_K"] == 300.0
