"""Charge diffusivity and Haven ratio: independent and collective walkers, LGPS as published."""

import json
from pathlib import Path

import numpy as np
import pytest

from mlmd.analysis.diffusion.estimators.options import WeightedOptions
from mlmd.analysis.transport import charge_diffusivity, conductivity
from mlmd.errors import InputError
from mlmd.trajectory.trajectory import Trajectory

LGPS = Path(__file__).parents[2] / "shared" / "data" / "lgps_600K" / "DiffusionAnalyzer.json"
D_TRUE_CM2_S = 0.45e-4  # of steps of 0.3 A every 0.1 ps


def make(positions: np.ndarray, numbers: list[int]) -> Trajectory:
    time_fs = np.arange(len(positions)) * 100.0
    return Trajectory(positions, np.eye(3) * 12, np.array(numbers), time_fs)


def conductor(seed: int, *, frames: int = 1000, ions: int = 16, together: int = 1) -> Trajectory:
    """Vibrating Li ions that walk in groups, in a framework of four S at rest."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.3, (frames, ions // together, 3)).repeat(together, axis=1)
    positions = np.concatenate([np.cumsum(steps, axis=0), np.zeros((frames, 4, 3))], axis=1)
    positions += rng.normal(0, 0.15, positions.shape)
    return make(positions, [3] * ions + [16] * 4)


@pytest.mark.parametrize("together", [1, 4])
def test_haven_ratio_of_groups_is_one_over_their_size(together):
    found = [
        charge_diffusivity(
            conductor(seed, together=together), {"Li": 1}, "Li", reference="framework"
        )
        for seed in range(25)
    ]
    charge = np.array([result.D_raw_cm2_s for result in found])
    tracer = np.array([result.tracer_D_raw_cm2_s for result in found])
    # 25 runs: the mean is known to a fifth of one run's error.
    stderr = np.mean([result.D_stderr_cm2_s for result in found]) / 5
    assert abs(charge.mean() - together * D_TRUE_CM2_S) < 3 * stderr
    assert stderr < 0.05 * together * D_TRUE_CM2_S
    assert tracer.mean() == pytest.approx(D_TRUE_CM2_S, rel=0.03)
    assert tracer.mean() / charge.mean() == pytest.approx(1 / together, rel=0.08)
    assert [result.haven_ratio_raw for result in found] == pytest.approx(tracer / charge)
    # The gate on the charge, one walker, refuses one honest run of twenty.
    believed = [result for result in found if result.haven_ratio is not None]
    assert len(believed) >= 20
    for result in believed:
        low, high = result.haven_interval68
        assert low < result.haven_ratio < high


@pytest.mark.slow
@pytest.mark.parametrize("together", [1, 4])
def test_intervals_cover_the_truth(together):
    charge, haven = [], []
    for seed in range(150):
        trajectory = conductor(seed, frames=500, ions=8, together=together)
        result = charge_diffusivity(trajectory, {"Li": 1}, "Li", reference="framework")
        low, high = result.D_interval68_cm2_s
        charge.append(low < together * D_TRUE_CM2_S < high)
        low, high = result.haven_interval68 or (0.0, np.inf)
        haven.append(low < 1 / together < high)
    assert 0.60 < np.mean(charge) < 0.77  # 68 % +- 2 standard errors of 150 runs
    assert 0.60 < np.mean(haven) < 0.80


def test_neutral_charge_displacement_does_not_depend_on_the_frame():
    rng = np.random.default_rng(1)
    positions = np.cumsum(rng.normal(0, 0.3, (600, 12, 3)), axis=0)
    drift = np.cumsum(rng.normal(0, 0.5, (600, 1, 3)), axis=0)
    states, numbers = {"Ca": 2, "F": -1}, [20] * 4 + [9] * 8
    still = charge_diffusivity(make(positions, numbers), states, ("Ca", "F"))
    moving = charge_diffusivity(make(positions + drift, numbers), states, ("Ca", "F"))
    assert moving.D_raw_cm2_s == pytest.approx(still.D_raw_cm2_s, rel=1e-6)
    assert still.carriers.neutrality == "neutral"
    assert still.carriers.squared_charge == 4 * 4 + 8
    # The tracers' share is by z^2: 16 of 24 for Ca.
    tracers = still.tracers
    mean = (16 * tracers["Ca"].D_raw_cm2_s + 8 * tracers["F"].D_raw_cm2_s) / 24
    assert still.tracer_D_raw_cm2_s == pytest.approx(mean)
    assert set(json.loads(json.dumps(still.to_dict()))["species"]) == {"Ca", "F"}


def test_ion_pairs_diffuse_and_conduct_nothing():
    rng = np.random.default_rng(2)
    pairs = np.cumsum(rng.normal(0, 0.3, (1500, 10, 3)), axis=0)
    positions = np.concatenate([pairs, pairs + np.array([2.5, 0, 0])], axis=1)
    positions += rng.normal(0, 0.1, positions.shape)
    trajectory = make(positions, [3] * 10 + [17] * 10)
    result = conductivity(trajectory, {"Li": 1, "Cl": -1}, ("Li", "Cl"), temperature_K=1000)
    assert result.nernst_einstein.S_cm > 0.1
    assert abs(result.full_raw.S_cm) < 0.02 * result.nernst_einstein.S_cm
    # The ions diffuse, the charge does not: its own MSD says so.
    assert result.charge.tracers_diffuse
    assert result.charge.collective.verdict == "localised"
    assert result.full is None
    assert result.charge.haven_ratio is None
    assert [one.code for one in result.findings] == ["no_conductivity"]
    # The same walks with both charges alike would not be neutral, and are refused.
    with pytest.raises(InputError, match=r"not neutral: 10 Li of \+1, 10 Cl of \+1 add up to \+20"):
        charge_diffusivity(trajectory, {"Li": 1, "Cl": 1}, "Li")


def test_twice_the_charge_is_the_same_diffusivity_and_four_times_the_conductivity():
    one, two = (
        conductivity(conductor(3), {"Li": z}, "Li", temperature_K=500, reference="framework")
        for z in (1, 2)
    )
    assert two.charge.D_raw_cm2_s == pytest.approx(one.charge.D_raw_cm2_s)
    assert two.full_raw.S_cm == pytest.approx(4 * one.full_raw.S_cm)


def test_framework_reference_removes_the_drift_of_the_rest():
    trajectory = conductor(4)
    moved = trajectory.positions_A + np.linspace(0, 40, len(trajectory))[:, None, None]
    drifting = make(moved, trajectory.numbers.tolist())
    still, held = (
        charge_diffusivity(t, {"Li": 1}, "Li", reference="framework")
        for t in (trajectory, drifting)
    )
    assert held.D_raw_cm2_s == pytest.approx(still.D_raw_cm2_s, rel=1e-6)
    assert held.carriers.neutrality == "not checked: S unknown"


@pytest.mark.parametrize(
    ("states", "species", "settings", "message"),
    [
        ({"Li": 1}, "Li", {}, "no oxidation state of S was given"),
        ({"S": -2}, "Li", {"reference": "framework"}, "of Li is zero or missing"),
        ({"Li": 0, "S": 0}, "Li", {}, "of Li is zero or missing"),
        ({"Li": 1, "S": -2}, "Li", {}, "not neutral: 16 Li of"),
        ({"Li": 1, "S": -2}, "Li", {"reference": "framework"}, "not neutral"),
        ({"Li": 1, "Na": 1}, "Li", {}, "Na was given .* which has Li, S"),
        ({"Li": 1, "S": -4, "Na": 1}, ("Li", "Na"), {}, "^Na was given"),
        ({"Li": "1", "S": -4}, "Li", {}, "of Li is '1'; expected a number"),
        ({"Li": float("nan"), "S": -4}, "Li", {}, "of Li is nan"),
        ({"Li": 1, "S": -4}, (), {}, "no mobile species"),
        ({"Li": 1, "S": -4}, ("Li", "S"), {"reference": "framework"}, "no framework to refer to"),
        ({"Li": 1, "S": -4}, "Li", {"reference": "lab"}, "expected neutral or framework"),
        ({"Li": 1, "S": -4}, "Li", {"estimator": "kinisi"}, "of the sum of all charges"),
        ({"Li": 1, "S": -4}, "Li", {"atoms": [0]}, "all charges; take all atoms, or"),
        ({"Li": 1, "S": -4}, "Li", {"estimator": "least"}, "estimator 'least' is not known"),
        ([("Li", 1)], "Li", {}, "oxidation_states is"),
    ],
)
def test_bad_input_says_what_to_do(states, species, settings, message):
    with pytest.raises(InputError, match=message):
        charge_diffusivity(conductor(1, frames=60), states, species, **settings)


def lgps() -> Trajectory:
    """Unwrapped displacements of LGPS at 600 K, as pymatgen-analysis-diffusion keeps them."""
    if not LGPS.exists():
        pytest.skip("needs shared/data/lgps_600K")
    from ase.data import atomic_numbers

    data = json.loads(LGPS.read_text())
    structure = data["structure"]
    symbols = [site["species"][0]["element"] for site in structure["sites"]]
    displacements = np.array(data["displacements"]).transpose(1, 0, 2)
    time_fs = np.arange(len(displacements)) * float(data["time_step"] * data["step_skip"])
    cell = np.array(structure["lattice"]["matrix"])
    return Trajectory(displacements, cell, np.array([atomic_numbers[s] for s in symbols]), time_fs)


def test_lgps_as_published():
    # Asserted by that package's own tests: 74.1654 and 232.8279 mS/cm, Haven 0.318541610.
    result = conductivity(
        lgps(),
        {"Li": 1},
        "Li",
        temperature_K=600,
        reference="framework",
        estimator="weighted",
        options=WeightedOptions(smoothed="max"),
    )
    assert result.nernst_einstein_raw.mS_cm == pytest.approx(74.165372613735684, abs=1e-4)
    assert result.full_raw.mS_cm == pytest.approx(232.8278799754324, abs=1e-4)
    assert result.charge.D_raw_cm2_s == pytest.approx(3.64565578208e-6, rel=1e-9)
    assert result.charge.haven_ratio_raw == pytest.approx(0.31854161048867402, abs=1e-9)
    assert result.volume_A3 == pytest.approx(970.4137, abs=1e-3)
    # Its MSD ends at 1.7 A^2: the numbers stand beside the verdict.
    assert not result.is_diffusive
    assert result.full is None
    assert result.charge.haven_ratio is None
    assert "below 4.5" in result.charge.reason
    # The conductivity of a diffusivity alone, with the published 1.16129e-6.
    factor = result.full_raw.mS_cm / result.charge.D_raw_cm2_s
    assert factor * 1.1612930641e-6 == pytest.approx(74.1654, abs=1e-4)


@pytest.mark.parametrize(("smoothed", "mS_cm"), [(False, 27.20479), ("constant", 47.404056)])
def test_lgps_by_the_other_smoothings(smoothed, mS_cm):
    options = WeightedOptions(smoothed=smoothed, avg_nsteps=100)
    result = conductivity(
        lgps(),
        {"Li": 1},
        "Li",
        temperature_K=600,
        reference="framework",
        estimator="weighted",
        options=options,
    )
    assert result.nernst_einstein_raw.mS_cm == pytest.approx(mS_cm, abs=1e-4)


def test_lgps_with_our_errors_holds_the_published_value():
    states = {"Li": 1, "Ge": 4, "P": 5, "S": -2}
    neutral = charge_diffusivity(lgps(), states, "Li")
    framework = charge_diffusivity(lgps(), {"Li": 1}, "Li", reference="framework")
    for result in (neutral, framework):
        # By another estimator over other lags: within twice the interval.
        low, high = result.D_interval68_cm2_s
        assert 2 * low - result.D_raw_cm2_s < 3.6457e-6 < 2 * high - result.D_raw_cm2_s
        low, high = result.haven_interval68
        assert 0.5 * low < 0.31854 < 2 * high
        assert result.D_stderr_cm2_s > 0.3 * result.D_raw_cm2_s  # 20 ps of one walker
    # A framework that only vibrates adds no diffusion of charge.
    assert neutral.D_raw_cm2_s == pytest.approx(framework.D_raw_cm2_s, rel=0.3)


def test_a_conductivity_without_a_temperature_names_the_option_and_the_keyword():
    with pytest.raises(InputError, match=r"temperature_K \(--temperature-K\)"):
        conductivity(conductor(1, frames=60), {"Li": 1, "S": -4})
