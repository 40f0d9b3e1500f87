"""What atoms carry besides where they are reaches the calculator in every stage, or is refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.mixing import SumCalculator
from ase.constraints import FixAtoms
from ase.spacegroup import Spacegroup

from mlmd import (
    CalculatorSpec,
    Equilibrate,
    EquilibrateVolume,
    Production,
    Protocol,
    Relax,
    Run,
    SampleInherentStructures,
)
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.errors import InputError, RunDirectoryError
from mlmd.run.identity import structure_from_text, structure_text

DYNAMICS: dict[str, Any] = {"temperature_K": 100.0, "timestep_fs": 2.0, "record_every_fs": 10.0}
EVERY_STAGE = Protocol(
    "every stage",
    (
        Relax(name="relax", max_steps=3),
        EquilibrateVolume(
            name="volume", duration_ps=0.2, scales=(0.9, 1.0, 1.1), max_runs=4,
            on_unconverged="accept", **DYNAMICS,
        ),
        Equilibrate(name="npt", duration_ps=0.02, ensemble="npt", **DYNAMICS),
        Production(name="production", duration_ps=0.02, **DYNAMICS),
        SampleInherentStructures(name="glasses", n_structures=2, every_ps=0.02, max_steps=3),
    ),
)  # fmt: skip
SHORT = Protocol("short", (Production(name="production", duration_ps=0.02, **DYNAMICS),))
INFO = {"charge": 1, "spin": 2.5, "head": 'a "b" \\c é', "kpts": [1, 2, 3], "nested": {"a": [True]}}


class Reads(LennardJones):
    """Takes a charge from the info, molecules from an array, and keeps what it has seen."""

    def __init__(self) -> None:
        super().__init__(cutoff_A=3.6, epsilon_eV=0.4)
        self.seen: list[Atoms] = []

    def calculate(self, atoms: Atoms, *arguments: Any) -> None:
        super().calculate(atoms, *arguments)
        self.seen.append(atoms.copy())
        energy = 5.0 * atoms.info.get("charge", 0) + float(atoms.arrays.get("molecule", 0.0)[0])
        for name in ("energy", "free_energy"):
            self.results[name] += energy


def make_reads() -> Reads:
    return Reads()


def copper() -> Atoms:
    atoms = bulk("Cu", a=3.85, cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=1)
    atoms.info.update(INFO)
    atoms.info["field"] = np.array([[0.0, 1e-12], [1 / 3, -1.0]], dtype=np.float32)
    atoms.set_tags(range(32))
    atoms.set_initial_charges(np.arange(32) / 16)
    atoms.set_initial_magnetic_moments(np.arange(32.0))
    atoms.set_array("molecule", np.arange(32) / 3.0)
    atoms.set_array("forces", np.full((32, 3), 1e-12))  # a name that readers take for results
    atoms.set_array("label", np.array([f"a b{i}" for i in range(32)]))
    atoms.set_array("is_core", np.arange(32) % 2 == 0)
    return atoms


def carried(atoms: Atoms) -> dict[str, Any]:
    arrays = {n: a.tolist() for n, a in atoms.arrays.items() if n not in ("positions", "momenta")}
    info = {n: v for n, v in atoms.info.items() if n in INFO}
    field = atoms.info["field"]
    assert isinstance(field, np.ndarray)
    info["field"] = (field.dtype, field.tolist())
    return {"info": info, "arrays": arrays}


def test_every_stage_and_every_call_has_all_of_it(tmp_path):
    atoms, calculator = copper(), Reads()
    run = EVERY_STAGE.run(atoms, calculator, tmp_path / "run")
    assert run.status == "done"
    expected = carried(atoms)
    assert len(calculator.seen) > 200
    for seen in calculator.seen:
        assert carried(seen) == expected
    assert carried(Run.open(run.path).atoms) == expected


def test_the_energy_is_that_of_the_charge(tmp_path):
    energies = {}
    for charge in (0, 1):
        atoms = copper()
        atoms.info["charge"] = charge
        run = SHORT.run(atoms, Reads(), tmp_path / f"run{charge}")
        energies[charge] = run.trajectory("production").energies_eV[0]
        atoms.calc = Reads()
        assert energies[charge] == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    assert energies[1] - energies[0] == pytest.approx(5.0, abs=1e-6)


@pytest.mark.parametrize("make", [Reads, lambda: SumCalculator([Reads()])])
def test_one_object_for_two_structures_that_differ_in_info_alone(make, tmp_path):
    """ASE would give the second the results of the first: it compares no info."""
    calculator, energies = make(), []
    for charge in (0, 1):
        atoms = copper()
        atoms.info["charge"] = charge
        run = SHORT.run(atoms, calculator, tmp_path / f"run{charge}")
        energies.append(run.trajectory("production").energies_eV[0])
    assert energies[1] - energies[0] == pytest.approx(5.0, abs=1e-6)


def test_the_other_interpreter_gets_it_too(tmp_path, monkeypatch):
    here = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, *filter(None, sys.path)]))
    spec = CalculatorSpec("test_run_carried:make_reads", python=sys.executable)
    atoms = copper()
    run = SHORT.run(atoms, spec, tmp_path / "run")
    atoms.calc = Reads()
    energy = run.trajectory("production").energies_eV[0]
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)


def changed(atoms: Atoms, how: str) -> None:
    if how == "info":
        atoms.info["charge"] = 2
    elif how == "more info":
        atoms.info["multiplicity"] = 3
    elif how == "no info":
        del atoms.info["head"]
    elif how == "tags":
        atoms.set_tags(0)
    elif how == "array":
        atoms.arrays["molecule"][3] += 1e-9
    elif how == "charges":
        atoms.set_initial_charges(np.zeros(32))
    elif how == "fixed":
        atoms.set_constraint(FixAtoms([0]))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("info", r"atoms.info.charge is 1 there and 2 given"),
        ("more info", r"atoms.info.multiplicity is null there and 3 given"),
        ("no info", r"atoms.info.head is .* there and null given"),
        ("tags", r"atoms.arrays\['tags'\] differs"),
        ("array", r"atoms.arrays\['molecule'\] differs"),
        ("charges", r"atoms.arrays\['initial_charges'\] differs"),
    ],
)
def test_it_is_part_of_the_identity(how, said, tmp_path):
    SHORT.run(copper(), Reads(), tmp_path / "run")
    other = copper()
    changed(other, how)
    with pytest.raises(RunDirectoryError, match=said):
        SHORT.run(other, Reads(), tmp_path / "run")
    assert SHORT.run(copper(), Reads(), tmp_path / "run").status == "done"


@pytest.mark.parametrize("how", ["fixed", "info", "tags"])
def test_the_text_of_a_structure_keeps_it(how):
    atoms = copper()
    changed(atoms, how)
    again = structure_from_text(structure_text(atoms))
    assert structure_text(again) == structure_text(atoms) != structure_text(copper())
    assert [one.get_indices().tolist() for one in again.constraints] == (
        [[0]] if how == "fixed" else []
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("model", object()), ("where", {1, 2}), ("when", complex(1, 2)), ("call", len)],
)
def test_info_that_cannot_be_kept_is_refused_by_name(name, value, tmp_path):
    atoms = copper()
    atoms.info[name] = value
    with pytest.raises(InputError, match=rf"atoms.info\['{name}'\] is .*not plain data"):
        SHORT.run(atoms, Reads(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("values", [np.zeros((32, 3, 3)), np.array([None] * 32), np.zeros(32) * 1j])
def test_arrays_that_cannot_be_kept_are_refused_by_name(values, tmp_path):
    atoms = copper()
    atoms.set_array("mine", values)
    with pytest.raises(InputError, match=r"atoms.arrays\['mine'\] has shape"):
        SHORT.run(atoms, Reads(), tmp_path / "run")


def test_what_readers_leave_behind_is_no_part_of_it():
    """A crystal is the same from a CIF, which ASE notes much about, and from another file."""
    plain = bulk("Cu", cubic=True)
    read = plain.copy()
    read.info.update(spacegroup=Spacegroup(225), unit_cell="conventional", occupancy={"0": 1.0})
    read.set_array("spacegroup_kinds", np.zeros(4, int))
    assert structure_text(read) == structure_text(plain)
