"""The summary of a run: exactly the agreed JSON, and nothing unknown made up."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mlmd.analysis.summary import summarize
from mlmd.errors import InputError
from mlmd.findings import of_flags
from mlmd.trajectory.trajectory import Trajectory

SHORT = {"window_ps": 2.0, "fit_ps": (0.2, 2.0)}


def run(D_A2_ps: float, duration_ps: float, seed: int) -> Trajectory:
    """Return walking Li and resting Cl, 20 of each, every 20 fs."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, np.sqrt(2 * D_A2_ps * 0.02), (round(duration_ps / 0.02) + 1, 40, 3))
    steps[:, 20:] = 0.0
    numbers = np.array([3] * 20 + [17] * 20)
    times = np.arange(len(steps)) * 20.0
    rest = rng.normal(0, 0.05, steps.shape)
    return Trajectory(np.cumsum(steps, axis=0) + rest, np.eye(3) * 10, numbers, times)


def D_at(T: float) -> float:
    return 60.0 * np.exp(-0.3 / (8.617333262e-5 * T))


@pytest.fixture(scope="module")
def stages():
    return {f"production-{T}K": (run(D_at(T), 6.0, T), float(T)) for T in (1000, 1400, 1800)}


def test_json_has_exactly_the_agreed_keys(stages):
    summary = json.loads(json.dumps(summarize(stages, **SHORT).to_dict(), allow_nan=False))
    assert list(summary) == ["stages", "arrhenius", "from_recipe", "findings"]
    assert list(summary["stages"]) == list(stages)
    for stage in summary["stages"].values():
        assert list(stage) == ["temperature_K", "duration_ps", "species", "coordination", "events"]
        assert stage["duration_ps"] == pytest.approx(6.0)
        assert list(stage["species"]) == ["Li", "Cl"]
        for result in stage["species"].values():
            assert list(result) == [
                "D_cm2_s",
                "D_stderr_cm2_s",
                "D_interval68_cm2_s",
                "D_stderr_df",
                "D_raw_cm2_s",
                "D_axes_cm2_s",
                "D_upper_bound_cm2_s",
                "D_lower_bound_cm2_s",
                "is_diffusive",
                "verdict",
                "needs_ps",
                "reason",
                "relaxation_time_ps",
                "run_over_relaxation_time",
                "gate",
                "n_windows",
                "estimator",
                "settings",
            ]
            low, high = result["D_interval68_cm2_s"]
            assert low < result["D_raw_cm2_s"] < high
            assert result["D_cm2_s"] == (result["D_raw_cm2_s"] if result["is_diffusive"] else None)
            assert (result["D_upper_bound_cm2_s"] is None) == result["is_diffusive"]
            assert result["gate"]["msd_required_A2"] == 4.5
            assert (result["settings"]["window_ps"], result["settings"]["drift"]) == (2.0, "cell")
            assert (result["n_windows"], result["estimator"]) == (3, "windowed")
        assert stage["species"]["Li"]["is_diffusive"] is True
        assert stage["species"]["Cl"]["is_diffusive"] is False
    assert list(summary["arrhenius"]) == ["Li", "Cl"]
    for law in summary["arrhenius"].values():
        assert list(law) == [
            "E_a_eV",
            "E_a_stderr_eV",
            "D0_cm2_s",
            "E_a_interval68_eV",
            "E_a_lower_bound_eV",
        ]


def test_activation_energy_agrees_with_the_truth(stages):
    law = summarize(stages, species="Li", **SHORT).arrhenius["Li"]
    assert law.E_a_eV == pytest.approx(0.3, abs=3 * law.E_a_stderr_eV)
    assert law.E_a_stderr_eV < 0.1
    assert law.method == "Student's t in ln D"


def test_flags_go_with_their_stages_and_into_the_notes(stages):
    trajectory, T = stages["production-1400K"]
    doubtful = replace(trajectory, findings=of_flags(["unconverged_volume"]))
    summary = summarize({**stages, "production-1400K": (doubtful, T)}, species="Li", **SHORT)
    printed = summary.to_dict()["stages"]
    flagged = [stage.get("flags", []) for stage in printed.values()]
    assert flagged == [[], ["unconverged_volume"], []]
    assert "unconverged_volume in production-1400K" in summary.notes["Li"]


def test_objects_stay_accessible(stages):
    summary = summarize(stages, species=["Li"], **SHORT)
    result = summary.stages["production-1000K"].species["Li"]
    assert list(summary.stages["production-1000K"].species) == ["Li"]
    assert result.settings.window_ps == 2.0
    law = summary.arrhenius["Li"]
    assert law.D_cm2_s[0] == result.D_cm2_s
    assert law.D_stderr_cm2_s[0] == result.D_stderr_cm2_s
    assert law.points.df[0] == result.df == 2
    assert "Li" not in summary.notes


def test_fewer_than_two_temperatures_give_null(stages):
    keys = ("E_a_eV", "E_a_stderr_eV", "D0_cm2_s", "E_a_interval68_eV", "E_a_lower_bound_eV")
    nothing = dict.fromkeys(keys)
    one = dict(list(stages.items())[:1])
    assert summarize(one, species="Li", **SHORT).to_dict()["arrhenius"] == {"Li": nothing}
    unknown = {"trajectory": (run(1.0, 6.0, 1), None)}
    summary = summarize(unknown, species="Li", **SHORT)
    assert summary.to_dict()["arrhenius"] == {"Li": nothing}
    assert summary.to_dict()["stages"]["trajectory"]["temperature_K"] is None
    assert "fewer than two temperatures" in summary.notes["Li"]


def test_one_window_gives_null_errors(stages):
    cut = {name: (run(D_at(T), 3.0, 7), T) for name, (_, T) in stages.items()}
    summary = summarize(cut, species="Li", **SHORT)
    for stage in summary.to_dict()["stages"].values():
        assert stage["species"]["Li"]["D_stderr_cm2_s"] is None
        assert stage["species"]["Li"]["D_interval68_cm2_s"] is None
        assert stage["species"]["Li"]["n_windows"] == 1
    assert "unweighted" in summary.arrhenius["Li"].method


def test_stages_at_one_temperature_are_separate_points(stages):
    again = {**stages, "second": (run(D_at(1000), 6.0, 8), 1000.0)}
    law = summarize(again, species="Li", **SHORT).arrhenius["Li"]
    assert sorted(law.temperatures_K) == [1000, 1000, 1400, 1800]
    assert law.df == 2


def test_points_without_diffusion_are_named(stages):
    summary = summarize(stages, species="Cl", **SHORT)
    assert summary.arrhenius["Cl"] is None
    assert summary.notes["Cl"] == (
        "no activation energy: diffusion at fewer than two temperatures; not diffusive in "
        "production-1000K, production-1400K, production-1800K: left out of the fit"
    )


def test_a_point_without_diffusion_enters_the_law_as_a_bound(stages):
    cold = {"cold": (run(0.5 * D_at(600), 6.0, 9), 600.0), **stages}
    summary = summarize(cold, species="Li", **SHORT)
    assert summary.stages["cold"].species["Li"].D_cm2_s is None
    law = summary.arrhenius["Li"]
    assert sorted(law.temperatures_K) == [1000, 1400, 1800]
    assert law.points.censored.tolist() == [True, False, False, False]
    assert law.points.D_cm2_s[0] == summary.stages["cold"].species["Li"].D_upper_bound_cm2_s
    (found,) = [one for one in summary.findings if one.code == "bounds_in_law"]
    assert found.severity == "note"
    assert "not diffusive in cold: the law takes the bounds of D there" in summary.notes["Li"]


def test_one_temperature_with_diffusion_and_colder_bounds_tell_what_E_a_is_above(stages):
    hot = stages["production-1800K"]
    cold = {name: (run(D_at(T), 6.0, 3), T) for name, T in (("cold", 500.0), ("colder", 400.0))}
    summary = summarize({**cold, "hot": hot}, species="Li", **SHORT)
    assert summary.arrhenius["Li"] is None
    lowest_eV = summary.E_a_lower_bounds_eV["Li"]
    assert 0.05 < lowest_eV < 0.3
    law = summary.to_dict()["arrhenius"]["Li"]
    assert (law["E_a_eV"], law["E_a_lower_bound_eV"]) == (None, lowest_eV)
    (found,) = [one for one in summary.findings if one.code == "no_activation_energy"]
    assert found.numbers == {"E_a_lower_bound_eV": lowest_eV}
    assert f"it is above {lowest_eV:.3f} eV (95 %)" in found.message


def test_gls_is_the_default_and_says_what_it_used(stages):
    summary = summarize(stages, species="Li")
    for stage in json.loads(json.dumps(summary.to_dict(), allow_nan=False))["stages"].values():
        result = stage["species"]["Li"]
        assert result["estimator"] == "gls"
        assert result["settings"]["fit_ps"][0] >= 0.02
        assert 0.2 < result["settings"]["collective"] < 5
        assert result["run_over_relaxation_time"] > 24
        assert result["gate"]["n_jumps"] > 13
    law = summary.arrhenius["Li"]
    assert law.E_a_eV == pytest.approx(0.3, abs=3 * law.E_a_stderr_eV)


def test_errors_name_the_stage(stages):
    with pytest.raises(InputError, match="stage 'production-1000K': a window of 15 ps is longer"):
        summarize(stages, estimator="windowed")
    with pytest.raises(InputError, match="stage 'production-1000K': no atom of species 'Na'"):
        summarize(stages, species="Na", **SHORT)
    with pytest.raises(InputError, match="no stage was given"):
        summarize({})
