"""What cannot be used is an InputError of one line in Python too, whatever it is."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import fractions
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlmd import CalculatorSpec, Protocol, Trajectory, diffusivity, pack
from mlmd.analysis.summary import summarize
from mlmd.calculators.choice import chosen_calculators
from mlmd.errors import InputError
from mlmd.protocol.extension import extended
from mlmd.protocol.plan import plan
from mlmd.protocol.settings import RunSettings
from mlmd.stages.registry import STAGES
from mlmd.studies import Reference, StudySettings, featurize_files
from mlmd.studies.surrogates import labelled, read_surrogates

ODD: list[Any] = [
    None, True, "", "x", "1e3", "\0", "\udcff", "a\nb", "e" * 3000, b"x", 0, -1, 1.5, math.nan,
    math.inf, -math.inf, 1e308, 1e-320, 10**400, -(10**400), 2**64, [], [1], ["x"], [None], {},
    {"a": 1}, {1: 2}, {"max_force_eV_A": "x"}, (), (1, 2), set(), datetime.date(2024, 1, 1), 1j,
    object(), np.float64("nan"), np.array([1.0, 2.0]), np.int8(3), fractions.Fraction(1, 3),
    decimal.Decimal("1.5"), Path("nowhere"), len, range(3),
]  # fmt: skip
GOOD = {"Relax": {}, "EquilibrateVolume": {"temperature_K": 900}, "SampleInherentStructures": {}}
DYNAMICS = {"temperature_K": 900, "duration_ps": 1.0}
protocol = Protocol.load("quickstart")
plain = protocol.to_dict()


def walk() -> Trajectory:
    rng = np.random.default_rng(0)
    steps = np.cumsum(rng.normal(0, 0.2, (60, 8, 3)), axis=0)
    return Trajectory(
        positions_A=rng.random((8, 3)) * 9 + steps,
        cell_A=9.0 * np.eye(3),
        numbers=np.full(8, 3),
        time_fs=5.0 * np.arange(60),
        source="walk",
    )


def of_stages(name: str) -> Iterator[Callable[[Any], Any]]:
    kind, good = STAGES[name], {"name": "s", **GOOD.get(name, DYNAMICS)}
    kind(**good)
    for item in dataclasses.fields(kind):
        yield lambda odd, key=item.name: kind(**{**good, key: odd})
        yield lambda odd, key=item.name: kind.from_dict({**good, key: odd})


def of_protocols() -> Iterator[Callable[[Any], Any]]:
    for key in (*plain, "colour"):
        yield lambda odd, key=key: Protocol.from_dict({**plain, key: odd})
    first = plain["stages"][0]
    for key in first:
        yield lambda odd, key=key: Protocol.from_dict({**plain, "stages": [{**first, key: odd}]})
    yield Protocol.from_dict
    yield Protocol.load
    yield protocol.with_settings
    yield protocol.stage
    for key in ("melt.temperature_K", "melt.guard", "Relax.max_steps", "melt.colour", "x", "."):
        yield lambda odd, key=key: protocol.with_settings({key: odd})
    yield lambda odd: plan(protocol, odd)
    yield lambda odd: extended(protocol, odd)
    yield lambda odd: extended(protocol, {"production-1000K": odd})


def of_calls() -> Iterator[Callable[[Any], Any]]:
    trajectory = walk()
    for item in dataclasses.fields(RunSettings):
        yield lambda odd, key=item.name: RunSettings(**{key: odd})
    for item in dataclasses.fields(StudySettings):
        if item.name != "run":
            yield lambda odd, key=item.name: StudySettings(**{key: odd})
    for key in ("estimator", "window_ps", "fit_ps", "drift", "origins"):
        yield lambda odd, key=key: diffusivity(trajectory, "Li", **{key: odd})
    yield lambda odd: diffusivity(trajectory, odd)
    yield lambda odd: diffusivity(odd, "Li")
    yield summarize
    yield lambda odd: summarize({"a": (trajectory, 900.0)}, species=odd)
    yield lambda odd: summarize({"a": odd})
    yield featurize_files
    yield lambda odd: featurize_files(["nowhere"], odd)
    yield lambda odd: featurize_files(["nowhere"], convention=odd)
    yield lambda odd: featurize_files(["nowhere"], every=odd)
    yield lambda odd: Reference.read("nowhere", odd)
    yield lambda odd: Reference.read("nowhere", 900.0, skip_ps=odd)
    yield lambda odd: Reference.read(odd, 900.0)
    yield lambda odd: pack(odd, 8)
    yield lambda odd: pack("Xx", odd)
    yield lambda odd: pack("Xx", seed=odd)
    yield labelled
    yield read_surrogates
    yield chosen_calculators
    yield CalculatorSpec.of
    for item in dataclasses.fields(CalculatorSpec):
        yield lambda odd, key=item.name: CalculatorSpec(**{"name": "lj", key: odd})


def check(call: Callable[[Any], Any]) -> None:
    """Call with everything; nothing but an InputError of one line may come out."""
    for odd in ODD:
        try:
            call(odd)
        except InputError as error:
            line = str(error)
            assert "\n" not in line
            assert 0 < len(line) <= 1010
            line.encode()


@pytest.mark.parametrize("name", STAGES)
def test_settings_of_stages(name: str) -> None:
    for call in of_stages(name):
        check(call)


def test_protocols() -> None:
    for call in of_protocols():
        check(call)


def test_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for call in of_calls():
        check(call)
    assert list(tmp_path.iterdir()) == []
