"""What a run says of its own reproducibility is what its sessions have made of it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms

from mlmd import CalculatorSpec, Protocol
from mlmd.errors import StoppedError
from mlmd.protocol.reproducibility import CHANGES_BITS, WAYS, note_way_of_running
from mlmd.protocol.settings import RunSettings
from mlmd.run.history import EventLog
from mlmd.run.manifest import Manifest
from mlmd.run.stopping import StopToken

SPEC = CalculatorSpec("lj", options={"cutoff_A": 4.5})
WAY = {
    "device": "cpu",
    "dtype": "float32",
    "hardware": "one",
    "threads": 1,
    "python": "that of mlmd",
    "version": "4.1",
}
PROTOCOL = Protocol.from_dict(
    {
        "schema": 1,
        "name": "short",
        "stages": [
            {
                "name": name,
                "class": "Equilibrate",
                "temperature_K": 800,
                "duration_ps": 0.04,
                "record_every_fs": 4,
            }
            for name in ("first", "second")
        ],
    }
)


class Made:
    """Calculators that say how they compute."""

    def __init__(self, promise: bool | None = True, **ways: Any) -> None:
        self._promise, self._ways = promise, ways

    def made(self) -> dict[str, Any]:
        return {"default": {**WAY, **self._ways}}

    def reproducible(self) -> tuple[bool | None, str]:
        return self._promise, f"it is {self._promise}"


def manifest() -> Manifest:
    return Manifest(
        identity={},
        identity_sha256="",
        protocol={},
        input={},
        calculators={},
        versions={"numpy": "2"},
        stages=[],
        created="",
    )


def session(folder: Path, found: Manifest, made: Made) -> list[Any]:
    """Work in a new session; return what its log says is new."""
    found.sessions.append({"calculators": {"default": {"threads": 1}}})
    for _ in range(2):  # once for each stage
        note_way_of_running(found, made, EventLog(folder))  # type: ignore[arg-type]
    log = folder / "log.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    log.unlink(missing_ok=True)
    return [event["how"] for event in events if event["event"] == "way of running changed"]


@pytest.mark.parametrize("name", WAYS)
def test_a_session_that_computes_in_another_way_is_told_and_remembered(
    tmp_path: Path, name: str
) -> None:
    run = manifest()
    assert session(tmp_path, run, Made()) == []
    assert session(tmp_path, run, Made()) == []
    assert run.reproducible is True
    ((how,),) = session(tmp_path, run, Made(**{name: "another"}))
    assert how == f"session 3 computed with {name} another, session 2 with {WAY[name]}"
    assert run.reproducible is (False if name in CHANGES_BITS else None)
    assert how in str(run.reproducible_because)
    # Nothing makes it better again.
    run.sessions = json.loads(json.dumps(run.sessions))
    ((back,),) = session(tmp_path, run, Made())
    assert back.startswith("session 4 ")
    assert session(tmp_path, run, Made()) == []
    assert run.reproducible is (False if name in CHANGES_BITS else None)
    assert how in str(run.reproducible_because)


@pytest.mark.parametrize("promise", [False, None])
@pytest.mark.parametrize("first", [True, False])
def test_the_worst_promise_of_all_sessions_counts(
    tmp_path: Path, promise: bool | None, first: bool
) -> None:
    run = manifest()
    for one in [promise, True] if first else [True, promise]:
        session(tmp_path, run, Made(one))
    assert run.reproducible is promise
    assert run.reproducible_because == f"it is {promise}"


def test_other_versions_are_told(tmp_path: Path) -> None:
    run = manifest()
    session(tmp_path, run, Made())
    run.versions = {"numpy": "1"}
    (how,) = session(tmp_path, run, Made())
    assert how == ["session 2 had other versions than session 1"]
    assert run.reproducible is None


def test_what_nobody_said_is_not_different(tmp_path: Path) -> None:
    """Sessions that computed nothing, and those of before, which said less."""
    run = manifest()
    run.sessions = [
        {},
        {"calculators": {"default": {"threads": 1}}, "computed_on": {"default": {"device": "cpu"}}},
        {"calculators": {"default": {"threads": 8}}},
    ]
    assert session(tmp_path, run, Made()) == []
    assert run.reproducible is True
    assert session(tmp_path, run, Made(threads=2)) != []


def test_many_sessions_leave_one_line(tmp_path: Path) -> None:
    run = manifest()
    for number in range(30):
        session(tmp_path, run, Made(threads=number))
    assert str(run.reproducible_because).endswith("and 25 more")


def stopped(atoms: Atoms, folder: Path, spec: CalculatorSpec) -> None:
    token = StopToken()
    with pytest.raises(StoppedError):
        PROTOCOL.run(
            atoms,
            spec,
            folder,
            seed=1,
            stop=token,
            progress=lambda one: token.stop("enough") if one.step >= 5 else None,
            settings=RunSettings(checkpoint_every_s=1e-9),
        )


@pytest.mark.parametrize("change", [{"threads": 2}, {"python": sys.executable}])
def test_a_run_that_went_on_in_another_way_says_so(
    tmp_path: Path, atoms: Atoms, change: dict[str, Any]
) -> None:
    stopped(atoms, tmp_path / "run", SPEC)
    run = PROTOCOL.run(atoms, replace(SPEC, **change), tmp_path / "run", seed=1)
    (name,) = change
    assert run.manifest.reproducible is None
    assert f"session 2 computed with {name}" in str(run.manifest.reproducible_because)
    log = (tmp_path / "run" / "log.jsonl").read_text()
    assert log.count("way of running changed") == 1
    assert run.manifest.sessions[0]["computed_on"]["default"]["hardware"]


def test_a_run_that_went_on_in_the_same_way_is_what_it_was(tmp_path: Path, atoms: Atoms) -> None:
    stopped(atoms, tmp_path / "run", SPEC)
    run = PROTOCOL.run(atoms, SPEC, tmp_path / "run", seed=1)
    assert run.manifest.reproducible is True
    assert "way of running changed" not in (tmp_path / "run" / "log.jsonl").read_text()
