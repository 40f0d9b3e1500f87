"""Structure features of two sides: differences with errors, R2 that units do not move."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from systems import argon

from mlmd import Trajectory, compare
from mlmd.cli.app import run_command_line
from mlmd.comparison import (
    ComparisonSettings,
    FeatureAgreement,
    FeatureChoice,
    FeatureParity,
    feature_agreement,
    feature_parity,
)
from mlmd.comparison.features.choice import CELL_FEATURES, RUN_FEATURES
from mlmd.comparison.features.parity import FeatureValues
from mlmd.descriptors import FEATURES
from mlmd.digits import r_squared_text
from mlmd.dynamics.bussi import Bussi
from mlmd.errors import InputError
from mlmd.plot import plot_feature_differences, plot_feature_parity
from mlmd.report.comparison.csv_blocks import copy_blocks
from mlmd.trajectory.export import export_trajectory

ARGYRODITE = Path(__file__).parents[2] / "shared" / "data" / "argyrodite_aimd"

SYSTEMS = ((46.0, 4, 18), (52.0, 9, 9), (60.0, 15, 8), (70.0, 9, 3))
"""Volume per atom of the argon (A3), and how many of 27 atoms are called Li and O."""


@cache
def melt(seed: int, system: int = 1) -> Trajectory:
    """A Lennard-Jones liquid, its atoms called Li, S and O by lot, its lengths those of a salt."""
    volume_A3, n_li, n_o = SYSTEMS[system]
    atoms = argon(3, temperature_K=250.0, volume_per_atom_A3=volume_A3, seed=seed)
    rng = np.random.default_rng(seed + 100)
    dynamics = Bussi(atoms, timestep_fs=8.0, temperature_K=250.0, rng=rng)
    dynamics.run(150)
    positions = []
    for _ in range(110):
        dynamics.run(12)
        positions.append(0.75 * atoms.positions)
    return Trajectory(
        np.array(positions)[:, rng.permutation(27)],
        0.75 * atoms.cell.array,
        np.array([3] * n_li + [8] * n_o + [16] * (27 - n_li - n_o)),
        np.arange(110) * 96.0,
        source=f"melt {seed}",
    )


@cache
def parities() -> tuple[FeatureParity, ...]:
    """Two independent runs of the same potential in each of four systems."""
    return tuple(feature_parity(melt(20 + i, i), melt(40 + i, i)) for i in range(4))


def scaled(run: Trajectory, factor: float) -> Trajectory:
    return replace(run, positions_A=factor * run.positions_A, cell_A=factor * run.cell_A)


def changed(parity: FeatureParity, name: str, factor: float) -> FeatureParity:
    """The same with a feature in another unit."""
    one = parity.per_feature[name]
    numbers = {
        key: factor * value
        for key in ("surrogate", "surrogate_error", "reference", "reference_error", "noise")
        if (value := getattr(one, key)) is not None
    }
    return replace(parity, per_feature={**parity.per_feature, name: replace(one, **numbers)})


def test_only_what_depends_on_the_run_is_compared() -> None:
    names = set(parities()[0].per_feature)
    of_composition = {feature.name for feature in FEATURES if feature.of_composition}
    assert {"ENS", "Li_percentage", "avg_X_with_Li"} <= of_composition
    assert not names & of_composition
    assert "inverse_kbT" not in names
    assert names == set(RUN_FEATURES)
    assert {"AAV", "LNC", "LASD", "SLPW", "PF", "LBI"} <= names


def test_identical_runs_agree_perfectly() -> None:
    same = [feature_parity(melt(20 + i, i), melt(20 + i, i)) for i in range(4)]
    for one in same[0].per_feature.values():
        assert one.surrogate == one.reference
        assert one.sigma in (0.0, None)
        assert one.relative_difference == 0.0
    result = feature_agreement(same)
    assert result.r2_pooled == result.r2_pooled_raw == 1.0
    assert {value for value in result.r2.values() if value is not None} == {1.0}


def test_a_scaled_cell_moves_volumes_by_its_cube_and_lengths_by_itself() -> None:
    found = feature_parity(scaled(melt(1), 1.04), melt(1)).per_feature
    for name, factor in {
        "AAV": 1.04**3, "VPA": 1.04**3, "PF": 1.04**-3, "SPF": 1.04**-3, "density": 1.04**-3,
        "AASD": 1.04, "LASD": 1.04, "LLSD": 1.04, "SLPW_pp": 1.04,
    }.items():  # fmt: skip
        assert found[name].surrogate == pytest.approx(factor * found[name].reference, rel=1e-9)
        assert found[name].relative_difference == pytest.approx(factor - 1, rel=1e-6)
        assert not found[name].set_by_cell
    # Neighbours within a fixed distance become fewer; the ionicity of bonds hardly changes.
    assert found["LNC"].sigma < -5
    # A constant volume has no error to measure its difference in.
    assert found["AAV"].surrogate_error == 0.0
    assert found["AAV"].sigma is None


def test_volume_in_the_references_cell_is_equal_by_construction() -> None:
    result = feature_agreement(parities())
    for name in CELL_FEATURES:
        assert all(one.per_feature[name].set_by_cell for one in parities())
        assert result.r2[name] is None
        assert "by construction" in result.left_out[name]
    # A reference whose cell breathes about that of the surrogate does not make it a finding.
    breath = 1.0 + 0.002 * np.sin(np.arange(110.0))
    cells = melt(1).cells_A() * breath[:, None, None]
    npt = replace(melt(1), cell_A=cells, positions_A=melt(1).positions_A * breath[:, None, None])
    assert feature_parity(melt(2), npt).per_feature["AAV"].set_by_cell
    assert not feature_parity(npt, melt(2)).per_feature["AAV"].set_by_cell
    own = [feature_parity(scaled(melt(20 + i, i), 1.01), melt(40 + i, i)) for i in range(3)]
    volumes = np.array([one.per_feature["AAV"].reference for one in own])
    off = np.sum(((1.01**3 - 1) * volumes) ** 2) / np.sum((volumes - volumes.mean()) ** 2)
    assert feature_agreement(own).r2["AAV"] == pytest.approx(1 - off)


def test_radii_that_depend_on_the_neighbours_are_not_set_by_the_cell() -> None:
    found = feature_parity(melt(1), melt(2), convention="zheng2024").per_feature
    assert found["AAV"].set_by_cell
    assert not found["PF"].set_by_cell
    assert found["PF"].sigma is not None


def test_standard_errors_cover_the_difference_of_two_runs() -> None:
    sigmas = np.array([
        one.sigma for parity in parities() for one in parity.per_feature.values()
        if one.sigma is not None
    ])  # fmt: skip
    assert len(sigmas) == 4 * (len(RUN_FEATURES) - len(CELL_FEATURES))
    assert np.mean(np.abs(sigmas) < 3) > 0.9
    assert 0.3 < np.median(np.abs(sigmas)) < 1.3


def test_the_errors_know_that_frames_are_correlated() -> None:
    rng = np.random.default_rng(3)
    base = melt(1)
    held = replace(base, positions_A=np.repeat(base.positions_A[::11], 11, axis=0))
    free = replace(base, positions_A=rng.permuted(held.positions_A, axis=0))
    found = [feature_parity(run, base).per_feature["LNC"].surrogate_error for run in (held, free)]
    assert found[0] > 2 * found[1]


def test_r2_of_the_same_potential_is_what_its_noise_allows() -> None:
    result = feature_agreement(parities())
    assert result.n_pairs == 4
    # Ionicities differ between the systems by far more than their noise.
    assert min(result.r2["LBI"], result.r2["SBI"]) > 0.8
    known = [value for value in result.r2.values() if value is not None]
    excesses = [
        (1 - result.r2[name]) / (1 - ceiling)
        for name, ceiling in result.r2_noise_ceiling.items()
        if ceiling is not None
    ]
    assert len(excesses) == len(known)
    assert 0.2 < np.median(excesses) < 5.0
    # As many values of each: pooled is the mean over the features.
    assert result.r2_pooled == pytest.approx(np.mean(known))


def test_a_shuffled_pairing_has_no_r2() -> None:
    ones = parities()
    shuffled = [
        replace(
            one,
            per_feature={
                name: replace(value, surrogate=other.per_feature[name].surrogate)
                for name, value in one.per_feature.items()
            },
        )
        for one, other in zip(ones, (*ones[2:], *ones[:2]), strict=True)
    ]
    assert feature_agreement(shuffled).r2_pooled < 0.0


def test_units_move_the_raw_r2_and_not_the_scaled_one() -> None:
    ones = parities()
    plain = feature_agreement(ones)
    in_pm = feature_agreement([changed(one, "SLPW", 100.0) for one in ones])
    assert in_pm.r2_pooled == pytest.approx(plain.r2_pooled, rel=1e-9)
    assert in_pm.r2["SLPW"] == pytest.approx(plain.r2["SLPW"], rel=1e-9)
    assert in_pm.r2_pooled_noise_ceiling == pytest.approx(plain.r2_pooled_noise_ceiling, rel=1e-9)
    assert abs(in_pm.r2_pooled_raw - plain.r2_pooled_raw) > 1e-4
    # Raw, even a shuffled pairing looks fine: the features' sizes differ more than the systems.
    assert plain.r2_pooled_raw > 0.99


def of(reference: list[float], surrogate: list[float], noise: float | None) -> FeatureAgreement:
    """Agreement of one feature by hand."""
    return feature_agreement([
        FeatureParity(
            {"LNC": FeatureValues(s, None, r, None, "1", None, None, noise, set_by_cell=False)},
            "Li", "mlmd", 1, 1,
        )
        for s, r in zip(surrogate, reference, strict=True)
    ])  # fmt: skip


def test_r2_and_its_ceiling_by_hand() -> None:
    # Spread of the reference: 2; squares of the differences: 1; of the noise: 3 * 0.04.
    result = of([1.0, 2.0, 3.0], [1.0, 3.0, 3.0], 0.2)
    assert result.r2["LNC"] == pytest.approx(1 - 1 / 2)
    assert result.r2_pooled == pytest.approx(0.5)
    assert result.r2_noise_ceiling["LNC"] == pytest.approx(1 - 0.12 / 2)
    assert result.r2_pooled_noise_ceiling == pytest.approx(0.94)
    assert of([1.0, 2.0, 3.0], [1.0, 3.0, 3.0], None).r2_noise_ceiling == {"LNC": None}


def test_too_few_systems_or_no_spread_have_no_r2() -> None:
    two = of([1.0, 2.0], [1.0, 2.0], 0.1)
    assert (two.r2["LNC"], two.r2_pooled, two.r2_pooled_raw) == (None, None, None)
    assert two.left_out["LNC"] == "fewer than 3 systems"
    flat = of([2.0, 2.0, 2.0], [1.0, 2.0, 3.0], 0.1)
    assert flat.r2["LNC"] is None
    assert "same in all systems" in flat.left_out["LNC"]


def test_runs_of_several_seeds_are_one_longer_run() -> None:
    one, other = melt(1), melt(2)
    both = feature_parity([one, other], one).per_feature["LNC"]
    each = [feature_parity(run, one).per_feature["LNC"] for run in (one, other)]
    assert both.surrogate == pytest.approx(np.mean([run.surrogate for run in each]))
    errors = [run.surrogate_error for run in each]
    assert both.surrogate_error == pytest.approx(np.hypot(*errors) / 2)


def test_frames_are_thinned_and_counted() -> None:
    assert parities()[0].n_frames_surrogate == 100
    few = feature_parity(melt(1), melt(2), frames=7)
    assert (few.n_frames_surrogate, few.n_frames_reference) == (7, 7)
    single = feature_parity(melt(1), melt(2), frames=1).per_feature["LNC"]
    assert (single.surrogate_error, single.sigma) == (None, None)


def test_json_of_a_comparison() -> None:
    sides = [{("LiSO", 100.0 + i): melt(seed + i, i) for i in range(3)} for seed in (20, 40)]
    result = compare(*sides)
    section = json.loads(json.dumps(result.to_dict(), allow_nan=False))["features"]
    assert section["n_pairs"] == 3
    assert section["r2_pooled"] == feature_agreement(parities()[:3]).r2_pooled
    assert {"r2", "r2_pooled", "r2_pooled_raw", "n_pairs"} <= set(section)
    first = section["systems"][0]
    assert first["label"] == "LiSO 100 K"
    assert {"surrogate", "surrogate_error", "reference", "reference_error", "unit", "sigma"} <= set(
        first["per_feature"]["LNC"]
    )
    assert first["per_feature"]["SLPW"]["unit"] == "A"
    assert FeatureParity.from_dict(first) == parities()[0]
    # Features report; they do not judge.
    assert "features" not in result.verdict
    (block,) = (b for b in copy_blocks({"surrogate": result.to_dict()}) if b.name == "csv-numbers")
    rows = [r for r in csv.DictReader(io.StringIO(block.text)) if "feature" in r["quantity"]]
    r2 = {r["part"]: float(r["value"]) for r in rows if r["quantity"] == "feature_r2"}
    assert r2.pop("all") == section["r2_pooled"]
    assert r2.pop("all, bare numbers") == section["r2_pooled_raw"]
    assert r2 == {name: value for name, value in section["r2"].items() if value is not None}
    assert {r["quantity"] for r in rows} == {"feature_r2", "feature_r2_noise_ceiling"}
    drawn = plot_feature_parity(result.feature_agreement())
    assert r_squared_text(section["r2_pooled"]) in drawn.get_legend().get_title().get_text()
    points = sum(len(line.get_xdata()) for line in drawn.lines[1:])
    assert points == 3 * len(result.feature_agreement().scaled)


def test_differences_are_drawn_where_they_are() -> None:
    found = feature_parity(scaled(melt(1), 1.04), melt(2))
    ax = plot_feature_differences({"too large": found})
    names = [label.get_text() for label in ax.get_yticklabels()]
    drawn = dict(zip(ax.lines[-1].get_ydata(), ax.lines[-1].get_xdata(), strict=True))
    assert drawn[names.index("LNC")] == found.per_feature["LNC"].sigma
    assert "AAV" not in names
    with pytest.raises(InputError, match="no feature has a standard error"):
        plot_feature_differences({"one frame": feature_parity(melt(1), melt(2), frames=1)})
    with pytest.raises(InputError, match="at least three systems"):
        plot_feature_parity(feature_agreement([found]))


def test_without_a_mobile_element_there_is_a_reason_and_no_error() -> None:
    sodium = [
        replace(melt(seed), numbers=np.array([11] * 9 + [16] * 9 + [8] * 9)) for seed in (1, 2)
    ]
    bare = compare(*sodium)
    assert bare.features == {}
    assert "name it with --mobile" in bare.missing["features of Na9S9O9"]
    section = bare.to_dict()["features"]
    assert (section["n_pairs"], section["r2_pooled"], section["systems"]) == (0, None, [])
    named = compare(*sodium, settings=ComparisonSettings(features=FeatureChoice("Na")))
    assert named.features["Na9S9O9"].mobile == "Na"
    diffusing = compare(*sodium, settings=ComparisonSettings(species=("Na",)))
    assert diffusing.features["Na9S9O9"].mobile == "Na"
    absent = compare(*sodium, settings=ComparisonSettings(features=FeatureChoice("Li")))
    assert "no Li in the structure" in absent.missing["features of Na9S9O9"]


def test_a_cell_without_a_volume_has_a_reason() -> None:
    flat = replace(melt(1), cell_A=np.diag([9.0, 9.0, 0.0]))
    keys = [("LiSO", 300.0), ("LiSO", 500.0)]
    result = compare({keys[0]: flat, keys[1]: melt(1)}, {key: melt(2) for key in keys})
    assert "periodic in three ways" in result.missing["features of LiSO 300 K"]
    assert list(result.features) == ["LiSO 500 K"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mobile": "Xx"}, "mobile element 'Xx' is unknown"),
        ({"convention": "nature"}, "convention is 'nature'"),
        ({"frames": 0}, "expected a whole number"),
    ],
)
def test_a_choice_that_cannot_be_used_is_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        FeatureChoice(**options)
    with pytest.raises(InputError, match=message):
        feature_parity(melt(1), melt(2), **options)


def test_the_command_takes_the_mobile_element_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jinja2", reason="needs the report extra")
    files = [tmp_path / "surrogate.traj", tmp_path / "reference.traj"]
    for file, seed in zip(files, (1, 2), strict=True):
        export_trajectory(melt(seed), file)
    page = tmp_path / "report.html"
    words = ["compare", *map(str, files), "--timestep-fs", "96", "--temperature-K", "300"]
    words += ["--mobile", "O", "--feature-convention", "zheng2024", "--report", str(page)]
    assert run_command_line([*words, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["features"]["systems"]
    assert (found["mobile"], found["convention"]) == ("O", "zheng2024")
    aim = feature_parity(melt(1), melt(2), mobile="O", convention="zheng2024").per_feature
    assert found["per_feature"]["LNC"]["surrogate"] == pytest.approx(aim["LNC"].surrogate, rel=1e-5)
    text = page.read_text()
    assert "the mobile element is O" in text
    assert "In standard errors" in text
    (csv_of_page,) = re.findall('<pre id="csv-numbers"[^>]*>(.*?)</pre>', text, re.DOTALL)
    rows = list(csv.DictReader(io.StringIO(html.unescape(csv_of_page))))
    (row,) = (
        r for r in rows if (r["quantity"], r["part"]) == ("feature of the surrogate", "LASD (A)")
    )
    own = found["per_feature"]["LASD"]
    assert float(row["value"]) == own["surrogate"]
    assert float(row["high"]) - float(row["low"]) == pytest.approx(2 * own["surrogate_error"])
    sigmas = {r["part"]: float(r["value"]) for r in rows if r["quantity"] == "feature_sigma"}
    assert sigmas["LASD"] == own["sigma"]
    assert set(sigmas) == {k for k, v in found["per_feature"].items() if v["sigma"] is not None}
    assert run_command_line([*words[:7], "--mobile", "Xx"]) != 0
    assert "mobile element 'Xx' is unknown" in capsys.readouterr().err


@pytest.mark.skipif(not ARGYRODITE.exists(), reason="needs ../shared/data/argyrodite_aimd")
def test_ab_initio_runs_of_one_crystal_agree_and_a_disordered_one_does_not() -> None:
    ordered, again, disordered = (
        Trajectory.read(ARGYRODITE / f"Li6PS5Cl_{name}.gz", 100.0)
        for name in ("0p/XDATCAR_run3", "0p/XDATCAR_run2", "50p/XDATCAR_run3")
    )
    same = feature_parity(again, ordered, frames=60).per_feature
    assert all(abs(one.sigma) < 3 for one in same.values() if one.sigma is not None)
    other = feature_parity(disordered, ordered, frames=60).per_feature
    # Chlorine on sulphur sites comes nearer to other chlorine, and Li is no longer near all of it.
    assert other["AASD"].sigma < -30
    assert other["LASD"].sigma > 20
