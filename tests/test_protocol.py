"""Protocols: to and from YAML without loss, settings by name, and stages that check themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlmd import Equilibrate, Production, Protocol, Quench
from mlmd.errors import InputError
from mlmd.protocol.recipes import recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_survives_yaml(tmp_path: Path, name: str) -> None:
    protocol = Protocol.load(name)
    assert protocol.name == name
    assert protocol.reference
    protocol.save(tmp_path / "copy.yaml")
    assert Protocol.load(tmp_path / "copy.yaml") == protocol


def test_quickstart_is_what_the_readme_says() -> None:
    protocol = Protocol.load("quickstart")
    melt = protocol.stage("melt")
    assert isinstance(melt, Equilibrate)
    assert (melt.temperature_K, melt.duration_ps, melt.timestep_fs) == (2500.0, 1.0, 2.0)
    for temperature_K in (1000, 1400, 1800):
        settle = protocol.stage(f"equilibrate-{temperature_K}K")
        measure = protocol.stage(f"production-{temperature_K}K")
        assert settle.starts_from == "melt"
        assert isinstance(measure, Production)
        assert measure.temperature_K == temperature_K
        assert (measure.duration_ps, measure.n_steps) == (6.0, 3000)


def test_whole_numbers_are_the_same_settings_as_floats() -> None:
    one = Production(name="p", temperature_K=300, duration_ps=1)
    other = Production(name="p", temperature_K=300.0, duration_ps=1.0)
    assert one.to_dict() == other.to_dict()
    assert isinstance(one.to_dict()["temperature_K"], float)


def test_set_addresses_a_name_before_a_class(protocol: Protocol) -> None:
    by_name = protocol.with_settings({"production.temperature_K": 700})
    assert by_name.stage("production").temperature_K == 700
    assert by_name.stage("melt") == protocol.stage("melt")
    by_class = protocol.with_settings({"Quench.thermostat_time_fs": 50})
    assert by_class.stage("ramp").thermostat_time_fs == 50
    assert by_class.stage("branch").thermostat_time_fs == 50
    assert by_class.stage("melt") == protocol.stage("melt")


def test_ramp_takes_its_time_from_its_rate() -> None:
    ramp = Quench(
        name="cool", from_temperature_K=2000, temperature_K=500, rate_K_ps=1000, timestep_fs=1
    )
    assert ramp.duration_ps == 1.5
    assert ramp.n_steps == 1500
    assert [ramp.temperature_at_K(step) for step in (0, 500, 1500)] == [2000, 1500, 500]
    faster = Protocol(name="p", stages=(ramp,)).with_settings({"cool.rate_K_ps": 3000})
    assert faster.stage("cool").duration_ps == 0.5


def test_halving_the_time_step_leaves_the_recording_interval() -> None:
    stage = Production(name="p", temperature_K=300, duration_ps=1, timestep_fs=2)
    half = Protocol(name="p", stages=(stage,)).with_settings({"p.timestep_fs": 1}).stage("p")
    assert isinstance(half, Production)
    assert half.record_every_fs == stage.record_every_fs == 20.0
    assert (stage.steps_per_frame, half.steps_per_frame) == (10, 20)
    assert half.n_steps == 2 * stage.n_steps


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "a/b"}, "name 'a/b' cannot be used"),
        ({"name": "../x"}, "cannot be used"),
        ({"starts_from": "later"}, "starts from 'later'"),
        ({"thermostat": "berendsen"}, "nose_hoover or bussi"),
        ({"record_every_fs": 3}, "not a whole number of time steps of 2 fs"),
        ({"duration_ps": 0.03, "record_every_fs": 20}, "not a whole number of recording"),
        ({"temperature_K": True}, "temperature_K is True"),
        ({"record_velocities": "yes"}, "expected true or false"),
    ],
)
def test_stages_refuse_what_cannot_be(changes: dict[str, object], said: str) -> None:
    stage = {"name": "p", "class": "Production", "temperature_K": 300, "duration_ps": 1.0}
    with pytest.raises(InputError, match=said):
        Protocol.from_dict({"schema": 1, "name": "x", "stages": [{**stage, **changes}]})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"schema": 2}, "schema 2"),
        ({"name": ""}, "no name"),
        ({"stages": []}, "no stages"),
        ({"stages": "melt"}, "no list of stages"),
        ({"stages": [{"name": "p"}]}, "'name' and 'class'"),
        ({"stages": [{"name": "p", "class": "Prodction"}]}, "class 'Prodction' is not known"),
        ({"stages": [{"name": "p", "class": "Production"}]}, "lacks"),
        ({"stagse": []}, "unknown key"),
    ],
)
def test_protocols_refuse_what_cannot_be(content: dict[str, object], said: str) -> None:
    good = {
        "schema": 1,
        "name": "x",
        "stages": [{"name": "r", "class": "Relax"}],
    }
    Protocol.from_dict(good)
    with pytest.raises(InputError, match=said):
        Protocol.from_dict({**good, **content})


def test_two_stages_of_one_name() -> None:
    stage = Production(name="p", temperature_K=300, duration_ps=1)
    with pytest.raises(InputError, match="two stages named 'p'"):
        Protocol(name="x", stages=(stage, stage))
