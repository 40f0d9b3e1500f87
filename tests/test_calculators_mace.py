"""MACE on a model trained here: its physics in its own environment, its weights without it.

The interpreter of that environment is ``MLMD_TEST_MACE_PYTHON``, else that of the user's cache.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_models

from mlmd import CalculatorSpec, load_calculator
from mlmd.calculators.models import mace
from mlmd.calculators.weights import cache_folder
from mlmd.errors import InputError

pytestmark = pytest.mark.xdist_group("tiny-mace")

MEASURE = """
import json, logging, os, sys
import numpy as np
from ase.calculators.calculator import Calculator
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from mlmd import CalculatorSpec, load_calculator
from mlmd.errors import MlmdError
from tiny_models import LennardJones, TRUTH, salt

model = sys.argv[1]
seen = {}
shared = list(Calculator.implemented_properties)
environment, handlers = dict(os.environ), list(logging.root.handlers)
import torch

for dtype, eps_A, strain in (("float32", 0.005, 1e-3), ("float64", 1e-4, 1e-5)):
    calculator = load_calculator("mace", trust=True, model=model, device="cpu", dtype=dtype)
    atoms = salt(5.2, seed=77)
    atoms.calc = calculator
    of = seen[dtype] = {"forces": atoms.get_forces().tolist()}
    of["stress"] = atoms.get_stress().tolist()
    of["numerical_forces"] = calculate_numerical_forces(atoms, eps=eps_A).tolist()
    of["numerical_stress"] = calculate_numerical_stress(
        atoms, eps=strain, force_consistent=False
    ).tolist()
    of["precision"] = str(next(calculator.models[0].parameters()).dtype)
    start = atoms.get_positions()
    first = atoms.get_forces()
    atoms.rattle(0.2, seed=9)
    atoms.get_forces()
    atoms.positions[:] = start
    of["repeats"] = bool((atoms.get_forces() == first).all())
    of["mean_stress"] = []
    for a_A in (4.8, 5.7):
        atoms = salt(a_A, rattle_A=0)
        atoms.calc = calculator
        of["mean_stress"].append(atoms.get_stress()[:3].mean())
    of["default_dtype"] = str(torch.get_default_dtype())

torch.set_default_dtype(torch.float64)
atoms = salt(5.2, seed=77)
atoms.calc = load_calculator("mace", trust=True, model=model, device="cpu")
seen["under_double"] = atoms.get_forces().tolist()
seen["under_double_after"] = str(torch.get_default_dtype())
torch.set_default_dtype(torch.float32)

truth = atoms.copy()
truth.calc = LennardJones(**TRUTH)
seen["truth"] = {"forces": truth.get_forces().tolist(), "stress": truth.get_stress().tolist()}

seen["changed_environment"] = sorted(set(os.environ.items()) ^ set(environment.items()))
seen["same_handlers"] = logging.root.handlers == handlers
seen["same_properties"] = Calculator.implemented_properties == shared

def said(action):
    try:
        action()
    except MlmdError as error:
        return f"{type(error).__name__}: {error}"
    return None

def load(**fields):
    return lambda: CalculatorSpec(
        "mace", **{"model": model, "device": "cpu", "trust": True, **fields}
    ).load()

def forces_of_sodium():
    atoms.symbols[3] = "Na"
    atoms.get_forces()

seen["errors"] = {
    "element": said(forces_of_sodium),
    "head": said(load(options={"head": "dft"})),
    "option": said(load(options={"default_dtype": "float64"})),
    "device": said(load(device="nonsense")),
    "name": said(load(model="medium-9")),
    "not_fetched": said(load(model="medium")),
    "no_weights": said(load(model=__import__("tiny_models").__file__)),
}
print(json.dumps(seen, default=float))
"""


@pytest.fixture(scope="module")
def python():
    given = os.environ.get("MLMD_TEST_MACE_PYTHON")
    found = Path(given) if given else cache_folder() / "environments/mace/bin/python"
    if not found.is_file():
        pytest.skip("needs an environment with MACE, named by MLMD_TEST_MACE_PYTHON")
    return str(found)


@pytest.fixture(scope="module")
def weights(python, tmp_path_factory):
    return tiny_models.mace(tmp_path_factory.mktemp("models") / "tiny.model", python)


@pytest.fixture(scope="module")
def seen(python, weights, repository_path, tmp_path_factory):
    """Everything that is measured with MACE, in one process of its environment."""
    done = subprocess.run(
        [python, "-c", MEASURE, str(weights)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                [str(repository_path), str(repository_path / "examples/models")]
            ),
            "MLMD_CACHE": str(tmp_path_factory.mktemp("cache")),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    return json.loads(line)


@pytest.fixture(scope="module")
def repository_path():
    return Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 5e-3), ("float64", 1e-5)])
def test_forces_are_derivatives_of_the_energy(seen, dtype, tolerance):
    forces = np.array(seen[dtype]["forces"])
    assert np.abs(forces).max() > 0.5
    assert forces == pytest.approx(np.array(seen[dtype]["numerical_forces"]), abs=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-4), ("float64", 1e-7)])
def test_stress_is_the_derivative_by_strain_in_ev_per_cubic_angstrom(seen, dtype, tolerance):
    stress = np.array(seen[dtype]["stress"])
    assert stress.shape == (6,)
    assert np.abs(stress).max() > 0.1
    assert stress == pytest.approx(np.array(seen[dtype]["numerical_stress"]), abs=tolerance)


@pytest.mark.slow
def test_it_gives_what_it_was_trained_on_with_sign_unit_and_order_of_atoms(seen):
    forces, truth = np.array(seen["float64"]["forces"]), np.array(seen["truth"]["forces"])
    assert forces == pytest.approx(truth, abs=0.3 * np.abs(truth).max())
    assert seen["float64"]["stress"] == pytest.approx(seen["truth"]["stress"], abs=0.03)


@pytest.mark.slow
def test_stress_is_positive_under_tension(seen):
    compressed, stretched = seen["float32"]["mean_stress"]
    assert stretched > 0.005 > -0.005 > compressed


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_forces_repeat_bit_for_bit_on_one_thread(seen, dtype):
    assert seen[dtype]["repeats"]


@pytest.mark.slow
def test_precision_is_the_one_asked_for_and_the_models_own_by_default(seen):
    assert seen["float32"]["precision"] == "torch.float32"
    assert seen["float64"]["precision"] == "torch.float64"
    assert seen["under_double"] == seen["float32"]["forces"]


@pytest.mark.slow
def test_the_process_stays_as_the_user_had_it(seen):
    assert {seen[d]["default_dtype"] for d in ("float32", "float64")} == {"torch.float32"}
    assert seen["under_double_after"] == "torch.float64"
    assert seen["changed_environment"] == []
    assert seen["same_handlers"]
    assert seen["same_properties"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("element", "does not know Na; it knows Cl, Li"),
        ("head", "no head 'dft'; expected one of Default"),
        ("option", "no option default_dtype; it has enable_cueq, enable_oeq, head"),
        ("device", "was not made (RuntimeError"),
        ("name", "no model 'medium-9'; expected a file of weights or one of small, medium"),
        ("not_fetched", "2023-12-03-mace-128-L1_epoch-199.model and put it at "),
        ("no_weights", "expected weights that MACE saved"),
    ],
)
def test_what_it_does_not_have_is_refused_in_one_line(seen, case, says):
    assert seen["errors"][case].startswith("InputError: ")
    assert says in seen["errors"][case]
    assert "\n" not in seen["errors"][case]


def test_model_is_known_by_its_weights_without_mace_or_torch(tmp_path):
    file = tmp_path / "some.model"
    file.write_bytes(b"weights")
    identity = mace.model_identity(CalculatorSpec("mace", model=str(file)))
    digest = hashlib.sha256(b"weights").hexdigest()
    assert identity == {"name": "some.model", "sha256": digest}
    code = (
        "import sys, mlmd.calculators.models.mace; assert not {'torch', 'mace'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )


def test_weights_that_were_fetched_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("MLMD_CACHE", str(tmp_path))
    spec = CalculatorSpec("mace", model="small")
    place = tmp_path / "weights/mace/2023-12-10-mace-128-L0_energy_epoch-249.model"
    with pytest.raises(InputError, match="fetch https://github") as caught:
        mace.model_identity(spec)
    assert f"put it at {place}" in str(caught.value)
    assert set(mace.models().values()) == {None}
    place.parent.mkdir(parents=True)
    place.write_bytes(b"weights")
    assert mace.models()["small"] == place
    assert mace.model_identity(spec)["name"] == "small"


@pytest.mark.slow
def test_names_and_addresses_are_those_of_the_package(python):
    code = (
        "import json; from mace.calculators.foundations_models import mace_mp_urls; "
        "print(json.dumps(mace_mp_urls))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    assert {name: theirs[name] for name in mace.PUBLISHED} == mace.PUBLISHED


def test_the_pinned_environment_is_complete_and_that_of_the_interpreter(python):
    pinned = Path(mace.__file__).parents[1] / "environments/mace.txt"
    code = (
        "import json, importlib.metadata as m; "
        "print(json.dumps({d.name.lower().replace('_', '-'): d.version.split('+')[0] "
        "for d in m.distributions()}))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    installed = json.loads(done.stdout)
    wanted = dict(line.split("==") for line in pinned.read_text().splitlines())
    assert {"torch", "mace-torch", "e3nn", "ase", "numpy", "scipy"} <= set(wanted)
    for name, version in wanted.items():
        assert installed[name.lower().replace("_", "-")] == version


def test_mace_and_sevennet_in_one_script(python, weights):
    """They cannot share an environment; here each call goes to the other in turn."""
    pytest.importorskip("sevenn", reason="needs the sevennet extra")
    atoms = tiny_models.salt(5.2, seed=77)
    apart = load_calculator("mace", model=str(weights), python=python, trust=True)
    here = load_calculator("sevennet")
    first = {name: c.get_property("forces", atoms) for name, c in (("m", apart), ("s", here))}
    assert "mace" not in sys.modules
    truth = atoms.copy()
    truth.calc = tiny_models.LennardJones(**tiny_models.TRUTH)
    # A tiny model, in the right units, with the atoms in the right order.
    assert np.corrcoef(first["m"].ravel(), truth.get_forces().ravel())[0, 1] > 0.9
    assert np.abs(first["m"] - first["s"]).max() > 0.05
    atoms.rattle(0.1, seed=1)
    for calculator in (here, apart):
        calculator.get_property("forces", atoms)
    atoms.positions[:] = truth.positions
    assert (apart.get_property("forces", atoms) == first["m"]).all()
    assert (here.get_property("forces", atoms) == first["s"]).all()
    assert apart.get_property("stress", atoms).shape == (6,)
    assert (apart.device, apart.dtype) == ("cpu", "float32")
