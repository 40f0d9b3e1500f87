"""A calculator that hangs: a second Ctrl-C ends the run, the same command goes on exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ase import Atoms
from ase.io import write
from runs import assert_equal_bits, write_protocol

from mlmd import Run

MODULE = """\
import os
import time
from pathlib import Path

from mlmd.calculators.models.lennard_jones import LennardJones


class Hanging(LennardJones):
    calls = 0

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        Hanging.calls += 1
        if Hanging.calls == int(os.environ.get("HANG_AT", "0")):
            Path(os.environ["HANG_SIGN"]).touch()
            time.sleep(1000)


def make():
    return Hanging(cutoff_A=4.5)
"""


@pytest.mark.parametrize(("stage", "call"), [("relax", 12), ("melt", 100), ("production", 400)])
def test_hanging_calculator(tmp_path: Path, atoms: Atoms, stage: str, call: int) -> None:
    write(tmp_path / "start.extxyz", atoms)
    (tmp_path / "hanging_calculator.py").write_text(MODULE)
    protocol = write_protocol(tmp_path / "p.yaml", 0.4, 0.8)
    sign = tmp_path / "hangs"

    def start(out: str, hang_at: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "mlmd.cli", "run", str(protocol)),
                *("--structure", str(tmp_path / "start.extxyz"), "--out", str(tmp_path / out)),
                *("--calculator", "hanging_calculator:make", "--checkpoint-every-s", "0.01"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(tmp_path),
                "HANG_AT": str(hang_at),
                "HANG_SIGN": str(sign),
            },
        )

    process = start("run", call)
    deadline = time.monotonic() + 60
    while not sign.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)  # asks for a stop at the next step, which never comes
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 3, errors
    stopped = Run.open(tmp_path / "run")
    assert stopped.status == "stopped"
    assert stopped.manifest.stage(stage).status == "stopped"
    for out in ("run", "whole"):
        process = start(out, 0)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert_equal_bits(Run.open(tmp_path / "whole"), Run.open(tmp_path / "run"))
