"""Inherent structures: minima of their snapshots, whatever happened on the way."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.io import read, write
from runs import assert_equal_bits, finish, start

from mlmd import (
    CalculatorSpec,
    Equilibrate,
    Production,
    Protocol,
    Relax,
    Run,
    SampleInherentStructures,
)
from mlmd.calculators.models.emt import StatelessEMT
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.cli.app import run_command_line
from mlmd.digits import TERMINAL, with_error
from mlmd.errors import InputError, StoppedError
from mlmd.protocol.plan import plan
from mlmd.run.overview import overview
from mlmd.run.stopping import StopToken
from mlmd.trajectory.h5md.writer import H5MDWriter

SHORT = {"name": "melt", "temperature_K": 2500, "duration_ps": 0.12, "record_every_fs": 4}


MODEL = {"sigma_A": 2.4, "epsilon_eV": 0.4, "cutoff_A": 3.2}
"""Lennard-Jones about as heavy, stiff and dense as copper."""
LJ = CalculatorSpec("lj", options=MODEL)


@pytest.fixture(scope="module")
def metal() -> Atoms:
    """32 atoms on a lattice that is too large."""
    return bulk("Cu", cubic=True, a=4.2).repeat(2)


@pytest.fixture(scope="module")
def sampled(metal: Atoms, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A melt of it, snapshots relaxed with and without the cell, and a stage after that."""
    sample = SampleInherentStructures(name="s", starts_from="melt", n_structures=6, every_ps=0.02)
    stages = (
        Equilibrate(**SHORT, record_velocities=True),
        sample,
        Production(name="after", temperature_K=2500, duration_ps=0.02, record_velocities=True),
        replace(sample, name="fixed", relax_cell=False),
    )
    place = tmp_path_factory.mktemp("sampled") / "run"
    return Protocol(name="p", stages=stages).run(metal, LJ, place)


def test_relaxed_snapshots_are_minima_of_their_snapshots(sampled: Run) -> None:
    melt, found = sampled.trajectory("melt"), sampled.results["s"]
    written = read(sampled.path / "02-s" / "structures.extxyz", index=":")
    assert found["n_converged"] == len(written) == 6
    times_ps = [structure["time_ps"] for structure in found["structures"]]
    assert times_ps == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.10, 0.12])
    for atoms, structure in zip(written, found["structures"], strict=True):
        frame = int(np.abs(melt.time_fs / 1000 - structure["time_ps"]).argmin())
        assert melt.energies_eV is not None
        before = melt.energies_eV[frame] / 32
        # float32 positions: 1e-6 A times a force of a few eV/A.
        assert structure["snapshot_energy_eV_atom"] == pytest.approx(before, abs=1e-5)
        assert structure["energy_eV_atom"] < before - 0.05
        # What the file says is what the calculator gives for the file's positions (8 digits).
        fresh = atoms.copy()
        fresh.calc = LennardJones(**MODEL)
        assert fresh.get_potential_energy() / 32 == pytest.approx(structure["energy_eV_atom"])
        assert atoms.get_potential_energy() == pytest.approx(32 * structure["energy_eV_atom"])
        assert fresh.get_forces() == pytest.approx(atoms.get_forces(), abs=1e-6)
        assert np.linalg.norm(fresh.get_forces(), axis=1).max() <= 0.05 + 1e-6
        assert np.abs(fresh.get_stress()).max() / units.GPa <= 0.1 + 1e-5
        assert structure["max_stress_GPa"] <= 0.1
        assert fresh.get_volume() / 32 == pytest.approx(structure["volume_A3_atom"])
        assert "momenta" not in atoms.arrays


def test_fixed_cell_keeps_the_volume_and_lies_higher(sampled: Run) -> None:
    melt, found = sampled.trajectory("melt"), sampled.results["fixed"]
    volume = abs(np.linalg.det(melt.cell_A)) / 32
    for structure in found["structures"]:
        assert structure["volume_A3_atom"] == pytest.approx(volume, rel=1e-12)
        assert structure["max_stress_GPa"] is None
        assert structure["max_force_eV_A"] <= 0.05
    # The lattice was too large: a melt at its volume shrinks where it may.
    assert sampled.results["s"]["volume_A3"] < 0.97 * found["volume_A3"]
    assert sampled.results["s"]["energy_eV_atom"] < found["energy_eV_atom"]


def test_averages_are_those_of_the_structures(sampled: Run) -> None:
    found = sampled.results["s"]
    energies = [structure["energy_eV_atom"] for structure in found["structures"]]
    assert found["energy_eV_atom"] == pytest.approx(np.mean(energies), rel=1e-12)
    assert found["energy_std_eV_atom"] == pytest.approx(np.std(energies, ddof=1), rel=1e-12)
    assert found["lowest_energy_eV_atom"] == min(energies)
    assert found["n_steps"] == sum(structure["n_steps"] for structure in found["structures"])
    # Never below what independent values would have.
    assert found["energy_stderr_eV_atom"] >= 0.999 * np.std(energies, ddof=1) / 6**0.5


def test_later_stages_start_where_this_one_did(sampled: Run) -> None:
    before, after = sampled.trajectory("melt"), sampled.trajectory("after")
    assert np.array_equal(before.positions_A[-1], after.positions_A[0])
    assert before.velocities_A_fs is not None
    assert after.velocities_A_fs is not None
    assert np.array_equal(before.velocities_A_fs[-1], after.velocities_A_fs[0])


def test_status_shows_the_line_of_the_stage(
    sampled: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["status", str(sampled.path)]) == 0
    found, shown = sampled.results["s"], capsys.readouterr().out
    error = found["energy_stderr_eV_atom"]
    assert f"energy {with_error(found['energy_eV_atom'], error, TERMINAL)} eV/atom" in shown
    assert "converged 6 of 6" in shown
    view = next(view for view in overview(sampled) if view.entry.name == "s")
    assert view.volume_per_atom_A3 == pytest.approx(found["volume_A3"] / 32)


def test_snapshots_of_a_perfect_crystal_have_its_energy(tmp_path: Path) -> None:
    """Cold enough, nothing moves: all snapshots are the crystal, and there is no spread."""
    crystal = bulk("Cu", cubic=True).repeat(2)
    run = Protocol(
        name="cold",
        stages=(
            Production(name="p", temperature_K=1e-12, duration_ps=0.06, record_every_fs=10),
            SampleInherentStructures(name="s", n_structures=7, every_ps=0.01, relax_cell=False),
        ),
    ).run(crystal, CalculatorSpec("emt"), tmp_path / "run")
    crystal.calc = StatelessEMT()
    found = run.results["s"]
    for structure in found["structures"]:
        assert structure["energy_eV_atom"] == pytest.approx(
            crystal.get_potential_energy() / 32, abs=1e-10
        )
        assert structure["n_steps"] == 0
    assert found["energy_stderr_eV_atom"] == pytest.approx(0.0, abs=1e-10)


def test_steps_that_run_out_are_said_not_hidden(tmp_path: Path, atoms: Atoms) -> None:
    run = Protocol(
        name="p",
        stages=(
            Equilibrate(**SHORT),
            SampleInherentStructures(
                name="s", n_structures=2, every_ps=0.1, max_steps=3, relax_cell=False
            ),
        ),
    ).run(atoms, CalculatorSpec("lj", options={"cutoff_A": 4.5}), tmp_path / "run")
    assert run.results["s"]["n_converged"] == 0
    assert [s["n_steps"] for s in run.results["s"]["structures"]] == [3, 3]


class Counting(LennardJones):
    """Counts its calls, and asks for a stop at one of them."""

    def __init__(self) -> None:
        super().__init__(**MODEL)
        self.n_calls = 0
        self.stop_at: int | None = None
        self.stop = StopToken()

    def calculate(self, *args: object, **kwargs: object) -> None:
        super().calculate(*args, **kwargs)
        self.n_calls += 1
        if self.n_calls == self.stop_at:
            self.stop.stop("enough")


def test_finished_snapshots_are_not_done_again(tmp_path: Path, metal: Atoms) -> None:
    protocol = Protocol(
        name="p",
        stages=(
            Equilibrate(**SHORT),
            SampleInherentStructures(name="s", n_structures=4, every_ps=0.04),
        ),
    )
    whole = Counting()
    one = protocol.run(metal, whole, tmp_path / "one")
    steps = [structure["n_steps"] for structure in one.results["s"]["structures"]]
    stopped = Counting()
    before_relaxing = whole.n_calls - sum(steps) - 4
    stopped.stop_at = before_relaxing + steps[0] + steps[1] + steps[2] // 2
    with pytest.raises(StoppedError):
        protocol.run(metal, stopped, tmp_path / "other", stop=stopped.stop)
    again = Counting()
    other = protocol.run(metal, again, tmp_path / "other")
    # One call more: the forces at which the third was left.
    # Two calls tell that it is the same calculator as before.
    assert stopped.n_calls + again.n_calls == whole.n_calls + 1 + 2
    assert_equal_bits(one, other)
    files = [run.path / "02-s" / "structures.extxyz" for run in (one, other)]
    assert files[0].read_bytes() == files[1].read_bytes()


DURABLE = """\
schema: 1
name: durable
stages:
  - {name: melt, class: Equilibrate, temperature_K: 2500, duration_ps: 0.12, record_every_fs: 4}
  - {name: s, class: SampleInherentStructures, n_structures: 4, every_ps: 0.04,
     max_force_eV_A: 0.0001, max_stress_GPa: 0.001, max_steps: 80}
"""


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path, metal: Atoms) -> None:
    """Three kills of a child process while it relaxes, with a checkpoint at each step."""
    (tmp_path / "p.yaml").write_text(DURABLE)
    write(tmp_path / "start.extxyz", metal)

    def command(name: str) -> list[str]:
        given = [str(tmp_path / "p.yaml"), "--structure", str(tmp_path / "start.extxyz")]
        more = ["--calculator", "lj", "--checkpoint-every-s", "0.001"]
        for key, value in MODEL.items():
            more += ["--calculator-option", f"{key}={value}"]
        program = [sys.executable, "-m", "mlmd.cli", "run", *given, *more]
        return [*program, "--out", str(tmp_path / name)]

    whole = finish(command("whole"))
    assert whole.returncode == 0, whole.stderr
    dice, reached = random.Random(3), []
    for _ in range(3):
        before = steps_done(tmp_path / "killed")
        process = start(command("killed"))
        wait_until_further(tmp_path / "killed", before, process)
        time.sleep(dice.uniform(0.0, 0.25))
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, errors
        reached.append(steps_done(tmp_path / "killed"))
    assert reached == sorted(set(reached))  # each session went on, none began anew
    last = finish(command("killed"))
    assert last.returncode == 0, last.stderr
    assert_equal_bits(Run.open(tmp_path / "whole"), Run.open(tmp_path / "killed"))
    files = [tmp_path / name / "02-s" / "structures.extxyz" for name in ("whole", "killed")]
    assert files[0].read_bytes() == files[1].read_bytes()


def steps_done(folder: Path) -> int:
    """Return the steps of all snapshots that checkpoints vouch for."""
    total = 0
    for path in folder.glob("02-s/snapshot-*/checkpoint.npz"):
        with np.load(path) as checkpoint:
            total += json.loads(str(checkpoint["plain"]))["nsteps"]
    return total


def wait_until_further(folder: Path, steps: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while steps_done(folder) <= steps:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([SampleInherentStructures(name="s")], "starts from nothing"),
        ([Relax(name="r"), SampleInherentStructures(name="s")], "'r' (Relax), which records no"),
        (
            [
                Production(name="p", temperature_K=300, duration_ps=17.9),
                SampleInherentStructures(name="s"),
            ],
            "need 18 ps; 'p' has 17.9 ps",
        ),
        (
            [
                Production(name="p", temperature_K=300, duration_ps=30, record_every_fs=300),
                SampleInherentStructures(name="s"),
            ],
            "every_ps (2) is not a whole number of the recording intervals of 'p' (300 fs)",
        ),
    ],
)
def test_a_source_without_the_snapshots_is_refused_before_anything_runs(
    tmp_path: Path, atoms: Atoms, stages: list, message: str
) -> None:
    protocol = Protocol(name="p", stages=stages)
    with pytest.raises(InputError) as refused:
        protocol.run(atoms, CalculatorSpec("lj", options={"cutoff_A": 4.5}), tmp_path / "run")
    assert message in str(refused.value)
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError):
        plan(protocol, len(atoms))


def test_eighteen_picoseconds_hold_ten_snapshots() -> None:
    source = Production(name="p", temperature_K=300, duration_ps=18)
    SampleInherentStructures(name="s").check_source(source)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_structures": 0}, "n_structures is 0"),
        ({"n_structures": 2.5}, "n_structures is 2.5; expected a whole number"),
        ({"every_ps": -1}, "every_ps is -1"),
        ({"max_force_eV_A": 0}, "max_force_eV_A is 0"),
        ({"max_stress_GPa": "low"}, "max_stress_GPa is 'low'"),
        ({"max_steps": 1.5}, "max_steps is 1.5; expected a whole number"),
        ({"relax_cell": "no"}, "relax_cell is 'no'; expected true or false"),
    ],
)
def test_bad_settings(setting: dict, message: str) -> None:
    with pytest.raises(InputError, match="stage 's'") as refused:
        SampleInherentStructures(name="s", **setting)
    assert message in str(refused.value)


def test_a_calculator_without_stress_cannot_relax_the_cell(tmp_path: Path, atoms: Atoms) -> None:
    class NoStress(LennardJones):
        implemented_properties = ("energy", "forces")

        def calculate(self, *args: object, **kwargs: object) -> None:
            super().calculate(*args, **kwargs)
            self.results.pop("stress")

    stages = (Equilibrate(**SHORT), SampleInherentStructures(name="s", every_ps=0.012))
    protocol = Protocol(name="p", stages=stages)
    calculator = NoStress(cutoff_A=4.5)
    with pytest.raises(InputError, match="relax_cell: false does without"):
        protocol.run(atoms, calculator, tmp_path / "run")
    fixed = protocol.with_settings({"s.relax_cell": False, "s.n_structures": 2})
    run = fixed.run(atoms, calculator, tmp_path / "fixed")
    assert run.results["s"]["n_converged"] == 2


def test_a_trajectory_cut_short_says_what_there_is(tmp_path: Path, atoms: Atoms) -> None:
    from mlmd.stages.relaxation.snapshots import last_snapshots

    path = tmp_path / "t.h5md"
    H5MDWriter.create(
        path, atoms.numbers, atoms.get_masses(), atoms.pbc, n_frames_planned=1, velocities=False
    ).close()
    with pytest.raises(InputError, match="has no frames"):
        last_snapshots(path, 3, 1.0)
    with pytest.raises(InputError, match="does not exist"):
        last_snapshots(tmp_path / "other.h5md", 3, 1.0)


def test_the_plan_counts_the_steps_at_most() -> None:
    stages = (
        Production(name="p", temperature_K=300, duration_ps=20),
        SampleInherentStructures(name="s", max_steps=300),
    )
    planned = plan(Protocol(name="p", stages=stages), 100)[1]
    assert planned.n_steps == 3000
    assert planned.n_frames == 0
    assert planned.starts_from == "p"


def test_yaml_keeps_every_field() -> None:
    stages = (
        Production(name="p", temperature_K=300, duration_ps=20),
        SampleInherentStructures(name="s", n_structures=4, relax_cell=False, max_stress_GPa=1),
    )
    protocol = Protocol(name="p", stages=stages)
    assert Protocol.from_dict(protocol.to_dict()) == protocol


def test_three_lines_add_it_to_the_published_protocol(tmp_path: Path) -> None:
    """As the documentation says."""
    Protocol.load("zheng2024").save(tmp_path / "mine.yaml")
    with (tmp_path / "mine.yaml").open("a") as file:
        file.write("- name: inherent-1000K\n")
        file.write("  class: SampleInherentStructures\n")
        file.write("  starts_from: production-1000K\n")
    planned = plan(Protocol.load(tmp_path / "mine.yaml"), 100)[-1]
    assert planned.starts_from == "production-1000K"
    assert planned.n_steps == 10 * 500
