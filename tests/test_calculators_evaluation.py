"""What comes through the one door has one shape and one type, whatever a calculator gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import GPa

from mlmd import Production, Protocol
from mlmd.calculators import Evaluation, evaluate, evaluate_many
from mlmd.calculators.evaluation import Evaluator
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.errors import CalculatorError


class Shaped(LennardJones):
    """Lennard-Jones whose results have the shapes and types that other packages give."""

    def __init__(self, change: Any, gives: list[str] | None = None) -> None:
        super().__init__(cutoff_A=4.5)
        self.change, self.calls = change, 0
        if gives is not None:
            self.implemented_properties = gives

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        self.results = self.change(dict(self.results))


def as_matrix(results):
    return {**results, "stress": voigt_6_to_full_3x3_stress(results["stress"])}


def single(results):
    return {name: np.asarray(value, dtype=np.float32) for name, value in results.items()}


def one_element(results):
    return {**results, "energy": np.array([results["energy"]])}


def batch_of_one(results):
    """As models give what they compute for a batch."""
    return {
        "energy": np.array([[results["energy"]]]),
        "forces": results["forces"][None],
        "stress": as_matrix(results)["stress"][None],
    }


def flat(results):
    return {**results, "forces": results["forces"].ravel(), "stress": results["stress"][None]}


class Tensor:
    """What a differentiated tensor is to NumPy: no array until it is detached and brought here."""

    def __init__(self, values):
        self.values = values

    def __array__(self, *_):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    def detach(self):
        return self

    def cpu(self):
        return self.values


def tensors(results):
    return {name: Tensor(value) for name, value in results.items()}


def free_alone(results):
    return {"free_energy": results["energy"], "forces": results["forces"]}


@pytest.fixture
def sheared(atoms: Atoms) -> Atoms:
    """Without symmetry, so that every component is its own."""
    atoms.rattle(0.15, seed=1)
    strain = np.array([[1.0, 0.05, 0.02], [0.0, 1.03, -0.04], [0.0, 0.0, 0.98]])
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    return atoms


def asked(atoms: Atoms, calculator: Calculator, *properties: str) -> Evaluation:
    atoms.calc = calculator
    return evaluate(atoms, properties or ("energy", "forces", "stress"))


@pytest.mark.parametrize(
    ("change", "tolerance"),
    [
        (as_matrix, 0.0),
        (single, 1e-6),
        (one_element, 0.0),
        (batch_of_one, 0.0),
        (flat, 0.0),
        (tensors, 0.0),
    ],
)
def test_shapes_and_types_do_not_matter(sheared, change, tolerance):
    plain = asked(sheared, LennardJones(cutoff_A=4.5))
    found = asked(sheared, Shaped(change))
    assert type(found.energy_eV) is float
    assert found.energy_eV == pytest.approx(plain.energy_eV, rel=max(tolerance, 1e-12))
    for name in ("forces_eV_A", "stress_eV_A3"):
        ours, theirs = getattr(found, name), getattr(plain, name)
        assert ours.dtype == np.float64
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max() + 1e-15
    # The diagonal carries the pressure, and nothing else does.
    assert len(set(np.round(plain.stress_eV_A3, 12))) == 6


def test_what_is_not_asked_or_not_there_is_none(sheared):
    quiet = Shaped(lambda results: {"energy": results["energy"]}, gives=["energy"])
    found = asked(sheared, quiet, "energy")
    assert found.forces_eV_A is None
    assert found.stress_eV_A3 is None
    without = Shaped(lambda r: {k: v for k, v in r.items() if k != "stress"}, ["energy", "forces"])
    assert asked(sheared, without).stress_eV_A3 is None
    with pytest.raises(PropertyNotImplementedError):
        asked(sheared, quiet, "forces")


def test_without_stress_the_numbers_are_of_the_atoms_asked_about(sheared):
    """ASE refuses a stress that is not there before it looks at the atoms: results are old then."""
    without = Shaped(lambda r: {k: v for k, v in r.items() if k != "stress"}, ["energy", "forces"])
    plain = LennardJones(cutoff_A=4.5)
    for seed in range(3):
        moved = sheared.copy()
        moved.rattle(0.1, seed=seed)
        found = asked(moved, without)
        assert found.stress_eV_A3 is None
        want = asked(moved, plain)
        assert found.energy_eV == want.energy_eV
        assert np.array_equal(found.forces_eV_A, want.forces_eV_A)


def test_a_free_energy_alone_is_the_energy_and_the_one_of_the_forces(sheared):
    found = asked(sheared, Shaped(free_alone, ["free_energy", "forces"]), "energy", "forces")
    plain = asked(sheared, LennardJones(cutoff_A=4.5))
    assert found.energy_eV == found.energy_of_forces_eV == plain.energy_eV
    smeared = Shaped(lambda r: {**r, "free_energy": r["energy"] - 0.25})
    found = asked(sheared, smeared)
    assert found.energy_eV == plain.energy_eV
    assert found.energy_of_forces_eV == pytest.approx(plain.energy_eV - 0.25)


def test_other_results_come_along(sheared):
    magnetic = Shaped(lambda r: {**r, "magmoms": np.arange(27.0)})
    assert asked(sheared, magnetic).extras["magmoms"][26] == 26.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: {**r, "forces": r["forces"][:5]}, r"forces of shape \(5, 3\) for 27 atoms"),
        (lambda r: {**r, "energy": np.ones(27)}, r"energy of shape \(27,\)"),
        (lambda r: {**r, "stress": np.ones(9)}, r"stress of shape \(9,\)"),
    ],
)
def test_wrong_shapes_are_told(sheared, change, message):
    with pytest.raises(CalculatorError, match=message):
        asked(sheared, Shaped(change))


def test_mistakes_of_the_caller_are_told(sheared):
    with pytest.raises(CalculatorError, match="'dipole' was asked for"):
        asked(sheared, LennardJones(), "dipole")
    sheared.calc = None
    with pytest.raises(CalculatorError, match="no calculator"):
        evaluate(sheared)


def test_nothing_is_computed_twice(sheared):
    calculator = Shaped(dict)
    asked(sheared, calculator)
    evaluate(sheared, ("energy",))
    evaluate(sheared, ("stress",), unchanged=True)
    assert calculator.calls == 1
    step = Evaluator()
    for number in range(3):
        sheared.positions += 0.01
        known = step(sheared).forces_eV_A
        assert calculator.calls == 2 + number
        assert np.array_equal(known, evaluate(sheared).forces_eV_A)


def test_many_are_the_same_as_one_by_one(sheared):
    others = [sheared.copy() for _ in range(3)]
    for seed, other in enumerate(others):
        other.rattle(0.05, seed=seed)
        other.calc = LennardJones(cutoff_A=4.5)
    found = evaluate_many(others)
    for other, one in zip(others, found, strict=True):
        assert np.array_equal(one.forces_eV_A, evaluate(other).forces_eV_A)


@pytest.mark.parametrize("change", [as_matrix, one_element, single])
def test_a_run_records_the_pressure_that_was_computed(sheared, tmp_path, change):
    """A stress as a matrix was summed over three of its nine components, wrong by the shear."""
    stage = Production(
        name="production", temperature_K=300.0, duration_ps=0.02, record_every_fs=4.0
    )
    protocol = Protocol("short", (stage,))
    plain = protocol.run(sheared, LennardJones(cutoff_A=4.5), tmp_path / "plain")
    other = protocol.run(sheared, Shaped(change), tmp_path / "other")
    want = plain.trajectory("production").pressures_GPa
    got = other.trajectory("production").pressures_GPa
    assert got == pytest.approx(want, rel=1e-4, abs=1e-4)
    sheared.calc = LennardJones(cutoff_A=4.5)
    virial = -sheared.get_stress()[:3].mean() / GPa
    kinetic = want[0] - virial
    assert 0.0 < kinetic < 1.0


class Frugal(LennardJones):
    """Computes what is asked and no more, and keeps an account of it."""

    def __init__(self) -> None:
        super().__init__(cutoff_A=4.5)
        self.account: list[tuple[str, ...]] = []

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.account.append(tuple(sorted(set(properties))))
        left_out = {"forces", "stress"} - set(properties)
        self.results = {name: v for name, v in self.results.items() if name not in left_out}


@pytest.mark.parametrize("thermostat", ["nose_hoover", "bussi"])
def test_the_stress_is_asked_along_with_the_forces_where_a_frame_is_taken(
    sheared, tmp_path, thermostat
):
    stage = Production(
        name="production",
        temperature_K=300.0,
        duration_ps=0.024,
        timestep_fs=1.0,
        record_every_fs=4.0,
        thermostat=thermostat,
    )
    calculator, plain = Frugal(), LennardJones(cutoff_A=4.5)
    run = Protocol("short", (stage,)).run(sheared, calculator, tmp_path / "run")
    steps = calculator.account[-24:]
    asked_for = [("forces", "stress") if n % 4 == 0 else ("forces",) for n in range(1, 25)]
    assert steps == asked_for
    want = Protocol("short", (stage,)).run(sheared, plain, tmp_path / "plain")
    got, pressures = (r.trajectory("production") for r in (run, want))
    assert np.array_equal(got.positions_A, pressures.positions_A)
    assert np.array_equal(got.pressures_GPa, pressures.pressures_GPa)
    assert np.isfinite(got.pressures_GPa).all()


def test_npt_asks_for_forces_and_stress_at_once(sheared, tmp_path):
    stage = Production(
        name="production",
        temperature_K=300.0,
        duration_ps=0.01,
        timestep_fs=1.0,
        record_every_fs=5.0,
        ensemble="npt",
    )

    class Joint(Frugal):
        """A stress brings the forces along, as a derivative by all coordinates does."""

        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            asked = {*properties, *(["forces"] if "stress" in properties else [])}
            super().calculate(atoms, sorted(asked), system_changes)

    calculator = Joint()
    Protocol("short", (stage,)).run(sheared, calculator, tmp_path / "run")
    assert calculator.account[-10:] == [("forces", "stress")] * 10
