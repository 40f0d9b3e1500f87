"""Productions are lengthened until D is known, and no further than is allowed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from campaigns import LJ, PROTOCOL
from runs import assert_equal_bits

from mlmd import Run, Trajectory, diffusivity
from mlmd.campaign import Campaign, run_campaign, state_of
from mlmd.campaign.lengthening import Until
from mlmd.campaign.sources import starting_structure
from mlmd.errors import InputError, StoppedError
from mlmd.run.stopping import StopToken


def campaign_of(folder, until, **changes):
    (folder / "p.yaml").write_text(PROTOCOL.replace("DURATION", "0.4"))
    content = {
        "compositions": ["LiCl"],
        "n_atoms": 24,
        "volume_per_atom_A3": 45,
        "protocol": "p.yaml",
        "calculators": LJ,
        "until": until,
        **changes,
    }
    return Campaign.from_dict(content, beside=folder)


def finished(campaign, **how) -> Run:
    with ThreadPoolExecutor(1) as pool:
        run_campaign(campaign, pool, **how)
    return Run.open(campaign.folder / campaign.cases[0].name)


def test_a_production_becomes_as_long_as_its_error_asks(tmp_path):
    run = finished(campaign_of(tmp_path, {"relative_error": 0.6, "max_ps": 40}))
    found = {s: diffusivity(run.trajectory("production"), s) for s in ("Li", "Cl")}
    assert run.manifest.duration_ps("production") < 40
    assert run.manifest.extensions  # the 0.4 ps of the protocol do not do
    for one in found.values():
        assert one.is_diffusive
        assert one.D_half_width68_cm2_s <= 0.6 * one.D_cm2_s
    # Each step of the growth is in the record: the results before, and their durations.
    earlier = [one["duration_ps"] for one in run.manifest.stage("production").earlier_results]
    lengths = [*earlier, run.manifest.duration_ps("production")]
    growth = [b / a for a, b in pairwise(lengths)]
    assert all(1.45 < one < 3.2 for one in growth)


def test_the_limit_ends_what_will_not_be_known_and_the_bits_are_those_of_one_long_run(tmp_path):
    campaign = campaign_of(tmp_path, {"relative_error": 0.001, "max_ps": 2.0})
    run = finished(campaign)
    assert run.manifest.duration_ps("production") == 2.0
    assert run.trajectory("production").duration_ps == pytest.approx(2.0)
    alone = (
        campaign.protocols[0]
        .with_settings({"production.duration_ps": 2.0})
        .run(
            starting_structure(campaign.cases[0].source, 0),
            campaign.calculators[0],
            tmp_path / "alone",
        )
    )
    assert_equal_bits(run, alone)


def test_stopped_between_it_goes_on_and_another_rule_lengthens_what_was_done(tmp_path):
    token = StopToken()
    until = {"relative_error": 0.001, "max_ps": 1.0}
    campaign = campaign_of(tmp_path, until, seeds=2)
    with pytest.raises(StoppedError):
        finished(campaign, ended=lambda outcome: token.stop("enough"), stop=token, in_flight=1)
    assert state_of(campaign).counts == {"done": 1, "running": 0, "failed": 0, "waiting": 1}
    finished(campaign)
    assert state_of(campaign).counts["done"] == 2
    further = campaign_of(tmp_path, {**until, "max_ps": 1.5}, seeds=2)
    assert [one.name for one in further.cases] == [one.name for one in campaign.cases]
    assert state_of(further).counts["waiting"] == 2
    assert finished(further).manifest.duration_ps("production") == 1.5
    # Without a rule, what there is will do.
    plain = campaign_of(tmp_path, None, seeds=2)
    assert state_of(plain).counts["done"] == 2


def test_only_the_species_that_are_asked_for_count(tmp_path):
    wanted = {"relative_error": 0.001, "max_ps": 1.0, "species": "Na"}
    run = finished(campaign_of(tmp_path, wanted))
    assert run.manifest.extensions == {}


@pytest.mark.parametrize(
    ("until", "says"),
    [
        (0.1, "until is 0.1; expected"),
        ({"relative_error": 0.1}, "max_ps"),
        ({"relative_error": 10, "max_ps": 9}, "between 0 and 1"),
        ({"relative_error": 0.1, "max_ps": -1}, "positive number in ps"),
        ({"relative_error": 0.1, "max_ps": 0.2}, "at least the 0.4 ps"),
        ({"relative_error": 0.1, "max_ps": 9, "max": 3}, "max"),
        ({"relative_error": 0.1, "max_ps": 9, "species": ["Xx"]}, "Xx"),
    ],
)
def test_bad_rules_are_refused_before_anything_is_begun(tmp_path, until, says):
    with pytest.raises(InputError, match=says):
        campaign_of(tmp_path, until)


def test_a_production_that_another_stage_starts_from_cannot_be_lengthened(tmp_path):
    text = PROTOCOL.replace("DURATION", "0.4")
    text += "  - {name: next, class: Production, temperature_K: 400, duration_ps: 0.1}\n"
    (tmp_path / "q.yaml").write_text(text)
    with pytest.raises(InputError, match="'next' starts from its last frame"):
        campaign_of(tmp_path, {"relative_error": 0.1, "max_ps": 9}, protocol="q.yaml")


@pytest.mark.parametrize(
    ("error_over_target", "growth"),
    [
        (0.80, None),  # without its last third 0.98: known
        (0.95, 1.5),  # without its last third 1.16: not yet
        (1.10, 1.5),
        (1.40, 1.96),  # errors fall with the root of the length
        (3.00, 3.0),  # at most so much at a time
    ],
)
def test_errors_say_how_long_and_the_last_third_does_not_decide(
    monkeypatch, error_over_target, growth
):
    frames = np.zeros((1001, 2, 3))
    whole = Trajectory(frames, np.eye(3) * 10, np.array([3, 3]), np.arange(1001) * 10.0)

    def found(trajectory, symbol, **how):
        error = 0.1 * error_over_target * (len(whole) / len(trajectory)) ** 0.5
        return SimpleNamespace(
            D_cm2_s=1.0,
            D_half_width68_cm2_s=error,
            duration_ps=trajectory.duration_ps,
            needs_ps=None,
        )

    monkeypatch.setattr("mlmd.campaign.lengthening.diffusivity", found)
    longer_ps = Until(0.1, 1000.0).next_ps(whole, 10.0, 0.01, {})
    assert longer_ps == (None if growth is None else pytest.approx(10.0 * growth, rel=2e-3))


def test_a_rule_is_plain_data_and_back():
    for given in ({"relative_error": 0.1, "max_ps": 9.0, "species": ["Li"]},):
        assert Until.of(given).to_dict() == given
