"""Starting a run from the end of a stage of another one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from mlmd import (
    CalculatorSpec,
    Equilibrate,
    Production,
    Protocol,
    Run,
    SampleInherentStructures,
)
from mlmd.calculators import evaluate
from mlmd.cli.app import run_command_line
from mlmd.dynamics.kinetics import kinetic_temperature_K
from mlmd.errors import DamagedDataError, RunDirectoryError, StoppedError
from mlmd.run.lock import RunLock
from mlmd.run.stopping import StopToken

LJ = ["--calculator", "lj", "--calculator-option", "cutoff_A=4.5"]
STEPS = {"timestep_fs": 2.0, "record_every_fs": 4.0, "temperature_K": 500.0, "duration_ps": 0.04}
SHORT = [
    {"name": "relax", "class": "Relax", "max_force_eV_A": 0.001, "max_steps": 20},
    {"name": "melt", "class": "Equilibrate", **STEPS},
    {"name": "squeeze", "class": "Production", "ensemble": "npt", "pressure_GPa": 2.0, **STEPS},
    {
        "name": "ramp",
        "class": "Quench",
        "timestep_fs": 2.0,
        "record_every_fs": 4.0,
        "from_temperature_K": 500.0,
        "temperature_K": 300.0,
        "rate_K_ps": 5000.0,
    },
]


def short_protocol() -> Protocol:
    stages = Protocol.from_dict({"schema": 1, "name": "short", "stages": SHORT}).stages
    snapshots = SampleInherentStructures(
        name="snapshots", starts_from="squeeze", n_structures=2, every_ps=0.02, max_steps=3
    )
    return Protocol(name="short", stages=(*stages, snapshots))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run with every kind of stage but the search of a volume."""
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    atoms = Atoms("Li13Cl14", positions=3.2 * grid, cell=[9.6] * 3, pbc=True)
    atoms.info["packing"] = {"seed": 5}
    folder = tmp_path_factory.mktemp("made") / "run"
    return short_protocol().run(atoms, CalculatorSpec("lj", options={"cutoff_A": 4.5}), folder)


@pytest.mark.parametrize("stage", ["melt", "squeeze", "ramp"])
def test_the_end_is_the_last_frame_in_full(made: Run, stage: str) -> None:
    end = made.end_of(stage)
    frames = made.trajectory(stage)
    last_cell_A = frames.cells_A()[-1]
    assert end.positions == pytest.approx(frames.positions_A[-1], abs=2e-6)  # float32 in the file
    assert end.cell.array == pytest.approx(last_cell_A, rel=1e-12)
    assert kinetic_temperature_K(end) == pytest.approx(frames.temperatures_K[-1], rel=1e-9)
    assert end.info["started_from"] == {"run": made.manifest.identity_sha256, "stage": stage}
    assert end.info["packing"] == {"seed": 5}
    if stage == "squeeze":
        assert abs(last_cell_A[0, 0] - 9.6) > 1e-3


def test_the_end_of_a_relaxation_has_its_forces_and_is_at_rest(made: Run, calculator) -> None:
    end = made.end_of("relax")
    end.calc = calculator.load()
    largest_eV_A = np.linalg.norm(evaluate(end, ("forces",)).forces_eV_A, axis=1).max()
    assert largest_eV_A == pytest.approx(made.results["relax"]["max_force_eV_A"], rel=1e-9)
    assert not end.get_momenta().any()


def test_after_inherent_structures_it_goes_on_from_before_them(made: Run) -> None:
    one, other = made.end_of("snapshots"), made.end_of("squeeze")
    assert np.array_equal(one.positions, other.positions)
    assert np.array_equal(one.get_momenta(), other.get_momenta())
    assert one.info["started_from"]["stage"] == "snapshots"


def test_a_production_goes_on_with_the_momenta(made: Run, tmp_path: Path, calculator) -> None:
    """The energy of its first frame is that of the end, to the digits of the structure's file."""
    end = made.end_of("melt")
    stage = Production(name="on", ensemble="nve", **STEPS)
    run = Protocol(name="on", stages=(stage,)).run(end, calculator, tmp_path / "on", seed=77)
    frames, before = run.trajectory("on"), made.trajectory("melt")
    assert frames.temperatures_K[0] == pytest.approx(before.temperatures_K[-1], rel=1e-6)
    assert frames.energies_eV[0] == pytest.approx(before.energies_eV[-1], abs=1e-6)
    assert run.atoms.positions == pytest.approx(end.positions, abs=1e-8)


def test_a_run_that_is_at_work_can_be_read(made: Run, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made.path, folder)
    with RunLock(folder):
        assert len(Run.open(folder).end_of("melt")) == 27


def test_what_has_no_end_is_refused_with_what_has(made: Run, tmp_path: Path, atoms) -> None:
    with pytest.raises(RunDirectoryError, match=r"no stage 'mlet'; it has relax, melt, squeeze"):
        made.end_of("mlet")
    token = StopToken()
    token.stop("enough")
    spec = CalculatorSpec("lj", options={"cutoff_A": 4.5})
    with pytest.raises(StoppedError):
        short_protocol().run(atoms, spec, tmp_path / "cut", stop=token)
    cut = Run.open(tmp_path / "cut")
    with pytest.raises(RunDirectoryError, match=r"'relax' of .* is stopped; expected one that is"):
        cut.end_of("relax")
    with pytest.raises(RunDirectoryError, match=r"is pending; .* is done \(none is yet\)"):
        cut.end_of("melt")


def test_a_lost_end_is_no_other_moment(made: Run, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(made.path, folder)
    run = Run.open(folder)
    (folder / "02-melt" / "checkpoint.npz").unlink()  # what is left is some steps before
    with pytest.raises(DamagedDataError, match=r"'melt' of .* no checkpoint of its end in 02-melt"):
        run.end_of("melt")


@pytest.fixture
def place(made: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a protocol and the run, under a name with a colon."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made.path, tmp_path / "run:1")
    (tmp_path / "on.yaml").write_text(
        "schema: 1\nname: next\nstages:\n  - {name: later, class: Production, temperature_K: 500, "
        "duration_ps: 0.02, record_every_fs: 4}\n"
    )
    return tmp_path


def test_the_command_goes_on_from_there_twice(place: Path, made: Run, capsys) -> None:
    arguments = ["run", "on.yaml", "--from", "run:1:squeeze", *LJ, "--out", "on"]
    assert run_command_line(arguments) == 0
    run, end = Run.open("on"), made.end_of("squeeze")
    assert run.atoms.positions == pytest.approx(end.positions, abs=1e-8)
    assert run.atoms.cell.array == pytest.approx(end.cell.array, abs=1e-8)
    assert run.trajectory("later").temperatures_K[0] == pytest.approx(
        made.trajectory("squeeze").temperatures_K[-1], rel=1e-6
    )
    capsys.readouterr()
    assert run_command_line(arguments) == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--from", "run"], "--from 'run' is not understood; expected RUN:STAGE"),
        (["--from", "run:"], "--from 'run:' is not understood; expected RUN:STAGE"),
        (["--from", "nothing:melt"], "nothing is not a run directory"),
        (["--from", "run:1:mlet"], "the run has no stage 'mlet'; it has relax, melt"),
        (["--from", "run:1:melt", "--structure", "a.cif"], "give either --composition or"),
        (["--from", "run:1:melt", "--composition", "LiCl"], "give either --composition or"),
        (["--from", "run:1:melt", "--n-atoms", "9"], "--from has its own atoms; leave out --n-at"),
        (["--from", "run:1:melt", "--density-g-cm3", "2"], "--from has its own volume; leave out"),
        (["--from", "run:1:melt", "--supercell-n-atoms", "99"], "leave out supercells and vacan"),
        (["--from", "run:1:melt", "--vacancies", "Li=1"], "leave out supercells and vacancies"),
        (["--from", "run:1:melt", "--format", "cif"], "--format is of a file; give --structure"),
        (["--composition", "LiCl", "--format", "cif"], "--format is of a file; give --structure"),
        (["--structure", "a.cif", "--n-atoms", "9"], "leave out --n-atoms, or give --supercell-n"),
        (["--structure", "a.cif", "--density-g-cm3", "2"], "--structure has its own volume; leave"),
    ],
)
def test_what_does_not_go_together_is_refused(place: Path, capsys, more, said) -> None:
    assert run_command_line(["run", "on.yaml", *LJ, "--out", "on", *more]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not (place / "on").exists()


def test_doubts_about_that_stage_go_on_here(tmp_path: Path, atoms: Atoms) -> None:
    atoms.info["started_from"] = {"run": "0" * 64, "stage": "v", "flags": ["unconverged_volume"]}
    stages = (
        Equilibrate(name="a", temperature_K=300.0, duration_ps=0.02),
        Equilibrate(name="b", temperature_K=300.0, duration_ps=0.02),
    )
    spec = CalculatorSpec("lj", options={"cutoff_A": 4.5})
    run = Protocol("two", stages).run(atoms, spec, tmp_path / "run")
    assert [stage.flags for stage in run.stages] == [["unconverged_volume"]] * 2
    assert run.manifest.input["started_from"]["stage"] == "v"
