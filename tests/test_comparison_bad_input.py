"""Input that cannot be compared: a clear error, or what could be had and what is missing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mlmd import Trajectory, compare
from mlmd.comparison import ComparisonSettings, Functionals, PairCurves, RdfChoice, Thresholds
from mlmd.errors import InputError


def gas(numbers: list[int], seed: int = 0, frames: int = 40, edge_A: float = 9.0) -> Trajectory:
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.normal(0, 0.2, (frames, len(numbers), 3)), axis=0)
    return Trajectory(
        positions_A=rng.random((len(numbers), 3)) * edge_A + steps,
        cell_A=np.eye(3) * edge_A,
        numbers=np.array(numbers),
        time_fs=np.arange(frames) * 5.0,
        source=f"run {seed}",
    )


SALT = [11] * 10 + [17] * 10
one, other = gas(SALT, 1), gas(SALT, 2)
curve = PairCurves(np.arange(5.0), {"Na-Cl": np.arange(5.0)}, {}, "curve")

REFUSED = [
    ("composition", one, gas([11] * 12 + [17] * 8), {}, "expected the same composition"),
    ("element", one, gas([3] * 10 + [17] * 10), {}, "expected the same composition"),
    ("no frame", one, gas(SALT, frames=0), {}, "no frame"),
    ("kinds", {("NaCl", 300.0): one}, other, {}, "expected two of a kind"),
    ("curves and run", curve, other, {}, "expected two of a kind"),
    ("no common", {("NaCl", 300.0): one}, {("NaCl", 400.0): other}, {}, "no system is on both"),
    ("key", {"NaCl": one}, {"NaCl": other}, {}, r"expected \(composition, temperature_K\)"),
    ("key's T", {("NaCl", -3.0): one}, {("NaCl", -3.0): other}, {}, "positive number in K"),
    (
        "T beside sets",
        {("NaCl", 3.0): one},
        {("NaCl", 3.0): other},
        {"temperature_K": 3.0},
        "leave",
    ),
    ("T", one, other, {"temperature_K": 0.0}, "positive number in K"),
    ("not data", "file.xyz", other, {}, "expected a Trajectory"),
    ("no runs", [], other, {}, "expected a Trajectory"),
    ("seeds", [one, gas(SALT * 2)], other, {}, "nothing but their seed"),
    (
        "functionals",
        {("NaCl", 300.0): one, ("NaCl", 400.0): one},
        {("NaCl", 300.0): other, ("NaCl", 400.0): other},
        {"functionals": Functionals({("NaCl", 300.0): "PBE", ("NaCl", 400.0): "r2SCAN"})},
        "mixes the functionals PBE .* r2SCAN",
    ),
]


@pytest.mark.parametrize(
    ("surrogate", "reference", "options", "message"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
def test_refused(surrogate: object, reference: object, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        compare(surrogate, reference, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": 1.5}, "at most 1"),
        ({"diffusivity_factor": 1.0}, "more than 1"),
        ({"r2_min": float("nan")}, "positive"),
        ({"softening": "much"}, "expected a positive number"),
    ],
)
def test_thresholds_that_are_none(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Thresholds(**change)


def test_one_frame_gives_structure_and_says_what_is_missing() -> None:
    single = gas(SALT, 3, frames=1)
    result = compare(one, single, temperature_K=300.0)
    (parity,) = result.rdf.values()
    assert parity.r2_pooled is not None
    assert parity.r2_noise_ceiling is None
    assert "single frame" in result.missing["noise ceiling of Na10Cl10 300 K"]
    assert "expected at least two" in result.missing["diffusivity of Na in Na10Cl10 300 K"]
    assert "vdos of Na10Cl10 300 K" in result.missing
    plain = result.to_dict()
    assert plain["diffusivity"]["log10_mae"] is None
    assert plain["rdf"]["r2_noise_ceiling"] is None
    assert plain["spectra"]["vdos_overlap"] is None
    assert {one["answer"] for one in plain["verdict"].values()} == {"inconclusive"}
    assert "the reference is too short (1 frame, 0 ps)" in plain["verdict"]["diffusivity"]["reason"]
    json.dumps(plain, allow_nan=False)


def test_reference_shorter_than_the_window() -> None:
    settings = ComparisonSettings(diffusivity={"window_ps": 15.0, "fit_ps": (1.0, 15.0)})
    result = compare(one, other, temperature_K=300.0, settings=settings)
    assert result.diffusivity is None
    assert "0.195 ps" in result.missing["diffusivity of Na in Na10Cl10 300 K"]
    assert result.rdf


def test_unknown_temperature() -> None:
    result = compare(one, other)
    assert result.to_dict()["systems"][0]["temperature_K"] is None
    assert "temperatures" in result.missing["activation_energy"]
    assert set(result.verdict["rdf"].by_temperature) == {"unknown"}


def test_other_cell_is_compared_and_warned_of() -> None:
    larger = gas(SALT, 4, edge_A=9.5)
    result = compare(larger, one)
    assert "volume per atom of the surrogate differs by +17.6 %" in result.warnings[0]
    assert next(iter(result.rdf.values())).settings["r_max_A"] <= 4.5
    long = replace(one, cell_A=np.diag([6.0, 9.0, 13.5]))
    assert "same shape" in compare(long, one).warnings[0]
    double = compare(gas(SALT * 2, 5, edge_A=9.0 * 2 ** (1 / 3)), one)
    assert "40 atoms" in double.warnings[0]


def test_systems_of_one_side_are_named() -> None:
    result = compare(
        {("NaCl", 300.0): one, ("NaCl", 500.0): one}, {("NaCl", 300.0): other, ("KCl", 9.0): other}
    )
    assert list(result.systems) == ["NaCl 300 K"]
    assert result.missing["NaCl 500 K"] == "the reference does not have it"
    assert result.missing["KCl 9 K"] == "the surrogate does not have it"


def test_functionals_of_the_two_sides() -> None:
    same = compare(one, other, functionals=Functionals("PBE", "pbe"))
    assert "other_functional" not in {finding.code for finding in same.findings}
    mixed = compare(one, other, functionals=Functionals("r2SCAN", "PBE"))
    assert "fitted to PBE, the reference is r2SCAN" in mixed.warnings[0]


def test_nothing_at_all() -> None:
    settings = ComparisonSettings(rdf=RdfChoice(bin_A=100.0))
    with pytest.raises(InputError, match="nothing could be compared"):
        compare(gas(SALT, 1, frames=1), gas(SALT, 2, frames=1), settings=settings)


def test_broken_positions() -> None:
    positions = one.positions_A.copy()
    positions[3, 2, 1] = np.nan
    with pytest.raises(InputError, match="nothing could be compared"):
        compare(replace(one, positions_A=positions), other)


def test_one_broken_system_does_not_take_the_others_with_it() -> None:
    flat = replace(one, cell_A=np.diag([9.0, 9.0, 0.0]))
    keys = [("NaCl", 300.0), ("NaCl", 500.0)]
    result = compare({keys[0]: flat, keys[1]: one}, {keys[0]: other, keys[1]: other})
    assert "without a volume" in result.missing["rdf of NaCl 300 K"]
    assert list(result.rdf) == ["NaCl 500 K"]
