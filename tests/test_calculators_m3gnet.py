"""M3GNet on a model trained here: derivatives, units and signs, identity, refusals, order."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tiny_models
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from mlmd import CalculatorSpec, load_calculator
from mlmd.calculators.models import m3gnet
from mlmd.errors import InputError

pytest.importorskip("matgl", reason="needs the m3gnet extra")
pytestmark = pytest.mark.xdist_group("tiny-m3gnet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_models.m3gnet(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module", params=["float32", "float64"])
def calculator(request, folder):
    return load_calculator("m3gnet", model=str(folder), device="cpu", dtype=request.param)


@pytest.fixture
def atoms(calculator):
    atoms = tiny_models.salt(5.2, seed=77)
    atoms.calc = calculator
    return atoms


def truth(atoms):
    copy = atoms.copy()
    copy.calc = tiny_models.LennardJones(**tiny_models.TRUTH)
    return copy


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
    # Rounding in single precision, the third derivative in double.
    eps, tolerance = {"float32": (0.002, 1e-2), "float64": (1e-4, 1e-5)}[atoms.calc.dtype]
    indices = [0, 5]
    numerical = calculate_numerical_forces(atoms, eps=eps, iatoms=indices)
    forces = atoms.get_forces()[indices]
    assert np.abs(forces).max() > 0.5
    assert forces == pytest.approx(numerical, abs=tolerance)


def test_stress_is_the_derivative_by_strain_in_ev_per_cubic_angstrom(atoms):
    eps, tolerance = {"float32": (1e-3, 5e-4), "float64": (1e-5, 1e-7)}[atoms.calc.dtype]
    numerical = calculate_numerical_stress(atoms, eps=eps, force_consistent=False)
    assert np.abs(numerical).max() > 0.1
    assert atoms.get_stress().shape == (6,)
    assert atoms.get_stress() == pytest.approx(numerical, abs=tolerance)


def test_it_gives_what_it_was_trained_on_with_sign_unit_and_order_of_atoms(atoms):
    reference = truth(atoms)
    forces = reference.get_forces()
    assert atoms.get_forces() == pytest.approx(forces, abs=0.3 * np.abs(forces).max())
    assert atoms.get_stress() == pytest.approx(reference.get_stress(), abs=0.03)


def test_stress_is_positive_under_tension(calculator):
    mean_stress = {}
    for name, a_A in {"tension": 5.7, "compression": 4.8}.items():
        atoms = tiny_models.salt(a_A, rattle_A=0)
        atoms.calc = calculator
        mean_stress[name] = atoms.get_stress()[:3].mean()
    assert mean_stress["tension"] > 0.005 > -0.005 > mean_stress["compression"]


def test_forces_repeat_bit_for_bit_on_one_thread(atoms):
    start, first = atoms.get_positions(), atoms.get_forces()
    atoms.rattle(0.2, seed=9)
    atoms.get_forces()
    atoms.positions[:] = start
    assert (atoms.get_forces() == first).all()


def test_an_element_that_it_does_not_know_is_named(atoms):
    atoms.symbols[3] = "Na"
    with pytest.raises(InputError, match="does not know Na; it knows Cl, Li"):
        atoms.get_forces()


def test_a_slab_is_not_taken_for_a_molecule(atoms):
    atoms.pbc = (True, True, False)
    with pytest.raises(InputError, match="in all directions or in none"):
        atoms.get_forces()


def test_the_default_dtype_neither_matters_nor_changes(atoms, folder):
    import matgl
    import torch

    forces = atoms.get_forces()
    torch.set_default_dtype(torch.float64)
    try:
        dtype = atoms.calc.dtype
        atoms.calc = load_calculator("m3gnet", model=str(folder), device="cpu", dtype=dtype)
        assert (atoms.get_forces() == forces).all()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert matgl.float_th == torch.float32


def test_model_is_known_by_its_files_without_importing_torch(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "README.md").write_text("not part of the model")
    seen = {}
    for where in (folder, copy):
        seen[where] = python(
            "import json, sys; from mlmd import CalculatorSpec; "
            f"print(json.dumps(CalculatorSpec('m3gnet', model={str(where)!r}).physics())); "
            "assert not {'torch', 'matgl'} & set(sys.modules)"
        )["model"]
    lines = "".join(
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("model.json", "model.pt", "state.pt")
    )
    assert seen[folder]["sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert seen[copy] == {**seen[folder], "name": "copy"}
    (copy / "state.pt").write_bytes(b"other")
    other = CalculatorSpec("m3gnet", model=str(copy)).physics()["model"]
    assert other["sha256"] != seen[folder]["sha256"]


def test_weights_that_were_fetched_are_found_by_name(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MLMD_CACHE", str(tmp_path))
    name = "M3GNet-MatPES-PBE-v2025.1-PES"
    spec = CalculatorSpec("m3gnet", model=name, device="cpu")
    place = tmp_path / "weights/m3gnet" / name
    with pytest.raises(InputError, match=r"fetch model\.json, model\.pt, state\.pt from") as caught:
        spec.load()
    assert f"https://huggingface.co/materialyze/{name} and put them in {place}" in str(caught.value)
    shutil.copytree(folder, place)
    assert m3gnet.models()[name] == place
    assert spec.load().element_types == tiny_models.SYMBOLS
    (place / "state.pt").unlink()
    assert m3gnet.models()[name] is None
    with pytest.raises(InputError, match=r"has no state\.pt; expected the files"):
        CalculatorSpec("m3gnet", model=str(place)).load()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model": "M3GNet-9"}, r"no model 'M3GNet-9'; expected a folder.*M3GNet-MP-2021"),
        ({"device": "nonsense"}, "was not made.*expected a device of this machine"),
        ({"options": {"stress_unit": "GPa"}}, "no option stress_unit"),
    ],
)
def test_what_it_does_not_have_is_refused_in_one_line(folder, fields, says):
    with pytest.raises(InputError, match=says) as caught:
        CalculatorSpec("m3gnet", **{"model": str(folder), "device": "cpu", **fields}).load()
    assert "\n" not in str(caught.value)


def test_files_that_hold_no_model_are_refused_in_one_line(tmp_path):
    for name in m3gnet.FILES:
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=r"was not made.*Potential\.save") as caught:
        CalculatorSpec("m3gnet", model=str(tmp_path), device="cpu").load()
    assert "\n" not in str(caught.value)


def test_loading_is_silent_and_leaves_the_process_as_it_was(folder, capfd, recwarn):
    environment = dict(os.environ)
    load_calculator("m3gnet", model=str(folder), device="cpu")
    said = capfd.readouterr()
    assert said.out == said.err == ""
    assert not recwarn.list
    assert dict(os.environ) == environment


@pytest.mark.slow
def test_deterministic_algorithms_repeat_bit_for_bit_on_two_threads(folder):
    seen = python(
        "import json, torch; from mlmd import load_calculator; from tiny_models import salt\n"
        f"c = load_calculator('m3gnet', model={str(folder)!r}, device='cpu', threads=2, "
        "deterministic=True)\n"
        "assert torch.are_deterministic_algorithms_enabled() and torch.get_num_threads() == 2\n"
        "def forces(seed):\n"
        "    atoms = salt(seed=seed).repeat(2); atoms.calc = c\n"
        "    return atoms.get_forces().tobytes()\n"
        "print(json.dumps(len({forces(seed) for seed in (1, 2, 1)})))",
        OMP_NUM_THREADS="2",
    )
    assert seen == 2


@pytest.mark.slow
def test_three_packages_in_one_process_give_the_same_forces_in_any_order(folder):
    pytest.importorskip("chgnet", reason="needs the chgnet extra")
    pytest.importorskip("sevenn", reason="needs the sevennet extra")
    orders = ("chgnet sevennet m3gnet", "m3gnet sevennet chgnet")
    seen = [
        python(
            "import hashlib, json; from mlmd import load_calculator; from tiny_models import salt\n"
            f"models = {{'m3gnet': {str(folder)!r}}}\n"
            "made = {}\n"
            f"for name in {order.split()!r}:\n"
            "    made[name] = load_calculator(name, model=models.get(name), device='cpu')\n"
            "forces = {}\n"
            "for name, calculator in made.items():\n"
            "    atoms = salt(); atoms.calc = calculator\n"
            "    forces[name] = hashlib.sha256(atoms.get_forces().tobytes()).hexdigest()\n"
            "print(json.dumps(forces))"
        )
        for order in orders
    ]
    assert len(seen[0]) == 3
    assert seen[0] == seen[1]
