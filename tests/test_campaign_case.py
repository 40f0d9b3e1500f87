"""A case is a run; one that fails is a value that says why."""

from __future__ import annotations

import pickle

import pytest
from runs import assert_equal_bits

from mlmd import Production, Protocol, Run
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.campaign import Case, CaseFailure, run_case
from mlmd.errors import StoppedError
from mlmd.run.stopping import StopToken


class Failing(LennardJones):
    """Forces of Lennard-Jones, and an error at one call."""

    def __init__(self, error: BaseException, at: int) -> None:
        super().__init__(cutoff_A=4.5)
        self.error, self.at, self.calls = error, at, 0

    def calculate(self, *args, **kwargs):
        self.calls += 1
        if self.calls >= self.at:
            raise self.error
        super().calculate(*args, **kwargs)


@pytest.fixture
def case(atoms, tmp_path) -> Case:
    protocol = Protocol(
        "short",
        (
            Production(
                name="production", temperature_K=500.0, duration_ps=0.08, record_every_fs=4.0
            ),
        ),
    )
    return Case(protocol, atoms, tmp_path / "run", seed=3)


def test_a_case_is_the_run_of_its_protocol_with_its_settings(case, calculator):
    longer = Case(**{**vars(case), "settings": {"Production.duration_ps": 0.16}})
    run = run_case(longer, calculator)
    assert isinstance(run, Run)
    assert run.status == "done"
    assert run.results["production"]["duration_ps"] == pytest.approx(0.16)
    assert run.manifest.identity["seed"] == 3
    again = run_case(longer, calculator)
    assert isinstance(again, Run)
    assert again.results == run.results


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError("out of memory"), "memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), "memory"),
        (RuntimeError("boom\nat two lines"), "other"),
    ],
)
@pytest.mark.parametrize("at", [1, 12], ids=["when it is tried", "on the way"])
def test_a_failure_says_why_and_crosses_processes(case, error, kind, at):
    failure = run_case(case, Failing(error, at=at))
    if at == 1 and kind == "other":
        kind = "input"  # it cannot do the structure
    assert isinstance(failure, CaseFailure)
    assert failure.kind == kind
    assert failure.directory == case.directory
    assert "\n" not in failure.message
    assert type(error).__name__ in failure.traceback
    assert pickle.loads(pickle.dumps(failure)) == failure


def test_an_explosion_and_a_mistake_are_told_apart(case, calculator):
    strict = {"Production.guard": {"max_force_eV_A": 1e-9}, "Production.max_halvings": 0}
    unknown = Case(**{**vars(case), "settings": {"Production.colour": "red"}})
    assert run_case(unknown, calculator).kind == "input"
    assert not case.directory.exists()
    exploding = run_case(Case(**{**vars(case), "settings": strict}), calculator)
    assert exploding.kind == "unstable"
    assert "production" in exploding.message


def test_the_same_case_goes_on_after_a_failure(case):
    never = 10**9
    assert isinstance(run_case(case, Failing(RuntimeError("once"), at=12)), CaseFailure)
    resumed = run_case(case, Failing(RuntimeError("once"), at=never))
    apart = Case(**{**vars(case), "directory": case.directory.with_name("whole")})
    whole = run_case(apart, Failing(RuntimeError("once"), at=never))
    assert resumed.status == whole.status == "done"
    assert_equal_bits(resumed, whole)


def test_a_stop_is_no_failure(case, calculator):
    stop = StopToken()
    stop.reason = "the night is over"
    with pytest.raises(StoppedError, match="the night is over"):
        run_case(case, calculator, stop=stop)
