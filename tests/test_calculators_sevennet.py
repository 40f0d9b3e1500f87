"""SevenNet: derivatives, units and signs, identity of the weights, refusals, its neighbours."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from tiny_models import salt

from mlmd import CalculatorSpec, load_calculator
from mlmd.calculators.models import sevennet
from mlmd.errors import InputError

pytest.importorskip("sevenn", reason="needs the sevennet extra")


@pytest.fixture(scope="module")
def calculator():
    return load_calculator("sevennet", device="cpu")


@pytest.fixture
def atoms(calculator):
    atoms = salt()
    atoms.calc = calculator
    return atoms


def python(code, **environment):
    """Run code in a new process and return the last line that it printed, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_forces_are_derivatives_of_the_energy(atoms):
    # Single precision: 30 eV are known to some 1e-6, so a step of 0.01 A gives 1e-3 eV/A.
    indices = [0, 5]
    numerical = calculate_numerical_forces(atoms, eps=0.01, iatoms=indices)
    forces = atoms.get_forces()[indices]
    assert np.abs(forces).max() > 0.2
    assert forces == pytest.approx(numerical, abs=5e-3)


def test_stress_is_the_derivative_by_strain_in_ev_per_cubic_angstrom(atoms):
    numerical = calculate_numerical_stress(atoms, eps=2e-3, force_consistent=False)
    # All six differ by more than the tolerance, so their order is seen.
    assert np.abs(np.subtract.outer(numerical, numerical))[np.triu_indices(6, 1)].min() > 2e-4
    assert atoms.get_stress() == pytest.approx(numerical, abs=1e-4)


def test_stress_is_positive_under_tension(calculator):
    mean_stress = {}
    for name, a in {"tension": 5.6, "compression": 4.8}.items():
        atoms = bulk("LiCl", "rocksalt", a=a, cubic=True)
        atoms.calc = calculator
        mean_stress[name] = atoms.get_stress()[:3].mean()
    assert mean_stress["tension"] > 0.005 > -0.005 > mean_stress["compression"]


def test_forces_repeat_bit_for_bit_on_one_thread(atoms):
    start, first = atoms.get_positions(), atoms.get_forces()
    atoms.rattle(0.2, seed=9)
    atoms.get_forces()
    atoms.positions[:] = start
    assert (atoms.get_forces() == first).all()


@pytest.mark.slow
def test_deterministic_algorithms_repeat_bit_for_bit_on_two_threads():
    seen = python(
        "import hashlib, json, torch; from mlmd import load_calculator; "
        "from tiny_models import salt\n"
        "c = load_calculator('sevennet', device='cpu', threads=2, deterministic=True)\n"
        "assert torch.are_deterministic_algorithms_enabled() and torch.get_num_threads() == 2\n"
        "def forces(seed):\n"
        "    atoms = salt(seed=seed); atoms.calc = c; return atoms.get_forces().tobytes()\n"
        "print(json.dumps(len({forces(seed) for seed in (1, 2, 1)})))",
        OMP_NUM_THREADS="2",
    )
    assert seen == 2


def test_model_is_known_by_its_weights_without_importing_torch():
    seen = python(
        "import json, sys; from mlmd import CalculatorSpec; "
        "print(json.dumps(CalculatorSpec.parse('sevennet').physics())); "
        "assert not {'torch', 'sevenn'} & set(sys.modules)"
    )
    weights = sevennet.models()["7net-0"]
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert seen["model"] == {"name": "7net-0", "sha256": digest}


def test_names_are_those_of_the_package():
    from sevenn.util import pretrained_name_to_path

    for name in sevennet.SHIPPED:
        assert Path(pretrained_name_to_path(name)) == sevennet.models()[name]


def test_addresses_are_those_of_the_package():
    from sevenn import _const

    theirs = set(_const.CHECKPOINT_DOWNLOAD_LINKS.values())
    assert theirs == {f"{sevennet.RELEASES}/{file}" for file in sevennet.FETCHED.values()}


def test_a_copy_of_the_weights_is_the_same_model(atoms, tmp_path):
    copy = tmp_path / "copy.pth"
    copy.write_bytes(sevennet.models()["7net-0"].read_bytes())
    spec = CalculatorSpec("sevennet", model=str(copy), device="cpu")
    assert (
        spec.physics()["model"]["sha256"] == CalculatorSpec("sevennet").physics()["model"]["sha256"]
    )
    forces = atoms.get_forces()
    atoms.calc = spec.load()
    assert (atoms.get_forces() == forces).all()


def test_weights_that_were_fetched_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("MLMD_CACHE", str(tmp_path))
    fetched = tmp_path / "weights/sevennet/checkpoint_sevennet_omat.pth"
    spec = CalculatorSpec("sevennet", model="7net-omat", device="cpu")
    with pytest.raises(InputError, match="are not here; fetch https://") as caught:
        spec.load()
    assert "checkpoint_sevennet_omat.pth and put it at" in str(caught.value)
    assert str(fetched) in str(caught.value)
    fetched.parent.mkdir(parents=True)
    fetched.write_bytes(sevennet.models()["7net-0"].read_bytes())
    assert sevennet.models()["7net-omat"] == fetched
    shipped = CalculatorSpec("sevennet").physics()["model"]["sha256"]
    assert spec.physics()["model"] == {"name": "7net-omat", "sha256": shipped}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model": "7net-9"}, r"no model '7net-9'.*7net-0, .*7net-l3i5"),
        ({"device": "nonsense"}, "was not made.*expected a device of this machine"),
        ({"options": {"d4": True}}, "no option d4; it has .*modal"),
        ({"dtype": "float64"}, "knows only float32"),
        ({"model": "7net-mf-0"}, "was not made.*modal argument missing"),
    ],
)
def test_what_it_does_not_have_is_refused_in_one_line(fields, says):
    with pytest.raises(InputError, match=says) as caught:
        CalculatorSpec("sevennet", **{"device": "cpu", **fields}).load()
    assert "\n" not in str(caught.value)


def test_chgnet_refuses_double_precision_too():
    pytest.importorskip("chgnet", reason="needs the chgnet extra")
    with pytest.raises(InputError, match="knows only float32"):
        load_calculator("chgnet", dtype="float64", device="cpu")


def test_a_file_that_holds_no_weights_is_refused_in_one_line(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_text("nothing")
    with pytest.raises(InputError, match="was not made") as caught:
        CalculatorSpec("sevennet", model=str(file), device="cpu").load()
    assert "\n" not in str(caught.value)


def test_an_element_that_it_does_not_know_is_named(atoms):
    atoms.symbols[3] = "Rn"
    with pytest.raises(InputError, match=r"does not know Rn; it knows Ac, .*Zr"):
        atoms.get_forces()
    atoms.symbols[3] = "Li"
    assert np.isfinite(atoms.get_forces()).all()


def test_a_failure_in_the_model_is_ours_and_leaves_the_default_dtype(atoms, monkeypatch):
    import torch

    from mlmd.errors import CalculatorError

    def fail(data):
        torch.set_default_dtype(torch.float64)
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(atoms.calc, "model", fail)
    atoms.rattle(0.01, seed=1)
    with pytest.raises(CalculatorError, match=r"failed on .*RuntimeError: out of memory") as caught:
        atoms.get_forces()
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert torch.get_default_dtype() == torch.float32


def test_loading_is_silent_and_the_process_stays_as_the_user_had_it(atoms, capfd, recwarn):
    import logging

    import torch

    forces = atoms.get_forces()
    environment, handlers = dict(os.environ), list(logging.root.handlers)
    torch.set_default_dtype(torch.float64)
    try:
        atoms.calc = load_calculator("sevennet", device="cpu")
        assert (atoms.get_forces() == forces).all()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    said = capfd.readouterr()
    assert said.out == said.err == ""
    assert not recwarn.list
    assert dict(os.environ) == environment
    assert logging.root.handlers == handlers
