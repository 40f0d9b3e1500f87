"""What a person sees before, during and after a run: the plan, the tree, what comes next."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from runs import edit_manifest

from mlmd import Run
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.cli.app import run_command_line
from mlmd.processes import this_process
from mlmd.protocol.plan import time_force_calls
from mlmd.run.history import EventLog, wall_times
from mlmd.run.overview import overview

RECIPE = """\
schema: 1
name: tree
stages:
  - {name: relax, class: Relax, max_force_eV_A: 0.001, max_steps: 20}
  - {name: melt, class: Equilibrate, temperature_K: 1500, duration_ps: 0.4, record_every_fs: 4}
  - {name: quench-A, class: Quench, starts_from: melt, temperature_K: 900, duration_ps: 0.2}
  - {name: production-A, class: Production, temperature_K: 900, duration_ps: 2, record_every_fs: 4}
  - {name: quench-B, class: Quench, starts_from: melt, temperature_K: 700, duration_ps: 0.2}
  - {name: production-B, class: Production, temperature_K: 700, duration_ps: 2, record_every_fs: 4,
     record_velocities: true}
"""
LJ = ["--calculator", "lj", "--calculator-option", "cutoff_A=4.5"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a protocol, a structure and a crystal."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "tree.yaml").write_text(RECIPE)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    atoms = Atoms("Li13Cl14", positions=3.2 * grid, cell=[9.6] * 3, pbc=True)
    write(folder / "start.extxyz", atoms)
    sites = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    write(folder / "crystal.cif", Atoms("Li3Cl", positions=4 * sites, cell=[4] * 3, pbc=True))
    return folder


def command(place: Path, *more: str, structure: str = "start.extxyz") -> list[str]:
    return ["run", str(place / "tree.yaml"), "--structure", str(place / structure), *LJ, *more]


@pytest.fixture(scope="module")
def finished(place: Path) -> Path:
    assert run_command_line(command(place, "--out", str(place / "finished"))) == 0
    return place / "finished"


@pytest.fixture
def changed(finished: Path, tmp_path: Path):
    """Return a copy of the run whose stages were brought into other states."""

    def change(**states: str) -> Path:
        copy = tmp_path / "copy"
        shutil.copytree(finished, copy)

        def bring(manifest: dict) -> None:
            for entry in manifest["stages"]:
                state = states.get(entry["name"].replace("-", "_"), "done")
                status, _, error = state.partition(":")
                entry.update(status=status, error=error or None)
                if status != "done":
                    entry.update(result=None, checksums={})

        edit_manifest(copy, bring)
        return copy

    return change


def status(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert run_command_line(["status", str(folder)]) == 0
    return capsys.readouterr().out


def status_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict:
    capsys.readouterr()
    assert run_command_line(["status", str(folder), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_tree_of_a_finished_run(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = status(finished, capsys).splitlines()
    assert lines[0] == f"{finished}: done"
    assert lines[1].split() == ["stage", "status", "T/K", "A3/atom", "P/GPa", "ps", "wall"]
    heads = [line.split("done")[0].strip() for line in lines if " done " in line]
    assert heads == [
        "relax",
        "melt",
        "├ quench-A",
        "│ production-A",
        "└ quench-B",
        "production-B",
    ]
    cells = next(line for line in lines if "production-A" in line).split()
    result = Run.open(finished).results["production-A"]
    assert cells[3] == f"{result['temperature_K']:.0f}"
    assert cells[4] == f"{result['volume_A3'] / 27:.2f}" == "32.77"
    assert cells[5] == f"{result['pressure_GPa']:+.2f}"
    assert cells[6] == "2"
    assert lines[-1] == f"next: mlmd analyze {finished}"
    assert "\x1b" not in "".join(lines)


def test_tree_of_a_failed_run(changed, capsys: pytest.CaptureFixture[str]) -> None:
    run = changed(
        quench_A="failed:RuntimeError: it broke",
        production_A="blocked:waits for 'quench-A', which failed",
        production_B="stopped",
    )
    out = status(run, capsys)
    lines = out.splitlines()
    assert lines[0].endswith(": failed")
    at = next(i for i, line in enumerate(lines) if "quench-A  " in line)
    assert lines[at + 1].strip("│ ") == "RuntimeError: it broke"
    assert "0.2/0.2" in lines[at]  # of the checkpoint
    assert lines[at + 3].strip("│ ") == "waits for 'quench-A', which failed"
    assert lines[-4:] == [
        "next: give the same mlmd run command again",
        "  goes on from its last checkpoint: production-B",
        "  tried again from its last checkpoint: quench-A",
        "  then: production-A",
    ]
    found = status_json(run, capsys)
    assert found["next"] == ["quench-A", "production-A", "production-B"]


def test_a_run_at_work(changed, capsys: pytest.CaptureFixture[str]) -> None:
    run = changed(quench_B="running", production_B="pending")
    (run / "lock").write_text(json.dumps(this_process()))
    lines = status(run, capsys).splitlines()
    assert lines[0].startswith(f"{run}: running (process {os.getpid()} on ")
    assert lines[-1] == "now: quench-B; then production-B"


def test_json_keeps_its_keys(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = status_json(finished, capsys)
    assert {"directory", "status", "stages"} <= set(found)
    assert found["next"] == []
    by_name = {stage["name"]: stage for stage in found["stages"]}
    for stage in by_name.values():
        assert {"name", "kind", "status", "result", "error"} <= set(stage)
        assert stage["wall_s"] >= 0
        assert stage["wall_is_complete"]
        assert stage["flags"] == []
    parents = {name: stage["starts_from"] for name, stage in by_name.items()}
    assert parents["relax"] is None
    assert (parents["quench-B"], parents["production-B"]) == ("melt", "quench-B")
    assert by_name["melt"]["volume_per_atom_A3"] == pytest.approx(9.6**3 / 27)
    assert by_name["melt"]["simulated_ps"] == pytest.approx(0.4)


def test_flags_and_volume_searches_are_shown(
    finished: Path, changed, capsys: pytest.CaptureFixture[str]
) -> None:
    run = changed()
    result = {
        "status": "unconverged",
        "reason": "after 12 runs",
        "cell_volume_A3": 540.0,
        "volume_A3": 270.0,
        "points": [{"duration_ps": 4.0}, {"duration_ps": 8.5}, {"duration_ps": None}],
    }
    flags = ["unconverged_volume"]
    edit_manifest(run, lambda content: content["stages"][1].update(flags=flags, result=result))
    (view,) = [view for view in overview(Run.open(run)) if view.entry.name == "melt"]
    assert view.volume_per_atom_A3 == 20.0  # that of the cell that later stages have
    assert (view.simulated_ps, view.duration_ps) == (12.5, None)
    out = status(run, capsys)
    assert "flags: unconverged_volume" in out
    assert "unconverged: after 12 runs" in out


def test_wall_times_of_sessions_that_ended_in_every_way(tmp_path: Path) -> None:
    now = time.time()

    def at(seconds_ago: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(now - seconds_ago))

    def started(stage: str, ago: float) -> dict[str, object]:
        return {"time": at(ago), "event": "stage started", "stage": stage}

    events = [
        started("melt", 1000),
        {"time": at(990), "event": "stage stopped", "stage": "melt", "wall_s": 9.5},
        started("melt", 900),
        {"time": at(880), "event": "stage done", "stage": "melt"},  # of a version without wall_s
        started("killed", 800),
        started("killed", 700),
        {"time": at(695), "event": "stage failed", "stage": "killed", "wall_s": 5.25},
        started("present", 60),
    ]
    lines = [json.dumps(event) for event in events]
    (tmp_path / "log.jsonl").write_text("\n".join([*lines[:3], '{"time": "20', *lines[3:]]) + "\n")
    walls = wall_times(tmp_path, at_work=True)
    assert walls["melt"].seconds == pytest.approx(29.5)
    assert walls["melt"].is_complete
    assert (walls["killed"].seconds, walls["killed"].is_complete) == (5.25, False)
    assert walls["present"].seconds == pytest.approx(60, abs=10)
    assert walls["present"].is_complete
    assert not wall_times(tmp_path, at_work=False)["present"].is_complete
    assert wall_times(tmp_path / "nowhere", at_work=False) == {}


def test_a_killed_session_has_the_wall_time_that_its_files_show(tmp_path: Path) -> None:
    """Also after the run has gone on, which writes newer files."""
    now = time.time()
    began = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(now - 500))
    start = json.dumps({"time": began, "event": "stage started", "stage": "melt"})
    (tmp_path / "log.jsonl").write_text(f"{start}\n")
    checkpoint = tmp_path / "01-melt" / "runs" / "checkpoint.npz"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    for path, ago in ((checkpoint, 380), (checkpoint.parent, 390)):
        os.utime(path, (now - ago, now - ago))
    killed = wall_times(tmp_path, at_work=False)["melt"]
    assert (killed.seconds, killed.is_complete) == (pytest.approx(120, abs=1.5), False)
    log = EventLog(tmp_path)
    log.write("stage started", stage="melt")
    checkpoint.touch()
    log.write("stage done", stage="melt", wall_s=7.0)
    log.write("stage started", stage="other")
    after = wall_times(tmp_path, at_work=True)
    assert after["melt"].seconds == pytest.approx(127, abs=1.5)
    assert not after["melt"].is_complete
    assert (after["other"].seconds < 5, after["other"].is_complete) == (True, True)


# mlmd run --dry-run


def test_dry_run_writes_nothing_and_shows_every_stage(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "run"
    assert run_command_line(command(place, "--out", str(out), "--dry-run")) == 0
    assert list(tmp_path.iterdir()) == []
    shown = capsys.readouterr().out
    assert "nothing is written" in shown
    assert "estimate" in shown
    production = next(line for line in shown.splitlines() if "production-B" in line).split()
    assert production[:4] == ["production-B", "quench-B", "1000", "501"]


def test_dry_run_counts_what_the_run_then_does(
    place: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command(place, "--out", str(tmp_path / "run"), "--dry-run", "--json")
    capsys.readouterr()
    assert run_command_line(arguments) == 0
    plan = json.loads(capsys.readouterr().out)
    run = Run.open(finished)
    for stage in plan["stages"][1:]:
        assert stage["n_frames"] == run.results[stage["name"]]["n_frames"]
        folder = finished / run.manifest.stage(stage["name"]).folder
        names = ("trajectory.h5md", "checkpoint.npz", "checkpoint.previous.npz")
        size = sum((folder / name).stat().st_size for name in names)
        assert stage["disk_bytes"] == pytest.approx(size, rel=0.15)
        assert stage["seconds"] == pytest.approx(stage["n_steps"] * stage["force_call_s"])
    assert plan["n_steps"] == 20 + 200 + 2 * (100 + 1000)
    assert plan["seconds"] == plan["seconds_left"]
    assert plan["n_force_calls_timed"] == 5


def test_dry_run_knows_what_is_done(
    place: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    capsys.readouterr()
    arguments = command(place, "--out", str(finished), "--dry-run", "--json")
    assert run_command_line(arguments) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["seconds_left"] == 0 < plan["seconds"]
    assert run_command_line([*arguments, "--extend", "production-A=4"]) == 0
    longer = json.loads(capsys.readouterr().out)
    statuses = {stage["name"]: stage["status"] for stage in longer["stages"]}
    assert statuses.pop("production-A") == "stopped"
    assert set(statuses.values()) == {"done"}
    assert longer["n_steps"] == plan["n_steps"] + 1000
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    assert run_command_line([*arguments, "--seed", "5"]) == 2
    assert "holds another run" in capsys.readouterr().err


def test_force_calls_are_timed_as_they_are(atoms: Atoms) -> None:
    class Slow(LennardJones):
        def calculate(self, *args: object, **kwargs: object) -> None:
            time.sleep(0.2 if not hasattr(self, "warm") else 0.02)
            self.warm = True
            super().calculate(*args, **kwargs)

    before = atoms.positions.copy()
    measured = time_force_calls(Slow(cutoff_A=4.5), atoms)
    assert 0.02 <= measured.seconds < 0.1  # not the first call
    assert measured.n_calls == 5
    assert np.array_equal(atoms.positions, before)
    assert 0.2 <= measured.first_s < 0.4
    assert time_force_calls(Slow(cutoff_A=4.5), atoms, limit_s=0.0).n_calls == 1
    # A first call that took long was enough to get warm: only one more is made.
    slow = Slow(cutoff_A=4.5)
    after = time_force_calls(slow, atoms, limit_s=0.0, first_s=40.0)
    assert (after.first_s, after.n_calls) == (40.0, 1)
    assert 0.2 <= after.seconds < 0.4


PW = Path(__file__).parent / "stand_ins" / "pw_standin.py"
UPF = '<UPF version="2.0.1"><PP_HEADER is_ultrasoft="F" is_paw="F" z_valence=" 1.00"/></UPF>'


@pytest.fixture
def dft(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command line that runs the stand-in of pw.x, with temporary folders of our own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for symbol in ("Li", "Cl"):
        (tmp_path / f"{symbol}.upf").write_text(UPF)
    given = {"pseudopotentials": str(tmp_path), "ecutwfc_Ry": 30}
    options = [f"--calculator-option={key}={value}" for key, value in given.items()]
    words = ["run", str(place / "tree.yaml"), "--structure", str(place / "start.extxyz")]
    words += ["--out", str(tmp_path / "run"), "--calculator", "espresso"]
    return [*words, *options, "--dry-run"]


def test_dry_run_says_what_a_step_of_a_program_costs(
    dft: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """The first run of the program is another cost than those that start from its electrons."""
    code = (
        "import pathlib, runpy, time;"
        "time.sleep(0 if pathlib.Path('runs').exists() else 4);"
        f"runpy.run_path({str(PW)!r}, run_name='__main__')"
    )
    monkeypatch.setenv("MLMD_ESPRESSO_COMMAND", shlex.join([sys.executable, "-c", code]))
    assert run_command_line(dft) == 0
    said = re.search(
        r"The first force call took (\S+) s .*, each after it (\S+) (m?s)\.",
        capsys.readouterr().out,
    )
    step_s = float(said[2]) / (1000 if said[3] == "ms" else 1)
    assert 4 + 0.5 * step_s < float(said[1]) < 4 + 6 * step_s
    assert not list(tmp_path.glob("mlmd-*"))


def test_files_that_an_error_of_a_dry_run_points_to_stay(
    dft: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    command = shlex.join([sys.executable, str(PW), "--at", "1", "--do", "die"])
    monkeypatch.setenv("MLMD_ESPRESSO_COMMAND", command)
    assert run_command_line(dft) != 0
    pointed_to = re.search(r"see (\S+pw\.out)\)", capsys.readouterr().err)
    assert "file not found" in Path(pointed_to[1]).read_text()


# Supercells and vacancies


def test_supercell_and_vacancies_are_made_and_recorded(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    short = ["--set", "Production.duration_ps=0.02", "--set", "Equilibrate.duration_ps=0.02"]
    crystal = ["--supercell-diameter-A", "11", "--vacancies", "Li=0.05", "--vacancies", "Cl=2"]
    arguments = command(place, "--out", str(out), *short, *crystal, structure="crystal.cif")
    assert run_command_line(arguments) == 0
    atoms = read(out / "structure.extxyz")
    assert atoms.info["supercell"]["matrix"] == [[3, 0, 0], [0, 3, 0], [0, 0, 3]]
    assert atoms.info["supercell"]["diameter_A"] == pytest.approx(12.0)
    assert [record["n"] for record in atoms.info["vacancies"]] == [4, 2]
    assert len(atoms) == 27 * 4 - 6
    given = Run.open(out).manifest.input
    assert given["supercell"] == atoms.info["supercell"]
    assert given["vacancies"] == atoms.info["vacancies"]
    capsys.readouterr()
    assert run_command_line(arguments) == 0
    assert "nothing to do" in capsys.readouterr().out
    # Other vacancies are another structure.
    assert run_command_line([*arguments, "--vacancies", "Cl=3"]) == 2
    assert "holds another run: the structure is" in capsys.readouterr().err


def test_supercell_of_so_many_atoms(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command(place, "--out", str(tmp_path / "run"), structure="crystal.cif")
    capsys.readouterr()
    assert run_command_line([*arguments, "--supercell-n-atoms", "100", "--dry-run", "--json"]) == 0
    assert 100 <= json.loads(capsys.readouterr().out)["n_atoms"] <= 150


@pytest.mark.parametrize(
    ("more", "n_atoms"),
    [(["--supercell-n-atoms", "64"], 64), (["--supercell-diameter-A", "8"], 64)],
)
def test_a_cell_of_one_atom_is_enough_where_it_is_repeated(
    place: Path, tmp_path: Path, more: list[str], n_atoms: int
) -> None:
    """Primitive cells, as databases give them; of a name that does not tell the format."""
    write(tmp_path / "Cu.primitive", bulk("Cu"), format="cif")
    (tmp_path / "p.yaml").write_text(
        "schema: 1\nname: one\nstages:\n  - {name: eq, class: Equilibrate, temperature_K: 300, "
        "duration_ps: 0.02}\n"
    )
    start = ["--structure", str(tmp_path / "Cu.primitive"), "--format", "cif", *more]
    arguments = ["run", str(tmp_path / "p.yaml"), *start, "--calculator", "emt", "--out"]
    assert run_command_line([*arguments, str(tmp_path / "run")]) == 0
    run = Run.open(tmp_path / "run")
    assert (run.status, len(run.atoms)) == ("done", n_atoms)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--supercell-n-atoms", "50", "--supercell-diameter-A", "9"], "give either"),
        (["--supercell-diameter-A", "-1"], "--supercell-diameter-A is -1"),
        (["--supercell-n-atoms", "0"], "--supercell-n-atoms is 0"),
        (["--vacancies", "Na=0.1"], "no 'Na'"),
        (["--vacancies", "Li"], "expected KEY=VALUE"),
        (["--vacancies", "Li=many"], "expected a fraction"),
        (["--vacancies", "Li=true"], "expected a fraction"),
        (["--vacancies", "Li=1.5"], "between 0 and 1"),
        (["--vacancies", "Li=13"], "at least one remains"),
    ],
)
def test_impossible_crystals_are_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert run_command_line(command(place, "--out", str(tmp_path / "run"), *more)) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [["--supercell-n-atoms", "64"], ["--vacancies", "Li=1"]])
def test_packed_cells_are_no_crystals(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    out = str(tmp_path / "run")
    arguments = ["run", str(place / "tree.yaml"), "--composition", "LiCl", *LJ, "--out", out, *more]
    assert run_command_line(arguments) == 2
    assert "give --structure instead" in capsys.readouterr().err


def test_a_killed_run_is_not_at_work(changed, capsys: pytest.CaptureFixture[str]) -> None:
    """The manifest of a killed process says running; nobody holds the lock."""
    run = changed(quench_B="running", production_B="pending")
    out = status(run, capsys)
    assert out.startswith(f"{run}: stopped")
    assert "running" not in out
    assert out.splitlines()[-2:] == [
        "  goes on from its last checkpoint: quench-B",
        "  then: production-B",
    ]


def test_a_terminal_without_box_characters(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlmd.cli.status._can_show", lambda text: False)
    lines = status(finished, capsys).splitlines()
    assert "".join(lines).isascii()
    assert any(line.startswith("  | quench-A") for line in lines)
