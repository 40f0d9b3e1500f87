"""Checkpoints: exact, and never lost to one bad file."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from runs import assert_equal_bits

from mlmd import CalculatorSpec, MlmdError, Protocol, Run
from mlmd.errors import DamagedDataError, StoppedError
from mlmd.protocol.settings import RunSettings
from mlmd.run.checkpoint import CheckpointStore
from mlmd.run.stopping import StopToken
from mlmd.stages.context import Progress


def test_round_trip_is_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    state = {
        "positions": rng.normal(size=(5, 3)),
        "nsteps": 12,
        "given_eV": 0.1 + 0.2,
        "rng": np.random.default_rng(4).bit_generator.state,
    }
    store = CheckpointStore(tmp_path)
    store.save(state)
    read = store.load()
    assert read is not None
    assert read["positions"].tobytes() == state["positions"].tobytes()
    assert {key: read[key] for key in ("nsteps", "given_eV", "rng")} == {
        key: state[key] for key in ("nsteps", "given_eV", "rng")
    }


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_damaged_checkpoint_falls_back_and_says_so(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = CheckpointStore(tmp_path)
    store.save({"nsteps": 1, "x": np.arange(100.0)})
    store.save({"nsteps": 2, "x": np.arange(100.0)})
    spoil(store.path, damage)
    with caplog.at_level(logging.WARNING):
        state = store.load()
    assert state is not None
    assert state["nsteps"] == 1
    assert "going on from the one before" in caplog.text
    spoil(store.previous, damage)
    with pytest.raises(DamagedDataError, match="move the folder"):
        store.load()


def spoil(path: Path, damage: str) -> None:
    """Damage a file, not the other name it may have."""
    content = bytearray(path.read_bytes())
    path.unlink()
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[len(content) // 2] ^= 0xFF
    else:
        content.clear()
    path.write_bytes(bytes(content))


def test_newer_checkpoint_is_refused(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    np.savez(store.path, plain=np.array(json.dumps({"schema": 99, "nsteps": 1})))
    with pytest.raises(DamagedDataError, match="newer"):
        store.load()


class StopAt:
    """Sets a stop token when a stage has come to a step."""

    def __init__(self, stage: str, step: int) -> None:
        self.token = StopToken()
        self._stage, self._step = stage, step

    def __call__(self, progress: Progress) -> None:
        if progress.stage == self._stage and progress.step >= self._step:
            self.token.stop("asked")


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> RunSettings:
    """Report every step, checkpoint every step."""
    monkeypatch.setattr("mlmd.stages.context.REPORT_INTERVAL_S", 0.0)
    return RunSettings(checkpoint_every_s=1e-9)


def test_run_goes_on_from_the_checkpoint_before_a_damaged_one(
    tmp_path: Path,
    atoms: Atoms,
    calculator: CalculatorSpec,
    protocol: Protocol,
    eager: RunSettings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = protocol.run(atoms, calculator, tmp_path / "whole", seed=5)
    stop = StopAt("production", 101)
    with pytest.raises(StoppedError, match="asked: stopped in stage 'production'"):
        protocol.run(
            atoms,
            calculator,
            tmp_path / "run",
            seed=5,
            progress=stop,
            stop=stop.token,
            settings=eager,
        )
    spoil(tmp_path / "run" / "04-production" / "checkpoint.npz", "flip")
    with caplog.at_level(logging.WARNING):
        run = protocol.run(atoms, calculator, tmp_path / "run", seed=5)
    assert "going on from the one before" in caplog.text
    assert_equal_bits(whole, run)


@pytest.mark.parametrize("stage", ["relax", "melt", "ramp", "production", "branch"])
def test_stopping_in_any_stage_changes_nothing(
    tmp_path: Path,
    atoms: Atoms,
    calculator: CalculatorSpec,
    protocol: Protocol,
    eager: RunSettings,
    stage: str,
) -> None:
    whole = protocol.run(atoms, calculator, tmp_path / "whole", seed=5)
    stop = StopAt(stage, 7)
    with pytest.raises(StoppedError):
        protocol.run(atoms, calculator, tmp_path / "run", seed=5, progress=stop, stop=stop.token)
    assert Run.open(tmp_path / "run").manifest.stage(stage).status == "stopped"
    run = protocol.run(atoms, calculator, tmp_path / "run", seed=5)
    assert_equal_bits(whole, run)


def test_damaged_trajectory_is_set_aside_and_the_stage_done_again(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, protocol: Protocol, eager: RunSettings
) -> None:
    whole = protocol.run(atoms, calculator, tmp_path / "whole", seed=5)
    stop = StopAt("production", 50)
    with pytest.raises(StoppedError):
        protocol.run(atoms, calculator, tmp_path / "run", seed=5, progress=stop, stop=stop.token)
    trajectory = tmp_path / "run" / "04-production" / "trajectory.h5md"
    spoil(trajectory, "cut")
    damaged = trajectory.read_bytes()
    run = protocol.run(atoms, calculator, tmp_path / "run", seed=5)
    assert_equal_bits(whole, run)
    assert (trajectory.parent / "trajectory.damaged-1.h5md").read_bytes() == damaged


def test_failed_stage_is_kept_as_failed_and_named(
    tmp_path: Path, atoms: Atoms, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlmd.calculators.models.lennard_jones import LennardJones

    calculator = LennardJones(cutoff_A=4.5)
    honest = calculator.calculate
    calls = {"n": 0}

    def failing(*args: object, **kwargs: object) -> None:
        calls["n"] += 1
        if calls["n"] > 100:
            raise RuntimeError("the engine\nbroke down")
        honest(*args, **kwargs)

    monkeypatch.setattr(calculator, "calculate", failing)
    with pytest.raises(MlmdError, match="stage 'melt' failed: RuntimeError: the engine broke down"):
        protocol.run(atoms, calculator, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert run.status == "failed"
    assert run.manifest.stage("melt").status == "failed"
    assert "melt" not in run.results
    last = json.loads((run.path / "log.jsonl").read_text().splitlines()[-1])
    assert "Traceback" in last["traceback"]
