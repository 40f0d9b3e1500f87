"""What commands print with --json is JSON: neither NaN nor Infinity, whatever was found."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from hypothesis import given, settings
from hypothesis import strategies as st

import mlmd.cli
from mlmd.cli.app import run_command_line
from mlmd.plain import json_line

COMMANDS = Path(mlmd.cli.__file__).parent
ODD = [math.nan, math.inf, -math.inf, np.float64("nan"), np.float32("inf")]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(ODD),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


def strict(text: str) -> Any:
    """Read JSON as RFC 8259 has it."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_commands_print_json_through_one_function() -> None:
    printed = 0
    for path in COMMANDS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("json.dumps", "json.dump"), f"{path.name} line {node.lineno}"
                printed += name == "json_line"
    assert printed >= 15


@given(VALUES)
@settings(max_examples=60, deadline=None)
def test_any_result_is_printed_as_json(value: Any) -> None:
    def same(one: Any, other: Any) -> bool:
        if isinstance(one, dict):
            return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
        if isinstance(one, list | tuple):
            return len(one) == len(other) and all(map(same, one, other))
        if isinstance(one, float | np.floating):
            return other == float(one) if math.isfinite(one) else other is None
        return one == other

    line = json_line(value)
    assert "\n" not in line
    assert same(value, strict(line))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Trajectories that make numbers which are none: at rest, of one frame, of one atom."""
    folder = tmp_path_factory.mktemp("odd")
    grid = 3.0 * np.indices((3, 3, 3)).reshape(3, -1).T
    salt = Atoms("Li14Cl13", positions=grid, cell=[9.0] * 3, pbc=True)
    one = Atoms("Li", positions=[[1.0, 1.0, 1.0]], cell=[6.0] * 3, pbc=True)
    made = {"rest": [salt] * 60, "frame": [salt], "atom": [one] * 60}
    for name, frames in made.items():
        write(folder / f"{name}.xyz", frames)
    return {name: str(folder / f"{name}.xyz") for name in made}


STATES = ["--oxidation-state", "Li=13", "--oxidation-state", "Cl=-14"]
STEP = ["--timestep-fs", "20"]


@pytest.mark.parametrize(
    ("command", "names", "options"),
    [
        ("analyze", ["rest"], [*STEP, "--temperature-K", "300", *STATES, "--extrapolate-K", "9"]),
        ("analyze", ["atom"], [*STEP, "--drift", "none"]),
        ("rdf", ["frame"], []),
        ("compare", ["rest", "rest"], [*STEP]),
        ("compare", ["frame", "rest"], [*STEP]),
        ("features", ["rest"], ["--mobile", "Li"]),
        ("features", ["atom"], ["--mobile", "Li"]),
    ],
)
def test_numbers_that_are_none_are_null(files, capsys, command, names, options) -> None:
    code = run_command_line([command, *(files[name] for name in names), *options, "--json"])
    found = capsys.readouterr()
    if code == 0:
        assert strict(found.out)
    else:  # nothing to be had, said in one line
        assert code in (1, 2)
        assert len(found.err.strip().splitlines()) == 1
        assert found.out == "" or strict(found.out)


def test_a_haven_ratio_of_charge_at_rest_is_null(files, capsys) -> None:
    options = [*STEP, "--temperature-K", "300", *STATES, "--json"]
    assert run_command_line(["analyze", files["rest"], *options]) == 0
    (stage,) = strict(capsys.readouterr().out)["stages"].values()
    charge = stage["conductivity"]["charge"]
    assert charge["D_charge_raw_cm2_s"] == 0.0
    assert charge["haven_ratio_raw"] is None
    assert charge["haven_interval68"] is None
    assert stage["conductivity"]["full"] is None
