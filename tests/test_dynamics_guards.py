"""Guards against physics: no fluctuation, lag or heat set free trips them, explosions do.

Atoms in springs cannot explode, whatever they do by chance. Their lattice is wide, so that they
do not pass through each other when hot.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import erfc, exp, inf, pi, sqrt
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes

from mlmd.dynamics.bussi import Bussi
from mlmd.dynamics.guards import (
    CHECK_EVERY,
    FALSE_ALARM,
    OWN_HEAT_K,
    Guard,
    GuardLimits,
    Origin,
    largest_ratio_by_chance,
)
from mlmd.dynamics.kinetics import draw_momenta
from mlmd.dynamics.nose_hoover import NoseHooverChain
from mlmd.errors import SimulationUnstable

pytestmark = pytest.mark.kernels

SPRINGS_EV_A2 = np.array([3.0, 4.0, 5.0])
SIDES = {2: (2, 1, 1), 8: (2, 2, 2), 100: (5, 5, 4), 1000: (10, 10, 10)}
THERMOSTATS = ("nose_hoover", "bussi")
SPACING_A = 4.0
CONTACT_A = 0.4 * 2 * 1.32  # of two copper atoms


class Springs(Calculator):
    """Copper atoms in springs, with a fault from one step on: the call of step n is the n-th."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, atoms: Atoms, fault: str = "none", at: int = 0, size: float = 0.0) -> None:
        super().__init__()
        self.places, self.fault, self.at, self.size = atoms.get_positions(), fault, at, size
        self.calls = -1

    def calculate(
        self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        moved = self.atoms.positions - self.places
        energy = 0.5 * float(np.sum(SPRINGS_EV_A2 * moved**2))
        forces = -SPRINGS_EV_A2 * moved
        if self.fault == "spike" and self.calls == self.at:
            forces[0, 0] += self.size
        if self.fault == "fall" and self.calls >= self.at:  # towards each other, as -size / r^6
            apart = between(self.atoms)
            r = np.linalg.norm(apart)
            energy -= self.size / r**6
            forces[0] += 6 * self.size / r**8 * apart
            forces[1] -= 6 * self.size / r**8 * apart
        self.results = {"energy": energy, "forces": forces}


def between(atoms: Atoms) -> np.ndarray:
    """From the first atom to the nearest image of the second."""
    apart = atoms.positions[1] - atoms.positions[0]
    edges = np.diagonal(atoms.cell.array)
    return np.asarray(apart - edges * np.rint(apart / edges))


def crystal(n_atoms: int, temperature_K: float, rng: np.random.Generator, **fault: Any) -> Atoms:
    """Atoms where springs at a temperature have them, at rest."""
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in SIDES[n_atoms]], indexing="ij"), -1)
    edges = SPACING_A * np.maximum(SIDES[n_atoms], 2)
    atoms = Atoms(f"Cu{n_atoms}", positions=SPACING_A * grid.reshape(-1, 3), cell=edges, pbc=True)
    atoms.calc = Springs(atoms, **fault)
    width = np.sqrt(units.kB * temperature_K / SPRINGS_EV_A2)
    atoms.positions += width * rng.standard_normal((n_atoms, 3))
    return atoms


def guarded(
    atoms: Atoms,
    target_at_K: Callable[[int], float],
    thermostat: str,
    rng: np.random.Generator,
    *,
    timestep_fs: float = 2.0,
    thermostat_time_fs: float = 100.0,
    kinetic_energy_eV: float = 0.0,
) -> Any:
    """Return dynamics whose guard is attached and whose target follows its course."""
    settings: dict[str, Any] = {
        "timestep_fs": timestep_fs,
        "temperature_K": target_at_K(0),
        "thermostat_time_fs": thermostat_time_fs,
    }
    if thermostat == "bussi":
        dynamics: Any = Bussi(atoms, rng=rng, **settings)
    else:
        dynamics = NoseHooverChain(atoms, **settings)
    origin = Origin(atoms.get_volume(), kinetic_energy_eV, target_at_K, thermostat_time_fs)
    dynamics.attach(Guard(dynamics, GuardLimits(), origin), interval=CHECK_EVERY)
    dynamics.attach(lambda: dynamics.set_temperature(target_at_K(dynamics.nsteps)))
    return dynamics


def hottest_K(dynamics: Any, steps: int) -> float:
    """Take steps; return the highest kinetic temperature at which the guard looked."""
    seen = [0.0]
    dynamics.attach(lambda: seen.append(dynamics.kinetic_temperature_K), interval=CHECK_EVERY)
    dynamics.run(steps)
    return max(seen)


def test_three_momenta_exceed_the_limit_by_chance_once_in_1e13_looks() -> None:
    """Two atoms: the energy of three momenta has a tail in closed form."""
    half = 0.5 * 3 * largest_ratio_by_chance(3)
    chance = erfc(sqrt(half)) + 2 * sqrt(half / pi) * exp(-half)
    assert chance == pytest.approx(FALSE_ALARM, rel=1e-6)


def test_an_even_number_of_momenta_as_well() -> None:
    """24 degrees of freedom: the tail is a sum of Poisson's terms."""
    half = 0.5 * 24 * largest_ratio_by_chance(24)
    terms = np.cumprod([1.0, *(half / k for k in range(1, 12))])
    assert exp(-half) * terms.sum() == pytest.approx(FALSE_ALARM, rel=1e-6)


def quiet(n_atoms: int, thermostat: str, steps: int, seed: int) -> float:
    """Run in equilibrium at 600 K; return the highest temperature over the target."""
    rng = np.random.default_rng(seed)
    atoms = crystal(n_atoms, 600.0, rng)
    draw_momenta(atoms, 600.0, rng)
    return hottest_K(guarded(atoms, lambda step: 600.0, thermostat, rng), steps) / 600.0


@pytest.mark.parametrize("thermostat", THERMOSTATS)
@pytest.mark.parametrize("n_atoms", [2, 8, 100])
def test_quiet_runs_raise_no_alarm(n_atoms: int, thermostat: str) -> None:
    hottest = max(quiet(n_atoms, thermostat, 300, seed) for seed in range(8))
    if n_atoms == 2:
        assert hottest > 3.0  # what the limit of a large cell took for an explosion


@pytest.mark.slow
@pytest.mark.parametrize("thermostat", THERMOSTATS)
@pytest.mark.parametrize(("n_atoms", "steps"), [(2, 300), (8, 300), (100, 200), (1000, 40)])
def test_no_alarm_in_200_quiet_runs(n_atoms: int, steps: int, thermostat: str) -> None:
    for seed in range(200):
        quiet(n_atoms, thermostat, steps, seed)


@pytest.mark.parametrize("thermostat", THERMOSTATS)
@pytest.mark.parametrize("temperature_K", [10.0, 100.0, 300.0])
@pytest.mark.parametrize("n_atoms", [8, 100])
def test_a_quench_from_5000_K_raises_no_alarm(
    n_atoms: int, temperature_K: float, thermostat: str
) -> None:
    """The springs of 5000 K give half of their energy to momenta drawn anew."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        atoms = crystal(n_atoms, 5000.0, rng)
        draw_momenta(atoms, temperature_K, rng)
        dynamics = guarded(atoms, lambda step: temperature_K, thermostat, rng)
        hottest = hottest_K(dynamics, 500)
        assert hottest > 2.0 * temperature_K
        if temperature_K < 300.0:
            assert hottest > 6.0 * temperature_K  # meaningless as a ratio


@pytest.mark.parametrize("thermostat", THERMOSTATS)
def test_a_hot_structure_that_goes_on_at_300_K_raises_no_alarm(thermostat: str) -> None:
    """A production right after a melt: 5000 K when it begins, more than that by chance."""
    rng = np.random.default_rng(1)
    atoms = crystal(8, 5000.0, rng)
    draw_momenta(atoms, 5000.0, rng)
    kinetic = float(atoms.get_kinetic_energy())
    dynamics = guarded(atoms, lambda step: 300.0, thermostat, rng, kinetic_energy_eV=kinetic)
    assert hottest_K(dynamics, 1000) > 10 * 300.0


@pytest.mark.parametrize(
    ("thermostat", "rate_K_ps", "thermostat_time_fs"),
    [
        ("nose_hoover", 1e3, 100),
        ("nose_hoover", 1e3, 1000),
        ("bussi", 1e3, 1000),
        ("bussi", 6e3, 100),
    ],
)
def test_a_ramp_raises_no_alarm(
    thermostat: str, rate_K_ps: float, thermostat_time_fs: float
) -> None:
    """The structure follows the target late; at its end, 10 K, it is several times as hot."""
    steps = round((3000.0 - 10.0) / rate_K_ps * 500)

    def target_at_K(step: int) -> float:
        return 3000.0 - 2990.0 * min(1.0, step / steps)

    rng = np.random.default_rng(2)
    atoms = crystal(100, 3000.0, rng)
    draw_momenta(atoms, 3000.0, rng)
    dynamics = guarded(atoms, target_at_K, thermostat, rng, thermostat_time_fs=thermostat_time_fs)
    dynamics.run(steps)
    if thermostat == "bussi":
        assert dynamics.kinetic_temperature_K > 3.0 * 10.0


def still(temperature_K: float, step: int, n_atoms: int) -> Any:
    """Something that has a temperature and does nothing."""
    atoms = Atoms(f"Cu{n_atoms}", cell=[100.0] * 3, pbc=True)
    atoms.positions[:] = 9.0 * np.array(np.unravel_index(np.arange(n_atoms), (10, 10, 10))).T
    return SimpleNamespace(
        atoms=atoms,
        nsteps=step,
        timestep_fs=2.0,
        temperature_K=300.0,
        degrees_of_freedom=3 * n_atoms - 3,
        kinetic_temperature_K=temperature_K,
        forces_eV_A=np.zeros((n_atoms, 3)),
        conserved_energy_eV=0.0,
        potential_energy_eV=0.0,
    )


def allowed_K(step: int, n_atoms: int, **origin: Any) -> float:
    """Return the temperature that a guard allows, by asking it."""
    made = {"kinetic_energy_eV": 0.0, "target_at_K": lambda _: 300.0, "thermostat_time_fs": 100.0}
    low, high = 0.0, 1e6
    while high - low > 1e-3:
        middle = 0.5 * (low + high)
        guard = Guard(
            still(middle, step, n_atoms), GuardLimits(), Origin(1e6, **{**made, **origin})
        )
        try:
            guard._check_temperature()
            low = middle
        except SimulationUnstable:
            high = middle
    return low


def test_what_a_structure_brings_along_is_allowed_less_and_less() -> None:
    """From 3 x 4000 K, halved after ten thermostat times, to three times the target."""
    ps = 500
    assert allowed_K(0, 200) == pytest.approx(3 * OWN_HEAT_K)
    assert allowed_K(1 * ps, 200) == pytest.approx(1.5 * OWN_HEAT_K)
    assert allowed_K(100 * ps, 200) == pytest.approx(3 * 300)
    assert allowed_K(4 * ps, 200, thermostat_time_fs=400.0) == pytest.approx(1.5 * OWN_HEAT_K)
    # Nothing takes it up at constant energy.
    assert allowed_K(100 * ps, 200, thermostat_time_fs=inf) == pytest.approx(3 * OWN_HEAT_K)
    # Two atoms of a small cell may set it free at any time.
    late = largest_ratio_by_chance(21) * OWN_HEAT_K / 4
    assert allowed_K(100 * ps, 8) == pytest.approx(late)
    hot_eV = 0.5 * 597 * units.kB * 8000.0
    assert allowed_K(1 * ps, 200, kinetic_energy_eV=hot_eV) == pytest.approx(1.5 * 8000.0)


def test_a_ramp_is_judged_by_the_target_of_five_thermostat_times_ago() -> None:
    def ramp(step: int) -> float:
        return 5000.0 - 0.01 * step

    assert allowed_K(400_000, 200, target_at_K=ramp) == pytest.approx(3 * ramp(400_000 - 250))


@pytest.mark.parametrize("thermostat", THERMOSTATS)
@pytest.mark.parametrize("size_eV_A", [500.0, 1e4, 1e7])
@pytest.mark.parametrize("n_atoms", SIDES)
def test_a_passing_force_is_noticed_at_the_next_look(
    n_atoms: int, size_eV_A: float, thermostat: str
) -> None:
    """At a step at which nobody looks: what is left of it is the energy that it gave."""
    rng = np.random.default_rng(3)
    atoms = crystal(n_atoms, 600.0, rng, fault="spike", at=23, size=size_eV_A)
    draw_momenta(atoms, 600.0, rng)
    dynamics = guarded(atoms, lambda step: 600.0, thermostat, rng)
    with pytest.raises(SimulationUnstable):
        dynamics.run(100)
    assert 22 <= dynamics.nsteps <= 25


@pytest.mark.parametrize("thermostat", THERMOSTATS)
@pytest.mark.parametrize("n_atoms", SIDES)
def test_atoms_that_fall_together_are_noticed(n_atoms: int, thermostat: str) -> None:
    """Within ten steps of the distance at which they touch."""
    rng = np.random.default_rng(4)
    atoms = crystal(n_atoms, 600.0, rng, fault="fall", at=20, size=3000.0)
    draw_momenta(atoms, 600.0, rng)
    dynamics = guarded(atoms, lambda step: 600.0, thermostat, rng)
    touched: list[int] = []

    def look() -> None:
        if not touched and np.linalg.norm(between(atoms)) < CONTACT_A:
            touched.append(dynamics.nsteps)

    dynamics.attach(look)
    with pytest.raises(SimulationUnstable):
        dynamics.run(2000)
    assert dynamics.nsteps - (touched or [dynamics.nsteps])[0] <= 10


@pytest.mark.parametrize("n_atoms", SIDES)
def test_an_atom_placed_on_another_is_noticed_at_once(n_atoms: int) -> None:
    rng = np.random.default_rng(5)
    atoms = crystal(n_atoms, 300.0, rng)
    atoms.positions[1] = atoms.positions[0] + [0.3, 0.0, 0.0]
    draw_momenta(atoms, 300.0, rng)
    dynamics = guarded(atoms, lambda step: 300.0, "bussi", rng)
    with pytest.raises(SimulationUnstable, match=r"Cu 0 and Cu 1 are 0\.30 A apart at step 0 "):
        dynamics.run(10)


@pytest.mark.parametrize("thermostat", THERMOSTATS)
@pytest.mark.parametrize("n_atoms", SIDES)
def test_a_time_step_beyond_stability_is_noticed(n_atoms: int, thermostat: str) -> None:
    """Verlet diverges beyond 2 / omega, 73 fs here: by a factor of 6 in energy each 80 fs."""
    rng = np.random.default_rng(6)
    atoms = crystal(n_atoms, 600.0, rng)
    draw_momenta(atoms, 600.0, rng)
    dynamics = guarded(atoms, lambda step: 600.0, thermostat, rng, timestep_fs=80.0)
    with pytest.raises(SimulationUnstable):
        dynamics.run(1000)
    assert dynamics.nsteps <= 10


@pytest.mark.parametrize("n_atoms", SIDES)
def test_each_limit_says_what_would_let_it_pass(n_atoms: int) -> None:
    """Under the remedy that the error carries the same look passes."""
    origin = partial(Origin, kinetic_energy_eV=0.0, target_at_K=lambda step: 300.0)
    faults: dict[str, dict[str, Any]] = {
        "max_force_eV_A": {"forces_eV_A": np.full((n_atoms, 3), -512.0)},
        "max_temperature_ratio": {"kinetic_temperature_K": 1e6},
        "max_energy_jump_eV_atom": {"conserved_energy_eV": 1000.0},
        "max_volume_ratio": {},
    }
    for name, fault in faults.items():
        dynamics = still(300.0, 50_000, n_atoms)
        volume_A3 = 1e7 if name == "max_volume_ratio" else 1e6
        guard = Guard(dynamics, GuardLimits(), origin(volume_A3))
        vars(dynamics).update(fault)
        with pytest.raises(SimulationUnstable, match=f"beyond guard {name} ") as raised:
            guard()
        assert set(raised.value.remedy) == {name}
        dynamics = still(300.0, 50_000, n_atoms)
        guard = Guard(dynamics, GuardLimits(**raised.value.remedy), origin(volume_A3))
        vars(dynamics).update(fault)
        guard()
