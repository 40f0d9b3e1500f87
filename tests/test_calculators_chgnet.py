"""CHGNet: derivatives, units and signs, identity of the weights, refusals."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from mlmd import CalculatorSpec, load_calculator
from mlmd.errors import InputError

pytestmark = [pytest.mark.chgnet, pytest.mark.kernels]
chgnet = pytest.importorskip("chgnet", reason="needs the chgnet extra")


@pytest.fixture(scope="module")
def calculator():
    return load_calculator("chgnet", device="cpu")


@pytest.fixture
def salt(calculator):
    """Eight rattled atoms of rock salt LiCl."""
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True)
    atoms.rattle(0.1, seed=2)
    atoms.calc = calculator
    return atoms


def test_forces_are_derivatives_of_the_energy(salt):
    # Single precision: 30 eV are known to some 1e-6, so a step of 0.01 A gives 1e-3 eV/A.
    indices = [0, 5]
    numerical = calculate_numerical_forces(salt, eps=0.01, iatoms=indices)
    forces = salt.get_forces()[indices]
    assert np.abs(forces).max() > 0.2
    assert forces == pytest.approx(numerical, abs=5e-3)


def test_stress_is_the_derivative_by_strain_in_ev_per_cubic_angstrom(salt):
    numerical = calculate_numerical_stress(salt, eps=2e-3, force_consistent=False)
    assert np.abs(numerical).max() > 0.005
    assert salt.get_stress() == pytest.approx(numerical, abs=2e-4)


def test_stress_is_positive_under_tension(calculator):
    mean_stress = {}
    for name, a in {"tension": 5.6, "compression": 4.8}.items():
        atoms = bulk("LiCl", "rocksalt", a=a, cubic=True)
        atoms.calc = calculator
        mean_stress[name] = atoms.get_stress()[:3].mean()
    assert mean_stress["tension"] > 0.005 > -0.005 > mean_stress["compression"]


def test_forces_repeat_bit_for_bit_on_one_thread(salt):
    start, first = salt.get_positions(), salt.get_forces()
    salt.rattle(0.2, seed=9)
    salt.get_forces()
    salt.positions[:] = start
    assert (salt.get_forces() == first).all()


def test_model_is_known_by_its_weights_without_importing_torch():
    code = (
        "import json, sys; from mlmd import CalculatorSpec; "
        "print(json.dumps(CalculatorSpec.parse('chgnet').physics())); "
        "assert not {'torch', 'chgnet'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    )
    (weights,) = (Path(chgnet.__file__).parent / "pretrained" / "0.3.0").glob("*.tar")
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in done.stdout
    assert '"name": "0.3.0"' in done.stdout


def test_named_and_default_model_are_the_same_physics():
    default, named = CalculatorSpec.parse("chgnet"), CalculatorSpec.parse("chgnet:0.3.0")
    assert default.physics() == named.physics()
    assert CalculatorSpec.parse("chgnet:0.2.0").physics() != named.physics()


def test_a_copy_of_the_weights_is_the_same_model(salt, tmp_path):
    (weights,) = (Path(chgnet.__file__).parent / "pretrained" / "0.3.0").glob("*.tar")
    copy = tmp_path / "copy.tar"
    copy.write_bytes(weights.read_bytes())
    spec = CalculatorSpec("chgnet", model=str(copy), device="cpu")
    assert (
        spec.physics()["model"]["sha256"] == (CalculatorSpec("chgnet").physics()["model"]["sha256"])
    )
    forces = salt.get_forces()
    salt.calc = spec.load()
    assert (salt.get_forces() == forces).all()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model": "0.9"}, r"no model '0\.9'.*0\.2\.0, 0\.3\.0, r2scan"),
        ({"device": "nonsense"}, "was not made"),
        ({"options": {"stress_unit": "GPa"}}, "no option stress_unit"),
    ],
)
def test_what_it_does_not_have_is_refused_in_one_line(fields, says):
    with pytest.raises(InputError, match=says) as caught:
        CalculatorSpec("chgnet", **fields).load()
    assert "\n" not in str(caught.value)


def test_a_file_that_holds_no_weights_is_refused_in_one_line(tmp_path):
    file = tmp_path / "weights.tar"
    file.write_text("nothing")
    with pytest.raises(InputError, match="was not made") as caught:
        CalculatorSpec("chgnet", model=str(file)).load()
    assert "\n" not in str(caught.value)


def test_loading_prints_nothing(capfd):
    load_calculator("chgnet", device="cpu")
    assert capfd.readouterr().out == ""
