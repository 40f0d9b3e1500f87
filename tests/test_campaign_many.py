"""Many cases on one model are the runs that they would be by themselves; failures are their own."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from ase import Atoms
from runs import assert_equal_bits

from mlmd import CalculatorSpec, Equilibrate, Production, Protocol, Run, pack, run_many
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.campaign import Case, CaseFailure
from mlmd.errors import InputError, StoppedError
from mlmd.run.stopping import StopToken

LJ = CalculatorSpec("lj", options={"cutoff_A": 4.5})


def protocol(duration_ps=0.08) -> Protocol:
    stage = Production(
        name="production", temperature_K=500.0, duration_ps=duration_ps, record_every_fs=4.0
    )
    return Protocol("short", (stage,))


def cases_in(folder, atoms, number=6, duration_ps=0.08) -> list[Case]:
    """The same liquid from other seeds, in cells of other sizes."""
    made = []
    for seed in range(number):
        start = atoms if seed % 2 else atoms.repeat((2, 1, 1))
        made.append(Case(protocol(duration_ps), start, folder / f"run-{seed}", seed=seed))
    return made


class InBatches(LennardJones):
    """Lennard-Jones in batches, with what the sums of a batch do to the last digits."""

    def __init__(self, rounding_eV_A=1e-6):
        super().__init__(cutoff_A=4.5)
        self.rounding_eV_A = rounding_eV_A
        self.sizes: list[int] = []
        self.rng = np.random.default_rng(0)

    def calculate_many(self, structures, properties):
        self.sizes.append(len(structures))
        results = []
        for atoms in structures:
            self.calculate(atoms, ["forces"], ["positions"])
            noise = self.rounding_eV_A * self.rng.uniform(-1, 1, (len(atoms), 3))
            results.append({**self.results, "forces": self.results["forces"] + noise})
        return results


def test_they_are_the_runs_that_they_are_alone(atoms, tmp_path):
    cases = cases_in(tmp_path / "many", atoms)
    many = run_many(cases, LJ, walkers=4)
    for case, run in zip(cases, many, strict=True):
        assert isinstance(run, Run)
        assert run.path == case.directory
        alone = case.resolved().run(
            case.structure, LJ, tmp_path / f"alone-{case.seed}", seed=case.seed
        )
        assert_equal_bits(run, alone)
        assert run.manifest.identity == alone.manifest.identity
        assert run.manifest.reproducible == alone.manifest.reproducible


def test_runs_of_a_batch_say_that_they_do_not_repeat_bit_for_bit(atoms, tmp_path):
    model = InBatches()
    runs = run_many(cases_in(tmp_path, atoms), model)
    assert max(model.sizes) > 1
    for run in runs:
        assert run.manifest.reproducible is False
        assert "batch" in run.manifest.reproducible_because
        assert run.manifest.calculators["default"]["class"].endswith("InBatches")


def test_a_case_that_fails_is_a_failure_of_its_own(atoms, tmp_path):
    cases = cases_in(tmp_path, atoms)
    gas = Atoms("Ar2", [[0, 0, 0], [0, 0, 3.5]], cell=[7, 7, 7])  # not periodic: no such thing
    cases[2] = Case(protocol(), gas, tmp_path / "gas")
    found = run_many(cases, LJ)
    assert [isinstance(one, CaseFailure) for one in found] == [n == 2 for n in range(6)]
    assert found[2].kind == "input"
    assert "periodic" in found[2].message


def test_what_is_done_is_not_done_again(atoms, tmp_path):
    cases = cases_in(tmp_path, atoms)
    run_many(cases[:3], LJ)
    when = (tmp_path / "run-0/run.json").stat().st_mtime_ns
    assert all(run.status == "done" for run in run_many(cases, LJ))
    assert (tmp_path / "run-0/run.json").stat().st_mtime_ns == when


def test_a_stop_is_for_all_and_the_same_call_goes_on(atoms, tmp_path):
    cases = cases_in(tmp_path / "many", atoms, duration_ps=0.4)
    token, seen = StopToken(), set()

    def follow(case, progress):
        seen.add(case.seed)
        if progress.step > 20:
            token.stop("enough")

    with pytest.raises(StoppedError, match=r"enough.*of 6 cases have ended"):
        run_many(cases, LJ, walkers=3, progress=follow, stop=token)
    assert seen
    for case, run in zip(cases, run_many(cases, LJ), strict=True):
        alone = case.resolved().run(
            case.structure, LJ, tmp_path / f"alone-{case.seed}", seed=case.seed
        )
        assert_equal_bits(run, alone)


def test_an_interrupt_leaves_checkpoints(atoms, tmp_path):
    cases = cases_in(tmp_path, atoms, duration_ps=4.0)
    code = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    code.start()
    with pytest.raises(KeyboardInterrupt):
        run_many(cases, LJ)
    statuses = {Run.open(case.directory).status for case in cases if case.directory.exists()}
    assert statuses <= {"stopped", "done", "pending"}
    assert "stopped" in statuses


@pytest.mark.parametrize(
    ("calculator", "says"),
    [
        ("vasp", "'vasp' is a program.*unbatched=True"),
        (LennardJones(cutoff_A=4.5).__class__.__mro__[1](), "cannot compute many.*unbatched=True"),
    ],
)
def test_what_cannot_be_batched_is_refused_by_name(atoms, tmp_path, calculator, says):
    with pytest.raises(InputError, match=says):
        run_many(cases_in(tmp_path, atoms), calculator)
    assert not list(tmp_path.iterdir())


def test_two_cases_of_one_directory_are_refused(atoms, tmp_path):
    case = Case(protocol(), atoms, tmp_path / "run")
    with pytest.raises(InputError, match="cases 0 and 1 have the same directory"):
        run_many([case, case], LJ)


def test_unbatched_they_are_run_one_after_another_with_a_word(atoms, tmp_path, caplog):
    class Own(LennardJones):
        pass

    with caplog.at_level(logging.WARNING):
        runs = run_many(cases_in(tmp_path, atoms, 2), Own(cutoff_A=4.5), unbatched=True)
    assert [run.status for run in runs] == ["done", "done"]
    assert "one after another" in caplog.text


def test_calculators_by_stage(atoms, tmp_path):
    """Each has a server of its own, one for those that are the same."""
    two = Protocol(
        "two",
        (
            Production(name="first", temperature_K=500.0, duration_ps=0.04, record_every_fs=4.0),
            Production(name="second", temperature_K=500.0, duration_ps=0.04, record_every_fs=4.0),
        ),
    )
    soft = CalculatorSpec("lj", options={"cutoff_A": 4.5, "epsilon_eV": 0.01})
    cases = [Case(two, atoms, tmp_path / f"{seed}", seed=seed) for seed in range(3)]
    for run in run_many(cases, {"first": LJ, "second": soft}):
        alone = two.run(
            atoms,
            {"first": LJ, "second": soft},
            tmp_path / f"alone-{run.path.name}",
            seed=int(run.path.name),
        )
        assert_equal_bits(run, alone)


@pytest.mark.slow
def test_diffusivities_of_a_batch_are_those_of_runs_by_themselves(tmp_path):
    """Rounding sends each walker elsewhere within a picosecond; how fast they move is the same."""
    stages = (
        Equilibrate(name="melt", temperature_K=1200.0, duration_ps=1.0, record_every_fs=20.0),
        Production(name="production", temperature_K=1200.0, duration_ps=4.0, record_every_fs=20.0),
    )
    liquid = Protocol("liquid", stages)
    starts = [pack("LiCl", 24, volume_per_atom_A3=40, seed=seed) for seed in range(10)]

    def diffusivities(folder, calculator, **how) -> np.ndarray:
        cases = [Case(liquid, a, tmp_path / folder / f"{n}", seed=n) for n, a in enumerate(starts)]
        found = []
        for run in run_many(cases, calculator, **how):
            positions = run.trajectory("production").positions_A
            lag = 50  # 1 ps
            moved = positions[lag:] - positions[:-lag]
            found.append(np.square(moved).sum(axis=2).mean() / 6.0)
        return np.array(found)

    batched = diffusivities("batched", InBatches())
    alone = diffusivities("alone", LennardJones(cutoff_A=4.5), unbatched=True)
    assert not np.isclose(batched, alone, rtol=1e-6).any()
    stderr = np.sqrt((batched.var(ddof=1) + alone.var(ddof=1)) / len(starts))
    assert stderr < 0.1 * alone.mean()
    assert abs(batched.mean() - alone.mean()) < 3.5 * stderr


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_campaign_many as t
from ase.io import read
t.run_many(t.cases_in(Path({folder!r}), read({start!r}), duration_ps=0.8), t.LJ)
"""


@pytest.mark.slow
def test_killed_at_any_time_the_same_call_gives_the_same_bits(atoms, tmp_path):
    start = tmp_path / "start.extxyz"
    atoms.write(start)
    folder = tmp_path / "many"
    code = KILLED.format(tests=os.path.dirname(__file__), folder=str(folder), start=str(start))
    for delay_s in (2.0, 2.5, 3.0):
        process = subprocess.Popen([sys.executable, "-c", code])
        time.sleep(delay_s)
        process.kill()
        process.wait()
    subprocess.run([sys.executable, "-c", code], check=True)
    from ase.io import read

    for case in cases_in(folder, read(start), duration_ps=0.8):
        alone = case.resolved().run(
            case.structure, LJ, tmp_path / f"alone-{case.seed}", seed=case.seed
        )
        run = Run.open(folder / f"run-{case.seed}")
        assert_equal_bits(run, alone)
