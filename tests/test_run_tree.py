"""Branches of a protocol are independent: one that fails leaves the others as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from runs import assert_equal_bits, recorded

from mlmd import Protocol, Run
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.cli.app import run_command_line
from mlmd.errors import StageFailedError, StoppedError
from mlmd.protocol.settings import RunSettings
from mlmd.run.measured import measured_stages
from mlmd.run.stopping import StopToken
from mlmd.stages.context import Progress

BRANCH_A, BRANCH_B = ["quench-A", "production-A"], ["quench-B", "production-B"]
EAGER = RunSettings(checkpoint_every_s=1e-9)


class Faulty(LennardJones):
    """Lennard-Jones that breaks down after a number of calls, until it is repaired."""

    def __init__(self, calls_left: int | None = None) -> None:
        super().__init__(cutoff_A=4.5)
        self.calls_left = calls_left

    def calculate(self, *args: Any, **kwargs: Any) -> None:
        """Compute, or break down."""
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                raise RuntimeError("the engine broke down")
        super().calculate(*args, **kwargs)


def dynamics(name: str, kind: str, temperature_K: float, **more: object) -> dict[str, object]:
    return {
        "name": name,
        "class": kind,
        "temperature_K": temperature_K,
        "duration_ps": 0.2,
        "record_every_fs": 4,
        **more,
    }


@pytest.fixture
def tree() -> Protocol:
    stages = [
        dynamics("melt", "Equilibrate", 1500),
        dynamics("quench-A", "Quench", 900, starts_from="melt"),
        dynamics("production-A", "Production", 900),
        dynamics("quench-B", "Quench", 700, starts_from="melt"),
        dynamics("production-B", "Production", 700),
    ]
    return Protocol.from_dict({"schema": 1, "name": "tree", "stages": stages})


def states(run: Run) -> dict[str, str]:
    return {entry.name: entry.status for entry in run.stages}


def frames(run: Run, stages: list[str]) -> dict[str, bytes]:
    return {
        name: values.tobytes()
        for name, values in recorded(run).items()
        if name.partition("/")[0] in stages
    }


@pytest.fixture
def whole(tmp_path: Path, atoms: Atoms, tree: Protocol) -> Run:
    return tree.run(atoms, Faulty(), tmp_path / "whole", seed=3)


@pytest.mark.parametrize(
    ("broken", "failed", "blocked", "intact"),
    [
        ("quench-A", ["quench-A"], ["production-A"], BRANCH_B),
        ("production-A", ["production-A"], [], [*BRANCH_B, "quench-A"]),
        ("quench-B", ["quench-B"], ["production-B"], BRANCH_A),
    ],
)
def test_a_fault_in_one_branch_leaves_the_other_its_bits(
    tmp_path: Path,
    atoms: Atoms,
    tree: Protocol,
    whole: Run,
    broken: str,
    failed: list[str],
    blocked: list[str],
    intact: list[str],
) -> None:
    faulty = Faulty(calls_left=40)
    calculators = {"default": Faulty(), broken: faulty}
    with pytest.raises(StageFailedError) as caught:
        tree.run(atoms, calculators, tmp_path / "run", seed=3, settings=EAGER)
    assert f"stage '{broken}' failed: RuntimeError: the engine broke down" in str(caught.value)
    assert ("not run because of that: production" in str(caught.value)) == bool(blocked)
    assert isinstance(caught.value.__cause__, RuntimeError)
    run = Run.open(tmp_path / "run")
    assert run.status == "failed"
    expected = dict.fromkeys(states(whole), "done")
    expected |= dict.fromkeys(failed, "failed") | dict.fromkeys(blocked, "blocked")
    assert states(run) == expected
    for name in blocked:
        assert run.manifest.stage(name).error == f"waits for '{broken}', which failed"
        assert not (run.path / run.manifest.stage(name).folder).exists()
    untouched = ["melt", *intact]
    assert frames(run, untouched) == frames(whole, untouched)
    productions = {name for name in intact if name.startswith("production")}
    assert set(measured_stages(run)) == productions

    # The same command tries again from the last checkpoint, then does what waited for it.
    faulty.calls_left = None
    seen: list[Progress] = []
    tree.run(atoms, calculators, run.path, seed=3, progress=seen.append)
    assert {progress.stage for progress in seen} <= {*failed, *blocked}
    assert min(progress.step for progress in seen if progress.stage == broken) > 20
    assert_equal_bits(whole, Run.open(run.path))


def test_every_failure_is_named(tmp_path: Path, atoms: Atoms, tree: Protocol) -> None:
    calculators = {"default": Faulty(), "quench-A": Faulty(12), "production-B": Faulty(12)}
    with pytest.raises(StageFailedError) as caught:
        tree.run(atoms, calculators, tmp_path / "run")
    said = str(caught.value)
    assert said.index("'quench-A' failed") < said.index("'production-B' failed")
    assert "not run because of that: production-A" in said
    events = [
        json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().split("\n")[:-1]
    ]
    failures = [event for event in events if event["event"] == "stage failed"]
    assert [event["stage"] for event in failures] == ["quench-A", "production-B"]
    assert [event["blocks"] for event in failures] == [["production-A"], []]
    assert all("Traceback" in event["traceback"] and event["wall_s"] >= 0 for event in failures)
    assert "run done" not in {event["event"] for event in events}


def test_a_fault_at_the_root_stops_everything(tmp_path: Path, atoms: Atoms, tree: Protocol) -> None:
    calculator = Faulty(30)
    with pytest.raises(StageFailedError, match="stage 'melt' failed"):
        tree.run(atoms, calculator, tmp_path / "run")
    assert calculator.calls_left == -1  # nothing was tried after it
    found = states(Run.open(tmp_path / "run"))
    assert found.pop("melt") == "failed"
    assert set(found.values()) == {"blocked"}


def test_failing_again_after_the_cause_moved_blocks_anew(
    tmp_path: Path, atoms: Atoms, tree: Protocol
) -> None:
    first, second = Faulty(12), Faulty(12)
    calculators = {"default": Faulty(), "quench-A": first, "production-A": second}
    with pytest.raises(StageFailedError, match="'quench-A' failed"):
        tree.run(atoms, calculators, tmp_path / "run")
    first.calls_left = None
    with pytest.raises(StageFailedError, match="'production-A' failed") as caught:
        tree.run(atoms, calculators, tmp_path / "run")
    assert "quench-A" not in str(caught.value)
    assert "not run" not in str(caught.value)


def test_a_stop_is_no_failure(tmp_path: Path, atoms: Atoms, tree: Protocol, whole: Run) -> None:
    """Asked to stop in B after A failed: it stops at once, and all of it goes on later."""
    token = StopToken()
    faulty = Faulty(calls_left=40)
    calculators = {"default": Faulty(), "quench-A": faulty}

    def stop_in_B(progress: Progress) -> None:
        if progress.stage == "quench-B":
            token.stop("asked")

    with pytest.raises(StoppedError, match="asked: stopped in stage 'quench-B'"):
        tree.run(atoms, calculators, tmp_path / "run", seed=3, progress=stop_in_B, stop=token)
    found = states(Run.open(tmp_path / "run"))
    assert found["quench-A"] == "failed"
    assert (found["quench-B"], found["production-B"]) == ("stopped", "pending")
    faulty.calls_left = None
    assert_equal_bits(whole, tree.run(atoms, calculators, tmp_path / "run", seed=3))


def test_lost_end_of_one_branch_is_made_again_and_leaves_the_other(
    tmp_path: Path, atoms: Atoms, tree: Protocol, whole: Run
) -> None:
    """Unreadable checkpoints of quench-A: it is set aside, and what started from it confirmed."""
    faulty = {"default": Faulty(), "production-B": Faulty(12)}
    with pytest.raises(StageFailedError):
        tree.run(atoms, faulty, tmp_path / "run", seed=3)
    for path in (tmp_path / "run" / "02-quench-A").glob("checkpoint*.npz"):
        path.write_bytes(b"nothing")
    before = (tmp_path / "run" / "03-production-A" / "trajectory.h5md").stat().st_mtime_ns
    repaired = {"default": Faulty(), "production-B": Faulty()}
    run = tree.run(atoms, repaired, tmp_path / "run", seed=3)
    assert_equal_bits(whole, run)
    assert (run.path / "02-quench-A.damaged-1" / "checkpoint.npz").read_bytes() == b"nothing"
    assert (run.path / "03-production-A" / "trajectory.h5md").stat().st_mtime_ns == before


def test_parents_and_descendants(tree: Protocol, protocol: Protocol) -> None:
    parents = {stage.name: tree.parent(stage.name) for stage in tree.stages}
    assert {name: stage and stage.name for name, stage in parents.items()} == {
        "melt": None,
        "quench-A": "melt",
        "production-A": "quench-A",
        "quench-B": "melt",
        "production-B": "quench-B",
    }
    assert [stage.name for stage in tree.descendants("melt")] == [*BRANCH_A, *BRANCH_B]
    assert [stage.name for stage in tree.descendants("quench-A")] == ["production-A"]
    assert tree.descendants("production-B") == []
    assert [stage.name for stage in protocol.descendants("ramp")] == ["production"]


def test_analysis_of_a_run_with_a_failed_branch(
    tmp_path: Path, atoms: Atoms, tree: Protocol, capsys: pytest.CaptureFixture[str]
) -> None:
    calculators = {"default": Faulty(), "quench-A": Faulty(12)}
    with pytest.raises(StageFailedError):
        tree.run(atoms, calculators, tmp_path / "run")
    window = ["--window-ps", "0.1", "--fit-ps", "0.02", "0.1"]
    assert run_command_line(["analyze", str(tmp_path / "run"), *window, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["stages"]) == ["production-B"]
