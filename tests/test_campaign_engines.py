"""What any engine has to keep: one campaign, whatever works through it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
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
from mlmd.campaign import Campaign, run_campaign
from mlmd.campaign.engines import jobs
from mlmd.campaign.engines.deaths import Deaths
from mlmd.campaign.engines.ending import STOP_AT, Ending
from mlmd.campaign.engines.making import executors_of
from mlmd.campaign.engines.settings import EngineSettings
from mlmd.errors import InputError, StoppedError
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
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
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
    assert list(elsewhere.iterdir()) == []
    if engine == "parsl":
        from parsl.dataflow.dflow import DataFlowKernelLoader

        assert DataFlowKernelLoader._dfk is None


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


CLIENT = """\
import pytest, sys
from pathlib import Path
from engines import hasten_parsl, small_campaign
from mlmd.campaign import run_campaign
from mlmd.cli.signals import stop_on_signals
hasten_parsl(pytest.MonkeyPatch())
with stop_on_signals() as stop:
    run_campaign(small_campaign(Path(sys.argv[1]), 40.0, engine="parsl"), stop=stop)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_jobs_end_with_their_client(how, tmp_path, monkeypatch):
    """Killed, or told by Ctrl-C, which the terminal sends to all of its processes."""
    pytest.importorskip("parsl")
    import_also_from(monkeypatch)
    campaign = small_campaign(tmp_path, 40.0)
    with nobody_left_behind(monkeypatch):
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(tmp_path)],
            start_new_session=True,
            stderr=subprocess.PIPE,
            text=True,
        )
        until(lambda: len(in_production(campaign)) == 2, "no two cases began")
        if how == signal.SIGKILL:
            client.kill()
        else:
            os.killpg(client.pid, how)
        said = client.communicate(timeout=60)[1]
    statuses = {Run.open(path.parent).status for path in campaign.folder.glob("*/run.json")}
    assert statuses == {"stopped"}
    if how == signal.SIGINT:
        assert "StoppedError: SIGINT: 0 of 4 cases are done" in said


@pytest.mark.slow
def test_processes_of_mpi(tmp_path, monkeypatch):
    """ASE takes them for one calculation, and waits for ever, unless it is told otherwise."""
    pytest.importorskip("mpi4py")
    if shutil.which("mpiexec") is None:
        pytest.skip("mpiexec is not installed (openmpi-bin)")
    import_also_from(monkeypatch)
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    campaign = small_campaign(tmp_path, 0.1)
    (tmp_path / "c.yaml").write_text(
        "compositions: [LiCl, LiF]\nn_atoms: 24\nvolume_per_atom_A3: 45\nprotocol: p.yaml\n"
        "calculators: {name: lj, options: {cutoff_A: 4.5}}\nseeds: 2\nengine: mpi\n"
        f"out: {campaign.folder.relative_to(tmp_path)}\n"
    )
    module = [sys.executable, "-m", "mpi4py.futures", "-m", "mlmd.cli"]
    command = ["mpiexec", "--oversubscribe", "-n", "3", *module]
    with nobody_left_behind(monkeypatch):
        done = subprocess.run(
            [*command, "campaign", "run", str(tmp_path / "c.yaml"), "--json"],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    assert json.loads(done.stdout)["counts"]["done"] == 4
    journals = [path.read_text() for path in campaign.folder.glob("campaign-*.jsonl")]
    assert len([text for text in journals if '"done"' in text]) == 2
    assert_done_once(campaign, undisturbed(tmp_path, 0.1))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("slurm", "engine is 'slurm'; expected local or parsl or dask"),
        ("none.yaml", "none.yaml"),
        ("list.yaml", "list.yaml holds .*; expected a mapping with name"),
        ({"nodes": 3}, "engine is .*; expected one of local, parsl"),
        ({"name": "local", "nodes": 3}, "engine local has no nodes; it has name"),
        ({"name": "parsl", "queue": "gpu"}, "engine parsl has no queue; it has .*partition"),
        ({"name": "parsl", "scheduler": "sge"}, "scheduler is 'sge'; expected slurm or pbs"),
        ({"name": "parsl", "scheduler": "slurm"}, "no walltime; give walltime: HH:MM:SS"),
        ({"name": "parsl", "scheduler": "slurm", "walltime": 24}, "walltime is 24; expected HH"),
        ({"name": "parsl", "scheduler": "slurm", "walltime": "1:75:00"}, "expected HH:MM:SS"),
        ({"name": "parsl", "scheduler": "slurm", "walltime": "00:00:59"}, "a minute at least"),
        ({"name": "parsl", "walltime": "01:00:00"}, "walltime and no scheduler"),
        ({"name": "parsl", "partition": "gpu"}, "partition and no scheduler"),
        ({"name": "parsl", "nodes": 0}, "nodes"),
        ({"name": "parsl", "commands": [3]}, "commands is 3; expected a text"),
    ],
)
def test_an_engine_that_cannot_be_is_one_line_before_anything_begins(given, says, tmp_path):
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(InputError, match=says) as caught:
        small_campaign(tmp_path, 0.1, engine=given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_what_is_not_installed_is_said_before_anything_begins(tmp_path, monkeypatch):
    campaign = small_campaign(tmp_path, 0.1, engine="dask")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs the package 'distributed'; install it with: pip"):
        run_campaign(campaign)
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    asked = {"name": "parsl", "scheduler": "lsf", "walltime": "01:00:00"}
    campaign = small_campaign(tmp_path, 0.1, engine=asked)
    with pytest.raises(InputError, match="scheduler lsf has no command bsub here"):
        run_campaign(campaign)
    assert [path.name for path in campaign.folder.iterdir()] == []


@pytest.mark.parametrize(
    ("walltime", "seconds"), [("24:00", 86400), ("00:01:59", 60), ("1-02:00:00", 93600)]
)
def test_walltimes_are_those_of_schedulers(walltime, seconds):
    given = {"name": "parsl", "scheduler": "slurm", "walltime": walltime}
    assert EngineSettings.of(given).walltime_s == seconds


SCRIPTS = {
    "slurm": (
        "sbatch",
        "Submitted batch job 7",
        ["--partition=gpu", "--account=me", "--time=120", "--cpus-per-task=8", "--gpus-per-node=4"],
    ),
    "pbs": ("qsub", "7.host", ["-l walltime=02:00:00", "-l select=1:ncpus=8:ngpus=4"]),
    "lsf": (
        "bsub",
        "Job <7> is submitted to queue <gpu>.",
        ["-W 120", "-q gpu", "-P me", "-n 8", '"num=4"'],
    ),
    "grid_engine": ("qsub", 'Your job 7 ("x") has been submitted', ["h_rt=02:00:00", "-P me"]),
}


@pytest.mark.parametrize("scheduler", SCRIPTS)
def test_what_a_scheduler_is_given(scheduler, tmp_path, monkeypatch):
    """The script alone, by a stand-in of its command: only Slurm is tested in earnest."""
    pytest.importorskip("parsl")
    command, answer, expected = SCRIPTS[scheduler]
    (tmp_path / command).write_text(f"#!/bin/sh\necho '{answer}'\n")
    (tmp_path / command).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    settings = EngineSettings.of(
        {
            "name": "parsl",
            "scheduler": scheduler,
            "partition": "gpu",
            "account": "me",
            "walltime": "02:00:00",
            "gpus_per_node": 4,
            "commands": "module load cuda\nulimit -c 0",
        }
    )
    provider = jobs.provider(settings, jobs.workers_of_a_node(settings), threads=2)
    provider.script_dir = str(tmp_path)
    assert provider.submit("the workers", 1, "name")
    (script,) = (path for path in tmp_path.iterdir() if path.name.startswith("name"))
    text = script.read_text()
    for part in expected:
        assert part in text
    order = ["OMP_NUM_THREADS=2", STOP_AT, "module load cuda", "ulimit -c 0", "the workers"]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    assert f"+ {7200 - 300})" in text


def jobs_taken(nodes: int, workers: int, n_tasks: int, hours: float, usable_h: float) -> int:
    """Count jobs: as many at once as there are nodes, tasks go on where the last job left them."""
    left = [hours] * n_tasks
    count, running = 0, [0.0] * nodes
    """When each node is free again."""
    while left:
        count += 1
        node = min(range(nodes), key=running.__getitem__)
        begun = running[node]
        for _ in range(workers):
            time_h = usable_h
            while left and time_h > 1e-9:
                one = left.pop()
                if one > time_h:
                    left.append(one - time_h)
                time_h -= min(one, time_h)
        running[node] = begun + usable_h
    return count


@pytest.mark.parametrize(
    ("nodes", "workers", "n_tasks", "hours", "walltime"),
    [
        (8, 4, 25_000, 1 / 6, "24:00:00"),
        (1, 2, 100, 0.3, "01:00:00"),
        (50, 4, 100, 7.0, "04:00:00"),
        (3, 8, 5, 0.1, "01:00:00"),
    ],
)
def test_jobs_follow_from_the_work_and_not_from_the_number_of_runs(
    nodes, workers, n_tasks, hours, walltime
):
    settings = EngineSettings.of(
        {
            "name": "parsl",
            "scheduler": "slurm",
            "nodes": nodes,
            "workers_per_node": workers,
            "walltime": walltime,
        }
    )
    usable_h = (settings.walltime_s - 300 - 60) / 3600
    needed = jobs.jobs_needed(settings, n_tasks, hours)
    taken = jobs_taken(nodes, workers, n_tasks, hours, usable_h)
    assert taken <= needed <= taken + nodes
    if n_tasks == 25_000:
        assert needed <= 100


def test_deaths_count_while_a_case_gets_no_further(tmp_path):
    deaths = Deaths()
    checkpoint = tmp_path / "02-production" / "checkpoint.npz"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"step 3")
    assert [deaths.count(tmp_path) for _ in range(2)] == [1, 2]
    checkpoint.write_bytes(b"step 4")
    assert deaths.count(tmp_path) == 1
    # A start that writes the same once more is no progress.
    checkpoint.write_bytes(b"step 4")
    assert deaths.count(tmp_path) == 2


def test_a_task_stops_before_its_job_ends_and_with_its_client(tmp_path, monkeypatch):
    assert Ending().reason is None
    stop = tmp_path / "a.stop"
    ending = Ending(str(stop))
    assert ending.reason is None
    stop.touch()
    ending._looked = 0.0
    assert ending.reason == "the campaign was stopped"
    stop.unlink()
    assert ending.reason == "the campaign was stopped"
    monkeypatch.setenv(STOP_AT, str(time.time() + 60))
    assert Ending().reason is None
    monkeypatch.setenv(STOP_AT, str(time.time() - 1))
    assert Ending().reason == "the job of the scheduler is about to end"
    monkeypatch.delenv(STOP_AT)
    # What newer versions of Slurm say of every job.
    monkeypatch.setenv("SLURM_JOB_START_TIME", str(time.time() - 3000))
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(time.time() + 200))
    assert Ending().reason == "the job of the scheduler is about to end"
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(time.time() + 400))
    assert Ending().reason is None


def test_a_campaign_in_a_job_that_ends_stops_and_goes_on(tmp_path, monkeypatch):
    campaign = small_campaign(tmp_path, 0.1)
    with monkeypatch.context() as patch:
        patch.setenv(STOP_AT, "1")
        with pytest.raises(StoppedError, match="about to end: 0 of 4 cases are done"):
            run_campaign(campaign, lambda: ThreadPoolExecutor(1))
    assert run_campaign(campaign, lambda: ThreadPoolExecutor(1)).counts["done"] == 4


class Gone(ThreadPoolExecutor):
    """An executor whose cluster goes away at once, the first time."""

    made = 0

    def __init__(self):
        super().__init__(1)
        type(self).made += 1

    def submit(self, fn, /, *args, **kwargs) -> Future:
        future = super().submit(fn, *args, **kwargs) if self.made > 1 else Future()
        if self.made == 1:
            future.cancel()
            future.set_running_or_notify_cancel()
        return future


def test_a_cluster_that_has_gone_is_looked_for_again(tmp_path):
    Gone.made = 0
    campaign = small_campaign(tmp_path, 0.1)
    assert run_campaign(campaign, Gone).counts["done"] == 4
    assert Gone.made == 2
    # Nobody had begun them.
    assert not any(
        '"failed"' in path.read_text() for path in campaign.folder.glob("campaign-*.jsonl")
    )


def test_each_worker_of_a_job_has_a_gpu_of_those_that_the_job_has(monkeypatch):
    code = (
        "import os; from mlmd.campaign.engines.there import there; "
        "print(there(os.environ.get, 'CUDA_VISIBLE_DEVICES'))"
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    seen = []
    for rank in range(3):
        monkeypatch.setenv("PARSL_WORKER_RANK", str(rank))
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        seen.append(done.stdout.strip())
    assert seen == ["4", "6", "4"]


def test_the_command_line_has_the_last_word(tmp_path):
    campaign = small_campaign(tmp_path, 0.1)
    (tmp_path / "c.yaml").write_text("compositions: LiCl\ncalculators: lj\nengine: parsl\n")
    assert Campaign.load(tmp_path / "c.yaml").engine.name == "parsl"
    command = [sys.executable, "-m", "mlmd.cli", "campaign", "run", str(tmp_path / "c.yaml")]
    done = subprocess.run(
        [*command, "--engine", "x.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "x.yaml" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert campaign.engine.name == "local"
