"""The recipes: values with their places in the papers, and each of them runs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from mlmd import Equilibrate, Production, Protocol, Quench, Relax, Run
from mlmd.cli.app import run_command_line
from mlmd.errors import InputError
from mlmd.protocol.calculators import StageCalculators
from mlmd.protocol.recipes import recipe_names
from mlmd.protocol.start import Asked
from mlmd.protocol.tree import SET_BY_HAND
from mlmd.stages.equilibrate_volume import EquilibrateVolume
from mlmd.stages.stage import Stage

PUBLISHED = ["zheng2024", "maevskiy2025", "maevskiy2025_aimd", "lopez2023", "slow_quench"]


def test_all_are_there() -> None:
    assert set(recipe_names()) == {*PUBLISHED, "quickstart"}


def chosen_fields(stage: Stage) -> list[str]:
    """Fields of a stage that are not what its class would have anyway."""
    names = []
    for item in dataclasses.fields(stage):
        default = item.default
        if item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        if item.name != "name" and getattr(stage, item.name) != default:
            names.append(item.name)
    return names


@pytest.mark.parametrize("name", recipe_names())
def test_every_chosen_value_names_its_source(name: str) -> None:
    protocol = Protocol.load(name)
    for stage in protocol.stages:
        unnamed = [
            field for field in chosen_fields(stage) if not protocol.source(stage.name, field)
        ]
        assert unnamed == [], stage.name
    assert protocol.name == name
    assert protocol.reference
    assert protocol.description
    assert protocol.deviations


@pytest.mark.parametrize("name", recipe_names())
def test_sources_survive_yaml_and_are_no_identity(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = Protocol.load(name)
    protocol.save(tmp_path / "copy.yaml")
    copy = Protocol.load(tmp_path / "copy.yaml")
    assert copy == protocol
    assert copy.sources == protocol.sources
    bare = dataclasses.replace(protocol, sources={}, deviations=(), description="", reference="")
    calculators = StageCalculators("lj", protocol)
    asked, other = (Asked(one, bulk("Cu"), calculators, 0) for one in (bare, protocol))
    assert asked.identity() == other.identity()
    assert run_command_line(["protocols", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[name]["sources"] == protocol.sources


def test_a_changed_value_is_not_the_papers() -> None:
    protocol = Protocol.load("zheng2024")
    changed = protocol.with_settings({"Production.duration_ps": 40, "melt.timestep_fs": 1})
    assert changed.source("production-1000K", "duration_ps") == SET_BY_HAND
    assert changed.source("melt", "timestep_fs") == SET_BY_HAND
    assert changed.source("production-1000K", "timestep_fs") == protocol.source(
        "production-1000K", "timestep_fs"
    )
    assert changed.source("melt", "duration_ps") == protocol.source("melt", "duration_ps")


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({"melt.temprature_K": "p. 1"}, "temprature_K"),
        ({"molt.temperature_K": "p. 1"}, "molt"),
        ({"melt": "p. 1"}, "expected STAGE.field"),
        ({"melt.temperature_K": ""}, "and a text"),
        ({"melt.temperature_K": 5000}, "and a text"),
        (["melt.temperature_K"], "expected a mapping"),
    ],
)
def test_sources_of_what_is_not_there_are_refused(sources: object, said: str) -> None:
    content = Protocol.load("zheng2024").to_dict()
    with pytest.raises(InputError, match=said):
        Protocol.from_dict({**content, "sources": sources})


def test_settings_of_one_stage_are_changed_together() -> None:
    """200 fs are too short for 20 frames every 20 fs, whichever of the two comes first."""
    settings = {"volume-1000K.duration_ps": 0.2, "volume-1000K.record_every_fs": 4}
    protocol = Protocol.load("zheng2024")
    one = protocol.with_settings(settings)
    assert one == protocol.with_settings(dict(reversed(settings.items())))
    assert one.stage("volume-1000K").to_dict()["duration_ps"] == 0.2
    with pytest.raises(InputError, match="duration_ps is 0"):
        protocol.with_settings({"volume-1000K.duration_ps": 0.2})


def of_kind(protocol: Protocol, kind: type[Stage]) -> list[Stage]:
    return [stage for stage in protocol.stages if type(stage) is kind]


def test_zheng2024_is_the_published_tree() -> None:
    protocol = Protocol.load("zheng2024")
    temperatures = [1000, 1500, 2000, 2500]
    assert [stage.name for stage in protocol.stages[:3]] == ["relax", "volume-5000K", "melt"]
    melt = protocol.stage("melt")
    assert isinstance(melt, Equilibrate)
    assert (melt.temperature_K, melt.duration_ps, melt.thermostat) == (5000, 20, "nose_hoover")
    for T in temperatures:
        chain = [protocol.stage(f"{what}-{T}K") for what in ("quench", "volume", "production")]
        assert [stage.temperature_K for stage in chain] == [T] * 3
        assert [protocol.parent(stage.name) for stage in chain] == [melt, *chain[:2]]
        quench, _, production = chain
        assert isinstance(quench, Quench)
        assert quench.rate_K_ps is None  # at once
        assert (production.duration_ps, production.thermostat) == (20, "nose_hoover")
    volumes = of_kind(protocol, EquilibrateVolume)
    assert len(volumes) == 5
    for stage in volumes:
        assert (stage.duration_ps, stage.scales) == (4.0, (0.8, 1.0, 1.2))
        assert (stage.pressure, stage.on_unconverged) == ("virial", "stop")
        assert stage.thermostat == "nose_hoover"
    assert {s.timestep_fs for s in protocol.stages if not isinstance(s, Relax)} == {2.0}
    # The activation energy is that of the four lower temperatures.
    measured = [stage.name for stage in protocol.stages if stage.measured]
    assert measured == [f"production-{T}K" for T in temperatures]
    assert any("--set EquilibrateVolume.pressure=total" in text for text in protocol.deviations)
    assert any("three times the Einstein value" in text for text in protocol.deviations)


@pytest.mark.parametrize(
    ("name", "temperatures", "measured_ps"),
    [("maevskiy2025", [1000, 500], 95), ("maevskiy2025_aimd", [1000, 667, 500, 417], 75)],
)
def test_maevskiy2025_series(name: str, temperatures: list[int], measured_ps: float) -> None:
    protocol = Protocol.load(name)
    for kind, duration_ps in ((Equilibrate, 5), (Production, measured_ps)):
        stages = of_kind(protocol, kind)
        assert [stage.temperature_K for stage in stages] == temperatures
        assert {stage.duration_ps for stage in stages} == {duration_ps}
        assert {(s.timestep_fs, s.thermostat) for s in stages} == {(1.0, "nose_hoover")}
    assert measured_ps // 15 >= 5  # windows
    if name == "maevskiy2025":
        assert 5 + measured_ps == 100


def test_lopez2023_values() -> None:
    protocol = Protocol.load("lopez2023")
    stages = of_kind(protocol, Production)
    assert len(stages) == 3
    for stage in stages:
        assert isinstance(stage, Production)
        assert 400 <= stage.temperature_K <= 1600
        assert 100 <= stage.duration_ps <= 200
        assert (stage.timestep_fs, stage.record_velocities) == (1.5, True)
    assert any(400 <= stage.temperature_K <= 600 for stage in stages)


def test_slow_quench_goes_down_in_steps() -> None:
    protocol = Protocol.load("slow_quench")
    ramps = of_kind(protocol, Quench)
    assert [(r.from_temperature_K, r.temperature_K) for r in ramps] == [
        (3000, 2500),
        (2500, 2000),
        (2000, 1500),
        (1500, 1000),
        (1000, 500),
    ]
    assert {ramp.n_steps for ramp in ramps} == {200}
    for ramp in ramps:
        hold = protocol.stage(f"hold-{ramp.temperature_K:g}K")
        assert protocol.parent(hold.name) == ramp
        assert (hold.n_steps, hold.temperature_K) == (500, ramp.temperature_K)
    assert all(stage.starts_from is None for stage in protocol.stages)


@pytest.fixture
def crystal(tmp_path: Path) -> Path:
    """A face-centred cubic cell, to be repeated."""
    sites = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    edge_A = 3.7
    atoms = Atoms("Li3Cl", positions=edge_A * sites, cell=[edge_A] * 3, pbc=True)
    write(tmp_path / "crystal.extxyz", atoms)
    return tmp_path / "crystal.extxyz"


SHORT = {
    "EquilibrateVolume.duration_ps": 0.4,
    "EquilibrateVolume.record_every_fs": 4,
    "EquilibrateVolume.max_duration_factor": 1,
    "EquilibrateVolume.max_runs": 7,
    "EquilibrateVolume.on_unconverged": "accept",
    "Relax.max_steps": 20,
    "Equilibrate.duration_ps": 0.06,
    "Production.duration_ps": 0.06,
    "melt.duration_ps": 0.2,
}
ONLY = {
    "zheng2024": {"Quench.duration_ps": 0.1},
    "slow_quench": {"Quench.rate_K_ps": 12500},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_recipe_runs(
    tmp_path: Path, crystal: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cut short on Lennard-Jones atoms whose volume is near that of zero pressure."""
    protocol = Protocol.load(name)
    targets = {stage.name for stage in protocol.stages}
    targets |= {type(stage).__name__ for stage in protocol.stages}
    settings = [
        f"--set={key}={value}"
        for key, value in {**SHORT, **ONLY.get(name, {})}.items()
        if key.partition(".")[0] in targets
    ]
    if name in ("zheng2024", "slow_quench"):
        start = ["--composition", "LiCl", "--n-atoms", "64", "--volume-per-atom-A3", "14.5"]
    elif name == "lopez2023":
        start = [
            "--structure",
            str(crystal),
            "--supercell-n-atoms",
            "100",
            "--vacancies",
            "Li=0.02",
        ]
    else:
        start = ["--structure", str(crystal), "--supercell-diameter-A", "9"]
    options = {"sigma_A": 2.4, "epsilon_eV": 1.5, "cutoff_A": 4.2}
    lj = [f"--calculator-option={key}={value}" for key, value in options.items()]
    out = tmp_path / "run"
    arguments = ["run", name, *start, "--calculator", "lj", *lj, *settings, "--out", str(out)]
    assert run_command_line(arguments) == 0, capsys.readouterr().err
    run = Run.open(out)
    assert run.status == "done"
    relaxed = next(stage for stage in protocol.stages if isinstance(stage, Relax)).name
    resolved = Protocol.from_dict(run.manifest.protocol)
    assert resolved.source(relaxed, "max_steps") == SET_BY_HAND
    assert resolved.source(relaxed, "max_force_eV_A") == protocol.source(relaxed, "max_force_eV_A")
    assert run_command_line(["status", str(out)]) == 0
