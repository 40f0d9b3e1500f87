"""D3 dispersion on top of a calculator: the package's numbers, derivatives, identity, restart."""

from __future__ import annotations

import copy
import importlib.metadata
import importlib.util
import pickle
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from mlmd import CalculatorSpec, Protocol, Run, load_calculator
from mlmd.calculators import evaluate
from mlmd.calculators.isolation import IsolatedCalculator
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.errors import InputError, MissingExtraError, StoppedError
from mlmd.run.stopping import StopToken

pytest.importorskip("dftd3", reason="needs the d3 extra")
from dftd3.ase import DFTD3

LJ = {"cutoff_A": 2.5}


def salt() -> Atoms:
    """Rattled LiCl in a sheared cell, one atom of it some cells away."""
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True)
    atoms.set_cell(atoms.cell.array @ [[1, 0.1, 0], [0, 1, -0.05], [0, 0, 1.02]], scale_atoms=True)
    atoms.rattle(0.1, seed=2)
    atoms.positions[3] += 2 * atoms.cell.array[0] - 3 * atoms.cell.array[2]
    return atoms


def with_calculator(calculator, atoms: Atoms | None = None) -> Atoms:
    atoms = salt() if atoms is None else atoms.copy()
    atoms.calc = calculator
    return atoms


@pytest.mark.parametrize(
    ("given", "method", "damping"),
    [
        ("pbe", "pbe", "d3bj"),
        ("PBE", "pbe", "d3bj"),
        ({"functional": "pbesol", "damping": "bj", "three_body": False}, "pbesol", "d3bj"),
        ({"functional": "pbe", "damping": "zero"}, "pbe", "d3zero"),
        ({"functional": "pbe", "damping": "bjm"}, "pbe", "d3bjm"),
        ({"functional": "pbe", "damping": "zerom"}, "pbe", "d3zerom"),
    ],
)
def test_the_sum_is_that_of_the_packages_own_calculator(given, method, damping):
    total = evaluate(
        with_calculator(load_calculator("lj", **LJ, d3=given)), ("energy", "forces", "stress")
    )
    bare = evaluate(with_calculator(load_calculator("lj", **LJ)), ("energy", "forces", "stress"))
    package = with_calculator(DFTD3(method=method, damping=damping))
    energy_eV = package.get_potential_energy()
    assert -5.0 < energy_eV < -0.3  # of 8 atoms
    assert total.energy_eV - bare.energy_eV == pytest.approx(energy_eV, rel=1e-12)
    assert total.extras["free_energy"] - bare.extras["free_energy"] == pytest.approx(
        energy_eV, rel=1e-12
    )
    assert total.forces_eV_A - bare.forces_eV_A == pytest.approx(package.get_forces(), abs=1e-12)
    assert total.stress_eV_A3 - bare.stress_eV_A3 == pytest.approx(package.get_stress(), abs=1e-14)


def test_three_bodies_are_those_of_the_library():
    """Axilrod, Teller and Muto: repulsive in a dense crystal, and the package's own parameters."""
    two, three = (
        with_calculator(
            load_calculator("lj", **LJ, d3={"functional": "pbe", "three_body": on})
        ).get_potential_energy()
        for on in (False, True)
    )
    # Goerigk et al. 2017 for PBE, as the library has them.
    tweaks = {"s6": 1.0, "s8": 0.7875, "s9": 1.0, "a1": 0.4289, "a2": 4.4407, "alp": 14.0}
    package = [
        with_calculator(
            DFTD3(damping="d3bj", params_tweaks={**tweaks, "s9": s9})
        ).get_potential_energy()
        for s9 in (0.0, 1.0)
    ]
    assert three - two == pytest.approx(package[1] - package[0], rel=1e-9)
    assert three - two > 1e-3


def test_forces_and_stress_are_derivatives_of_the_energy():
    atoms = with_calculator(load_calculator("lj", **LJ, d3="pbe"))
    bare = with_calculator(load_calculator("lj", **LJ))
    assert np.abs(atoms.get_forces() - bare.get_forces()).max() > 5e-3
    assert atoms.get_forces() == pytest.approx(calculate_numerical_forces(atoms, 1e-4), abs=1e-6)
    assert np.abs(atoms.get_stress() - bare.get_stress()).max() > 1e-3
    assert atoms.get_stress() == pytest.approx(calculate_numerical_stress(atoms, 1e-5), abs=1e-6)


def test_a_cluster_has_no_stress_and_the_same_energy_in_a_large_box():
    cluster = Atoms("Cu4", [[0, 0, 0], [2.5, 0, 0], [0, 2.5, 0], [0, 0, 2.5]])
    alone = with_calculator(load_calculator("emt", d3="pbe"), cluster)
    boxed = with_calculator(load_calculator("emt", d3="pbe"), cluster)
    boxed.set_cell([200.0] * 3)
    boxed.pbc = True
    package = with_calculator(DFTD3(method="pbe", damping="d3bj"), cluster)
    bare = with_calculator(load_calculator("emt"), cluster)
    expected_eV = package.get_potential_energy() + bare.get_potential_energy()
    assert alone.get_potential_energy() == pytest.approx(expected_eV, rel=1e-12)
    assert boxed.get_potential_energy() == pytest.approx(expected_eV, abs=1e-9)
    assert "stress" not in alone.calc.results


class Odd(LennardJones):
    """What models have beside ASE's contract, and energies of atoms."""

    device, dtype, n_unconverged_scf = "cuda:3", "float32", 7
    implemented_properties = ("energy", "forces", "energies", "magmoms")

    def calculate(self, *arguments, **keywords):
        super().calculate(*arguments, **keywords)
        self.results = {name: self.results[name] for name in ("energy", "forces")}
        self.results |= {"energies": np.ones(8), "magmoms": np.full(8, 0.5)}


def odd(cutoff_A: float) -> Odd:
    return Odd(cutoff_A=cutoff_A)


def test_what_else_a_calculator_says_is_passed_on():
    from mlmd.calculators.registry import device_and_dtype

    calculator = load_calculator(f"{__name__}:odd", cutoff_A=2.5, d3="pbe")
    assert device_and_dtype(calculator) == {"device": "cuda:3", "dtype": "float32"}
    assert calculator.n_unconverged_scf == 7
    assert calculator.implemented_properties == ["energy", "forces", "magmoms"]
    found = evaluate(with_calculator(calculator), ("energy", "forces", "stress"))
    assert found.stress_eV_A3 is None
    assert np.array_equal(found.extras["magmoms"], np.full(8, 0.5))
    assert not {"energies", "free_energy"} & set(found.extras)
    with pytest.raises(AttributeError):
        calculator.nothing_of_the_kind  # noqa: B018
    for twin in (copy.deepcopy(calculator), pickle.loads(pickle.dumps(calculator))):
        assert with_calculator(twin).get_potential_energy() == found.energy_eV


def test_the_calculator_alone_goes_to_another_environment():
    """There the package need not be installed."""
    here = CalculatorSpec("lj", options={**LJ, "d3": "pbe"})
    there = CalculatorSpec("lj", options={**LJ, "d3": "pbe"}, python=sys.executable)
    assert there.physics() == here.physics()
    calculator = there.load()
    assert isinstance(calculator.inner, IsolatedCalculator)
    assert dict(calculator.spec.options) == LJ
    found, expected = (
        evaluate(with_calculator(one), ("energy", "forces", "stress"))
        for one in (calculator, here.load())
    )
    calculator.close()
    assert calculator.inner._connection is None
    assert found.energy_eV == expected.energy_eV
    assert found.forces_eV_A == pytest.approx(expected.forces_eV_A, abs=1e-14)
    assert found.stress_eV_A3 == pytest.approx(expected.stress_eV_A3, rel=1e-12)


def test_identity_and_versions_name_the_dispersion():
    bare = CalculatorSpec("lj", options=LJ)
    short = CalculatorSpec("lj", options={**LJ, "d3": "PBE"})
    long = CalculatorSpec("lj", options={**LJ, "d3": {"functional": "pbe", "damping": "bj"}})
    assert short.physics() == long.physics() != bare.physics()
    assert short.physics()["options"] == {
        **LJ,
        "d3": {"functional": "pbe", "damping": "bj", "three_body": False},
    }
    other = CalculatorSpec("lj", options={**LJ, "d3": {"functional": "pbe", "damping": "zero"}})
    assert other.physics() != short.physics()
    assert bare.packages() == {}
    assert list(short.packages()) == ["dftd3"]


@pytest.mark.parametrize(
    ("name", "d3", "message"),
    [
        ("lj", "pbee", r"no parameters of the functional 'pbee' with damping 'bj'; expected one"),
        ("lj", {"functional": "r2scan", "damping": "zero"}, r"'r2scan' with damping 'zero'"),
        (
            "lj",
            {"functional": "pbe", "damping": "d3bj"},
            r"damping of d3 is 'd3bj'; expected bj or",
        ),
        ("lj", {"functional": "pbe", "three_body": 1}, r"three_body of d3 is 1; expected true"),
        ("lj", {"method": "pbe"}, r"d3 has no method; it has damping, functional, three_body"),
        ("lj", {"damping": "bj"}, r"functional of d3 is None; expected text such as pbe"),
        ("lj", True, r"functional of d3 is True; expected text such as pbe"),
        ("vasp", "pbe", r"'vasp' has dispersion of its own: give the option incar: {IVDW: 12}"),
        ("cp2k", "pbe", r"'cp2k' has dispersion of its own"),
        ("espresso", "pbe", r"give the option input: {system: {vdw_corr: dft-d3}}"),
        ("siesta", "pbe", r"give the option fdf: {DFTD3: true}"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(name, d3, message):
    spec = CalculatorSpec(name, options={"d3": d3})
    for ask in (spec.load, spec.physics, spec.packages):
        with pytest.raises(InputError, match=message) as error:
            ask()
        assert "\n" not in str(error.value)


def test_an_absent_package_names_the_pip_command(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "dftd3" else real(name)
    )
    with pytest.raises(MissingExtraError, match=r"'dftd3'.*pip install 'mlmd\[d3\]'"):
        load_calculator("lj", d3="pbe")


class AfterSomeLooks(StopToken):
    """Asks for a stop the eighth time that somebody looks."""

    looks = 0

    def __init__(self) -> None:
        """Nothing to set: the reason comes by itself."""

    @property
    def reason(self) -> str | None:
        self.looks += 1
        return "enough" if self.looks >= 8 else None


def test_a_run_that_was_stopped_goes_on_with_the_same_bits(tmp_path, atoms):
    protocol = Protocol.from_dict(
        {
            "schema": 1,
            "name": "npt",
            "stages": [
                {
                    "name": "production",
                    "class": "Production",
                    "ensemble": "npt",
                    "temperature_K": 300,
                    "duration_ps": 0.04,
                    "record_every_fs": 4,
                }
            ],
        }
    )
    spec = CalculatorSpec("lj", options={"cutoff_A": 4.5, "d3": "pbe"})
    whole = protocol.run(atoms, spec, tmp_path / "whole")
    with pytest.raises(StoppedError, match="enough"):
        protocol.run(atoms, spec, tmp_path / "cut", stop=AfterSomeLooks())
    assert len(Run.open(tmp_path / "cut").trajectory("production")) < 6
    assert Run.open(tmp_path / "cut").status == "stopped"
    cut = protocol.run(atoms, spec, tmp_path / "cut")
    for name in ("positions_A", "energies_eV", "cell_A"):
        one, other = (getattr(run.trajectory("production"), name) for run in (whole, cut))
        assert one is not None
        assert np.array_equal(one, other), name
    assert whole.manifest.reproducible is True
    assert whole.manifest.versions["dftd3"] == importlib.metadata.version("dftd3")
