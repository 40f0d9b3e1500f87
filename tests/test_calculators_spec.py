"""CalculatorSpec: forms, identity, pickling, and errors that say what to do."""

import importlib.util
import os
import pickle
import subprocess
import sys
import textwrap

import pytest
from ase.build import bulk

from mlmd import CalculatorSpec, load_calculator
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.errors import InputError, MissingExtraError


def assert_one_line(caught) -> None:
    assert "\n" not in str(caught.value)


@pytest.fixture
def factories(tmp_path, monkeypatch):
    """A module of the user's own, importable as ``my_factories.inner``."""
    package = tmp_path / "my_factories"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text(
        textwrap.dedent("""
            from mlmd.calculators.models.lennard_jones import LennardJones

            def argon(cutoff_A=5.0, model=None):
                calculator = LennardJones(sigma_A=3.4, epsilon_eV=0.0104, cutoff_A=cutoff_A)
                calculator.model = model
                return calculator

            def broken():
                raise ValueError("weights are\\nnot here")

            def number():
                return 42
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("my_factories")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "name", "model"),
    [
        ("chgnet", "chgnet", None),
        ("chgnet:0.3.0", "chgnet", "0.3.0"),
        ("chgnet:folder/with:colon.tar", "chgnet", "folder/with:colon.tar"),
        ("lj", "lj", None),
        ("package.module:factory", "package.module:factory", None),
        ("module:factory", "module:factory", None),
    ],
)
def test_forms_of_a_name(text, name, model):
    spec = CalculatorSpec.parse(text)
    assert (spec.name, spec.model) == (name, model)


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "LJ", "lj ", "chgnet:", "package.module:", ":factory", "a b:c", "x.y:f()"],
)
def test_other_forms_are_refused(text):
    with pytest.raises(InputError, match="calculator") as caught:
        CalculatorSpec.parse(text)
    assert_one_line(caught)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": 3},
        {"name": "lj", "model": 0.3},
        {"name": "lj", "device": 0},
        {"name": "lj", "threads": 0},
        {"name": "lj", "threads": 1.5},
        {"name": "lj", "threads": True},
        {"name": "lj", "options": {"cutoff_A": {1, 2}}},
        {"name": "lj", "options": {"cutoff_A": float("nan")}},
        {"name": "lj", "options": {"cutoff_A": LennardJones}},
    ],
)
def test_fields_of_another_kind_are_refused(fields):
    with pytest.raises(InputError) as caught:
        CalculatorSpec(**fields)
    assert_one_line(caught)


def test_specs_are_compared_hashed_and_pickled_by_content():
    def spec(**changes):
        fields = {"name": "lj", "threads": 2, "options": {"cutoff_A": 8, "sigma_A": {"Ar": 3.4}}}
        return CalculatorSpec(**{**fields, **changes})

    assert spec() == spec()
    assert hash(spec()) == hash(spec())
    reordered = spec(options={"sigma_A": {"Ar": 3.4}, "cutoff_A": 8.0})
    assert reordered == spec()
    assert hash(reordered) == hash(spec())
    for changes in ({"threads": 1}, {"device": "cpu"}, {"options": {"cutoff_A": 8.1}}):
        assert spec(**changes) != spec()
    again = pickle.loads(pickle.dumps(spec()))
    assert again == spec()
    assert again.options == spec().options
    assert CalculatorSpec(**spec().to_dict()) == spec()


def test_a_spec_does_not_change_with_what_it_was_made_from():
    options = {"cutoff_A": 5.0}
    spec = CalculatorSpec("lj", options=options)
    options["cutoff_A"] = 6.0
    assert spec.options["cutoff_A"] == 5.0
    with pytest.raises(TypeError):
        spec.options["cutoff_A"] = 6.0  # type: ignore[index]
    with pytest.raises(AttributeError):
        spec.name = "emt"  # type: ignore[misc]


def test_physics_is_name_model_and_options_only():
    spec = CalculatorSpec("lj", device="cuda", threads=7, options={"cutoff_A": 5.0})
    assert spec.physics() == {"name": "lj", "model": None, "options": {"cutoff_A": 5.0}}
    elsewhere = CalculatorSpec("lj", device="cpu", threads=1, options={"cutoff_A": 5.0})
    assert elsewhere.physics() == spec.physics()


def test_one_word_changes_the_engine():
    copper = bulk("Cu", cubic=True) * 2
    energies = {}
    for name, options in {"emt": {}, "lj": {"cutoff_A": 3.5}}.items():
        copper.calc = load_calculator(name, **options)
        energies[name] = copper.get_potential_energy()
    assert energies["emt"] != energies["lj"]


def test_a_factory_of_ones_own(factories):
    calculator = load_calculator("my_factories.inner:argon", cutoff_A=4.0, model="mine")
    assert isinstance(calculator, LennardJones)
    assert calculator.model == "mine"
    atoms = bulk("Ar", a=5.3, cubic=True) * 2
    atoms.calc = calculator
    energy = atoms.get_potential_energy()
    atoms.calc = LennardJones(sigma_A=3.4, epsilon_eV=0.0104, cutoff_A=4.0)
    assert atoms.get_potential_energy() == energy
    spec = CalculatorSpec("my_factories.inner:argon", options={"cutoff_A": 4.0})
    assert spec.physics()["options"] == {"cutoff_A": 4.0}
    assert pickle.loads(pickle.dumps(spec)).load().implemented_properties


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("my_factories.inner:argon", {"cut": 4.0}, "unexpected keyword argument 'cut'"),
        ("my_factories.inner:broken", {}, "ValueError: weights are not here"),
        ("my_factories.inner:number", {}, "returned int; expected an ASE calculator"),
        ("my_factories.inner:absent", {}, "has no 'absent'"),
        ("my_factories.nowhere:argon", {}, "cannot be imported"),
    ],
)
def test_errors_of_a_factory_are_one_line(factories, name, options, says):
    with pytest.raises(InputError, match=says) as caught:
        load_calculator(name, **options)
    assert_one_line(caught)


@pytest.mark.parametrize(
    ("name", "options"),
    [("lj", {"sigma": 3.4}), ("emt", {"cutoff": 3.0})],
)
def test_options_that_a_calculator_does_not_have_are_refused(name, options):
    with pytest.raises(InputError, match=next(iter(options))) as caught:
        load_calculator(name, **options)
    assert_one_line(caught)


@pytest.mark.parametrize("name", ["lj", "emt"])
def test_models_of_a_calculator_without_models_are_refused(name):
    with pytest.raises(InputError, match="has no models"):
        load_calculator(name, model="1")
    with pytest.raises(InputError, match="has no models"):
        CalculatorSpec(name, model="1").physics()


def test_a_missing_extra_names_the_pip_command(monkeypatch):
    find_spec = importlib.util.find_spec

    def without_chgnet(name, *arguments):
        return None if name == "chgnet" else find_spec(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", without_chgnet)
    for attempt in (lambda: load_calculator("chgnet"), CalculatorSpec("chgnet").physics):
        with pytest.raises(MissingExtraError, match=r"pip install 'mlmd\[chgnet\]'") as caught:
            attempt()
        assert_one_line(caught)


def test_calculators_made_ready_tell_their_parameters():
    # By these a run knows a ready-made calculator again.
    one, other = LennardJones(sigma_A=3.4), LennardJones(sigma_A={"Ar": 3.5})
    assert one.parameters["sigma_A"] == 3.4
    assert dict(one.parameters) != dict(other.parameters)


def test_naming_calculators_imports_no_model():
    code = (
        "import sys, mlmd; mlmd.CalculatorSpec.parse('chgnet:0.3.0'); "
        "heavy = {'torch', 'chgnet', 'pymatgen', 'matplotlib', 'pandas', 'sklearn'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[]"
