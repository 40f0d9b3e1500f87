"""A stress that is no derivative of the energy is refused, forces that are none are warned of."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import FileIOCalculator
from ase.calculators.mixing import SumCalculator
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import GPa

from mlmd import Production, Protocol, Run, pack
from mlmd.calculators.derivatives import N_CALLS, check_derivatives
from mlmd.calculators.models.emt import StatelessEMT
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.calculators.precision import is_program, parts_of, rounding_of
from mlmd.errors import InputError

SHORT = Protocol(
    "short",
    (Production(name="motion", temperature_K=300.0, duration_ps=0.02, record_every_fs=10.0),),
)


class Changed(LennardJones):
    """Lennard-Jones with something done to its results."""

    def __init__(self, change: Any = None) -> None:
        super().__init__(cutoff_A=4.0)
        self.change, self.calls = change, 0

    def calculate(self, *arguments: Any, **keywords: Any) -> None:
        super().calculate(*arguments, **keywords)
        self.calls += 1
        if self.change is not None:
            self.change(self.results)


def scaled(name: str, factor: float):
    def change(results):
        results[name] = results[name] * factor

    return change


def reordered(order):
    def change(results):
        results["stress"] = results["stress"][list(order)]

    return change


STRUCTURES = {
    "perfect crystal": lambda: bulk("LiCl", "rocksalt", 5.13, cubic=True) * (2, 2, 2),
    "primitive cell": lambda: bulk("LiCl", "rocksalt", 5.13) * (3, 3, 3),
    "packed": lambda: pack("LiCl", 40, volume_per_atom_A3=24, seed=1),
    "thin": lambda: pack("LiCl", 40, volume_per_atom_A3=60, seed=2),
}
WRONG = {
    "GPa": (scaled("stress", 1 / GPa), "it seems to be in GPa"),
    "kbar": (scaled("stress", 10 / GPa), "it seems to be in kbar"),
    "other sign": (scaled("stress", -1.0), "it seems to have the other sign"),
    "virial, not stress": (scaled("stress", 1000.0), "expected eV/A\\^3"),
    "half": (scaled("stress", 0.5), "expected eV/A\\^3"),
    "15 % off": (scaled("stress", 0.85), "expected eV/A\\^3"),
    "zero": (scaled("stress", 0.0), "expected eV/A\\^3"),
}


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_stress_is_refused_before_anything_is_written(wrong, structure, tmp_path):
    change, said = WRONG[wrong]
    with pytest.raises(InputError, match=said):
        SHORT.run(STRUCTURES[structure](), Changed(change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("order", [(0, 1, 2, 5, 4, 3), (0, 1, 2, 4, 3, 5), (1, 0, 2, 3, 4, 5)])
def test_components_in_another_order_are_seen_where_they_differ(order):
    atoms = pack("LiCl", 16, volume_per_atom_A3=40, seed=3)
    with pytest.raises(InputError, match="is not what its energy says"):
        check_derivatives(Changed(reordered(order)), atoms)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("seed", range(5))
def test_what_is_right_is_never_refused(structure, seed, caplog):
    atoms = STRUCTURES[structure]()
    atoms.rattle(0.1, seed=seed)

    def single(results):
        results.update({k: np.asarray(v, np.float32) for k, v in results.items()})
        results["stress"] = voigt_6_to_full_3x3_stress(results["stress"])

    def dissociated(results):  # a large energy of reference, in single precision
        results.update(energy=np.float32(results["energy"] - 50.0 * len(atoms)))
        results["free_energy"] = results["energy"]

    for change in (None, single, dissociated):
        found = check_derivatives(Changed(change), atoms)
        assert found is not None
        assert found.forces_are_gradient, (change, found)
    assert "gradient" not in caplog.text


def test_numbers_are_those_of_the_calculator():
    """The stress along the strain, in GPa, and by its energy, of copper under pressure."""
    atoms = bulk("Cu", a=3.4, cubic=True) * (2, 2, 2)
    found = check_derivatives(StatelessEMT(), atoms)
    assert found.n_calls == N_CALLS == 5
    assert found.stress_GPa == pytest.approx(found.stress_of_energy_GPa, rel=1e-3)
    assert found.force_eV_A == pytest.approx(found.force_of_energy_eV_A, rel=2e-2)
    assert found.stress_GPa > 5.0


@pytest.mark.parametrize("wrong", ["20 % off", "curl"])
def test_forces_that_are_no_gradient_are_warned_of_and_flagged(wrong, tmp_path, caplog):
    def curl(results):
        forces = results["forces"]
        turned = np.stack([-forces[:, 1], forces[:, 0], 0 * forces[:, 2]], 1)
        results["forces"] = forces + turned - turned.mean(axis=0)

    change = scaled("forces", 1.2) if wrong == "20 % off" else curl
    run = SHORT.run(STRUCTURES["packed"](), Changed(change), tmp_path / "run")
    assert "its forces are no gradient of its energy" in caplog.text
    assert run.stages[0].flags == ["forces_are_no_gradient"]
    check = run.manifest.calculator["checks"]["default"]
    assert check["forces_are_gradient"] is False
    assert check["force_eV_A"] != pytest.approx(check["force_of_energy_eV_A"], rel=0.05)


def test_five_calls_once_for_a_calculator_and_its_elements(caplog):
    caplog.set_level(logging.INFO)
    calculator = Changed()
    salt, other = STRUCTURES["packed"](), STRUCTURES["thin"]()
    check_derivatives(calculator, salt)
    assert calculator.calls == N_CALLS
    assert "checked by 5 calls" in caplog.text
    check_derivatives(calculator, other)
    assert calculator.calls == N_CALLS
    other.symbols[other.symbols == "Li"] = "Na"
    check_derivatives(calculator, other)
    assert calculator.calls == 2 * N_CALLS


def test_a_run_costs_five_calls_more(tmp_path):
    """And none where the same was checked before; an object then tells what it is by one."""
    calculator, n_steps = Changed(), 10
    assert SHORT.stages[0].n_steps == n_steps
    SHORT.run(STRUCTURES["packed"](), calculator, tmp_path / "one")
    assert calculator.calls == N_CALLS + 1 + n_steps
    SHORT.run(STRUCTURES["packed"](), calculator, tmp_path / "two")
    assert calculator.calls == N_CALLS + 1 + n_steps + 1 + 1 + n_steps


def test_a_run_says_what_the_check_found(tmp_path):
    run = SHORT.run(STRUCTURES["packed"](), Changed(), tmp_path / "run")
    check = Run.open(run.path).manifest.calculator["checks"]["default"]
    assert check["n_calls"] == 5
    assert check["stress_GPa"] == pytest.approx(check["stress_of_energy_GPa"], rel=0.01)


def test_without_stress_or_periodicity_forces_alone_are_checked():
    class NoStress(Changed):
        implemented_properties = ["energy", "forces"]  # noqa: RUF012

    found = check_derivatives(NoStress(), STRUCTURES["packed"]())
    assert found.n_calls == 3
    assert found.stress_GPa is None
    slab = bulk("Cu", cubic=True) * (2, 2, 2)
    slab.pbc = (True, True, False)
    slab.center(vacuum=6.0, axis=2)
    found = check_derivatives(StatelessEMT(), slab)
    assert found.n_calls == 3
    assert found.forces_are_gradient


def test_a_rattled_copy_that_cannot_be_done_is_no_reason_to_refuse(tmp_path, caplog):
    class Picky(Changed):
        def calculate(self, atoms: Atoms, *arguments: Any) -> None:
            if atoms.cell.array[0, 1] != 0:
                raise RuntimeError("sheared")
            super().calculate(atoms, *arguments)

    run = SHORT.run(STRUCTURES["packed"](), Picky(), tmp_path / "run")
    assert run.status == "done"
    assert "could not be checked on a rattled copy (RuntimeError: sheared)" in caplog.text


def test_programs_are_not_checked():
    class Program(FileIOCalculator):
        implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    program = Program(command="program")
    assert is_program(program)
    assert is_program(SumCalculator([LennardJones(), program]))
    assert not is_program(LennardJones())


def test_parts_are_found_and_the_coarsest_decides_the_rounding():
    class Single(LennardJones):
        dtype = "float32"

    inner = [LennardJones(), Single()]
    both = SumCalculator(inner)
    assert {id(part) for part in parts_of(both)} == {id(both), *map(id, inner)}
    forces = np.random.default_rng(0).normal(size=(5, 3))
    assert rounding_of(both, forces).forces_eV_A == 1e-3
    assert rounding_of(inner[0], forces).forces_eV_A == 1e-7
    assert rounding_of(inner[0], forces.astype(np.float32)).forces_eV_A == 1e-3


def test_what_has_no_forces_at_all_passes(caplog):
    """Atoms beyond each other's reach: zero is the derivative of zero."""
    gas = Atoms("Li4", positions=8.0 * np.eye(4, 3), cell=[16.0] * 3, pbc=True)
    found = check_derivatives(LennardJones(cutoff_A=4.0), gas)
    assert found.forces_are_gradient
    assert found.stress_is_derivative
    assert found.force_eV_A == found.stress_GPa == 0.0
