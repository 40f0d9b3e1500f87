"""Runs in batches: the same run, the same ensemble, and they go on after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from systems import ARGON, argon
from test_dynamics_ensemble import (
    COLD_K,
    HOT_K,
    THREE_SIGMA_P,
    Samples,
    distance_from_boltzmann,
    independent,
    kinetic_energy,
    simulation,
)

from mlmd import CalculatorSpec, Protocol, Run
from mlmd.calculators.batched import BatchServer
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.calculators.registry import IN_BATCHES
from mlmd.dynamics.bussi import Bussi
from mlmd.dynamics.nose_hoover import NoseHooverChain

LJ = CalculatorSpec("lj", options={"cutoff_A": 4.5})


def short(duration_ps: float = 0.04) -> Protocol:
    stage = {"class": "Equilibrate", "temperature_K": 800, "record_every_fs": 4}
    return Protocol.from_dict(
        {
            "schema": 1,
            "name": "short",
            "stages": [{"name": "melt", "duration_ps": duration_ps, **stage}],
        }
    )


def manifest(run: Run) -> dict:
    return json.loads((run.path / "run.json").read_text())


def test_a_run_with_a_server_is_the_run_without(atoms: Atoms, tmp_path: Path):
    """Of one identity: begun with either it goes on with the other; of lj to the same bits."""
    plain = short().run(atoms, LJ, tmp_path / "plain")
    with BatchServer(LJ) as server:
        batched = short().run(atoms, server.calculator(), tmp_path / "batched")
        assert manifest(batched)["identity_sha256"] == manifest(plain)["identity_sha256"]
        assert manifest(batched)["reproducible"] is True  # each is computed by itself
        further = {"melt": 0.06}
        one = short().run(atoms, server.calculator(), plain.path, extend=further)
    other = short().run(atoms, LJ, batched.path, extend=further)
    positions = [run.trajectory("melt").positions_A for run in (one, other)]
    assert len(positions[0]) == 16
    assert np.array_equal(*positions)


@pytest.mark.chgnet
def test_a_run_in_batches_says_that_it_is_not_reproducible_and_why(tmp_path: Path):
    pytest.importorskip("chgnet", reason="needs the chgnet extra")
    import batches

    spec = CalculatorSpec("chgnet", device="cpu")
    protocol, atoms = short(0.008), batches.salt(1)
    plain = protocol.run(atoms, spec, tmp_path / "plain")
    with BatchServer(spec) as server:
        batched = protocol.run(atoms, server.calculator(), tmp_path / "batched")
        own = BatchServer(server.model)
        ready_made = protocol.run(atoms, own.calculator(), tmp_path / "ready-made")
        own.close()
    assert manifest(plain)["reproducible"] is True
    for run in (batched, ready_made):
        assert manifest(run)["reproducible"] is False
        assert manifest(run)["reproducible_because"] == IN_BATCHES
    assert manifest(batched)["identity_sha256"] == manifest(plain)["identity_sha256"]
    assert manifest(batched)["calculator"] != {}
    # What was computed in batches, if only in part, does not repeat bit for bit any more.
    resumed = protocol.run(atoms, spec, batched.path, extend={"melt": 0.012})
    assert manifest(resumed)["reproducible"] is False


class BatchedArgon(LennardJones):
    """Lennard-Jones in batches that round as single precision does, by who else is in them."""

    def calculate_many(self, structures, properties):
        found = []
        for place, atoms in enumerate(structures):
            self.calculate(atoms, properties)
            noise = np.random.default_rng((len(structures), place))
            forces = self.results["forces"]
            forces = forces + 1e-6 * np.abs(forces).max() * noise.normal(size=forces.shape)
            found.append({**self.results, "forces": forces.astype(np.float32)})
        return found


N_STEPS, SAMPLE_EVERY, EQUILIBRATION_STEPS = 3_000, 4, 600


def batched_samples(thermostat: str) -> dict[float, list[Samples]]:
    """Sixteen walkers of argon at two temperatures, in threads, on one model."""
    model = BatchedArgon(**ARGON, cutoff_A=0.4999 * 3 * 55.0 ** (1 / 3))

    def run(server: BatchServer, number: int) -> Samples:
        temperature_K = (COLD_K, HOT_K)[number % 2]
        atoms = argon(3, temperature_K=temperature_K, seed=number)
        atoms.calc = server.calculator()
        settings = {
            "timestep_fs": 8.0,
            "temperature_K": temperature_K,
            "thermostat_time_fs": 150.0,
        }
        rng = np.random.default_rng(number)
        Bussi(atoms, rng=rng, **settings).run(EQUILIBRATION_STEPS)
        if thermostat == "bussi":
            dynamics = Bussi(atoms, rng=rng, **settings)
        else:
            dynamics = NoseHooverChain(atoms, **settings)
        energies = []
        dynamics.attach(
            lambda: energies.append((dynamics.kinetic_energy_eV, dynamics.potential_energy_eV)),
            interval=SAMPLE_EVERY,
        )
        dynamics.run(N_STEPS)
        atoms.calc.close()
        kinetic, potential = np.array(energies).T
        return Samples(kinetic, potential, temperature_K, len(atoms), atoms.get_volume())

    with BatchServer(model) as server, ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: run(server, number), range(16)))
        assert server.n_computed / server.n_batches > 4
    return {
        kelvin: [one for one in found if one.temperature_K == kelvin] for kelvin in (COLD_K, HOT_K)
    }


@pytest.mark.slow
@pytest.mark.kernels
@pytest.mark.parametrize("thermostat", ["nose_hoover", "bussi"])
def test_sixteen_walkers_of_a_batch_sample_the_canonical_ensemble(thermostat):
    by_temperature = batched_samples(thermostat)
    joined = []
    for kelvin, walkers in by_temperature.items():
        kinetic, potential = (
            np.concatenate([getattr(one, name) for one in walkers])
            for name in ("kinetic_eV", "potential_eV")
        )
        one = Samples(kinetic, potential, kelvin, walkers[0].n_atoms, walkers[0].volume_A3)
        uncorrelated = independent(kinetic)
        assert len(uncorrelated) > 300
        data = simulation(one, kinetic=uncorrelated)
        settings = {"verbosity": 0, "data_is_uncorrelated": True, "bootstrap_seed": 1}
        assert kinetic_energy.distribution(data, strict=True, **settings) > THREE_SIGMA_P
        joined.append(one)
    assert distance_from_boltzmann(*joined) < 3
    assert distance_from_boltzmann(*joined, stretched=1.5) > 3


FOUR_WALKERS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from ase.io import read
from mlmd import Protocol
from mlmd.calculators.batched import BatchServer
from test_calculators_batched_runs import LJ, short

out = Path(sys.argv[1])
with BatchServer(LJ) as server, ThreadPoolExecutor(4) as pool:
    def run(number):
        atoms = read(out / "start.extxyz")
        return short(0.6).run(atoms, server.calculator(), out / f"run-{number}", seed=number)
    for one in pool.map(run, range(4)):
        print(one.path.name, flush=True)
"""


def test_four_walkers_killed_midway_finish_when_asked_again(atoms, tmp_path, repository):
    atoms.write(tmp_path / "start.extxyz")
    command = [sys.executable, "-c", FOUR_WALKERS, str(tmp_path)]
    path = os.pathsep.join([str(repository), str(repository / "tests")])
    how = {"env": {**os.environ, "PYTHONPATH": path}, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **how)
    begun = [tmp_path / f"run-{number}" for number in range(4)]
    until = time.monotonic() + 60
    while not all(list(one.glob("**/trajectory.h5md")) for one in begun):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not all(Run.open(one).status == "done" for one in begun)
    done = subprocess.run(command, check=True, timeout=120, **how)
    assert done.stdout.split() == [one.name for one in begun]
    short(0.6).run(atoms, LJ, tmp_path / "alone", seed=2)
    # Of lj each walker is computed by itself: the killed run has the bits of an unbroken one.
    one, other = (
        Run.open(tmp_path / name).trajectory("melt").positions_A for name in ("run-2", "alone")
    )
    assert np.array_equal(one, other)
