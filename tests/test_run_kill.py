"""A run that is killed, stopped, or starved of disk goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from runs import assert_equal_bits, command, finish, recorded, start, write_protocol

from mlmd import Run


@pytest.fixture
def structure(tmp_path: Path, atoms: Atoms) -> Path:
    path = tmp_path / "start.extxyz"
    write(path, atoms)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint_every_s", ["0.3", "0.001"], ids=["seldom", "while-writing"])
def test_killed_at_random_moments(tmp_path: Path, structure: Path, checkpoint_every_s: str) -> None:
    """Ten kills each: between checkpoints, and with a checkpoint at every step."""
    length = 40.0 if checkpoint_every_s == "0.3" else 4.0
    protocol = write_protocol(tmp_path / "p.yaml", 1.0, length)
    whole = finish(command(protocol, structure, tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    arguments = command(
        protocol, structure, tmp_path / "killed", "--checkpoint-every-s", checkpoint_every_s
    )
    dice = random.Random(7)
    kills, progress = 0, []
    while kills < 10:
        lines = log_lines(tmp_path / "killed")
        process = start(arguments)
        while log_lines(tmp_path / "killed") == lines and process.poll() is None:
            time.sleep(0.005)  # importing takes longer than the work
        time.sleep(dice.uniform(0.0, 0.7))
        process.kill()
        _, errors = process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, errors
        kills += 1
        progress.append(frames_on_disk(tmp_path / "killed"))
    assert kills >= 5
    # Work before the last checkpoint is never done again, so frames are never lost for good.
    assert progress[-1] > progress[0]
    last = finish(arguments)
    assert last.returncode == 0, last.stderr
    assert_equal_bits(Run.open(tmp_path / "whole"), Run.open(tmp_path / "killed"))


def log_lines(folder: Path) -> int:
    path = folder / "log.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def frames_on_disk(folder: Path) -> int:
    """Count the frames that the checkpoints vouch for, opening every file as others would."""
    total = 0
    for path in folder.glob("*/trajectory.h5md"):
        if not (path.parent / "checkpoint.npz").exists():
            continue  # killed before the stage's first checkpoint: nothing is promised
        with np.load(path.parent / "checkpoint.npz") as checkpoint:
            vouched = json.loads(str(checkpoint["plain"]))["n_frames"]
        with h5py.File(path) as file:
            positions = file["particles/trajectory/position/value"]
            assert len(positions) >= vouched
            assert np.isfinite(positions[:vouched]).all()
        total += vouched
    return total


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_checkpoints_and_says_how_to_go_on(
    tmp_path: Path, structure: Path, number: signal.Signals
) -> None:
    protocol = write_protocol(tmp_path / "p.yaml", 1.0, 6.0)
    arguments = command(protocol, structure, tmp_path / "stopped")
    process = start(arguments)
    wait_for(tmp_path / "stopped" / "03-production" / "checkpoint.npz", process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3
    message = errors.strip().splitlines()[-1]
    assert number.name in message
    assert "mlmd run" in message
    stopped = Run.open(tmp_path / "stopped")
    assert stopped.status == "stopped"
    before = json.loads((stopped.path / "log.jsonl").read_text().splitlines()[-1])
    assert before["event"] == "stage stopped"
    # The checkpoint is at the step where it stopped: nothing is done twice.
    step = checkpointed_step(stopped.path / "03-production")
    assert f"at {step * 2 / 1000:.3f} of" in message
    assert finish(arguments).returncode == 0
    whole = finish(command(protocol, structure, tmp_path / "whole"))
    assert whole.returncode == 0
    assert_equal_bits(Run.open(tmp_path / "whole"), Run.open(tmp_path / "stopped"))


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def checkpointed_step(folder: Path) -> int:
    with np.load(folder / "checkpoint.npz") as checkpoint:
        return int(json.loads(str(checkpoint["plain"]))["nsteps"])


@pytest.mark.slow
def test_full_disk_keeps_everything_to_the_last_checkpoint(
    tmp_path: Path, structure: Path, small_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,size=1536k", str(small_disk)], check=True)
    protocol = write_protocol(tmp_path / "p.yaml", 1.0, 12.0)
    arguments = command(protocol, structure, small_disk / "run", "--checkpoint-every-s", "0.05")
    full = finish(arguments)
    assert full.returncode == 3, full.stderr
    assert "no space left" in full.stderr.splitlines()[-1]
    run = Run.open(small_disk / "run")
    assert run.status == "stopped"
    kept = recorded(run)
    assert frames_on_disk(run.path) > 100
    assert len(run.trajectory("melt")) == 251
    # Still full: the same end, nothing lost.
    again = finish(arguments)
    assert again.returncode == 3, again.stderr
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert finish(arguments).returncode == 0
    whole = finish(command(protocol, structure, tmp_path / "whole"))
    assert whole.returncode == 0
    assert_equal_bits(Run.open(tmp_path / "whole"), Run.open(small_disk / "run"))
    complete = recorded(Run.open(small_disk / "run"))
    name = "production/particles/trajectory/position/value"
    vouched = len(kept[name])
    assert complete[name][:vouched].tobytes() == kept[name].tobytes()


def test_two_processes_on_one_directory(tmp_path: Path, structure: Path) -> None:
    protocol = write_protocol(tmp_path / "p.yaml", 1.0, 20.0)
    arguments = command(protocol, structure, tmp_path / "run")
    first = start(arguments)
    try:
        wait_for(tmp_path / "run" / "02-melt" / "checkpoint.npz", first)
        second = finish(arguments)
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=60)
    assert second.returncode == 2
    (line,) = second.stderr.strip().splitlines()
    assert f"process {first.pid} on {os.uname().nodename}" in line
