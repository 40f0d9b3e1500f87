"""The JSON of a comparison: keys that the command line and the report rely on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from mlmd import Trajectory, compare, load_calculator
from mlmd.comparison import Comparison, PairCurves

SCHEMA = json.loads((files("mlmd.comparison") / "schema.json").read_text(encoding="utf-8"))


def walk(seed: int, frames: int = 1000) -> Trajectory:
    rng = np.random.default_rng(seed)
    positions = np.cumsum(rng.normal(0, 0.15, (frames, 16, 3)), axis=0) + 9 * rng.random((16, 3))
    return Trajectory(
        positions_A=positions,
        cell_A=np.eye(3) * 9.0,
        numbers=np.array([18] * 8 + [10] * 8),
        time_fs=np.arange(frames) * 10.0,
        energies_eV=rng.normal(0, 1, frames),
        forces_eV_A=rng.normal(0, 1, (frames, 16, 3)),
        source=f"walk {seed}",
    )


@pytest.fixture(scope="module")
def full() -> Comparison:
    keys = [("Ar", 300.0), ("Ar", 500.0)]
    return compare(
        {key: walk(i) for i, key in enumerate(keys)},
        {key: walk(10 + i) for i, key in enumerate(keys)},
        calculator=load_calculator("lj", sigma_A=1.5, cutoff_A=4.4),
    )


def valid(content: Mapping[str, Any]) -> None:
    plain = json.loads(json.dumps(content, allow_nan=False))
    errors = sorted(Draft202012Validator(SCHEMA).iter_errors(plain), key=lambda e: list(e.path))
    assert [f"{list(e.absolute_path)}: {e.message[:200]}" for e in errors] == []


def test_every_comparison_fits_the_schema(full: Comparison) -> None:
    """Whatever was computed: all, curves alone, a single frame, cells that differ."""
    Draft202012Validator.check_schema(SCHEMA)
    curve = PairCurves(np.arange(5.0), {"Ar-Ar": np.arange(5.0)}, {}, "curve")
    larger = replace(walk(1), cell_A=np.eye(3) * 10.0)
    for result in (
        full,
        compare(curve, curve),
        compare(walk(0, 1), walk(1, 1)),
        compare(walk(0), larger, temperature_K=300.0),
    ):
        valid(result.to_dict())


def test_the_schema_sees_what_is_missing_or_new(full: Comparison) -> None:
    plain = full.to_dict()
    del plain["rdf"]["excess"]
    plain["diffusivity"]["points"][0]["surrogate"]["colour"] = "red"
    errors = [error.message for error in Draft202012Validator(SCHEMA).iter_errors(plain)]
    assert any("'excess' is a required property" in error for error in errors)
    assert any("'colour' was unexpected" in error for error in errors)


def test_what_lets_one_doubt_is_a_finding() -> None:
    result = compare(walk(0), replace(walk(1), cell_A=np.eye(3) * 10.0), temperature_K=300.0)
    found = {finding.code: finding for finding in result.findings}
    finding = found["other_volume"]
    assert finding.severity == "doubt"
    assert finding.numbers["relative_difference"] == pytest.approx(0.9**3 - 1.0)
    assert result.warnings == (finding.message,)
    assert result.to_dict()["findings"] == [one.to_dict() for one in result.findings]
    # A verdict that is no yes, and what is missing, are findings as well.
    said = {one.message for one in result.findings}
    for name, verdict in result.verdict.items():
        assert (f"{name}: {verdict.reason}" in said) == (verdict.answer != "yes")
    assert {f"{what}: {why}" for what, why in result.missing.items()} <= said


def test_numbers_are_those_of_the_result(full: Comparison) -> None:
    plain = full.to_dict()
    label = "Ar 300 K"
    assert [one["label"] for one in plain["systems"]] == [label, "Ar 500 K"]
    assert plain["systems"][0]["reference"]["duration_ps"] == pytest.approx(9.99)
    r2 = [one["r2_pooled"] for one in plain["rdf"]["systems"]]
    assert plain["rdf"]["r2_pooled"] == pytest.approx(np.mean(r2))
    assert plain["rdf"]["distribution"]["n"] == 2
    curves = plain["rdf"]["curves"][label]
    assert set(curves["surrogate"]) == {"Ar-Ar", "Ar-Ne", "Ne-Ne"}
    first = np.array([curves["surrogate"][pair] for pair in curves["reference"]])
    other = np.array(list(curves["reference"].values()))
    total = np.sum((other - other.mean()) ** 2)
    assert r2[0] == pytest.approx(1 - np.sum((first - other) ** 2) / total)
    (low, high), ratio = (
        plain["diffusivity"]["points"][0][key] for key in ("log10_ratio_interval68", "log10_ratio")
    )
    assert low < ratio < high
    assert plain["points"]["n_frames"] == 100
    assert set(plain["points"]["by_element"]) == {"Ar", "Ne"}


def test_verdicts_show_their_thresholds(full: Comparison) -> None:
    plain = full.to_dict()
    for name, verdict in plain["verdict"].items():
        keys = {"answer", "reason", "value", "needs_ps", "threshold", "by_temperature"}
        assert set(verdict) == keys, name
        assert verdict["answer"] in ("yes", "no", "inconclusive")
        assert verdict["reason"]
        assert verdict["threshold"]
        for key, limit in verdict["threshold"].items():
            assert plain["thresholds"][key] == limit
    assert set(plain["verdict"]["rdf"]["by_temperature"]) == {"300", "500"}
    assert plain["verdict"]["energies"]["answer"] == "no"
    assert full.verdict["forces"].answer == "no"


def test_thresholds_decide() -> None:
    one, other = walk(0), walk(1)
    strict = compare(one, other, thresholds=replace(compare(one, other).thresholds, r2_min=1.0))
    assert strict.verdict["rdf"].threshold["r2_min"] == 1.0
    assert strict.verdict["rdf"].answer != "yes"
