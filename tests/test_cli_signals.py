"""Signals stop a run as they should; nobody listening to its output does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ase import Atoms
from ase.io import write
from runs import command, write_protocol

from mlmd import Run
from mlmd.cli.signals import ASKED, TOLD, stop_on_signals

ALL = (*ASKED, *(getattr(signal, name) for name in TOLD))


@pytest.mark.parametrize("number", ALL)
def test_every_signal_asks_for_a_stop_and_is_itself_again_afterwards(
    number: signal.Signals,
) -> None:
    before = signal.getsignal(number)
    with stop_on_signals() as token:
        os.kill(os.getpid(), number)
        assert token.reason == number.name
        if number != signal.SIGINT:
            os.kill(os.getpid(), number)  # Slurm and the kernel say it more than once
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", [getattr(signal, name) for name in TOLD])
def test_who_is_deaf_to_a_signal_stays_so(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with stop_on_signals() as token:
            os.kill(os.getpid(), number)
            assert token.reason is None
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.fixture
def structure(tmp_path: Path, atoms: Atoms) -> Path:
    path = tmp_path / "start.extxyz"
    write(path, atoms)
    return path


def started(
    tmp_path: Path, structure: Path, production_ps: float, before: Callable[[], None] | None = None
) -> subprocess.Popen[str]:
    protocol = write_protocol(tmp_path / "p.yaml", 0.02, production_ps)
    return subprocess.Popen(
        command(protocol, structure, tmp_path / "run", "--checkpoint-every-s", "0.01"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,  # noqa: PLW1509 -- no threads here
    )


def wait_for_production(tmp_path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "03-production" / "checkpoint.npz").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    "name", ["SIGUSR1", *(pytest.param(one, marks=pytest.mark.slow) for one in TOLD)]
)
def test_a_run_is_stopped_with_a_checkpoint(tmp_path: Path, structure: Path, name: str) -> None:
    process = started(tmp_path, structure, 500.0)
    wait_for_production(tmp_path, process)
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert name in errors.splitlines()[-1]
    assert Run.open(tmp_path / "run").status == "stopped"


@pytest.mark.slow
def test_nohup_keeps_a_run_going(tmp_path: Path, structure: Path) -> None:
    process = started(
        tmp_path, structure, 500.0, lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN) and None
    )
    wait_for_production(tmp_path, process)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert "SIGTERM" in errors.splitlines()[-1]


def close_output() -> None:
    os.close(1)


def close_all() -> None:
    for number in (0, 1, 2):
        os.close(number)


def give_pipes_that_nobody_reads() -> None:
    for number in (1, 2):
        read, written = os.pipe()
        os.dup2(written, number)
        os.close(read)


DEAF = [
    pytest.param(close_output, marks=pytest.mark.slow),
    close_all,
    give_pipes_that_nobody_reads,
]


@pytest.mark.parametrize("deafen", DEAF)
def test_a_run_that_nobody_listens_to_is_finished(
    tmp_path: Path, structure: Path, deafen: Callable[[], None]
) -> None:
    process = started(tmp_path, structure, 0.02, deafen)
    process.communicate(timeout=120)
    assert process.returncode == 0
    run = Run.open(tmp_path / "run")
    assert run.status == "done"
    assert len(run.trajectory("production")) > 1


@pytest.mark.parametrize("deafen", DEAF)
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["protocols"], 0),
        pytest.param(["--help"], 0, marks=pytest.mark.slow),
        pytest.param(["status", "nowhere"], 2, marks=pytest.mark.slow),
    ],
)
def test_the_exit_code_is_that_of_the_work(
    tmp_path: Path, deafen: Callable[[], None], arguments: list[str], code: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlmd.cli", *arguments],
        cwd=tmp_path,
        capture_output=True,
        preexec_fn=deafen,
        check=False,
    )
    assert done.returncode == code


def test_a_full_disk_is_no_reader_that_has_gone() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no device that is full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mlmd.cli", "protocols"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode != 0
