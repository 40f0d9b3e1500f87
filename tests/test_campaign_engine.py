"""A campaign survives its workers, its client and itself: no case twice, none lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from ase.build import bulk
from ase.db import connect
from ase.io import write
from campaigns import (
    LJ,
    PROTOCOL,
    assert_as_alone,
    command,
    content_of,
    here,
    starts_and_ends,
    write_campaign,
)
from runs import assert_equal_bits

from mlmd import CalculatorSpec, Run, pack
from mlmd.campaign import Campaign, Case, LocalPool, run_campaign, state_of
from mlmd.campaign.journal import Journal, read_journals
from mlmd.campaign.sources import starting_structure
from mlmd.errors import InputError, PackingError, StoppedError
from mlmd.run.lock import RunLock
from mlmd.run.stopping import StopToken


@pytest.fixture
def content(tmp_path):
    return content_of(tmp_path)


@pytest.fixture
def campaign(content, tmp_path):
    return Campaign.from_dict(content, beside=tmp_path)


def test_every_case_is_a_run_of_its_own(campaign, tmp_path):
    state = here(campaign)
    assert state.counts == {"done": 4, "running": 0, "failed": 0, "waiting": 0}
    assert sorted(events.count("done") for events in starts_and_ends(campaign).values()) == [1] * 4
    assert_as_alone(campaign, tmp_path / "alone")


def test_walkers_share_a_model_and_the_runs_are_the_same(content, tmp_path):
    campaign = Campaign.from_dict({**content, "walkers": 4}, beside=tmp_path)
    assert here(campaign).counts["done"] == 4
    assert_as_alone(campaign, tmp_path / "alone")


def test_walkers_that_cannot_share_a_calculator_run_one_after_another(
    content, tmp_path, caplog, monkeypatch
):
    (tmp_path / "alien.py").write_text(
        "from mlmd.calculators.models.lennard_jones import LennardJones\n"
        "class Alien(LennardJones): pass\n"
        "def make():\n"
        "    return Alien(cutoff_A=4.5)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    content.update(walkers=4, calculators="alien:make")
    assert here(Campaign.from_dict(content, beside=tmp_path)).counts["done"] == 4
    assert "one after another: calculator 'alien:make' cannot compute many" in caplog.text


def test_what_is_done_is_not_begun_again(campaign):
    here(campaign)
    before = starts_and_ends(campaign)
    ended = []
    assert here(campaign, ended=ended.append).counts["done"] == 4
    assert starts_and_ends(campaign) == before
    assert ended == []


def test_directories_are_named_by_what_a_case_is(content, tmp_path):
    def names(**changes):
        return {one.name for one in Campaign.from_dict({**content, **changes}).cases}

    content["protocol"] = str(tmp_path / "p.yaml")
    same = names()
    assert names(workers=3, walkers=2, name="other") == same
    assert len(names(seeds=3) & same) == 4
    for changes in (
        {"n_atoms": 32},
        {"volume_per_atom_A3": 46},
        {"set": {"production.temperature_K": 600}},
        {"calculators": {"name": "lj", "options": {"cutoff_A": 4.4}}},
    ):
        assert not names(**changes) & same
    threads = {**LJ, "threads": 2}
    assert names(calculators=threads) == same


def test_a_list_of_cases_is_a_campaign_whose_runs_are_those_of_the_protocols(content, tmp_path):
    short = Campaign.from_dict(content, beside=tmp_path).protocols[0]
    atoms = [pack("LiCl", 24, volume_per_atom_A3=45, seed=seed) for seed in (1, 2)]
    cases = [
        Case(short, atoms[0], tmp_path / "runs" / "a", seed=5),
        Case(short, atoms[1], tmp_path / "runs" / "b", settings={"production.duration_ps": 0.06}),
    ]
    campaign = Campaign.of_cases(cases, CalculatorSpec.of(LJ), walkers=2)
    assert here(campaign).counts["done"] == 2, state_of(campaign)
    for case in cases:
        alone = case.resolved().run(
            case.structure, CalculatorSpec.of(LJ), tmp_path / case.directory.name, seed=case.seed
        )
        assert_equal_bits(Run.open(case.directory), alone)
    with pytest.raises(InputError, match="two cases have the directory a"):
        Campaign.of_cases([cases[0], cases[0]], "lj")
    with pytest.raises(InputError, match="directories in 2 folders"):
        Campaign.of_cases([cases[0], Case(short, atoms[0], tmp_path / "a")], "lj")


def test_each_protocol_of_several_is_run(content, tmp_path):
    (tmp_path / "q.yaml").write_text(PROTOCOL.replace("DURATION", "0.06"))
    campaign = Campaign.from_dict({**content, "protocol": ["p.yaml", "q.yaml"]}, beside=tmp_path)
    assert len(campaign.cases) == 8
    assert len({case.group for case in campaign.cases}) == 4
    assert here(campaign).counts["done"] == 8
    for case in campaign.cases:
        trajectory = Run.open(campaign.folder / case.name).trajectory("production")
        assert trajectory.duration_ps == pytest.approx((0.1, 0.06)[case.protocol])


def test_structures_of_files_and_compositions_of_a_table(content, tmp_path):
    write(tmp_path / "one.cif", bulk("NaCl", "rocksalt", a=7.2, cubic=True).repeat(2))
    images = [bulk("LiF", "rocksalt", a=a, cubic=True).repeat(2) for a in (6.0, 6.4)]
    write(tmp_path / "many.extxyz", images)
    with connect(tmp_path / "crystals.db") as database:
        for image in images:
            database.write(image)
    (tmp_path / "table.csv").write_text("id;composition\n1;LiCl\n2;LiBr\n")
    campaign = Campaign.from_dict(
        {
            **content,
            "compositions": "table.csv",
            "structures": ["*.cif", "many.extxyz", "crystals.db"],
            "seeds": 1,
        },
        beside=tmp_path,
    )
    labels = [case.name.rpartition("-")[0] for case in campaign.cases]
    of_many = [f"{file}-{n}" for file in ("many.extxyz", "crystals.db") for n in (0, 1)]
    assert labels == ["LiCl", "LiBr", "one.cif", *of_many]
    atoms = starting_structure(campaign.cases[-1].source, 0)
    assert atoms.get_volume() == pytest.approx(images[1].get_volume())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 3}, "seed"),
        ({"compositions": ["LiCl", "LiXx"]}, "LiXx.*--skip-bad"),
        ({"compositions": ["LiCl", "LiCl"]}, "LiCl.*twice"),
        ({"structures": "nothing-*.cif"}, "no file"),
        ({"calculators": "lennard"}, "not known"),
        ({"set": {"melt.temperature": 3}}, "temperature"),
        ({"seeds": 0}, "seeds"),
        ({"compositions": ["LiCl", False]}, "compositions has False.*in quotes"),
        ({"n_atoms": 2, "volume_per_atom_A3": 20}, "LiCl.*periodic images.*--skip-bad"),
        ({"volume_per_atom_A3": 5}, "LiCl.*close-packed spheres.*--skip-bad"),
        ({"walkers": 0}, "walkers"),
        ({"schema": 2}, "schema"),
        ({"protocol": "none.yaml"}, "none.yaml"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_begun(content, tmp_path, changes, says):
    with pytest.raises(InputError, match=says) as caught:
        Campaign.from_dict({**content, **changes}, beside=tmp_path)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.yaml"]


def test_bad_ones_are_left_out_and_listed_where_asked(content, tmp_path):
    content["compositions"] = ["LiCl", "LiXx"]
    campaign = Campaign.from_dict(content, beside=tmp_path, skip_bad=True)
    assert len(campaign.cases) == 2
    assert list(campaign.bad) == ["LiXx"]


def test_a_case_that_fails_is_said_and_tried_again_only_when_asked(content, tmp_path, monkeypatch):
    def no_packing(source, seed):
        raise PackingError("PACKMOL found no packing")

    monkeypatch.setattr("mlmd.campaign.work.starting_structure", no_packing)
    campaign = Campaign.from_dict({**content, "compositions": ["LiCl"]}, beside=tmp_path)
    state = here(campaign)
    assert state.counts["failed"] == 2
    assert {one["kind"] for one in state.failures.values()} == {"input"}
    before = starts_and_ends(campaign)
    here(campaign)
    assert starts_and_ends(campaign) == before
    here(campaign, retry=True)
    assert all(events.count("failed") == 2 for events in starts_and_ends(campaign).values())


def test_a_stop_leaves_cases_that_go_on(campaign, tmp_path):
    token = StopToken()
    with pytest.raises(StoppedError, match="of 4 cases are done"):
        here(campaign, ended=lambda outcome: token.stop("enough"), stop=token, in_flight=1)
    assert 1 <= state_of(campaign).counts["done"] < 4
    assert here(campaign).counts["done"] == 4
    assert_as_alone(campaign, tmp_path / "alone")


@pytest.mark.slow
def test_tasks_stop_at_their_time_limit_and_go_on(content, tmp_path):
    (tmp_path / "p.yaml").write_text(PROTOCOL.replace("DURATION", "16"))
    campaign = Campaign.from_dict(
        {**content, "time_limit_s": 1.0, "compositions": ["LiCl"], "seeds": 1}, beside=tmp_path
    )
    assert here(campaign).counts["done"] == 1
    (events,) = starts_and_ends(campaign).values()
    assert events.count("stopped") >= 1
    assert_as_alone(campaign, tmp_path / "alone")


def test_a_case_that_another_process_has_waits_for_it(campaign, monkeypatch):
    monkeypatch.setattr("mlmd.campaign.engine.BUSY_AGAIN_S", 0.1)
    directory = campaign.folder / campaign.cases[0].name
    directory.mkdir(parents=True)
    lock = RunLock(directory)
    lock.__enter__()
    ended = []

    def release(outcome):
        ended.append(outcome)
        if len(ended) == 3:
            lock.__exit__(None, None, None)

    assert here(campaign, ended=release).counts["done"] == 4
    assert "busy" in starts_and_ends(campaign)[campaign.cases[0].name]


def test_what_ran_out_of_memory_is_tried_with_fewer_walkers(content, tmp_path, monkeypatch):
    campaign = Campaign.from_dict({**content, "walkers": 4}, beside=tmp_path)
    sizes = []

    def short(task):
        from mlmd.campaign.journal import FAILED
        from mlmd.campaign.work import Outcome, work

        sizes.append(task.walkers)
        if task.walkers > 1:
            return [Outcome(case.name, FAILED, "memory", "full") for case in task.cases]
        return work(task)

    monkeypatch.setattr("mlmd.campaign.engine.work", short)
    assert here(campaign).counts["done"] == 4
    assert sizes == [4, 2, 2, 1, 1, 1, 1]


def test_a_full_disk_in_one_case_is_no_end_for_the_others_and_said(campaign, monkeypatch):
    def full(task):
        from mlmd.campaign.work import Outcome, work

        (case,) = task.cases
        if case == campaign.cases[0]:
            return [Outcome(case.name, "stopped", "disk", "no space left")]
        return work(task)

    with monkeypatch.context() as patch:
        patch.setattr("mlmd.campaign.engine.work", full)
        with pytest.raises(StoppedError, match="no space left: 3 of 4 cases are done"):
            here(campaign)
    assert here(campaign).counts["done"] == 4


class Breaking(ProcessPoolExecutor):
    """The pool of the standard library, one of whose workers dies at the second task."""

    made = 0

    def __init__(self):
        super().__init__(1, mp_context=get_context("spawn"))
        type(self).made += 1
        self.given = 0

    def submit(self, fn, /, *args, **kwargs) -> Future:
        self.given += 1
        if self.given == 2 and self.made == 1:
            return super().submit(os._exit, 1)
        return super().submit(fn, *args, **kwargs)


@pytest.mark.slow
def test_an_executor_that_breaks_is_made_anew(campaign, tmp_path):
    Breaking.made = 0
    assert run_campaign(campaign, Breaking, in_flight=2).counts["done"] == 4
    assert Breaking.made == 2
    assert_as_alone(campaign, tmp_path / "alone")


@pytest.mark.slow
def test_an_executor_of_the_user_that_breaks_is_said(campaign):
    Breaking.made = 0
    with Breaking() as pool, pytest.raises(StoppedError, match="executor broke"):
        run_campaign(campaign, pool, in_flight=2)
    assert here(campaign).counts["done"] == 4


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A calculator that does something of its own to fluorides."""

    def plant(what: str) -> str:
        (tmp_path / "planted.py").write_text(
            "import ctypes, os\n"
            "from mlmd.calculators.models.lennard_jones import LennardJones\n"
            "class Planted(LennardJones):\n"
            "    deterministic = True\n"  # many walkers may share it
            "    def calculate(self, atoms, *args):\n"
            "        if 'F' in atoms.symbols:\n"
            f"            {what}\n"
            "        super().calculate(atoms, *args)\n"
            "def make():\n"
            "    return Planted(cutoff_A=4.5)\n"
        )
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
        monkeypatch.syspath_prepend(str(tmp_path))
        return "planted:make"

    return plant


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "kind", "changes"),
    [
        ("os._exit(9)", "worker", {}),
        # As a library of C that waits with the lock of the interpreter in its hand.
        ("ctypes.PyDLL(None).sleep(600)", "hung", {"stalled_after_s": 1.5}),
    ],
)
def test_a_case_that_costs_its_workers_is_given_up_and_the_others_are_done(
    content, tmp_path, planted, what, kind, changes
):
    content.update(changes, calculators=planted(what), seeds=1)
    campaign = Campaign.from_dict(content, beside=tmp_path)
    state = run_campaign(campaign, lambda: LocalPool(1))
    assert state.counts["done"] == 1
    ((case, failure),) = state.failures.items()
    assert case.startswith("LiF")
    assert failure["kind"] == kind
    assert not list(campaign.folder.glob("*.begun"))
    if kind == "hung":
        assert "no step within 1.5 s" in failure["message"]
        assert "planted.py" in read_journals(campaign.folder)[case].details["traceback"]


@pytest.mark.slow
@pytest.mark.parametrize("walkers", [1, 2])
def test_a_model_out_of_memory_costs_the_case_that_is_too_large(
    content, tmp_path, planted, walkers
):
    content.update(calculators=planted("raise MemoryError('CUDA out of memory')"), seeds=1)
    campaign = Campaign.from_dict({**content, "walkers": walkers}, beside=tmp_path)
    state = run_campaign(campaign, lambda: LocalPool(1))
    assert state.counts["done"] == 1
    ((case, failure),) = state.failures.items()
    assert case.startswith("LiF")
    assert failure["kind"] == "memory"


@pytest.mark.slow
def test_of_cases_that_walk_together_only_the_one_that_kills_is_given_up(
    content, tmp_path, planted
):
    content.update(calculators=planted("os._exit(9)"), compositions=["LiCl", "LiBr", "LiF", "LiI"])
    campaign = Campaign.from_dict({**content, "walkers": 4, "seeds": 1}, beside=tmp_path)
    state = run_campaign(campaign, lambda: LocalPool(1))
    assert state.counts["done"] == 3
    ((case, failure),) = state.failures.items()
    assert case.startswith("LiF")
    assert failure["kind"] == "worker"


@pytest.mark.slow
def test_a_walker_that_hangs_is_found_among_those_that_walk(content, tmp_path, planted):
    content.update(calculators=planted("ctypes.PyDLL(None).sleep(600)"), stalled_after_s=1.5)
    campaign = Campaign.from_dict({**content, "walkers": 2, "seeds": 1}, beside=tmp_path)
    state = run_campaign(campaign, lambda: LocalPool(1))
    assert state.counts["done"] == 1
    assert [one["kind"] for one in state.failures.values()] == ["hung"]


def test_first_comes_what_has_priority(content, tmp_path):
    content.update(compositions=["LiCl", "LiF", "NaCl", "NaF"], priority=["NaF", "*F"], seeds=2)
    campaign = Campaign.from_dict(content, beside=tmp_path)
    order = [(case.name.partition("-")[0], case.seed) for case in campaign.cases]
    assert order[:4] == [("NaF", 0), ("NaF", 1), ("LiF", 0), ("LiF", 1)]
    assert {case.n_atoms for case in campaign.cases} == {24}
    with pytest.raises(InputError, match="'KCl', which no case is named by"):
        Campaign.from_dict({**content, "priority": ["KCl"]}, beside=tmp_path)


@pytest.mark.slow
def test_what_waits_for_a_worker_is_not_lost_with_it():
    pool = LocalPool(1)
    try:
        dies, waits = pool.submit(os._exit, 1), pool.submit(abs, -3)
        assert isinstance(dies.exception(timeout=60), BrokenExecutor)
        assert waits.result(timeout=60) == 3
    finally:
        pool.shutdown()


class Dead(Executor):
    """An engine none of whose workers starts."""

    def submit(self, fn, /, *args, **kwargs) -> Future:
        future = Future()
        future.set_exception(RuntimeError("a job that is gone"))
        return future


def test_workers_that_never_begin_are_an_end_and_no_failure_of_cases(campaign):
    with pytest.raises(StoppedError, match=r"die before they begin.*0 of 4 cases"):
        run_campaign(campaign, Dead)
    assert state_of(campaign).counts == {"done": 0, "running": 0, "failed": 0, "waiting": 4}


def test_a_defect_of_ours_is_a_failure_of_its_case_with_a_traceback(campaign, monkeypatch):
    def broken(source, seed):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("mlmd.campaign.work.starting_structure", broken)
    state = here(campaign)
    assert state.counts["failed"] == 4
    assert {one["kind"] for one in state.failures.values()} == {"other"}
    told = read_journals(campaign.folder)[campaign.cases[0].name]
    assert "ZeroDivisionError" in told.details["traceback"]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, ["0", "1"]),
        ({"workers_per_gpu": 2}, ["0", "1", "0", "1"]),
        ({"workers": 3}, ["0", "1", "0"]),
    ],
)
def test_workers_have_gpus_of_their_own_in_turn(how, expected):
    pool = LocalPool(gpus=["0", "1"], **how)
    try:
        shares = [slot._initargs[0] for slot in pool._slots]
    finally:
        pool.shutdown()
    assert shares == expected


def test_cut_lines_and_clocks_that_differ_lose_nothing(campaign):
    here(campaign)
    name = campaign.cases[0].name
    journal = Journal(campaign.folder)
    journal.write(name, "started")  # by a host whose clock is ahead
    with open(journal._path, "ab") as file:
        file.write(b'{"time": "2026-12-01", "case": "half')
    assert read_journals(campaign.folder)[name].event == "done"
    assert state_of(campaign).counts["done"] == 4


@pytest.mark.slow
def test_client_and_workers_killed_again_and_again(content, tmp_path):
    campaign = write_campaign(tmp_path, content, seeds=4, duration_ps=1.0)
    orphans: list[str] = []
    for delay_s in (2.0, 2.5, 3.0, 3.5):
        client = subprocess.Popen(command(tmp_path, "run"), start_new_session=True)
        time.sleep(delay_s)
        children = Path(f"/proc/{client.pid}/task/{client.pid}/children").read_text().split()
        for child in children[-1:]:
            os.kill(int(child), signal.SIGKILL)
        time.sleep(0.3)
        client.kill()
        client.wait()
        orphans += children[:-1]
    done = subprocess.run(command(tmp_path, "run"), capture_output=True, text=True, check=True)
    assert done.stdout.startswith("8 done, 0 running, 0 failed, 0 waiting")
    # A client that is killed leaves nobody behind.
    left = [Path(f"/proc/{pid}/cmdline") for pid in orphans]
    assert [path for path in left if path.exists() and b"spawn_main" in path.read_bytes()] == []
    logs = [(campaign.folder / case.name / "log.jsonl").read_text() for case in campaign.cases]
    assert [log.count('"stage done", "stage": "production"') for log in logs] == [1] * 8
    assert_as_alone(campaign, tmp_path / "alone")


@pytest.mark.slow
def test_two_clients_help_each_other(content, tmp_path):
    campaign = write_campaign(tmp_path, content, seeds=4, duration_ps=0.4)
    clients = [subprocess.Popen(command(tmp_path, "run")) for _ in range(2)]
    assert [client.wait(timeout=120) for client in clients] == [0, 0]
    assert_as_alone(campaign, tmp_path / "alone")


@pytest.mark.slow
def test_ctrl_c_stops_at_checkpoints_with_exit_code_3(content, tmp_path):
    campaign = write_campaign(tmp_path, content, seeds=2, duration_ps=4.0)
    client = subprocess.Popen(command(tmp_path, "run"), stderr=subprocess.PIPE, text=True)
    while not list(campaign.folder.glob("*/02-production")):
        time.sleep(0.1)
    client.send_signal(signal.SIGINT)
    assert client.wait(timeout=60) == 3
    assert "cases are done; the same command goes on" in client.stderr.read()
    statuses = {Run.open(path.parent).status for path in campaign.folder.glob("*/run.json")}
    assert statuses <= {"stopped", "done", "pending"}


def test_the_command_says_counts_and_failures(content, tmp_path):
    write_campaign(tmp_path, content, seeds=1, duration_ps=0.1)
    asked = subprocess.run(command(tmp_path, "status"), capture_output=True, text=True, check=True)
    assert asked.stdout == "0 done, 0 running, 0 failed, 2 waiting\n"


def test_specs_of_calculators_are_those_of_runs(content, tmp_path):
    campaign = Campaign.from_dict(content, beside=tmp_path)
    assert campaign.calculators == (CalculatorSpec.of(LJ),)
