"""What any engine has to keep: one campaign, whatever works through it."""

from __future__ import annotations

import os
import threading
from concurrent.futures import wait
from pathlib import Path

import pytest
from engines import (
    assert_done_once,
    hasten_parsl,
    import_also_from,
    in_production,
    nobody_left_behind,
    small_campaign,
    undisturbed,
    until,
)

from mlmd import Run
from mlmd.campaign import run_campaign
from mlmd.campaign.engines.making import executors_of
from mlmd.errors import StoppedError
from mlmd.run.stopping import StopToken

PLANTED = """\
import os, signal
from pathlib import Path
from mlmd.calculators.models.lennard_jones import LennardJones

class Planted(LennardJones):
    steps = 0

    def calculate(self, atoms, *args):
        self.steps += 1
        flag = Path(os.environ["MLMD_TEST_FLAG"])
        if self.steps == 30 and 'F' in atoms.symbols and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        super().calculate(atoms, *args)

def make():
    return Planted(cutoff_A=4.5)
"""
ENGINES = [
    "local",
    pytest.param("parsl", marks=pytest.mark.slow),
    pytest.param("dask", marks=pytest.mark.slow),
    pytest.param("executorlib", marks=pytest.mark.slow),
]
PACKAGES = {"parsl": "parsl", "dask": "distributed", "executorlib": "executorlib"}


@pytest.fixture(params=ENGINES)
def engine(request, monkeypatch):
    if request.param in PACKAGES:
        pytest.importorskip(PACKAGES[request.param])
    if request.param == "parsl":
        hasten_parsl(monkeypatch)
    return request.param


def meet(folder: str, own: str, other: str) -> int:
    """Wait for another task, which has to be under way at the same time."""
    (Path(folder) / own).touch()
    until((Path(folder) / other).exists, "the tasks were done one after another")
    return os.getpid()


def fail(message: str) -> None:
    raise ArithmeticError(message)


def test_an_engine(engine, tmp_path, monkeypatch):
    """Tasks at once, an error as a value, a worker that dies, frames, and nobody left behind."""
    flag = tmp_path / "killed"
    (tmp_path / "planted.py").write_text(PLANTED)
    import_also_from(monkeypatch, tmp_path)
    monkeypatch.setenv("MLMD_TEST_FLAG", str(flag))
    flag.touch()
    alone = undisturbed(tmp_path, 0.1, calculators="planted:make")
    flag.unlink()
    campaign = small_campaign(tmp_path, 0.1, calculators="planted:make", engine=engine)
    threads = threading.active_count()
    with nobody_left_behind(monkeypatch):
        executor = executors_of(campaign)()
        try:
            pair = [executor.submit(meet, str(tmp_path), *names) for names in ("ab", "ba")]
            wait(pair, timeout=120)
            pids = {future.result(timeout=1) for future in pair}
            assert len(pids - {os.getpid()}) == 2
            with pytest.raises(ArithmeticError, match="seven"):
                executor.submit(fail, "seven").result(timeout=60)
            state = run_campaign(campaign, lambda: executor)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
    assert state.counts == {"done": 4, "running": 0, "failed": 0, "waiting": 0}
    assert flag.exists()
    assert_done_once(campaign, alone)
    until(lambda: threading.active_count() <= threads + 1, "threads are left")


def test_a_stop_ends_at_checkpoints(engine, tmp_path, monkeypatch):
    import_also_from(monkeypatch)
    campaign = small_campaign(tmp_path, 40.0, engine=engine)
    token = StopToken()

    def stop():
        until(lambda: len(in_production(campaign)) == 2, "no two cases began")
        token.stop("enough")

    threading.Thread(target=stop).start()
    with (
        nobody_left_behind(monkeypatch),
        pytest.raises(StoppedError, match="enough: 0 of 4 cases are done"),
    ):
        run_campaign(campaign, stop=token)
    assert {Run.open(path.parent).status for path in campaign.folder.glob("*/run.json")} == {
        "stopped"
    }
    assert list(campaign.folder.glob("*.stop")) == []
