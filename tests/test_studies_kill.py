"""A study that is killed or stopped goes on with the same command, to the same bits."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import pytest
from lennard_jones_aimd import make_reference
from runs import assert_equal_bits, finish, start
from systems import ARGON

from mlmd import Run

pytest.importorskip("jinja2", reason="needs the report extra")


def command(folder: Path, out: str) -> list[str]:
    return [
        sys.executable,
        *["-m", "mlmd.cli", "compare"],
        *["--reference", str(folder / "XDATCAR.gz"), "--timestep-fs", "20"],
        *["--temperature-K", "140", "--md-timestep-fs", "4", "--equilibrate-ps", "1"],
        *["--calculator", str(folder / "pots.yaml"), "--checkpoint-every-s", "0.05"],
        *["--out", str(folder / out)],
    ]


@pytest.mark.slow
def test_killed_and_stopped_it_goes_on_with_the_same_bits(tmp_path: Path):
    make_reference(tmp_path, duration_ps=2.0)
    options = {**ARGON, "cutoff_A": 7.5}
    pots = {name: {"name": "lj", "options": options} for name in ("first", "second")}
    (tmp_path / "pots.yaml").write_text(json.dumps(pots))
    whole = finish(command(tmp_path, "whole"))
    assert whole.returncode == 0, whole.stderr

    killed = start(command(tmp_path, "broken"))
    first = tmp_path / "broken" / "runs" / "first" / "Ar-140K-0"
    _wait_for(first / "02-production" / "checkpoint.npz", killed)
    killed.kill()
    killed.communicate()
    assert not (tmp_path / "broken" / "report.html").exists()

    stopped = start(command(tmp_path, "broken"))
    second = tmp_path / "broken" / "runs" / "second" / "Ar-140K-0"
    _wait_for(second / "01-equilibrate" / "checkpoint.npz", stopped)
    stopped.send_signal(signal.SIGTERM)
    _, error = stopped.communicate(timeout=60)
    assert stopped.returncode == 3, error
    assert "go on: mlmd" in error
    assert str(tmp_path / "pots.yaml") in error
    assert Run.open(first).status == "done"

    resumed = finish(command(tmp_path, "broken"))
    assert resumed.returncode == 0, resumed.stderr
    for run in (first, second):
        there = tmp_path / "whole" / run.relative_to(tmp_path / "broken")
        assert_equal_bits(Run.open(run), Run.open(there))
    one, other = (
        json.loads((tmp_path / out / "comparison.json").read_text()) for out in ("broken", "whole")
    )
    for found in (one, other):
        for surrogate in found["surrogates"].values():
            del surrogate["comparison"]["systems"]  # they name the files
    assert one == other
    assert (tmp_path / "broken" / "report.html").is_file()


def _wait_for(file: Path, process) -> None:
    end = time.monotonic() + 60
    while not file.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)
