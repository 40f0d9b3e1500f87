"""Guards: what has exploded is not analysed, what is merely hot goes on, and half a step helps."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.io import read
from runs import assert_equal_bits, recorded

from mlmd import Equilibrate, Production, Protocol, Quench, Relax, Run
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.cli.app import run_command_line
from mlmd.cli.options import assignments
from mlmd.dynamics.guards import GuardLimits
from mlmd.errors import InputError, SimulationUnstable, StageFailedError, StoppedError
from mlmd.protocol.settings import RunSettings
from mlmd.run.directory import StageFolder
from mlmd.run.lock import RunLock
from mlmd.run.stopping import StopToken
from mlmd.stages.context import Progress, StageContext
from mlmd.stages.dynamics.results import DynamicsResult

pytestmark = pytest.mark.kernels


class Faulty(LennardJones):
    """Lennard-Jones with one fault, at its n-th call."""

    def __init__(self, fault: str = "none", at: int = 0) -> None:
        super().__init__(cutoff_A=4.5)
        self.fault, self.at, self.calls = fault, at, 0

    def calculate(self, *args: Any, **kwargs: Any) -> None:
        super().calculate(*args, **kwargs)
        self.calls += 1
        if self.calls != self.at:
            return
        forces = self.results["forces"]
        if self.fault == "nan":
            forces[3] = np.nan
        elif self.fault == "huge":
            forces[3, 0] = 1e7
        elif self.fault == "shape":
            self.results["forces"] = forces[:5]
        elif self.fault == "energy":
            self.results["energy"] = self.results["free_energy"] = float("nan")
        elif self.fault == "exception":
            raise RuntimeError("the engine broke down")


def stages(**more: Any) -> tuple[Any, ...]:
    common = {"temperature_K": 800, "duration_ps": 0.4, "record_every_fs": 4, **more}
    return (
        Equilibrate(name="melt", **common),
        Quench(name="quench", **{**common, "temperature_K": 600}),
        Production(name="measure", **common),
    )


CALLS = {"melt": 120, "quench": 320, "measure": 520}


@pytest.mark.parametrize("stage", CALLS)
@pytest.mark.parametrize("fault", ["nan", "huge", "energy"])
def test_a_passing_fault_is_recovered_from_and_recorded(
    tmp_path: Path, atoms: Atoms, fault: str, stage: str
) -> None:
    run = Protocol(name="p", stages=stages()).run(
        atoms, Faulty(fault, CALLS[stage]), tmp_path / "run"
    )
    trips = {name: result["guard_trips"] for name, result in run.results.items()}
    assert [name for name, lines in trips.items() if lines] == [stage]
    assert len(trips[stage]) == 1
    trajectory = run.trajectory(stage)
    # The recording interval stays, no frame is missing, none is there twice, all are finite.
    assert len(trajectory) == 101
    assert trajectory.uniform_interval_fs() == pytest.approx(4.0)
    assert np.isfinite(trajectory.positions_A).all()
    steps = np.linalg.norm(np.diff(trajectory.positions_A, axis=0), axis=2)
    assert steps.max() < 0.3


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("shape", r"the calculator gave forces of shape \(5, 3\) for 27 atoms; expected \(27, 3\)"),
        ("exception", "RuntimeError: the engine broke down"),
    ],
)
def test_a_broken_calculator_fails_the_stage_at_once(
    tmp_path: Path, atoms: Atoms, fault: str, said: str
) -> None:
    with pytest.raises(StageFailedError, match=f"stage 'melt' failed: {said}"):
        Protocol(name="p", stages=stages()).run(atoms, Faulty(fault, 100), tmp_path / "run")
    assert Run.open(tmp_path / "run").manifest.stage("melt").status == "failed"


@pytest.mark.parametrize("fault", ["nan", "shape", "exception"])
def test_a_fault_fails_a_relaxation(tmp_path: Path, atoms: Atoms, fault: str) -> None:
    relax = Relax(name="relax", max_force_eV_A=1e-4)
    with pytest.raises(StageFailedError, match="stage 'relax' failed"):
        Protocol(name="p", stages=(relax,)).run(atoms, Faulty(fault, 12), tmp_path / "run")
    assert Run.open(tmp_path / "run").results == {}


def test_a_lasting_fault_fails_with_its_frame_saved_and_is_not_analysed(
    tmp_path: Path, atoms: Atoms, capsys: pytest.CaptureFixture[str]
) -> None:
    class Always(Faulty):
        def calculate(self, *args: Any, **kwargs: Any) -> None:
            super().calculate(*args, **kwargs)
            if self.calls > 100:
                self.results["forces"][3, 0] = 1e7

    with pytest.raises(StageFailedError, match=r"a force of [\d.e+]+ eV/A|overflows"):
        Protocol(name="p", stages=stages()[2:]).run(atoms, Always(), tmp_path / "run")
    run = Run.open(tmp_path / "run")
    entry = run.manifest.stage("measure")
    assert entry.status == "failed"
    assert entry.error is not None
    assert "3 halving(s)" in entry.error
    frame = read(run.path / entry.folder / "unstable.extxyz")
    assert len(frame) == len(atoms)
    assert run_command_line(["analyze", str(run.path)]) == 2
    assert "no finished production stage" in capsys.readouterr().err


STRICT = {"max_energy_jump_eV_atom": 0.0002}
NONE = {"max_energy_jump_eV_atom": 1e9, "max_temperature_ratio": 1e9, "max_force_eV_A": 1e9}


def coarse(**settings: Any) -> Equilibrate:
    """A stage whose time step only a strict guard finds too long."""
    common = {"temperature_K": 2000, "timestep_fs": 6.0, "record_every_fs": 24, "duration_ps": 3.6}
    return Equilibrate(name="melt", **{**common, "max_halvings": 4, "guard": STRICT, **settings})


def run_of(stage: Equilibrate, atoms: Atoms, folder: Path) -> Run:
    protocol = Protocol(name="p", stages=(stage,))
    return protocol.run(atoms, LennardJones(cutoff_A=4.5), folder, seed=1)


def go_on(folder: Path, stage: Equilibrate, *, is_part: bool = False) -> DynamicsResult:
    """Have a stage that failed go on from its checkpoint, under other settings."""
    run = Run.open(folder)
    with RunLock(folder) as lock:
        context = StageContext(
            calculator=LennardJones(cutoff_A=4.5),
            rng=np.random.default_rng(),  # its state is in the checkpoint
            spawn=lambda name: np.random.default_rng(),
            folder=StageFolder(folder / run.manifest.stage(stage.name).folder, lock),
            stop=StopToken(),
            report=lambda progress: None,
            checkpoint_every_s=60.0,
            is_part=is_part,
        )
        return stage.run(run.atoms, context)[1]


def test_a_stage_that_failed_goes_on_when_more_halvings_are_allowed(
    tmp_path: Path, atoms: Atoms
) -> None:
    """The same bits as if they had been allowed from the start."""
    whole = run_of(coarse(), atoms, tmp_path / "whole")
    trips = whole.results["melt"]["guard_trips"]
    assert 1 <= len(trips) <= 4
    with pytest.raises(StageFailedError) as failure:
        run_of(coarse(max_halvings=len(trips) - 1), atoms, tmp_path / "run")
    assert f"--set melt.max_halvings={len(trips) + 1}" in str(failure.value)
    result = go_on(tmp_path / "run", coarse())
    assert list(result.guard_trips) == trips
    first, second = recorded(whole), recorded(Run.open(tmp_path / "run"))
    assert first.keys() == second.keys()
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_a_stage_that_failed_goes_on_under_wider_limits(tmp_path: Path, atoms: Atoms) -> None:
    """The same bits as under these limits from the start: a checkpoint knows no limits."""
    # Calm, so that without limits nothing explodes on any processor.
    calm: dict[str, Any] = {"temperature_K": 600, "timestep_fs": 2.0}
    whole = run_of(coarse(guard=NONE, **calm), atoms, tmp_path / "whole")
    assert whole.results["melt"]["guard_trips"] == []
    strict = {"max_energy_jump_eV_atom": 1e-9}
    with pytest.raises(StageFailedError):
        run_of(coarse(max_halvings=0, guard=strict, **calm), atoms, tmp_path / "run")
    assert list(go_on(tmp_path / "run", coarse(guard=NONE, **calm)).guard_trips) == []
    first, second = recorded(whole), recorded(Run.open(tmp_path / "run"))
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_fewer_halvings_than_were_needed_so_far_allow_no_more(tmp_path: Path, atoms: Atoms) -> None:
    """Nor as many as anyone likes."""
    hard = {"max_energy_jump_eV_atom": 1e-9}
    with pytest.raises(StageFailedError, match=r"after 2 halving\(s\)"):
        run_of(coarse(max_halvings=2, guard=hard), atoms, tmp_path / "run")
    with pytest.raises(SimulationUnstable, match=r"after 2 halving\(s\)"):
        go_on(tmp_path / "run", coarse(max_halvings=1, guard=hard))
    # A run within a stage, as of a volume search, has no settings of its own to be given.
    with pytest.raises(SimulationUnstable, match=r"unstable\.extxyz$"):
        go_on(tmp_path / "run", coarse(max_halvings=1, guard=hard), is_part=True)


def test_the_setting_that_the_message_names_lets_the_stage_go_on(
    tmp_path: Path, atoms: Atoms
) -> None:
    """As it is pasted on the command line; limits that were given before stay."""
    stage = coarse(max_halvings=0, guard={**STRICT, "max_force_eV_A": 1e7})
    with pytest.raises(StageFailedError) as failure:
        run_of(stage, atoms, tmp_path / "run")
    said = re.search(r"--set (melt\.guard)='({.*?})'; to go on", str(failure.value))
    assert said is not None
    given = assignments([f"{said[1]}={said[2]}"], "--set")
    other = Protocol(name="p", stages=(stage,)).with_settings(given).stages[0]
    assert isinstance(other, Equilibrate)
    assert other.guard["max_force_eV_A"] == 1e7
    reached = coarse().n_steps
    try:
        go_on(tmp_path / "run", other)
    except SimulationUnstable as later:
        reached = step_of(later)
    assert reached > step_of(failure.value)


def step_of(error: Exception) -> int:
    """Return the step at which a guard tripped."""
    found = re.search(r"at step (\d+) ", str(error))
    assert found is not None
    return int(found[1])


def test_a_beginning_beyond_a_limit_is_not_to_be_helped_by_shorter_steps(
    tmp_path: Path, atoms: Atoms
) -> None:
    stage = coarse(guard={"max_force_eV_A": 1e-3})
    with pytest.raises(StageFailedError, match=r"at step 0 .*--set melt\.guard=") as failure:
        run_of(stage, atoms, tmp_path / "run")
    assert "max_halvings" not in str(failure.value)


def test_recovery_is_the_same_bits_however_often_it_is_stopped(
    tmp_path: Path, atoms: Atoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A potential that only half the time step can follow, stopped at many moments."""
    monkeypatch.setattr("mlmd.stages.context.REPORT_INTERVAL_S", 0.0)
    protocol = Protocol(name="p", stages=(coarse(),))
    calculator = LennardJones(cutoff_A=4.5)
    whole = protocol.run(atoms, calculator, tmp_path / "whole", seed=1)
    assert 1 <= len(whole.results["melt"]["guard_trips"]) <= 4
    stopped_at = iter(range(37, 600, 61))
    for _ in range(20):
        token, at = StopToken(), next(stopped_at, 10**9)

        def watch(progress: Progress, token: StopToken = token, at: int = at) -> None:
            if progress.step >= at:
                token.stop("asked")

        try:
            run = protocol.run(
                atoms,
                LennardJones(cutoff_A=4.5),
                tmp_path / "run",
                seed=1,
                progress=watch,
                stop=token,
                settings=RunSettings(checkpoint_every_s=0.01),
            )
            break
        except StoppedError:
            continue
    assert_equal_bits(whole, run)


def test_an_extension_never_goes_back_behind_the_end_of_what_was_found(
    tmp_path: Path, atoms: Atoms
) -> None:
    protocol = Protocol(name="p", stages=stages()[2:])
    run = protocol.run(atoms, Faulty(), tmp_path / "run")
    found = run.trajectory("measure").positions_A.copy()
    # The first call of the extension's session is at step 201, the fault at step 210.
    run = protocol.run(atoms, Faulty("nan", 10), tmp_path / "run", extend={"measure": 0.8})
    assert len(run.results["measure"]["guard_trips"]) == 1
    longer = run.trajectory("measure").positions_A
    assert len(longer) == 201
    assert longer[: len(found)].tobytes() == found.tobytes()


def test_half_the_step_gives_the_same_physics(tmp_path: Path, atoms: Atoms) -> None:
    """Mean temperature and energy after a recovery are those of a run without one."""
    common = {"temperature_K": 900, "duration_ps": 16, "record_every_fs": 10, "timestep_fs": 2.0}
    stage = Production(name="p", **common)
    calm = Protocol(name="p", stages=(stage,)).run(atoms, Faulty(), tmp_path / "calm", seed=1)
    shaken = Protocol(name="p", stages=(stage,)).run(
        atoms, Faulty("nan", 150), tmp_path / "shaken", seed=1
    )
    assert calm.results["p"]["guard_trips"] == []
    assert len(shaken.results["p"]["guard_trips"]) == 1
    for name in ("temperature_K", "potential_energy_eV"):
        unit = name.rpartition("_")[2]
        error = name.replace(f"_{unit}", f"_stderr_{unit}")
        one, other = calm.results["p"], shaken.results["p"]
        assert one[error] is not None
        sigma = np.hypot(one[error], other[error])
        assert abs(one[name] - other[name]) < 3.5 * sigma, name


def test_an_instantaneous_quench_does_not_trip(tmp_path: Path, atoms: Atoms) -> None:
    """5000 to 1000 K gives off heat for a while; no guard may take it for an explosion."""
    hot = Equilibrate(name="hot", temperature_K=5000, duration_ps=1, timestep_fs=1)
    cold = Quench(name="cold", temperature_K=1000, duration_ps=2, thermostat="nose_hoover")
    run = Protocol(name="p", stages=(hot, cold)).run(atoms, Faulty(), tmp_path / "run")
    assert run.results["hot"]["guard_trips"] == []
    assert run.results["cold"]["guard_trips"] == []


def test_a_guard_knows_how_fast_a_stage_takes_heat_up(atoms: Atoms) -> None:
    """Friction gamma takes kinetic energy at 2 gamma; at constant energy nothing takes it."""
    common: dict[str, Any] = {"name": "p", "temperature_K": 300, "duration_ps": 1}
    times = [
        Production(**common, thermostat_time_fs=250).origin(atoms).thermostat_time_fs,
        Production(**common, ensemble="nve").origin(atoms).thermostat_time_fs,
        Production(**common, thermostat="langevin", friction_per_ps=2)
        .origin(atoms)
        .thermostat_time_fs,
    ]
    assert times == [250.0, np.inf, 250.0]


def test_atoms_pushed_together_trip_the_contact_guard(tmp_path: Path, atoms: Atoms) -> None:
    """A soft potential lets atoms through each other; energies stay small."""
    soft = LennardJones(cutoff_A=4.5, epsilon_eV=1e-6)
    stage = Production(
        name="p", temperature_K=2000, duration_ps=2, record_every_fs=10, max_halvings=1
    )
    with pytest.raises(StageFailedError, match=r"are 0\.\d\d A apart|are 1\.0\d A apart"):
        Protocol(name="p", stages=(stage,)).run(atoms, soft, tmp_path / "run")


def test_limits_are_named_in_yaml_and_unknown_ones_refused() -> None:
    stage = Production(name="p", temperature_K=1, duration_ps=1, guard={"max_force_eV_A": 50})
    assert Protocol.from_dict(Protocol(name="x", stages=(stage,)).to_dict()).stages[0] == stage
    json.dumps(stage.to_dict())
    with pytest.raises(InputError, match="unknown guard"):
        Production(name="p", temperature_K=1, duration_ps=1, guard={"max_forces": 50})
    with pytest.raises(InputError, match="expected a number above zero"):
        GuardLimits(max_force_eV_A=-1)


@pytest.mark.parametrize(
    ("formula", "temperature_K", "said"),
    [("H13Cl14", 300, "hydrogen"), ("Li13Cl14", 5000, "coarse"), ("Li13Cl14", 300, None)],
)
def test_long_steps_are_warned_of(
    tmp_path: Path,
    atoms: Atoms,
    caplog: pytest.LogCaptureFixture,
    formula: str,
    temperature_K: float,
    said: str | None,
) -> None:
    named = Atoms(formula, positions=atoms.positions, cell=atoms.cell, pbc=True)
    stage = Production(
        name="p", temperature_K=temperature_K, duration_ps=0.02, guard={"max_force_eV_A": 1e9}
    )
    with caplog.at_level(logging.WARNING):
        Protocol(name="p", stages=(stage,)).run(named, Faulty(), tmp_path / "run")
    warned = [r.getMessage() for r in caplog.records if r.name.startswith("mlmd.stages")]
    assert (said is None) == (warned == [])
    if said is not None:
        assert said in warned[0]
